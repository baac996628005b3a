package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
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
	short := []byte("all of it\n")
	got := tail(short)
	if !bytes.Equal(got, short) {
		t.Errorf("tail(%q) = %q, want all of it", short, got)
	}
	if got[0] = 'A'; short[0] != 'a' {
		t.Error("tail returns memory that is not the caller's")
	}
	long := append(bytes.Repeat([]byte("a"), 100), bytes.Repeat([]byte("z"), mostOutput)...)
	first, rest, _ := strings.Cut(string(tail(long)), "\n")
	if first != "[100 bytes before this are not shown]" || rest != strings.Repeat("z", mostOutput) {
		t.Errorf("tail of %d bytes begins with %q and has %d bytes after that, want the last %d", len(long), first, len(rest), mostOutput)
	}
}
