package engine

import (
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// THE COURSE OF A STEP: how an attempt begins, how a gate shuts, how a step is left. The functions
// change a header and a step. Decisions carry out rows with them, and replay carries out records.

// begin begins the next attempt of s, which enters the state enters, as then says.
func begin(job *store.Job, s *store.Step, then step.Do, enters step.State, at step.Time) {
	next := then == step.RunNext && s.Attempt > 0 // else it is the first batch, which s shows already
	s.State, s.Gate = enters, store.Gate{}
	s.Attempt++
	s.Started, s.Finished, s.Deadline = at, 0, 0
	s.Mendable = false
	if s.Timeout > 0 {
		s.Deadline = at.Add(s.Timeout)
	}
	if p := s.Policy; p != nil {
		if p.TotalTimeout > 0 && s.Expires == 0 {
			s.Expires = at.Add(p.TotalTimeout)
		}
		if p.Rolling.Batches != "" && s.Batch == 0 {
			s.Batch = 1
		}
	}
	switch {
	case next:
		s.Before += s.Succeeded
		s.Run = store.Run{Full: s.Attempt, First: s.Run.End, End: s.NextEnd()}
		s.Batch++
		s.Succeeded, s.Automatic = 0, 0
	case then == step.RunDue:
		s.Run = s.Run.Next(s.Attempt, false)
	default:
		s.Run = s.Run.Next(s.Attempt, true)
		s.Succeeded = 0
	}
	s.Unfinished = s.Run.Size(s.Total) - s.Succeeded
	s.Accepted = min(s.Accepted, s.Run.First-s.Before) // what runs again may fail again

	job.Current, job.State, job.Gate, job.Finished = s.ID, enters, step.NoGate, 0
	if p := job.Policy; p != nil {
		job.HasTurn = p.Turn.Key != ""
		if job.Started == 0 && p.Timeout > 0 {
			job.Deadline = at.Add(p.Timeout)
		}
	}
	if job.Started == 0 {
		job.Started = at
	}
}

// shut makes s wait at a gate. The attempt before, if one was under way, has ended.
func shut(job *store.Job, s *store.Step, gate store.Gate, at step.Time) {
	if s.State.Attempting() {
		s.Finished = at
	}
	s.State, s.Gate, s.Deadline = step.Gated, gate, 0
	job.Current, job.State, job.Gate, job.Finished = s.ID, step.Gated, gate.Reason, 0
}

// leave ends s in a state, by a cause.
func leave(job *store.Job, s *store.Step, to step.State, by step.Cause, at step.Time) {
	if s.State.Attempting() {
		s.Finished = at // else its last attempt ended before, or none has begun
	}
	s.State, s.Gate, s.Deadline, s.Expires = to, store.Gate{}, 0, 0
	switch to {
	case step.Skipped:
		job.Skipped++
	case step.ErrorIgnored:
		job.Ignored++
		if by.IsEvent() && s.Accepted == 0 {
			job.Tolerated++
		}
	}
}

// revive ends the deadline of a job that goes on after it has passed: the job had ended, or was told to stop.
func revive(job *store.Job, at step.Time) {
	if (job.State.Finished() || job.State == step.Terminating) && job.Deadline <= at {
		job.Deadline = 0
	}
}

// due returns the first moment that moves the job's current step s, or 0.
func due(job *store.Job, s *store.Step) step.Time {
	if !s.State.Active() {
		return 0
	}
	return earliest(deadline(job, s), s.Gate.Until)
}

// deadline returns the first deadline that ends what s is about: of the attempt, the step or the job;
// or 0. That of the job does not matter once the step was told to stop.
func deadline(job *store.Job, s *store.Step) step.Time {
	first := earliest(s.Deadline, s.Expires)
	if s.State != step.Terminating {
		first = earliest(first, job.Deadline)
	}
	return first
}

// earliest returns the earlier of two moments, of which 0 is none.
func earliest(a, b step.Time) step.Time {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// batchLeft reports whether a batch of s has not begun.
func batchLeft(s *store.Step) bool {
	return s.Run.End != 0 && (s.Run.End < s.Total || s.Attempt == 0)
}

// batchOf returns the row of the batch that s is in, which is in a state. A batch without a failure
// has succeeded, also if the step ends with failures of earlier ones.
func batchOf(s *store.Step, state step.State) store.Batch {
	first, end := s.Run.Window(s.Total)
	if state == step.ErrorIgnored && s.Succeeded == end-first {
		state = step.Succeeded
	}
	return store.Batch{
		Step: s.ID, Number: s.Batch, First: first, End: end, Full: s.Run.Full, Since: s.Attempt, Attempt: s.Attempt, State: state,
		Succeeded: s.Succeeded, Unfinished: s.Unfinished, Started: s.Started, Finished: s.Finished,
	}
}
