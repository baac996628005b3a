package engine

import (
	"encoding/binary"
	"fmt"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// THE CONSEQUENCES. The meaning of a row's Do for the step, the job and the outside world, and
// not when a row applies.

// move carries out a row: it takes the step to a state and the job with it, and notes the effect.
// It is refused if the next step would start and has a type that the rules do not declare, as when
// a process with newer rules has created the job.
func (d *Decision) move(r *operation.Rules, v *store.View, m operation.Move) *Refusal {
	rec, job, s := &d.Change.Records[0], &d.Change.Job, &d.Change.Steps[0]
	switch m.Do {
	case step.Enter, step.RunAll, step.Ask, step.RunDue:
		if s.Automatic++; !rec.Cause.IsEvent() { // a person's
			s.Automatic = 0
		}
		d.ready(r, v, s, m.Do, step.NoGate)
	case step.RunNext: // a person's word, which is what the batch waits for
		s.Accepted = failures(s)
		d.ready(r, v, s, m.Do, step.TimeGate)
	case step.Open:
		if rec.Cause.OfJob() { // a resume
			job.Held = false
		}
		d.ready(r, v, s, s.Gate.Then, s.Gate.Reason)
	case step.Vote:
		if s.Unfinished > 1 { // votes are missing: the step waits on, in the same attempt
			s.Unfinished--
			return nil
		}
		s.Unfinished = 0
		return d.pass(r, v, m.To)
	case step.Accept:
		return d.accept(r, v, m.To)
	case step.Pass:
		return d.pass(r, v, m.To)
	case step.Stop: // the attempt is still under way
		s.State, job.State = m.To, m.To
		rec.Effect = store.StopAttempt
	case step.End:
		leave(job, s, m.To, rec.Cause, rec.At)
		d.endJob()
	case step.Hold:
		job.Held = true
		if s.Gate.Reason == step.TurnGate { // it loses its place
			d.shut(s, store.Gate{Reason: step.HoldGate, Then: s.Gate.Then})
		}
	case step.Release:
		if s.Gate.Reason == step.HoldGate { // a row of its type would have opened it
			return undeclared(r, v, rec, s)
		}
		job.Held = false
	case step.Seal:
		job.Sealed = true
	case step.Note: // the record says it
	case step.Mark, step.Unmark:
		s.StopBefore = m.Do == step.Mark
	default:
		return invalid("Rules", "%v is followed by %v, which this engine does not know", rec.Cause, m.Do)
	}
	return nil
}

// accept takes the targets of the batch as they are, which ends in a state: the next batch begins, or the
// step passes.
func (d *Decision) accept(r *operation.Rules, v *store.View, to step.State) *Refusal {
	rec, s := &d.Change.Records[0], &d.Change.Steps[0]
	if rec.Cause.OfStep() {
		s.Accepted = failures(s)
	}
	last := !batchLeft(s)
	if s.State.Attempting() {
		s.Finished = rec.At
	}
	if s.Batch > 0 { // else none has begun, under rules that end a step before its first attempt
		d.Change.Batches = append(d.Change.Batches, batchOf(s, to))
	}
	if last {
		return d.pass(r, v, to)
	}
	d.ready(r, v, s, step.RunNext, step.NoGate)
	return nil
}

// ready begins an attempt of s, unless a gate is in the way. Gates with the reason open and those
// before it have been passed.
func (d *Decision) ready(r *operation.Rules, v *store.View, s *store.Step, then step.Do, open step.GateReason) {
	rec, job := &d.Change.Records[0], &d.Change.Job
	revive(job, rec.At)
	if gate := gateOf(job, s, then, open, rec, v.Turn); gate.Reason != step.NoGate {
		d.shut(s, gate)
		return
	}
	begin(job, s, then, r.Enters(s.Type), rec.At)
	rec.Targets, rec.Effect = s.Unfinished, store.RunTargets
	if s.State == step.Waiting {
		rec.Effect = store.AskConfirmers
	}
}

// shut makes s wait at a gate.
func (d *Decision) shut(s *store.Step, gate store.Gate) {
	rec := &d.Change.Records[0]
	rec.Gate = gate
	shut(&d.Change.Job, s, gate, rec.At)
}

// gateOf returns the gate that is in the way of an attempt of s, or the zero Gate. The reasons are
// looked at in their order, those up to open no more, but for a hold. turn says whether a turn is free.
func gateOf(job *store.Job, s *store.Step, then step.Do, open step.GateReason, rec *store.Record, turn bool) store.Gate {
	plain := s.Policy == nil && job.Policy == nil && !s.StopBefore && !job.Held
	if plain {
		return store.Gate{}
	}
	p, jp := s.Policy, job.Policy
	if p == nil {
		p = &noPolicy
	}
	if jp == nil {
		jp = &noJobPolicy
	}
	first, next := s.Attempt == 0, then == step.RunNext && s.Attempt > 0
	if open < step.PersonGate && (first && s.StopBefore || next && p.Rolling.Between.Person) {
		return store.Gate{Reason: step.PersonGate, Then: then}
	}
	if open < step.TimeGate {
		until := rec.At
		if first {
			until = rec.At.Add(p.Delay)
			if s.ID == 1 {
				until = max(until, jp.StartAt)
			}
		}
		if next {
			until = rec.At.Add(p.Rolling.Between.Delay)
		}
		if rec.Cause == step.FailedAgain && then == step.RunDue {
			until = rec.At.Add(p.Retry.Wait(s.Automatic, binary.BigEndian.Uint64(rec.Request[8:])))
		}
		if until > rec.At {
			return store.Gate{Reason: step.TimeGate, Then: then, Until: until}
		}
	}
	switch {
	case job.Held:
		return store.Gate{Reason: step.HoldGate, Then: then}
	case open < step.WindowGate && p.Window != "":
		return store.Gate{Reason: step.WindowGate, Then: then, Until: rec.At} // asked at once, by a command of its own
	case jp.Turn.Key != "" && !job.HasTurn && !turn:
		return store.Gate{Reason: step.TurnGate, Then: then}
	}
	return store.Gate{}
}

var (
	noPolicy    step.Policy     // never written
	noJobPolicy store.JobPolicy // never written
)

// pass leaves the step in a state that has passed, and enters the next one or ends the job.
func (d *Decision) pass(r *operation.Rules, v *store.View, to step.State) *Refusal {
	rec, job := &d.Change.Records[0], &d.Change.Job
	leave(job, &d.Change.Steps[0], to, rec.Cause, rec.At)
	if v.Next.ID == 0 {
		d.endJob()
		return nil
	}
	if r.Enters(v.Next.Type) == 0 {
		return undeclared(r, v, rec, &v.Next)
	}
	d.room.steps[1] = v.Next
	d.Change.Steps = d.room.steps[:2]
	rec.Entered = v.Next.ID
	d.ready(r, v, &d.Change.Steps[1], step.Enter, step.NoGate)
	return nil
}

// undeclared refuses to start a step of a type that the rules do not declare.
func undeclared(r *operation.Rules, v *store.View, rec *store.Record, s *store.Step) *Refusal {
	return refuse(r, v, &Refusal{Reason: operation.WrongType, Cause: rec.Cause, Actor: rec.Actor,
		Detail: fmt.Sprintf("step %d would start, and its type %v is not declared in this engine's rules", s.ID, s.Type)})
}

// endJob ends the job in the state that its current step gives it.
func (d *Decision) endJob() {
	rec, job := &d.Change.Records[0], &d.Change.Job
	job.State, job.Finished = d.Change.Steps[0].State.OfJob(true), rec.At
	job.Gate, job.HasTurn = step.NoGate, false
	rec.Effect = store.JobEnded
}

// failures returns the number of targets, of all batches so far, that have not succeeded: those that a
// person accepts who goes on.
func failures(s *store.Step) int32 { return s.Failed() + s.Unfinished }

// turnOf returns what a change of the header from before to after does about the turn of the job.
func turnOf(before, after *store.Job) store.TurnMove {
	waited, waits := before.Gate == step.TurnGate, after.Gate == step.TurnGate
	switch {
	case after.HasTurn && !before.HasTurn:
		return store.TakeTurn
	case waits && !waited:
		return store.WaitTurn
	case before.HasTurn && !after.HasTurn, waited && !waits:
		return store.LeaveTurn
	}
	return store.NoTurn
}
