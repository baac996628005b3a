package enginetest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// keeps: a target that has succeeded since all had to run has no later result, and does not
// count as due.
func (e *evidence) keeps() error {
	return e.each(func(s *store.Step, targets []store.Target, at stand) error {
		if s.Run != at.run {
			return fmt.Errorf("step %d last ran on all targets in attempt %d, by its history in %d", s.ID, s.Run.Full, at.run.Full)
		}
		for k := range targets {
			if t := &targets[k]; t.Success > 0 && t.Success >= at.run.Full && t.Attempt > t.Success {
				return fmt.Errorf("target %d of step %d has succeeded in attempt %d, and attempt %d ran it again", t.Index, s.ID, t.Success, t.Attempt)
			}
		}
		return nil
	})
}

// results: the latest result of a target is of an attempt that there was, and its latest
// success is that one or an earlier one.
func (e *evidence) results() error {
	for i := range e.Steps {
		s := &e.Steps[i]
		for k := range e.Targets[i] {
			t := &e.Targets[i][k]
			none := t.Attempt == 0 && t.Success == 0 && t.Result == store.Result{}
			known := t.Status.Valid() && t.Status != step.TargetWaiting && t.Attempt > 0 && t.Attempt <= s.Attempt &&
				t.Success >= 0 && t.Success <= t.Attempt && (t.Success == t.Attempt) == t.Status.Success() && (t.Success == 0 || t.Status.Success() || !t.Status.Finished())
			if !none && !known || t.Batch != 0 {
				return fmt.Errorf("target %d of step %d, which is in attempt %d, reads %+v", t.Index, s.ID, s.Attempt, *t)
			}
		}
	}
	return nil
}

// stands: every step is where the last record about it has left it.
func (e *evidence) stands() error {
	return e.each(func(s *store.Step, _ []store.Target, at stand) error {
		if s.State != at.state || s.Attempt != at.attempt || s.Succeeded != at.succeeded || s.Unfinished != at.unfinished {
			return fmt.Errorf("step %d is %v in attempt %d with %d succeeded and %d unfinished, by its history %v in %d with %d and %d",
				s.ID, s.State, s.Attempt, s.Succeeded, s.Unfinished, at.state, at.attempt, at.succeeded, at.unfinished)
		}
		if s.Gate != at.gate || s.Before != at.earlier || s.Accepted != at.accepted || s.Automatic != at.automatic || s.Mendable != at.mendable {
			return fmt.Errorf("step %d waits at %+v after %d earlier successes, %d accepted failures and %d attempts by itself, to mend: %v; by its history at %+v after %d, %d and %d: %v",
				s.ID, s.Gate, s.Before, s.Accepted, s.Automatic, s.Mendable, at.gate, at.earlier, at.accepted, at.automatic, at.mendable)
		}
		return nil
	})
}

// each calls f with each step that has begun, its targets, and where the history has left it.
func (e *evidence) each(f func(s *store.Step, targets []store.Target, at stand) error) error {
	for i := range e.lines {
		if l := &e.lines[i]; l.Entered != 0 {
			if err := f(&e.Steps[l.Step-1], e.Targets[l.Step-1], l.after); err != nil {
				return err
			}
		}
	}
	if e.at < 1 || int64(e.at) > int64(len(e.Steps)) {
		return nil
	}
	return f(&e.Steps[e.at-1], e.Targets[e.at-1], e.last)
}

