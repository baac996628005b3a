package engine

import (
	"fmt"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// THE CONSEQUENCES. What a row's Do means for the step, the job and the outside world, and
// nothing of when a row applies.

// move carries out what a row says: it takes the step to a state and the job with it, and notes
// what the outside world must do. It is refused if the next step would have to start and is of a
// type that the rules do not know, as when another process has created the job by newer ones.
func (d *Decision) move(r *operation.Rules, v *store.View, m operation.Move) *Refusal {
	rec, job, s := &d.Change.Records[0], &d.Change.Job, &d.Change.Steps[0]
	switch m.Do {
	case step.Enter, step.RunAll, step.Ask:
		d.run(m.To, true)
	case step.RunDue:
		d.run(m.To, false)
	case step.Vote:
		if s.Unfinished > 1 { // votes are missing: the step waits on, in the same attempt
			s.Unfinished--
			return nil
		}
		s.Unfinished = 0
		return d.pass(r, v, m.To)
	case step.Accept, step.Pass:
		return d.pass(r, v, m.To)
	case step.Stop: // the attempt is still under way
		s.State, job.State = m.To, m.To
		rec.Effect = store.StopAttempt
	case step.End:
		d.leave(m.To)
		d.endJob()
	case step.Seal:
		job.Sealed = true
	default:
		return invalid("Rules", "%v is followed by %v, which this engine does not know", rec.Cause, m.Do)
	}
	return nil
}

// run begins the next attempt of the current step.
func (d *Decision) run(to step.State, all bool) {
	rec, job, s := &d.Change.Records[0], &d.Change.Job, &d.Change.Steps[0]
	start(s, to, all, rec)
	job.State, job.Finished = to, 0
	if job.Started == 0 {
		job.Started = rec.At
	}
}

// pass leaves the step in a state that has passed, and enters the next one or ends the job.
func (d *Decision) pass(r *operation.Rules, v *store.View, to step.State) *Refusal {
	d.leave(to)
	if v.Next.ID == 0 {
		d.endJob()
		return nil
	}
	rec, job := &d.Change.Records[0], &d.Change.Job
	enters := r.Enters(v.Next.Type)
	if enters == 0 {
		return refuse(r, v, &Refusal{Reason: operation.WrongType, Cause: rec.Cause, Actor: rec.Actor,
			Detail: fmt.Sprintf("step %d would start, and its type %v is not declared in this engine's rules", v.Next.ID, v.Next.Type)})
	}
	d.room.steps[1] = v.Next
	d.Change.Steps = d.room.steps[:2]
	next := &d.Change.Steps[1]
	start(next, enters, true, rec)
	rec.Entered = next.ID
	job.Current, job.State, job.Finished = next.ID, next.State, 0
	if job.Started == 0 {
		job.Started = rec.At
	}
	return nil
}

// leave ends the step in a state.
func (d *Decision) leave(to step.State) {
	rec, job, s := &d.Change.Records[0], &d.Change.Job, &d.Change.Steps[0]
	if !s.State.Finished() {
		s.Finished = rec.At // and if it was, the attempt ended then, not now
	}
	s.State, s.Deadline = to, 0
	switch to {
	case step.Skipped:
		job.Skipped++
	case step.ErrorIgnored:
		job.Ignored++
	}
}

// endJob ends the job in the state that its current step gives it.
func (d *Decision) endJob() {
	rec, job := &d.Change.Records[0], &d.Change.Job
	job.State, job.Finished = d.Change.Steps[0].State.OfJob(true), rec.At
	rec.Effect = store.JobEnded
}

// start begins the next attempt of s, on all targets or on those that are due.
func start(s *store.Step, to step.State, all bool, rec *store.Record) {
	s.State = to
	s.Attempt++
	s.Started, s.Finished, s.Deadline = rec.At, 0, 0
	if s.Timeout > 0 {
		s.Deadline = rec.At.Add(s.Timeout)
	}
	if s.Run = s.Run.Next(s.Attempt, all); all {
		s.Succeeded = 0
	}
	s.Unfinished = s.Total - s.Succeeded
	rec.Targets = s.Unfinished
	rec.Effect = store.RunTargets
	if to == step.Waiting {
		rec.Effect = store.AskConfirmers
	}
}
