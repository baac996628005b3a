package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
)

func TestSigningIn(t *testing.T) {
	l := newLab(t)
	who := func(answer *http.Response) string {
		t.Helper()
		var s session
		if err := json.Unmarshal([]byte(read(t, answer)), &s); err != nil {
			t.Fatal(err)
		}
		if len(s.Persons) != len(people) {
			t.Errorf("the session names %d persons, want %d", len(s.Persons), len(people))
		}
		return s.Person
	}
	for _, c := range []struct{ cookie, want string }{{"", ""}, {"alice", "alice"}, {"mallory", ""}} {
		if got := who(l.ask(t, c.cookie, "GET", "/session", "")); got != c.want {
			t.Errorf("with the cookie %q one is %q, want %q", c.cookie, got, c.want)
		}
	}
	answer := l.ask(t, "alice", "POST", "/session", `{"person":"bob"}`)
	if got := who(answer); got != "bob" {
		t.Errorf("after becoming bob, the person is %q", got)
	}
	set := answer.Cookies()
	if len(set) != 1 || set[0].Value != "bob" || !set[0].HttpOnly || set[0].SameSite != http.SameSiteStrictMode || set[0].Path != "/" {
		t.Errorf("cookies %v, want bob's, for the whole site, HttpOnly and SameSite=Strict", set)
	}
}

func TestUnknownPersonsDoNotSignIn(t *testing.T) {
	l := newLab(t)
	for _, c := range []struct {
		body, kind string
		want       int
	}{
		{`{"person":"mallory"}`, "application/json", http.StatusBadRequest},
		{`{"person":""}`, "application/json", http.StatusBadRequest},
		{`{}`, "application/json", http.StatusBadRequest},
		{`{"person":"bob","role":"root"}`, "application/json", http.StatusBadRequest},
		{`{"person":"bob"} {}`, "application/json", http.StatusBadRequest},
		{`{"person":"bob`, "application/json", http.StatusBadRequest},
		{`{"person":"bob"` + strings.Repeat(" ", 2<<10) + `}`, "application/json", http.StatusBadRequest},
		{`{"person":"bob"}`, "text/plain", http.StatusUnsupportedMediaType}, // what a form can send
		{`{"person":"bob"}`, "", http.StatusUnsupportedMediaType},
	} {
		answer := l.ask(t, "", "POST", "/session", c.body, "Content-Type", c.kind)
		if answer.StatusCode != c.want || len(answer.Cookies()) > 0 {
			t.Errorf("POST /session %.40s as %q: status %d, cookies %v, want %d and none", c.body, c.kind, answer.StatusCode, answer.Cookies(), c.want)
		}
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	l := newLab(t)
	if err := createSamples(t.Context(), l.eng); err != nil {
		t.Fatal(err)
	}
	job := sample(t, t.Context(), l.eng, "rollout")
	for _, c := range []struct {
		person      string
		looks, acts int
	}{
		{"carol", http.StatusOK, http.StatusForbidden},
		{"", http.StatusUnauthorized, http.StatusUnauthorized},
		{"mallory", http.StatusUnauthorized, http.StatusUnauthorized},
		{"bob", http.StatusOK, http.StatusOK},
	} {
		at := fmt.Sprintf("/v1/jobs/%d", job.ID)
		if got := l.ask(t, c.person, "GET", at, "").StatusCode; got != c.looks {
			t.Errorf("%q looks at a job: status %d, want %d", c.person, got, c.looks)
		}
		if got := l.ask(t, c.person, "POST", at+"/start", `{"dry_run":true}`).StatusCode; got != c.acts {
			t.Errorf("%q tries to start a job: status %d, want %d", c.person, got, c.acts)
		}
		if got := l.ask(t, c.person, "POST", "/v1/effects/claim", `{}`).StatusCode; got == http.StatusOK {
			t.Errorf("%q claims effects, which are for the executor", c.person)
		}
	}
}

// The page greys the buttons of a viewer by these verdicts.
func TestAViewerIsDeniedWhatTheRulesAllow(t *testing.T) {
	l := newLab(t)
	if err := createSamples(t.Context(), l.eng); err != nil {
		t.Fatal(err)
	}
	explained, err := l.eng.Explain(t.Context(), sample(t, t.Context(), l.eng, "rollout").ID, 1, engine.Request{By: "carol"})
	if err != nil {
		t.Fatal(err)
	}
	legal := operation.CausesOf(operation.StartJob, operation.TerminateJob, operation.HoldJob, operation.CommentJob).Union(operation.CausesOf(operation.StopBefore))
	for _, v := range explained.Causes { // of a job that has not begun
		if v.Legal || (v.Refusal.Reason == operation.Denied) != legal.Has(v.Cause) {
			t.Errorf("%v: %+v, want %v denied, and else a refusal by the rules", v.Cause, v, legal)
		}
	}
}
