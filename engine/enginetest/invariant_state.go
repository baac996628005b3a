package enginetest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// defined: header, steps and targets are those of the definition, all of them.
func (e *evidence) defined() error {
	if !e.whole {
		return fmt.Errorf("a job of %d steps has %d step rows, the targets of %d, %d records, and step %d is current",
			len(e.Spec.Steps), len(e.Steps), len(e.Targets), len(e.History), e.Job.Current)
	}
	if j := &e.Job; int(j.Steps) != len(e.Spec.Steps) || j.Name != e.Spec.Name || j.Scope != e.Spec.Scope {
		return fmt.Errorf("the job is %q of %v with %d steps, want %q of %v with %d", j.Name, j.Scope, j.Steps, e.Spec.Name, e.Spec.Scope, len(e.Spec.Steps))
	}
	for i := range e.Steps {
		s, spec := &e.Steps[i], &e.Spec.Steps[i]
		if s.ID != step.ID(i+1) || s.Type != spec.Type || s.Name != spec.Name || s.IgnoreErrors != spec.IgnoreErrors || s.OnTimeout != spec.OnTimeout ||
			s.Timeout != spec.Timeout || s.Payload != spec.Payload || int(s.Total) != len(spec.Targets) || !s.Confirmers.Equal(step.NamesOf(spec.Confirmers)) || !s.Policy.Equal(spec.Policy()) {
			return fmt.Errorf("step %d is %+v, it was defined as %+v", i+1, *s, *spec)
		}
		if len(e.Targets[i]) != len(spec.Targets) {
			return fmt.Errorf("step %d has %d target rows, it was defined with %d targets", i+1, len(e.Targets[i]), len(spec.Targets))
		}
		for k := range e.Targets[i] {
			if t := &e.Targets[i][k]; int(t.Index) != k || t.Name != spec.Targets[k] {
				return fmt.Errorf("step %d has target %d %q in the place of %d %q", i+1, t.Index, t.Name, k, spec.Targets[k])
			}
		}
	}
	return nil
}

// active: the current step is active while the job is under way, and no step is otherwise.
func (e *evidence) active() error {
	active := 0
	for i := range e.Steps {
		if e.Steps[i].State.Active() {
			active++
			if e.Steps[i].ID != e.Job.Current {
				return fmt.Errorf("step %d is %v, but step %d is current", e.Steps[i].ID, e.Steps[i].State, e.Job.Current)
			}
		}
	}
	want := 1
	if e.Job.State == step.Pending || e.Job.State.Finished() {
		want = 0
	}
	if active != want {
		return fmt.Errorf("the job is %v and %d of its steps are active", e.Job.State, active)
	}
	return nil
}

// mirrors: the job's state is that of its current step, and succeeded if that has passed.
func (e *evidence) mirrors() error {
	want := e.current().State
	if want.Passed() {
		want = step.Succeeded
	}
	if e.Job.State != want {
		return fmt.Errorf("the job is %v while its current step is %v, want %v", e.Job.State, e.current().State, want)
	}
	return nil
}

// order: the steps before the current one have passed, those after it have not begun.
func (e *evidence) order() error {
	for i := range e.Steps {
		s := &e.Steps[i]
		untouched := s.Attempt == 0 && s.Run == e.pending(s.ID).run && s.Succeeded == 0 && s.Unfinished == 0 && s.Started == 0 && s.Finished == 0 && s.Deadline == 0
		untouched = untouched && s.Expires == 0 && s.Due == 0 && s.Gate == store.Gate{} && s.Batch == 0 && s.Before == 0 && s.Accepted == 0 && s.Automatic == 0
		switch {
		case s.ID < e.Job.Current && !s.State.Passed():
			return fmt.Errorf("step %d is current, and step %d before it is %v", e.Job.Current, s.ID, s.State)
		case s.ID > e.Job.Current && s.State != step.Pending:
			return fmt.Errorf("step %d is current, and step %d after it is %v", e.Job.Current, s.ID, s.State)
		case s.ID == e.Job.Current && s.State.Passed() && !e.isLast(s.ID):
			return fmt.Errorf("step %d is current, it is %v, and step %d has not begun", s.ID, s.State, s.ID+1)
		case s.State == step.Pending && !untouched, s.State.Attempting() && s.Attempt == 0, s.State.Finished() && untouched && !e.waited(s.ID):
			return fmt.Errorf("step %d is %v: %+v", s.ID, s.State, *s)
		}
	}
	return nil
}

// waited reports whether a step left pending, or a gate, without an attempt.
func (e *evidence) waited(id step.ID) bool {
	return slices.ContainsFunc(e.lines, func(l line) bool { return l.Step == id && l.before.attempt == 0 && l.To.Finished() })
}