// counts: the counts of a step are those of its target rows, those of the job of its steps.
func (e *evidence) counts() error {
	var skipped, ignored, tolerated int32
	for i := range e.Steps {
		s := &e.Steps[i]
		var succeeded, unfinished int32
		for k := range e.Targets[i] {
			t := &e.Targets[i][k]
			finished := t.Attempt == s.Attempt && t.Status != step.TargetRunning
			switch {
			case s.Attempt == 0 || !s.Run.Has(t.Index):
			case t.Success > 0 && !s.Run.Due(*t):
				succeeded++
			case !finished:
				unfinished++
			}
		}
		if succeeded != s.Succeeded || unfinished != s.Unfinished {
			return fmt.Errorf("step %d counts %d succeeded and %d unfinished, its targets are %d and %d", s.ID, s.Succeeded, s.Unfinished, succeeded, unfinished)
		}
		switch s.State {
		case step.Skipped:
			skipped++
		case step.ErrorIgnored:
			ignored++
			if s.Accepted == 0 && e.passedByEvent(s.ID) {
				tolerated++
			}
		}
	}
	if skipped != e.Job.Skipped || ignored != e.Job.Ignored || tolerated != e.Job.Tolerated {
		return fmt.Errorf("the job counts %d steps skipped, %d ignored and %d of them tolerated, there are %d, %d and %d",
			e.Job.Skipped, e.Job.Ignored, e.Job.Tolerated, skipped, ignored, tolerated)
	}
	return nil
}

// passedByEvent reports whether no person has taken a step to the state in which it has passed.
func (e *evidence) passedByEvent(id step.ID) bool {
	return slices.ContainsFunc(e.lines, func(l line) bool { return l.Step == id && l.To.Passed() && l.Cause.IsEvent() })
}

// batches: the rows of the batches of a step are those of its history, their counts are a recount of its
// targets, and so is the number of successes in earlier batches.
func (e *evidence) batches() error {
	rest := e.Batches
	for i := range e.Steps {
		s := &e.Steps[i]
		want := e.begun(step.ID(i + 1))
		if len(rest) < len(want) {
			return fmt.Errorf("step %d has the rows of %d batches, by its history %d have begun", s.ID, len(rest), len(want))
		}
		earlier := int32(0)
		for k := range want {
			row := rest[k]
			want[k].Succeeded, want[k].Unfinished = 0, 0
			for t := max(want[k].First, 0); t < want[k].End && int(t) < len(e.Targets[i]); t++ {
				switch target := &e.Targets[i][t]; {
				case target.Success >= want[k].Full:
					want[k].Succeeded++
				case target.Attempt != want[k].Attempt || target.Status == step.TargetRunning:
					want[k].Unfinished++
				}
			}
			if want[k].State == step.ErrorIgnored && want[k].Succeeded == want[k].End-want[k].First {
				want[k].State = step.Succeeded // only earlier batches have failures
			}
			if k < len(want)-1 {
				earlier += want[k].Succeeded
			}
			if want[k].State.Attempting() { // the row is of the start of the attempt
				want[k].Succeeded, want[k].Unfinished = row.Succeeded, row.Unfinished
			}
			if row != want[k] {
				return fmt.Errorf("step %d has batch %+v, by its history and targets %+v", s.ID, row, want[k])
			}
		}
		if s.Before != earlier || int(s.Batch) != len(want) {
			return fmt.Errorf("step %d is in batch %d and counts %d targets before it succeeded, there are %d batches and %d", s.ID, s.Batch, s.Before, len(want), earlier)
		}
		rest = rest[len(want):]
	}
	if len(rest) > 0 {
		return fmt.Errorf("batch %+v has not begun", rest[0])
	}
	return nil
}

