package enginetest

import (
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Compare returns nil if a stored job agrees with the model's job after the same commands at the
// same times, or an error with the first difference. It compares the states of the job and of every
// step; the current step; the attempts, and the last one that covered all targets; the latest result
// of every target and the attempt of its latest success; all counts; all times and deadlines; what a
// gated step waits for; the batches, if the snapshot has them; and the last record with the last change.
//
// Compare finds a consistent state that is not the right one, which no [Invariant] can. It does not
// find errors that model and engine share. It ignores data that the model does not have: results
// before the latest, details, people, reasons, request ids, and effects other than the last
// record's.
func Compare(m *model.Job, s Snapshot) error {
	j := &s.Job
	switch {
	case len(m.Steps) != len(s.Steps) || len(m.Steps) != len(s.Targets) || len(s.History) == 0:
		return fmt.Errorf("the job has %d steps, the targets of %d and %d records, by the model it has %d steps", len(s.Steps), len(s.Targets), len(s.History), len(m.Steps))
	case j.State != m.State || j.Current != m.Current:
		return fmt.Errorf("the job is %v at step %d, by the model %v at step %d", j.State, j.Current, m.State, m.Current)
	case int(j.Skipped) != m.Skipped || int(j.Ignored) != m.Ignored || int(j.Tolerated) != m.Tolerated:
		return fmt.Errorf("the job counts %d steps skipped, %d ignored and %d of them tolerated, by the model %d, %d and %d",
			j.Skipped, j.Ignored, j.Tolerated, m.Skipped, m.Ignored, m.Tolerated)
	case j.Sealed != m.Sealed || j.Held != m.Held:
		return fmt.Errorf("the job is sealed: %v, on hold: %v, by the model: %v and %v", j.Sealed, j.Held, m.Sealed, m.Held)
	case j.Gate != m.Steps[m.Current-1].Gate.Reason || j.Deadline != m.Deadline:
		return fmt.Errorf("the job waits for %v, and its deadline is %v, by the model %v and %v", j.Gate, j.Deadline, m.Steps[m.Current-1].Gate.Reason, m.Deadline)
	case s.Steps[j.Current-1].Due != m.Due():
		return fmt.Errorf("the first moment of step %d is %v, by the model %v", j.Current, s.Steps[j.Current-1].Due, m.Due())
	case j.Started != m.Started || j.Finished != m.Finished:
		return fmt.Errorf("the job started at %v and finished at %v, by the model at %v and %v", j.Started, j.Finished, m.Started, m.Finished)
	}
	for i := range s.Steps {
		if err := compareStep(&m.Steps[i], &s.Steps[i], s.Targets[i]); err != nil {
			return fmt.Errorf("step %d %w", i+1, err)
		}
		if err := compareBatches(&m.Steps[i], s.batchesOf(step.ID(i+1))); err != nil {
			return fmt.Errorf("step %d %w", i+1, err)
		}
	}
	if r := &s.History[len(s.History)-1]; r.Cause != step.Created {
		if got, want := changeOf(r), drawn(m.Last); got != want {
			return fmt.Errorf("record %d says %+v, by the model it is %+v", r.Seq, got, want)
		}
	}
	return nil
}

func compareStep(m *model.Step, s *store.Step, targets []store.Target) error {
	var run model.Run // if there was none
	if len(m.Runs) > 0 {
		run = m.Runs[len(m.Runs)-1]
	}
	switch {
	case s.State != m.State:
		return fmt.Errorf("is %v, by the model %v", s.State, m.State)
	case s.Attempt != m.Attempt() || s.Run.Full != m.Full():
		return fmt.Errorf("is in attempt %d, the last on all targets was %d, by the model %d and %d", s.Attempt, s.Run.Full, m.Attempt(), m.Full())
	case s.Run != windowOf(m) || int(s.Batch) != m.Batch():
		return fmt.Errorf("runs %+v of batch %d, by the model %+v of batch %d", s.Run, s.Batch, windowOf(m), m.Batch())
	case s.Gate != gateOf(m.Gate) || s.StopBefore != m.StopBefore:
		return fmt.Errorf("waits at %+v, a stop is set: %v, by the model %+v and %v", s.Gate, s.StopBefore, m.Gate, m.StopBefore)
	case s.Expires != m.Expires || int(s.Automatic) != m.Automatic || s.Mendable != m.Mendable():
		return fmt.Errorf("expires at %v, after %d attempts by itself, a failure can be mended: %v, by the model %v, %d and %v",
			s.Expires, s.Automatic, s.Mendable, m.Expires, m.Automatic, m.Mendable())
	case int(s.Before) != m.Before() || int(s.Accepted) != m.Accepted():
		return fmt.Errorf("counts %d succeeded before and %d accepted, by the model %d and %d", s.Before, s.Accepted, m.Before(), m.Accepted())
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

// windowOf returns the run of the current or last attempt of a step of the model.
func windowOf(m *model.Step) store.Run {
	run := store.Run{Full: m.Full()}
	if m.Spec.Rolling.Batches != "" {
		first, end := m.Window()
		run.First, run.End = int32(first), int32(end)
	}
	return run
}

// gateOf returns a gate of the model as a stored one.
func gateOf(g model.Gate) store.Gate {
	return store.Gate{Reason: g.Reason, Then: g.Then, Until: g.Until}
}

// batchesOf returns the rows of the batches of a step.
func (s *Snapshot) batchesOf(id step.ID) (rows []store.Batch) {
	for _, b := range s.Batches {
		if b.Step == id {
			rows = append(rows, b)
		}
	}
	return rows
}

// compareBatches compares the rows of the batches of a step. The counts of a batch are those of the end
// of its last attempt.
func compareBatches(m *model.Step, rows []store.Batch) error {
	want := m.Batches()
	if len(rows) != len(want) {
		return fmt.Errorf("has the rows of %d batches, by the model %d batches have begun", len(rows), len(want))
	}
	for i, b := range want {
		row := store.Batch{
			Step: rows[i].Step, Number: int32(i + 1), First: int32(b.First), End: int32(b.End), Full: b.Full, Since: b.Since, Attempt: b.Attempt,
			State: b.State, Succeeded: int32(b.Succeeded), Unfinished: int32(b.Unfinished), Started: b.Started, Finished: b.Finished,
		}
		if b.Finished == 0 {
			row.Succeeded, row.Unfinished = rows[i].Succeeded, rows[i].Unfinished
		}
		if rows[i] != row {
			return fmt.Errorf("has batch %+v, by the model %+v", rows[i], row)
		}
	}
	return nil
}

// changeOf returns a record as a change of the model.
func changeOf(r *store.Record) model.Change {
	return model.Change{
		Step: r.Step, Cause: r.Cause, From: r.From, To: r.To, JobFrom: r.JobFrom, JobTo: r.JobTo, Attempt: r.Attempt, Entered: r.Entered,
		Results: int(r.Results), All: startsAll(r), Targets: int(r.Targets), Effect: model.Effect(r.Effect.String()),
		Gate: model.Gate{Reason: r.Gate.Reason, Then: r.Gate.Then, Until: r.Gate.Until, Earliest: r.Gate.Until},
	}
}

// drawn returns a change whose gate has one moment, for comparing.
func drawn(c model.Change) model.Change {
	c.Gate.Earliest = c.Gate.Until
	return c
}

// startsAll reports whether r starts an attempt that covers all targets.
func startsAll(r *store.Record) bool {
	starts := r.Effect == store.RunTargets || r.Effect == store.AskConfirmers
	return starts && (r.Entered != 0 || r.Run.All(r.Attempt))
}

// newModel returns the model of a new job.
func newModel(rules *model.Rules, spec *engine.JobSpec) *model.Job {
	j := model.New(rules, spec.Steps)
	j.Policy = model.Policy{StartAt: spec.StartAt, Timeout: spec.Timeout}
	return j
}
