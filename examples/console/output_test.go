package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

func TestOutputIsRefused(t *testing.T) {
	l := newLab(t)
	if err := createSamples(t.Context(), l.eng); err != nil {
		t.Fatal(err)
	}
	id := sample(t, t.Context(), l.eng, "rollout").ID
	full := fmt.Sprintf("job=%d&step=2&attempt=1&target=0", id)
	for _, c := range []struct {
		who, query string
		want       int
	}{
		{"", full, http.StatusUnauthorized},
		{"mallory", full, http.StatusUnauthorized},
		{"carol", full, http.StatusNotFound}, // it has not run
		{"carol", "job=1&step=2&attempt=1&target=0", http.StatusNotFound},
		{"carol", "", http.StatusBadRequest},
		{"carol", "job=1&step=2&attempt=1", http.StatusBadRequest},
		{"carol", "job=..&step=2&attempt=1&target=0", http.StatusBadRequest},
		{"carol", "job=1&step=2&attempt=1&target=-1", http.StatusBadRequest},
		{"carol", "job=1&step=2&attempt=1&target=4294967296", http.StatusBadRequest},
		{"carol", "job=1&step=2&attempt=1&target=../../../etc/passwd", http.StatusBadRequest},
		{"carol", full + "&stream=stdin", http.StatusBadRequest},
		{"carol", full + "&%zz", http.StatusBadRequest},
	} {
		if got := l.ask(t, c.who, "GET", "/output?"+c.query, "").StatusCode; got != c.want {
			t.Errorf("%q asks for /output?%s: status %d, want %d", c.who, c.query, got, c.want)
		}
	}
}

// A name that leads out of the hosts' directory gets none, and the others are run all the same.
func TestHostsAreMadeAsTheyAreNeeded(t *testing.T) {
	l := newLab(t).dispatches(t)
	created, err := l.eng.Create(t.Context(), engine.JobSpec{Name: "mine", Steps: []step.Spec{{
		Type: step.Script, Name: "go", Targets: []string{"eu/web-1", "../out", "/etc", "web-2"}, Payload: script("pwd"),
	}}}, engine.Request{By: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{By: "bob"}); err != nil {
		t.Fatal(err)
	}
	l.await(t, created.Job, step.Failed)
	targets, err := l.eng.Targets(t.Context(), created.Job, 1, engine.TargetQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []step.Status{step.TargetSucceeded, step.InvalidTarget, step.InvalidTarget, step.TargetSucceeded} {
		if targets[i].Status != want {
			t.Errorf("%s: %v (%s), want %v", targets[i].Name, targets[i].Status, targets[i].Detail, want)
		}
	}
}

func TestTheEndOfALongOutputIsShown(t *testing.T) {
	for _, c := range []struct {
		end  executor.Excerpt
		want string
	}{
		{executor.Excerpt{}, ""},
		{executor.Excerpt{Data: []byte("all of it\n"), Kept: 10, Written: 10}, "all of it\n"},
		{executor.Excerpt{Data: []byte("z"), Offset: 100, Kept: 101, Written: 101}, "[100 earlier bytes are not shown]\nz"},
		{executor.Excerpt{Data: []byte("z"), Offset: 100, Kept: 101, Written: 108},
			"[100 earlier bytes are not shown]\nz\n[7 later bytes were not kept]\n"},
	} {
		if got := string(text(c.end)); got != c.want {
			t.Errorf("text(%+v) = %q, want %q", c.end, got, c.want)
		}
	}
}

// The output has the last 64 KiB of both streams, each from a new line on.
func TestOutputIsTheEndOfBothStreams(t *testing.T) {
	l := newLab(t).dispatches(t)
	created, err := l.eng.Create(t.Context(), engine.JobSpec{Name: "long", Steps: []step.Spec{{
		Type: step.Script, Name: "long", Targets: []string{"web-1"},
		Payload: script(`printf '%70000s' first; printf last; printf problem >&2`),
	}}}, engine.Request{By: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{By: "bob"}); err != nil {
		t.Fatal(err)
	}
	l.await(t, created.Job, step.Succeeded)
	got := read(t, l.ask(t, "carol", "GET", fmt.Sprintf("/output?job=%d&step=1&attempt=1&target=0", created.Job), ""))
	begin, end := "[4468 earlier bytes are not shown]\n", "firstlast\nproblem"
	if want := len(begin) + mostOutput + len("\nproblem"); len(got) != want || !strings.HasPrefix(got, begin) || !strings.HasSuffix(got, end) {
		t.Errorf("the output has %d bytes, %.50q to %q, want %d, %q to %q", len(got), got, got[max(0, len(got)-50):], want, begin, end)
	}
}