// begun returns the batches of a step by its history, without counts.
func (e *evidence) begun(id step.ID) (rows []store.Batch) {
	if e.Spec.Steps[id-1].Rolling.Batches == "" {
		return nil
	}
	var last *store.Batch
	begin := func(run store.Run, attempt int32, at step.Time) {
		if last == nil || last.First != run.First {
			rows = append(rows, store.Batch{Step: id, Number: int32(len(rows) + 1), First: run.First, End: run.End, Since: attempt, Started: at})
			last = &rows[len(rows)-1]
		}
		last.Full, last.Attempt, last.State, last.Finished = run.Full, attempt, step.Running, 0
	}
	for i := range e.lines {
		l := &e.lines[i]
		if l.Entered == id && l.Gate.Reason == step.NoGate {
			begin(e.pending(id).run, 1, l.At)
		}
		if l.Step != id {
			continue
		}
		if last != nil && last.Finished == 0 && (l.begins() || !l.To.Attempting()) {
			last.Finished = l.At
		}
		between := l.To == step.Gated && l.after.gate.Then == step.RunNext || l.From == step.Gated && l.before.gate.Then == step.RunNext
		switch {
		case last == nil, l.begins() && l.then() == step.RunNext && l.move.Do != step.Accept:
		case l.move.Do == step.Accept:
			last.State = l.move.To
		case l.To == l.From, between, !l.From.Active() && l.To.Finished():
		default:
			last.State = l.To
		}
		if l.begins() {
			begin(l.Run, l.Attempt, l.At)
		}
	}
	return rows
}

// times: every time that is kept is that of the record that brought it about.
func (e *evidence) times() error {
	var started, finished step.Time
	for i := range e.lines {
		l := &e.lines[i]
		if begins := l.Effect == store.RunTargets || l.Effect == store.AskConfirmers; begins && started == 0 {
			started = l.At
		}
		switch {
		case l.stays(): // it had ended before, or has not moved
		case l.JobTo.Finished():
			finished = l.At
		default:
			finished = 0
		}
	}
	updated := e.History[len(e.History)-1].At
	if j := &e.Job; j.Created != e.History[0].At || j.Started != started || j.Finished != finished || j.Updated != updated {
		return fmt.Errorf("the job was created at %v, started at %v, finished at %v and updated at %v, by its history at %v, %v, %v and %v",
			j.Created, j.Started, j.Finished, j.Updated, e.History[0].At, started, finished, updated)
	}
	return e.each(func(s *store.Step, _ []store.Target, at stand) error {
		if s.Started != at.started || s.Finished != at.finished {
			return fmt.Errorf("step %d started at %v and finished at %v, by its history at %v and %v", s.ID, s.Started, s.Finished, at.started, at.finished)
		}
		return nil
	})
}

// moved: the header names the last record that is more than results, an effect, a stop before a step, or
// about the whole job, as a hold.
func (e *evidence) moved() error {
	want := store.Seq(1)
	for i := range e.lines {
		l := &e.lines[i]
		if l.Cause != step.Results && (!l.stays() || l.gates()) {
			want = l.Seq
		}
	}
	if e.Job.Moved != want {
		return fmt.Errorf("the job last moved in version %d, by its history in %d", e.Job.Moved, want)
	}
	return nil
}

// replays: the engine rebuilds header and steps from the definition and the history.
func (e *evidence) replays() error {
	job, steps, err := engine.Replay(e.Rules, e.Spec, e.History)
	if err != nil {
		return err
	}
	if !job.Policy.Equal(e.Job.Policy) {
		return fmt.Errorf("the job has policy %+v, its definition says %+v", e.Job.Policy, job.Policy)
	}
	job.Policy = e.Job.Policy // which is a pointer
	if job != e.Job {
		return fmt.Errorf("the history replays to %+v, the header is %+v", job, e.Job)
	}
	if len(steps) != len(e.Steps) {
		return errors.New("the history replays to other steps than there are")
	}
	for i := range steps {
		got := e.Steps[i]
		if !got.Confirmers.Equal(steps[i].Confirmers) {
			return fmt.Errorf("step %d is for %v, its definition says %v", i+1, got.Confirmers, steps[i].Confirmers)
		}
		if !got.Policy.Equal(steps[i].Policy) {
			return fmt.Errorf("step %d has policy %+v, its definition says %+v", i+1, got.Policy, steps[i].Policy)
		}
		got.Policy = steps[i].Policy                          // a pointer
		got.Confirmers, got.Payload = steps[i].Confirmers, "" // which is no part of the replay
		if got != steps[i] {
			return fmt.Errorf("the history replays to %+v, the step is %+v", steps[i], got)
		}
	}
	return nil
}
