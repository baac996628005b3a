package enginetest

import (
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// chains: numbers are without gap, and each record starts where the one before it ended.
func (e *evidence) chains() error {
	first := e.History[0]
	if first != (store.Record{
		Job: first.Job, Seq: first.Seq, At: first.At, Cause: step.Created, Request: first.Request, Actor: first.Actor, Reason: first.Reason,
		Run: store.FirstRun, JobTo: step.Pending,
	}) {
		return fmt.Errorf("record 1 is not the creation of a job that is pending, and nothing else: %+v", first)
	}
	for i := range e.History {
		switch r := &e.History[i]; {
		case r.Seq != store.Seq(i+1):
			return fmt.Errorf("record %d stands in the place of record %d", r.Seq, i+1)
		case r.Job != e.Job.ID:
			return fmt.Errorf("record %d is of job %d, not of %d", r.Seq, r.Job, e.Job.ID)
		case i > 0 && r.At < e.History[i-1].At:
			return fmt.Errorf("record %d is of %v, before the record that it follows, of %v", r.Seq, r.At, e.History[i-1].At)
		}
	}
	job := first.JobTo
	for i := range e.lines {
		switch l := &e.lines[i]; {
		case l.Cause == step.Created:
			return fmt.Errorf("record %d creates the job a second time", l.Seq)
		case l.JobFrom != job:
			return fmt.Errorf("record %d starts with the job in %v, but it is in %v", l.Seq, l.JobFrom, job)
		case l.From != l.before.state:
			return fmt.Errorf("record %d starts in %v, but step %d is in %v", l.Seq, l.From, l.Step, l.before.state)
		case l.Attempt != l.after.attempt && (byPerson(l.Record) || l.Cause.OfEffect()):
			return fmt.Errorf("record %d leaves step %d in attempt %d, it is in attempt %d", l.Seq, l.Step, l.Attempt, l.after.attempt)
		}
		job = e.lines[i].JobTo
	}
	if n := len(e.lines) + 1; n < len(e.History) {
		return fmt.Errorf("record %d is about step %d, but step %d is under way", e.History[n].Seq, e.History[n].Step, e.at)
	}
	switch {
	case e.Job.Version != store.Seq(len(e.History)):
		return fmt.Errorf("the job is at version %d, and has %d records", e.Job.Version, len(e.History))
	case e.Job.State != job:
		return fmt.Errorf("the job is %v, its last record leaves it %v", e.Job.State, job)
	case e.Job.Current != e.at:
		return fmt.Errorf("step %d is current, the history has come to step %d", e.Job.Current, e.at)
	}
	return nil
}

// stops: who was told to stop runs again only for a person.
func (e *evidence) stops() error {
	stopped := false
	for i := range e.lines {
		l := &e.lines[i]
		switch {
		case l.move.Do == step.Seal || l.Cause.OfEffect(): // nothing moves
			continue
		case l.Cause == operation.TerminateJob.Cause() || l.To == step.Terminating:
			stopped = true
		case byPerson(l.Record):
			stopped = false
		}
		if stopped && (l.JobTo == step.Running || l.JobTo == step.Waiting || l.JobTo == step.Succeeded) {
			return fmt.Errorf("the job was told to terminate, no other operation has followed, and record %d leaves it %v", l.Seq, l.JobTo)
		}
	}
	return nil
}

// retries: a row that runs what is due runs that, and there is some if its guard says so; any
// other start runs every target, the first one too.
func (e *evidence) retries() error {
	documented := e.Rules == operation.Standard()
	for i := range e.lines {
		l := &e.lines[i]
		total := int32(len(l.spec.Targets))
		if l.Entered >= 1 && int64(l.Entered) <= int64(len(e.Spec.Steps)) {
			total = int32(len(e.Spec.Steps[l.Entered-1].Targets))
		}
		due := total - l.before.succeeded
		switch {
		case l.Effect != store.RunTargets && l.Effect != store.AskConfirmers:
		case l.Entered != 0 || l.move.Do != step.RunDue || l.before.attempt == 0:
			if !startsAll(l.Record) || l.Targets != total {
				return fmt.Errorf("record %d starts all of %d targets, and it says %d and all is %v", l.Seq, total, l.Targets, startsAll(l.Record))
			}
			if documented && l.Cause.OfStep() && l.To == step.Running && l.Cause != operation.RetryAll.Cause() {
				return fmt.Errorf("record %d has every target run for %v", l.Seq, l.Cause)
			}
		case l.Run != l.before.run || l.Targets != due || l.Succeeded != l.before.succeeded:
			return fmt.Errorf("%v is for what is due, %d of %d targets, and record %d has %d run, those since attempt %d, and %d stay succeeded of %d",
				l.Cause, due, total, l.Seq, l.Targets, l.Run.Full, l.Succeeded, l.before.succeeded)
		case due == 0:
			return fmt.Errorf("%v is for what is due, and by record %d nothing was", l.Cause, l.Seq)
		}
	}
	return nil
}

// fenced: a report and a deadline are about the attempt that is under way, and end it.
func (e *evidence) fenced() error {
	for i := range e.lines {
		l := &e.lines[i]
		if byPerson(l.Record) || l.Cause.OfEffect() {
			continue
		}
		switch {
		case l.Attempt != l.before.attempt:
			return fmt.Errorf("record %d, %v, is of attempt %d, while it is attempt %d", l.Seq, l.Cause, l.Attempt, l.before.attempt)
		case !l.From.Active():
			return fmt.Errorf("record %d, %v, is of a step that is %v", l.Seq, l.Cause, l.From)
		case l.begins():
			return fmt.Errorf("record %d, %v, starts an attempt", l.Seq, l.Cause)
		}
	}
	return nil
}

// once: a report counts at most the results that it has changed, and nothing else counts.
func (e *evidence) once() error {
	for i := range e.lines {
		l := &e.lines[i]
		total := int32(len(l.spec.Targets))
		succeeded, finished := l.Succeeded-l.before.succeeded, l.before.unfinished-l.Unfinished
		switch {
		case l.Succeeded < 0 || l.Unfinished < 0 || l.Succeeded+l.Unfinished > total:
			return fmt.Errorf("record %d counts %d succeeded and %d unfinished of %d targets", l.Seq, l.Succeeded, l.Unfinished, total)
		case l.begins():
			if want := total - l.Succeeded; startsAll(l.Record) && l.Succeeded != 0 || l.Unfinished != want || l.Results != 0 {
				return fmt.Errorf("record %d starts an attempt, all is %v, with %d succeeded, %d unfinished and %d results", l.Seq, startsAll(l.Record), l.Succeeded, l.Unfinished, l.Results)
			}
		case !byReport(l.Record):
			if succeeded != 0 || finished != 0 || l.Results != 0 {
				return fmt.Errorf("record %d is no report and has %d targets succeed, %d finish and %d results change", l.Seq, succeeded, finished, l.Results)
			}
		case succeeded < 0 || finished < succeeded || l.Results < finished || l.Results > total:
			return fmt.Errorf("record %d has %d targets succeed and %d finish by %d results on %d targets", l.Seq, succeeded, finished, l.Results, total)
		case l.Results == 0 && l.Cause == step.Results:
			return fmt.Errorf("record %d is a report that says nothing", l.Seq)
		}
	}
	return nil
}

// legal: whoever came in between, each record leads where the rows have it lead from where
// it starts, and the event of a report is the one that its counts say.
func (e *evidence) legal() error {
	for i := range e.lines {
		l := &e.lines[i]
		total := int32(len(l.spec.Targets))
		byCount := l.Cause == step.AllSucceeded || l.Cause == step.SomeFailed || l.Cause == step.FailuresIgnored
		switch {
		case l.To != l.move.To && !l.move.Do.Instead().Has(l.To):
			return fmt.Errorf("record %d, %v, leads from %v to %v, by the rules to %v", l.Seq, l.Cause, l.From, l.To, l.move.To)
		case l.move.Do == step.Vote && (l.To == l.move.To) != (l.before.unfinished <= 1):
			return fmt.Errorf("record %d, %v, leads to %v, and %d votes were missing", l.Seq, l.Cause, l.To, l.before.unfinished)
		case l.Cause == step.Results && l.Unfinished == 0:
			return fmt.Errorf("record %d reports the last target and does not end the attempt", l.Seq)
		case byCount && (l.Unfinished != 0 || (l.Cause == step.AllSucceeded) != (l.Succeeded == total)),
			byCount && l.Succeeded != total && (l.Cause == step.FailuresIgnored) != l.spec.IgnoreErrors:
			return fmt.Errorf("record %d is %v with %d succeeded and %d unfinished of %d targets, errors ignored: %v",
				l.Seq, l.Cause, l.Succeeded, l.Unfinished, total, l.spec.IgnoreErrors)
		}
	}
	return nil
}

// admits: a row for confirmers is used by those whom the definition names.
func (e *evidence) admits() error {
	for i := range e.lines {
		l := &e.lines[i]
		if l.move.Guard == operation.Approver && l.spec.Confirmers != nil && !slices.Contains(l.spec.Confirmers, l.Actor) {
			return fmt.Errorf("record %d, %v, is by %q, who is none of %v", l.Seq, l.Cause, l.Actor, l.spec.Confirmers)
		}
	}
	return nil
}

// deadlines: none passes before its time or decides otherwise than it was defined to, and
// each attempt that is under way has the one that its start gives it.
func (e *evidence) deadlines() error {
	for i := range e.lines {
		l := &e.lines[i]
		if !byTime(l.Record) {
			continue
		}
		confirms := l.From == step.Waiting && l.spec.OnTimeout == step.ConfirmOnTimeout
		switch {
		case l.spec.Timeout == 0 || l.At < l.before.started.Add(l.spec.Timeout):
			return fmt.Errorf("record %d expires at %v what began at %v and has %v", l.Seq, l.At, l.before.started, l.spec.Timeout)
		case confirms != (l.Cause == step.ExpiredConfirmed):
			return fmt.Errorf("record %d, %v, is of a step that is to %v", l.Seq, l.Cause, l.spec.OnTimeout)
		}
	}
	for i := range e.Steps {
		s := &e.Steps[i]
		want := step.Time(0)
		if s.State.Active() && s.ID == e.at && e.Spec.Steps[i].Timeout > 0 {
			want = e.last.started.Add(e.Spec.Steps[i].Timeout)
		}
		if s.Deadline != want {
			return fmt.Errorf("step %d is %v with a deadline at %v, want %v", s.ID, s.State, s.Deadline, want)
		}
	}
	return nil
}

// final: nothing moves in a state that the job cannot leave, or after a seal.
func (e *evidence) final() error {
	documented := e.Rules == operation.Standard()
	sealed := false
	for i := range e.lines {
		switch l := &e.lines[i]; {
		case l.Cause.OfEffect(): // of the end of the job, say
		case sealed:
			return fmt.Errorf("record %d, %v, follows a seal", l.Seq, l.Cause)
		case l.move.Do == step.Seal:
			sealed = true
		case l.JobFrom == step.Succeeded || l.From.Passed(),
			documented && l.From == step.Abandoned,
			documented && l.From == step.Terminated && l.spec.Type == step.Confirmation:
			return fmt.Errorf("record %d, %v, starts in %v on a %v step, the job being %v, which is final", l.Seq, l.Cause, l.From, l.spec.Type, l.JobFrom)
		}
	}
	if e.Job.Sealed != sealed {
		return fmt.Errorf("the job is sealed: %v, by its history: %v", e.Job.Sealed, sealed)
	}
	return nil
}

// follows: each consequence is the one that its row names, for people, executors and deadlines alike.
func (e *evidence) follows() error {
	for i := range e.lines {
		l := &e.lines[i]
		var entered step.ID
		job, effect := l.To, store.JobEnded
		switch do := l.move.Do; {
		case !l.Moves(), do == step.Seal, do == step.Vote && l.before.unfinished > 1:
			job, effect = l.JobFrom, store.NoEffect
		case l.To == step.Running:
			effect = store.RunTargets
		case l.To == step.Waiting:
			effect = store.AskConfirmers
		case do == step.Stop:
			effect = store.StopAttempt
		case (do == step.Accept || do == step.Vote || do == step.Pass) && e.isLast(l.Step):
			job = step.Succeeded
		case do == step.Accept || do == step.Vote || do == step.Pass:
			entered = l.Step + 1
			job, effect = e.leads(e.Spec.Steps[l.Step].Type, step.Pending, step.Entered).To, store.RunTargets
			if job == step.Waiting {
				effect = store.AskConfirmers
			}
		}
		runs := effect == store.RunTargets || effect == store.AskConfirmers
		switch {
		case l.JobTo != job || l.Effect != effect || l.Entered != entered:
			return fmt.Errorf("record %d leads to %v: the job goes to %v, step %d is entered, the effect is %v; want %v, %d, %v",
				l.Seq, l.To, l.JobTo, l.Entered, l.Effect, job, entered, effect)
		case !runs && l.Targets != 0:
			return fmt.Errorf("record %d starts nothing and has %d targets run", l.Seq, l.Targets)
		case !l.begins() && l.Run != l.before.run:
			return fmt.Errorf("record %d starts no attempt of step %d, and says that all ran in attempt %d, not %d", l.Seq, l.Step, l.Run.Full, l.before.run.Full)
		}
	}
	return nil
}
