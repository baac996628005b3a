package engine

import (
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// REPORTS. Which results are news, and how the last of them ends the attempt.

func (d *Decision) report(r *operation.Rules, v *store.View, c *Report, now step.Time) *Refusal {
	s := &v.Step
	if done := v.Replay; done != nil { // only of the engine's own request id, after an unknown outcome
		d.Report = ReportReceipt{Seq: done.Seq, State: done.To, JobState: done.JobTo, Accepted: int(done.Results)}
		return nil
	}
	rows, refusal := find(v, c)
	if refusal != nil {
		return refusal
	}
	if c.Attempt != s.Attempt {
		return tooLate(r, v, c)
	}
	after := *s
	told, targets := results(&after, v, c, rows)
	told.State, told.JobState = s.State, v.Job.State
	switch {
	case !s.State.Attempting() && repeats(r, s, c, told):
		d.Report = told
		return nil
	case !s.State.Attempting() || s.ID != v.Job.Current:
		return tooLate(r, v, c)
	}
	if _, ok := r.Move(s.Type, s.State, step.Stopped); !ok {
		return refuse(r, v, &Refusal{Reason: operation.WrongType}) // it waits for a person
	}
	event := c.Outcome
	if event == 0 && after.Unfinished == 0 {
		event = completion(&after)
	}
	d.Report = told
	if event == 0 {
		if len(targets) == 0 {
			return nil
		}
		event = step.Results
	}
	rec := d.begin(v, event, now)
	rec.Request, rec.Actor, rec.Reason = c.request, c.By, c.Reason
	d.Change.Steps[0], d.Change.Targets = after, targets
	if move, ok := r.Move(s.Type, s.State, event); ok {
		if refusal := d.move(r, v, move); refusal != nil {
			return refusal
		}
	}
	rec.Results = int32(len(targets))
	d.finish(v)
	d.Report.Seq, d.Report.State, d.Report.JobState = rec.Seq, d.Change.Steps[0].State, d.Change.Job.State
	return nil
}

func tooLate(r *operation.Rules, v *store.View, c *Report) *Refusal {
	return refuse(r, v, &Refusal{Reason: operation.Stale, Detail: fmt.Sprintf(
		"meant for attempt %d, but the step is %v in attempt %d", c.Attempt, v.Step.State, v.Step.Attempt)})
}

// find returns where v shows the target of each result of c, or the refusal of one that the
// step does not have.
func find(v *store.View, c *Report) ([]int, *Refusal) {
	shown := make(map[int32]int, len(v.Targets)) // target index -> position in v.Targets
	for i := range v.Targets {
		shown[v.Targets[i].Index] = i
	}
	rows := make([]int, len(c.Results))
	for i := range c.Results {
		at, ok := shown[c.Results[i].Target]
		if !ok {
			what := "the step has no target %d, only 0 to %d"
			if c.Results[i].Target < v.Step.Total {
				what = "the view lacks target %d of 0 to %d"
			}
			refusal := invalid(fmt.Sprintf("results[%d].target", i), what, c.Results[i].Target, v.Step.Total-1)
			refusal.Job, refusal.Step = v.Job.ID, v.Step.ID
			return nil, refusal
		}
		rows[i] = at
	}
	return rows, nil
}

// repeats reports whether c only repeats an accepted report of the last attempt of s, which is
// over: it has the outcome that led to the state of s, a result that stands, or progress before
// such a result, and nothing new. A report of rejected results alone was never accepted.
func repeats(r *operation.Rules, s *store.Step, c *Report, told ReportReceipt) bool {
	if told.Accepted > 0 || c.Outcome != 0 {
		return told.Accepted == 0 && leads(r, s, c.Outcome)
	}
	others := 0
	for _, x := range told.Rejected {
		if x.Rejected.Finished() {
			others++
		}
	}
	return others < len(c.Results)
}

// leads reports whether an outcome ends an attempt of s in the state of s.
func leads(r *operation.Rules, s *store.Step, outcome step.Cause) bool {
	for _, from := range [...]step.State{step.Running, step.Terminating} {
		if move, ok := r.Move(s.Type, from, outcome); ok && move.To == s.State {
			return true
		}
	}
	return false
}

// completion returns the event that the last finished target of s is: success of all so far; else a
// retry, if the attempt has failures, one is left, and it could mend some; else the failures are borne
// or not.
func completion(s *store.Step) step.Cause {
	p := s.Policy
	if p == nil {
		p = &noPolicy
	}
	failed := s.Failed() // in earlier batches as well
	switch {
	case failed == 0:
		return step.AllSucceeded
	case s.Succeeded < s.Run.Size(s.Total) && s.Mendable && s.Automatic < p.Retry.Attempts:
		return step.FailedAgain
	case s.IgnoreErrors, p.Tolerate.Bears(failed-s.Accepted, s.Total):
		return step.FailuresIgnored
	}
	return step.SomeFailed
}

// results applies the results of a report, in their order, to s and to the targets that v
// shows at rows, and returns the answer and the targets that changed. For one target and
// attempt the first finished result stands.
func results(s *store.Step, v *store.View, c *Report, rows []int) (told ReportReceipt, after []store.Target) {
	known := slices.Clone(v.Targets)
	changed := make([]bool, len(known))
	for i := range c.Results {
		result, t := &c.Results[i], &known[rows[i]]
		switch compare(s, t, result) {
		case isNew:
			finished := t.Attempt == s.Attempt && t.Status.Finished()
			if result.Status.Finished() && !finished {
				s.Unfinished--
			}
			t.Result, t.Attempt = result.Result, s.Attempt
			switch {
			case result.Status.Success():
				s.Succeeded++
				t.Success = s.Attempt
			case result.Status.Finished():
				t.Success = 0 // an earlier success counts no more, or the target would not have run
				s.Mendable = s.Mendable || s.Policy != nil && s.Policy.Retry.Attempts > 0 && !s.Policy.Retry.Excepts(result.Status)
			}
			told.Accepted++
			changed[rows[i]] = true
		case isKnown:
			told.Repeated++
		case contradicts:
			told.Rejected = append(told.Rejected, Rejection{Target: t.Index, Stands: t.Status, Rejected: result.Status})
		}
	}
	for i, t := range known {
		if changed[i] {
			after = append(after, t)
		}
	}
	return told, after
}

// news is how a result relates to the known result of its target.
type news uint8

const (
	isNew news = iota
	isKnown
	contradicts
)

// compare relates a result of the current attempt of s to the known result of t. A target goes
// from waiting to running to finished, and never back.
func compare(s *store.Step, t *store.Target, result *TargetResult) news {
	switch {
	case !s.Run.Due(*t) && t.Attempt < s.Attempt: // it does not run in this attempt: it succeeded earlier, or is of another batch
		if t.Success > 0 && result.Status.Success() {
			return isKnown
		}
		return contradicts
	case t.Attempt < s.Attempt: // nothing is known of this attempt yet
		if result.Status == step.TargetWaiting {
			return isKnown
		}
		return isNew
	case t.Status == result.Status && t.ExitCode == result.ExitCode || t.Status.Success() && result.Status.Success():
		return isKnown
	case t.Status.Finished() || result.Status == step.TargetWaiting:
		return contradicts
	}
	return isNew
}
