package engine

import (
	"slices"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// WHAT A DEFINITION SAYS ABOUT TIME AND BATCHES: which policies a creation accepts.

// maxRetries is the maximum of Retry.Attempts.
const maxRetries = 1000

// maxExcept is the maximum of statuses in Retry.Except, more than there are.
const maxExcept = 64

// checkJobPolicy checks when a job may start, and how long it may take.
func checkJobPolicy(s *JobSpec) *Refusal {
	switch {
	case s.StartAt < 0 || s.StartAt > step.MaxTime:
		return invalid("start_at", "%d: want Unix milliseconds, 0 to %d", s.StartAt, step.MaxTime)
	case s.Timeout < 0:
		return invalid("timeout_ns", "%v: want 0 for none, or a positive duration", s.Timeout)
	case s.Turn == store.Turn{}:
		return nil
	case s.Turn.Limit < 1:
		return invalid("turn.limit", "%d: want at least 1", s.Turn.Limit)
	}
	return checkName("turn.key", s.Turn.Key)
}

// checkTimes checks when attempts of a step may begin, and how long they may take.
func checkTimes(s *step.Spec) *Refusal {
	for _, f := range [...]struct {
		field string
		d     time.Duration
	}{
		{"timeout_ns", s.Timeout}, {"total_timeout_ns", s.TotalTimeout}, {"delay_ns", s.Delay},
		{"retry.after_ns", s.Retry.After}, {"retry.most_ns", s.Retry.Most}, {"rolling.between.delay_ns", s.Rolling.Between.Delay},
	} {
		if f.d < 0 {
			return invalid(f.field, "%v: want 0 for none, or a positive duration", f.d)
		}
	}
	return checkPerson("window", s.Window)
}

// checkCourse checks the retries, the batches and the tolerance of a step that runs.
func checkCourse(s *step.Spec) *Refusal {
	if err := checkRetry(&s.Retry); err != nil {
		return err
	}
	switch t := s.Tolerate; {
	case t.Count < 0:
		return invalid("tolerate.count", "%d: want 0 or more", t.Count)
	case t.Percent < 0 || t.Percent > 100:
		return invalid("tolerate.percent", "%d: want 1 to 100, or 0 for none", t.Percent)
	case t.Count > 0 && t.Percent > 0:
		return invalid("tolerate.percent", "%d beside a count of %d: want one of them", t.Percent, t.Count)
	case s.IgnoreErrors && t != step.Tolerance{}:
		return invalid("tolerate", "the step ignores all errors already")
	}
	switch {
	case s.Rolling == step.Rolling{}:
		return nil
	case s.Rolling.Batches == "":
		return invalid("rolling.batches", "empty: want sizes such as 1 10%% 100%%")
	}
	if _, err := step.Batches(s.Rolling.Batches, int32(len(s.Targets))); err != nil {
		return invalid("rolling.batches", "%v", err)
	}
	return nil
}

func checkRetry(r *step.Retry) *Refusal {
	switch {
	case r.IsZero():
		return nil
	case r.Attempts < 1 || r.Attempts > maxRetries:
		return invalid("retry.attempts", "%d: want 1 to %d further attempts", r.Attempts, maxRetries)
	case r.Most != 0 && r.Most < r.After:
		return invalid("retry.most_ns", "%v is less than the first wait, %v", r.Most, r.After)
	case r.Most != 0 && r.After == 0:
		return invalid("retry.most_ns", "%v needs a first wait, which doubles up to it", r.Most)
	}
	if n := len(r.Except); n > maxExcept {
		return invalid("retry.except", "%d statuses: the maximum is %d", n, maxExcept)
	}
	for i, status := range r.Except {
		if slices.Contains(r.Except[:i], status) {
			return invalid("retry.except", "%v twice", status)
		}
		if !status.Valid() || !status.Finished() || status.Success() {
			return invalid("retry.except", "%v: want statuses of failure", status)
		}
	}
	return nil
}

// waitsForPerson returns the first field of a step at whose gate only a person's operation opens, or "".
func waitsForPerson(s *step.Spec) string {
	switch {
	case s.StopBefore:
		return "stop_before"
	case s.Rolling.Between.Person:
		return "rolling.between.person"
	}
	return ""
}

// canOpen reports whether some operation on a step of type t opens a gate, as in rules of version 0.1
// none does.
func canOpen(r *operation.Rules, t step.Type) bool {
	for cause := range r.Causes().All() {
		if m, _ := r.Move(t, step.Gated, cause); m.Do == step.Open && cause.OfStep() {
			return true
		}
	}
	return false
}

// runsOnly returns the first field of a step that asks which only a step that runs may set, or "".
func runsOnly(s *step.Spec) string {
	switch {
	case !s.Retry.IsZero():
		return "retry"
	case s.Rolling != step.Rolling{}:
		return "rolling"
	case s.Tolerate != step.Tolerance{}:
		return "tolerate"
	}
	return ""
}
