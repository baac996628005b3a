package scenario

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const release = "job release\n  script copy, targets a b\n"

// wrongs are plays with a wrong clause, and their mismatches.
var wrongs = []struct{ text, want string }{
	{"ann: start_job\n  to waiting, attempt 1, effect ask", "x.txt:3: ann: start_job: want to waiting, effect ask; got to running, effect run"},
	{"ann:   start_job, if_attempt 2", "x.txt:3: ann:   start_job, if_attempt 2: want it to be accepted; got refused stale, state pending, legal stop_before terminate_job start_job hold_job comment_job: job 1, step 1: start_job (job 2) is stale: meant for attempt 2, but it is attempt 0; legal now: stop_before, on the job: terminate_job, start_job, hold_job"},
	{"ann: start_job\n  refused wrong_state", "x.txt:3: ann: start_job: want refused wrong_state; got from pending, to running, job_to running, attempt 1, targets 2, effect run"},
	{"ann: start_job\n  unknown outcome", "x.txt:3: ann: start_job: want unknown outcome; got from pending"},
	{"ann: confirm 1\n  refused stale, state running", "x.txt:3: ann: confirm 1: want refused stale, state running; got refused wrong_type, state pending: job 1, step 1: confirm (6) does not apply"},
	{"ann: confirm 1\n  refused wrong_type, says \"only in\"", "want says \"only in\"; got says \"job 1, step 1: confirm (6) does not apply to a script step; legal now: stop_before, on the job: terminate_job, start_job, hold_job\""},
	{"ann: confirm 1\n  unknown outcome", "x.txt:3: ann: confirm 1: want unknown outcome; got refused wrong_type"},
	{"expect history: created, start_job", "x.txt:3: expect history: created, start_job: want created, start_job; got created"},
	{"expect effects: run 1.1 all", "want run 1.1 all; got none"},
	{"sweep\n  1 expired", "x.txt:3: sweep: want 1 expired; got 0 expired"},
	{"expect record 2: start_job", "want state start_job; got there is no such record"},
	{"in between, expect job: pending\nann: confirm 1\n  refused wrong_type", "x.txt:3: in between, expect job: pending: want it to happen before a commit; got no commit"},
	{"in between, expect job: running\nann: start_job", "x.txt:3: in between, expect job: running: want state running; got state pending"},
	{"crash before", "x.txt:3: crash before: want a commit after it; got none"},
	{"crash before\nann: confirm 1\n  refused wrong_type\nrestart", "x.txt:3: crash before: want a commit after it; got none"},
	{"crash before\ncrash after\nann: start_job\n  unknown outcome", "x.txt:3: crash before: want a commit after it; got none"},
	{"crash before\nann: start_job\n  unknown outcome\nexpect job: pending", "x.txt:6: expect job: pending: want state pending; got job 1: the store is down"},
	{"crash before\nann: start_job\n  unknown outcome\ndeliver", "x.txt:6: deliver: want it to be accepted; got the store is down"},
	{"deny eve\njob other, by eve\n  script copy, targets c\nturn to other", "there is no job \"other\""},
	{"deny eve\njob other, by eve\n  script copy, targets c\nreport 1.1: c succeeded", "x.txt:6: report 1.1: c succeeded: want it to be accepted; got step 1 of job release has no target c, its targets are a b"},
	{"expect target 1.c: running", "x.txt:3: expect target 1.c: running: want state running; got step 1 of job release has no target c, its targets are a b"},
	{"expect target 7.a: running", "got job release has no step 7"},
	{"turn to hotfix", "x.txt:3: turn to hotfix: want it to be accepted; got there is no job \"hotfix\""},
	{"crash before\nann: start_job\n  unknown outcome\nexpect job: ?", "x.txt:6: expect job: ?: want ?; got job 1: the store is down"},
	{"expect step 1: type none", "want type none; got type script"},
}

// A mismatch has its file and line, the line's text, the wanted and the actual result.
func TestMismatches(t *testing.T) {
	for _, w := range wrongs {
		_, err := Play(t.Context(), parse(t, "x.txt", release+w.text+"\n"), Config{})
		var m *Mismatch
		if !errors.As(err, &m) || !strings.Contains(err.Error(), w.want) {
			t.Errorf("%s\nis told as\n%v\nwant\n%s", w.text, err, w.want)
		}
	}
}

// The error has all mismatches in the order of their lines, with the engine's answers.
func TestAllMismatchesAreTold(t *testing.T) {
	_, found := mismatches(t, release+`in between, expect job: running
ann: start_job
  to waiting
ann: confirm 1
expect job: failed
`, Config{})
	var lines []int
	for _, m := range found {
		lines = append(lines, m.Line)
	}
	if len(lines) != 4 || lines[0] != 3 || lines[1] != 4 || lines[2] != 6 || lines[3] != 7 {
		t.Errorf("mismatches in lines %v, want 3, 4, 6, 7", lines)
	}
	if m := found[2]; m.File != "x.txt" || m.Text != "ann: confirm 1" || m.Want != "it to be accepted" || !errors.Is(m, operation.WrongType) {
		t.Errorf("the refusal is told as %+v", m)
	}
}

// A play whose context has ended ends with its error.
func TestPlayEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	result, err := Play(ctx, parse(t, "x.txt", release), Config{})
	if !errors.Is(err, context.Canceled) || len(result.Timeline) != 0 || result.Golden != release {
		t.Errorf("got %+v, %v", result, err)
	}
}

// The stored state must be the one that the history gives.
func TestPlayAuditsTheHistory(t *testing.T) {
	for _, break_ := range []func(*store.View, []store.Step, []store.Record){
		func(v *store.View, _ []store.Step, _ []store.Record) { v.Job.Skipped = 7 },
		func(_ *store.View, s []store.Step, _ []store.Record) { s[0].Succeeded = 7 },
		func(_ *store.View, _ []store.Step, h []store.Record) { h[len(h)-1].Seq = 7 },
	} {
		c := Config{Open: func() store.Store { return lying{memstore.New(), break_} }}
		_, err := Play(t.Context(), parse(t, "x.txt", release), c)
		if err == nil || !strings.Contains(err.Error(), "x.txt:1: job release: want a history that replays to what is stored; got") {
			t.Errorf("got %v", err)
		}
	}
}

// lying is a store whose reads differ from its rows.
type lying struct {
	store.Store
	lie func(*store.View, []store.Step, []store.Record)
}

func (s lying) View(ctx context.Context, q store.Query) (store.View, error) {
	v, err := s.Store.View(ctx, q)
	s.lie(&v, make([]store.Step, 1), make([]store.Record, 1))
	return v, err
}

func (s lying) Steps(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
	steps, err := s.Store.Steps(ctx, scope, id, p)
	s.lie(new(store.View), steps, make([]store.Record, 1))
	return steps, err
}

func (s lying) History(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	history, err := s.Store.History(ctx, scope, id, p)
	if len(history) > 0 {
		s.lie(new(store.View), make([]store.Step, 1), history)
	}
	return history, err
}
