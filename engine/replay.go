package engine

import (
	"fmt"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Replay rebuilds the header and the steps of a job from its definition and its whole history, for
// audits. It applies the records and decides nothing. The result equals that of [Engine.Job] and
// [Engine.Steps], without payloads. The error names the first record that does not continue the
// one before it.
func Replay(r *operation.Rules, spec JobSpec, history []store.Record) (store.Job, []store.Step, error) {
	if len(history) == 0 || history[0].Cause != step.Created || history[0].Seq != 1 {
		return store.Job{}, nil, fmt.Errorf("replay: the history does not begin with the creation of the job")
	}
	first := history[0]
	job := store.Job{
		ID: first.Job, Scope: spec.Scope, Name: spec.Name, State: first.JobTo, Version: 1, Moved: 1, Current: 1,
		Steps: int32(len(spec.Steps)), Created: first.At, Updated: first.At,
		Origin: spec.Origin, Policy: spec.policy(),
	}
	steps := make([]store.Step, len(spec.Steps))
	for i, s := range spec.Steps {
		s.Payload = ""
		steps[i] = store.NewStep(step.ID(i+1), s)
	}
	for _, rec := range history[1:] {
		if err := continues(rec, job, steps); err != nil {
			return job, steps, err
		}
		apply(r, rec, &job, steps)
	}
	return job, steps, nil
}

// continues refuses a record that does not start where the one before it ended.
func continues(rec store.Record, job store.Job, steps []store.Step) error {
	switch {
	case rec.Seq != job.Version+1:
		return fmt.Errorf("replay: record %d follows record %d", rec.Seq, job.Version)
	case rec.Job != job.ID:
		return fmt.Errorf("replay: record %d is of job %d, not of %d", rec.Seq, rec.Job, job.ID)
	case rec.Step != job.Current && rec.From != step.Pending: // a stop is set before later steps as well
		return fmt.Errorf("replay: record %d is about step %d, but step %d is current", rec.Seq, rec.Step, job.Current)
	case rec.Step < 1 || int64(rec.Step) > int64(len(steps)):
		return fmt.Errorf("replay: record %d is about step %d of %d", rec.Seq, rec.Step, len(steps))
	case rec.JobFrom != job.State:
		return fmt.Errorf("replay: record %d starts with the job in %v, but it is in %v", rec.Seq, rec.JobFrom, job.State)
	case rec.From != steps[rec.Step-1].State:
		return fmt.Errorf("replay: record %d starts in %v, but step %d is in %v", rec.Seq, rec.From, rec.Step, steps[rec.Step-1].State)
	case rec.Entered != 0 && (rec.Entered != rec.Step+1 || int64(rec.Entered) > int64(len(steps))):
		return fmt.Errorf("replay: record %d enters step %d after step %d of %d", rec.Seq, rec.Entered, rec.Step, len(steps))
	}
	return nil
}

func apply(r *operation.Rules, rec store.Record, job *store.Job, steps []store.Step) {
	s, at := &steps[rec.Step-1], rec.At
	if !rec.JobTo.Finished() && rec.JobTo != step.Terminating {
		revive(job, at)
	}
	note(r, rec, job, s)
	switch {
	case rec.To == step.Gated && rec.Entered == 0 && rec.Gate.Reason != step.NoGate:
		shut(job, s, rec.Gate, at)
	case rec.Attempt > s.Attempt:
		begin(job, s, covers(s, rec), rec.To, at)
	case rec.To != s.State && rec.To.Finished():
		leave(job, s, rec.To, rec.Cause, at)
	}
	s.State, s.Before, s.Succeeded, s.Unfinished, s.Mendable = rec.To, rec.Before, rec.Succeeded, rec.Unfinished, rec.Mendable
	if rec.Entered != 0 {
		if next := &steps[rec.Entered-1]; rec.Gate.Reason != step.NoGate {
			shut(job, next, rec.Gate, at)
		} else {
			begin(job, next, step.Enter, r.Enters(next.Type), at)
		}
	}
	job.State, job.Version, job.Updated = rec.JobTo, rec.Seq, at
	if rec.Moves() {
		job.Moved = rec.Seq
	}
	if rec.JobTo.Finished() && (rec.From != rec.To || rec.JobFrom != rec.JobTo) {
		job.Finished, job.Gate, job.HasTurn = at, step.NoGate, false
	}
	s.Due = 0
	current := &steps[job.Current-1]
	current.Due = due(job, current)
}

// note notes what the cause of a record says about the job and the step beyond their states.
func note(r *operation.Rules, rec store.Record, job *store.Job, s *store.Step) {
	m, _ := r.Move(s.Type, rec.From, rec.Cause)
	switch {
	case rec.Cause.OfJob():
		m, _ = ruled(r, &store.View{Job: *job, Step: *s}, rec.Cause, rec.Actor)
	case rec.Cause == step.JobExpired:
		job.Deadline = 0
	}
	switch m.Do {
	case step.Seal:
		job.Sealed = true
	case step.Hold:
		job.Held = true
	case step.Release:
		job.Held = false
	case step.Open:
		job.Held = job.Held && !rec.Cause.OfJob()
	case step.Mark:
		s.StopBefore = true
	case step.Unmark:
		s.StopBefore = false
	case step.RunDue, step.RunAll:
		if s.Automatic++; !rec.Cause.IsEvent() {
			s.Automatic = 0
		}
	case step.Accept:
		if rec.Cause.OfStep() {
			s.Accepted = failures(s)
		}
	case step.RunNext:
		s.Accepted = failures(s)
	}
}

// covers returns what began the attempt of rec on s: the run tells.
func covers(s *store.Step, rec store.Record) step.Do {
	switch {
	case rec.Run.First != s.Run.First && int(s.Batch) < len(s.Batches()):
		return step.RunNext
	case rec.Run.All(rec.Attempt):
		return step.RunAll
	}
	return step.RunDue
}