// goesOn: a step that is under way can be ended by a report, a person or a deadline, and a job that
// has not begun can be started. A state in which a job has ended is final or has a row.
func (e *evidence) goesOn() error {
	c := e.current()
	can := true
	switch c.State {
	case step.Pending:
		can = e.row(c, operation.StartJob.Cause())
	case step.Running, step.Terminating:
		can = c.Unfinished > 0 && e.leads(c.Type, c.State, step.Stopped).To != 0
	case step.Waiting:
		can = c.Deadline != 0 || c.Expires != 0 || e.Job.Deadline != 0 || e.row(c, 0)
	case step.Gated:
		can = e.opens(c)
	}
	if !can {
		return fmt.Errorf("step %d is %v, and neither a person, an executor nor a deadline can go on: %+v", c.ID, c.State, *c)
	}
	return nil
}

// opens reports whether something opens the gate of a step: its moment, a person who continues or resumes,
// or a turn that another job gives back.
func (e *evidence) opens(s *store.Step) bool {
	switch s.Gate.Reason {
	case step.PersonGate:
		return e.row(s, 0)
	case step.TimeGate, step.WindowGate:
		return s.Gate.Until != 0 && e.leads(s.Type, step.Gated, step.Opened).To != 0
	case step.HoldGate:
		return e.Job.Held && e.row(s, 0)
	}
	return s.Gate.Reason == step.TurnGate
}

// row reports whether an operation is legal on a step in its state: this one, or any if cause is 0.
func (e *evidence) row(s *store.Step, cause step.Cause) bool {
	for i := range e.table.Rows {
		row := &e.table.Rows[i]
		if row.On.Has(s.Type) && row.From.Has(s.State) && (cause == 0 || row.Cause == cause) &&
			(row.Guard != operation.Approver || !s.Confirmers.IsSet() || s.Confirmers.Len() > 0) {
			return true
		}
	}
	return false
}

// effects: each unsettled effect is that of its record, once, in order, and its count of claims
// covers its deliveries.
func (e *evidence) effects() error {
	for i := range e.Effects {
		d := e.Effects[i]
		if i > 0 && d.Seq <= e.Effects[i-1].Seq {
			return fmt.Errorf("the effect of record %d waits after that of record %d", d.Seq, e.Effects[i-1].Seq)
		}
		if d.Seq < 1 || int64(d.Seq) > int64(len(e.History)) {
			return fmt.Errorf("an effect of record %d waits, there are %d records", d.Seq, len(e.History))
		}
		want, ok := e.Delivery(d.Seq)
		got := d
		got.NotBefore, got.Held, got.Count, got.Token, got.Failures, got.Delivered, got.LastError = 0, false, 0, store.Token{}, 0, false, ""
		if !ok || got != want {
			return fmt.Errorf("what waits is %+v, record %d asked for %+v", got, d.Seq, want)
		}
		if d.Count == 0 && d.Token != (store.Token{}) {
			return fmt.Errorf("effect %v of record %d was never claimed, and has token %v", d.Effect, d.Seq, d.Token)
		}
		if d.Count == 0 && d.Held {
			return fmt.Errorf("effect %v of record %d was never claimed, and is held", d.Effect, d.Seq)
		}
		if d.Failures < 0 || d.Failures > d.Count || d.Delivered && (d.Effect != store.StopAttempt || d.Failures == d.Count) {
			return fmt.Errorf("effect %v of record %d was claimed %d times, failed %d times in a row, and delivered is %v", d.Effect, d.Seq, d.Count, d.Failures, d.Delivered)
		}
	}
	return nil
}

// Delivery returns the effect of a record of s before its first claim, and whether it has one. A
// record that the history lacks has none.
func (s *Snapshot) Delivery(seq store.Seq) (store.Delivery, bool) {
	i, ok := slices.BinarySearchFunc(s.History, seq, func(r store.Record, seq store.Seq) int { return cmp.Compare(r.Seq, seq) })
	if !ok {
		return store.Delivery{}, false
	}
	r, subject := &s.History[i], (*store.Step)(nil)
	if id := r.Subject(); id >= 1 && int64(id) <= int64(len(s.Steps)) {
		subject = &s.Steps[id-1]
	}
	return r.Delivery(s.Job.Scope, subject)
}

// CheckDelivered checks promise 1: it returns an error if a needed effect neither waits for delivery
// nor was delivered. Every stop and every end of a job is needed once, a run or a question while
// its attempt is under way. delivered reports whether the effect of a record was carried out, which
// the store does not know; so CheckDelivered is no [Invariant].
func (s Snapshot) CheckDelivered(delivered func(store.Seq) bool) error {
	waits := s.Effects
	for i := range s.History {
		d, ok := s.Delivery(s.History[i].Seq)
		for len(waits) > 0 && waits[0].Seq < s.History[i].Seq {
			waits = waits[1:]
		}
		if !ok || len(waits) > 0 && waits[0].Seq == d.Seq || delivered(d.Seq) {
			continue
		}
		at := &s.Steps[d.Step-1]
		needed := at.Attempt == d.Attempt
		switch d.Effect {
		case store.StopAttempt, store.JobEnded:
			needed = true
		case store.RunTargets:
			needed = needed && at.State == step.Running
		case store.AskConfirmers:
			needed = needed && at.State == step.Waiting
		}
		if needed {
			return fmt.Errorf("promise 1: effect %v of record %d does not wait and was never delivered", d.Effect, d.Seq)
		}
	}
	return nil
}
