package engine

import (
	"fmt"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Replay rebuilds the header and the steps of a job from its definition and its whole
// history, without deciding anything anew: what the records say is what happened. The
// error names the first record that does not continue the one before it. It is for
// audits: the result equals what [Engine.Job] and [Engine.Steps] return, without payloads.
func Replay(r *operation.Rules, spec JobSpec, history []store.Record) (store.Job, []store.Step, error) {
	if len(history) == 0 || history[0].Cause != step.Created || history[0].Seq != 1 {
		return store.Job{}, nil, fmt.Errorf("replay: the history does not begin with the creation of the job")
	}
	first := history[0]
	job := store.Job{
		ID: first.Job, Scope: spec.Scope, Name: spec.Name, State: first.JobTo, Version: 1, Moved: 1, Current: 1,
		Steps: int32(len(spec.Steps)), Created: first.At, Updated: first.At,
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
	case rec.Step != job.Current:
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
	s := &steps[rec.Step-1]
	if rec.Attempt > s.Attempt {
		begun(s, rec, rec.To, rec.Attempt, rec.Run)
	}
	if rec.To != s.State && rec.To.Finished() {
		if !s.State.Finished() {
			s.Finished = rec.At
		}
		s.Deadline = 0
		switch rec.To {
		case step.Skipped:
			job.Skipped++
		case step.ErrorIgnored:
			job.Ignored++
		}
	}
	if at := (operation.Standing{Type: s.Type, State: rec.From, Job: rec.JobFrom}); rec.Cause.OfJob() {
		if m, _ := r.Judge(at, rec.Cause); m.Do == step.Seal {
			job.Sealed = true
		}
	}
	s.State, s.Succeeded, s.Unfinished = rec.To, rec.Succeeded, rec.Unfinished
	if rec.Entered != 0 {
		next := &steps[rec.Entered-1]
		begun(next, rec, r.Enters(next.Type), 1, store.FirstRun)
		job.Current = rec.Entered
	}
	job.State, job.Version, job.Updated = rec.JobTo, rec.Seq, rec.At
	if rec.Moves() {
		job.Moved = rec.Seq
	}
	switch {
	case !rec.JobTo.Finished():
		job.Finished = 0
	case rec.From != rec.To || rec.JobFrom != rec.JobTo:
		job.Finished = rec.At
	}
	if job.Started == 0 && (rec.Effect == store.RunTargets || rec.Effect == store.AskConfirmers) {
		job.Started = rec.At
	}
}

// begun notes the start of an attempt of s.
func begun(s *store.Step, rec store.Record, state step.State, attempt int32, run store.Run) {
	s.State, s.Attempt, s.Run = state, attempt, run
	s.Started, s.Finished, s.Deadline = rec.At, 0, 0
	if s.Timeout > 0 {
		s.Deadline = rec.At.Add(s.Timeout)
	}
	if run.All(attempt) {
		s.Succeeded = 0
	}
	s.Unfinished = rec.Targets
}
