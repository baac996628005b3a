package enginetest

import (
	"fmt"

	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Compare returns an error that says in what way a stored job differs from the model's, to
// which the same was done at the same times, nil if they agree: in the states of the job
// and of every step; the current step; attempts, and which of them last covered all
// targets; the latest result of every target and the attempt of its latest success; all
// counts; all times and deadlines; and what the last record says of the last change.
//
// It catches what is stored consistently and yet is not what was asked for, which no
// [Invariant] can. It does not catch what model and engine get wrong in the same way, and
// looks at nothing that the model does not have: results before the latest, details, people,
// reasons, request ids, and effects other than the last record's.
func Compare(m *model.Job, s Snapshot) error {
	j := &s.Job
	switch {
	case len(m.Steps) != len(s.Steps) || len(m.Steps) != len(s.Targets) || len(s.History) == 0:
		return fmt.Errorf("the job has %d steps, the targets of %d and %d records, by the model it has %d steps", len(s.Steps), len(s.Targets), len(s.History), len(m.Steps))
	case j.State != m.State || j.Current != m.Current:
		return fmt.Errorf("the job is %v at step %d, by the model %v at step %d", j.State, j.Current, m.State, m.Current)
	case int(j.Skipped) != m.Skipped || int(j.Ignored) != m.Ignored:
		return fmt.Errorf("the job counts %d steps skipped and %d ignored, by the model %d and %d", j.Skipped, j.Ignored, m.Skipped, m.Ignored)
	case j.Sealed != m.Sealed:
		return fmt.Errorf("the job is sealed: %v, by the model: %v", j.Sealed, m.Sealed)
	case j.Started != m.Started || j.Finished != m.Finished:
		return fmt.Errorf("the job started at %v and finished at %v, by the model at %v and %v", j.Started, j.Finished, m.Started, m.Finished)
	}
	for i := range s.Steps {
		if err := compareStep(&m.Steps[i], &s.Steps[i], s.Targets[i]); err != nil {
			return fmt.Errorf("step %d %w", i+1, err)
		}
	}
	if r := &s.History[len(s.History)-1]; r.Cause != step.Created {
		if got, want := changeOf(r), m.Last; got != want {
			return fmt.Errorf("record %d says %+v, by the model it is %+v", r.Seq, got, want)
		}
	}
	return nil
}

func compareStep(m *model.Step, s *store.Step, targets []store.Target) error {
	run := model.Run{Finished: m.Ended} // if there was none
	if len(m.Runs) > 0 {
		run = m.Runs[len(m.Runs)-1]
	}
	switch {
	case s.State != m.State:
		return fmt.Errorf("is %v, by the model %v", s.State, m.State)
	case s.Attempt != m.Attempt() || s.Run.Full != m.Full():
		return fmt.Errorf("is in attempt %d, the last on all targets was %d, by the model %d and %d", s.Attempt, s.Run.Full, m.Attempt(), m.Full())
	case int(s.Succeeded) != m.Succeeded() || int(s.Unfinished) != m.Unfinished():
		return fmt.Errorf("counts %d succeeded and %d unfinished, by the model %d and %d", s.Succeeded, s.Unfinished, m.Succeeded(), m.Unfinished())
	case s.Started != run.Started || s.Finished != run.Finished || s.Deadline != run.Deadline:
		return fmt.Errorf("started at %v, finished at %v, and is due at %v, by the model at %v, %v and %v",
			s.Started, s.Finished, s.Deadline, run.Started, run.Finished, run.Deadline)
	case len(targets) != len(m.Spec.Targets):
		return fmt.Errorf("has %d targets, by the model %d", len(targets), len(m.Spec.Targets))
	}
	for k := range targets {
		t := &targets[k]
		latest, success := m.Latest(k), m.LatestSuccess(k)
		if t.Attempt != latest.Ran || t.Success != success || t.Status != latest.Status || t.ExitCode != latest.ExitCode {
			return fmt.Errorf("target %d is %v (%d) since attempt %d and last succeeded in %d, by the model %v (%d), %d and %d",
				k, t.Status, t.ExitCode, t.Attempt, t.Success, latest.Status, latest.ExitCode, latest.Ran, success)
		}
	}
	return nil
}

// changeOf returns what a record says in the words of the model, which are those of store.
func changeOf(r *store.Record) model.Change {
	return model.Change{
		Step: r.Step, Cause: r.Cause, From: r.From, To: r.To, JobFrom: r.JobFrom, JobTo: r.JobTo, Attempt: r.Attempt, Entered: r.Entered,
		Results: int(r.Results), All: startsAll(r), Targets: int(r.Targets), Effect: model.Effect(r.Effect.String()),
	}
}

// startsAll reports whether r starts an attempt that covers all targets.
func startsAll(r *store.Record) bool {
	starts := r.Effect == store.RunTargets || r.Effect == store.AskConfirmers
	return starts && (r.Entered != 0 || r.Run.All(r.Attempt))
}
