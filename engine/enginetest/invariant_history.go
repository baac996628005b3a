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
		case l.Attempt != l.after.attempt && (byPerson(l.Record) || l.Cause.OfEffect() || l.begins()):
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

// stops: a step that was told to stop runs again only by a person's operation.
func (e *evidence) stops() error {
	stopped := false
	for i := range e.lines {
		l := &e.lines[i]
		switch {
		case l.stays():
			continue
		case l.Cause == operation.TerminateJob.Cause() || l.Cause == step.JobExpired || l.To == step.Terminating:
			stopped = true
		case byPerson(l.Record):
			stopped = false
		}
		if stopped && (l.JobTo == step.Running || l.JobTo == step.Waiting || l.JobTo == step.Gated || l.JobTo == step.Succeeded) {
			return fmt.Errorf("the job was told to terminate, no other operation has followed, and record %d leaves it %v", l.Seq, l.JobTo)
		}
	}
	return nil
}

// retries: an attempt on the due targets runs these, and some exist; the next batch comes after the last
// one; any other start, and the first one, runs every target of its batch.
func (e *evidence) retries() error {
	documented := e.Rules == operation.Standard()
	for i := range e.lines {
		l := &e.lines[i]
		if l.Effect != store.RunTargets && l.Effect != store.AskConfirmers {
			continue
		}
		run, due := l.Run, l.before.run.Size(l.total())-l.before.succeeded
		size := run.Size(l.total())
		if l.Entered >= 1 && int64(l.Entered) <= int64(len(e.Spec.Steps)) {
			run = e.pending(l.Entered).run
			size = run.Size(int32(len(e.Spec.Steps[l.Entered-1].Targets)))
		}
		again := l.Entered == 0 && l.before.attempt > 0 // not the first attempt of a step
		sameWindow := run.First == l.before.run.First && run.End == l.before.run.End
		if l.move.Do == step.RunDue && byReport(l.Record) { // by itself: the report has changed what is due
			due = l.before.run.Size(l.total()) - l.Succeeded
		}
		switch then := l.then(); {
		case again && then == step.RunNext:
			if !startsAll(l.Record) || l.Targets != size || run.First != l.before.run.End || size < 1 || run.End > l.total() {
				return fmt.Errorf("record %d starts the batch after target %d of %d, and it says %+v of %d targets", l.Seq, l.before.run.End, l.total(), run, l.Targets)
			}
		case !again || then != step.RunDue:
			if !startsAll(l.Record) || l.Targets != size || again && !sameWindow {
				return fmt.Errorf("record %d starts all of %d targets, and it says %d and all is %v", l.Seq, size, l.Targets, startsAll(l.Record))
			}
			if documented && again && l.Cause.OfStep() && l.To == step.Running && l.Cause != operation.RetryAll.Cause() && l.Cause != operation.Continue.Cause() {
				return fmt.Errorf("record %d has every target run for %v", l.Seq, l.Cause)
			}
		case l.Run != l.before.run || l.Targets != due || byPerson(l.Record) && l.Succeeded != l.before.succeeded:
			return fmt.Errorf("%v is for what is due, %d of %d targets, and record %d has %d run, those since attempt %d, and %d stay succeeded of %d",
				l.Cause, due, size, l.Seq, l.Targets, l.Run.Full, l.Succeeded, l.before.succeeded)
		case due == 0:
			return fmt.Errorf("%v is for what is due, and by record %d nothing was", l.Cause, l.Seq)
		}
	}
	return nil
}

// fenced: a report is about the attempt that is under way, and a moment about the step that is. They
// start no attempt but one that a gate, a batch or a retry has left to them.
func (e *evidence) fenced() error {
	for i := range e.lines {
		l := &e.lines[i]
		if byPerson(l.Record) || l.Cause.OfEffect() {
			continue
		}
		may := l.move.Do == step.Open || l.move.Do == step.RunDue || l.move.Do == step.Accept && l.batchLeft()
		switch {
		case l.Attempt != l.before.attempt && !(may && l.begins()):
			return fmt.Errorf("record %d, %v, is of attempt %d, while it is attempt %d", l.Seq, l.Cause, l.Attempt, l.before.attempt)
		case !l.From.Active() || byReport(l.Record) && !l.From.Attempting():
			return fmt.Errorf("record %d, %v, is of a step that is %v", l.Seq, l.Cause, l.From)
		case l.begins() && !may:
			return fmt.Errorf("record %d, %v, starts an attempt", l.Seq, l.Cause)
		}
	}
	return nil
}

// once: only a report counts results, and at most those that it has changed.
func (e *evidence) once() error {
	for i := range e.lines {
		l := &e.lines[i]
		total := l.Run.Size(l.total())
		succeeded, finished := l.Succeeded-l.before.succeeded, l.before.unfinished-l.Unfinished
		switch {
		case l.Succeeded < 0 || l.Unfinished < 0 || l.Succeeded+l.Unfinished > total:
			return fmt.Errorf("record %d counts %d succeeded and %d unfinished of %d targets", l.Seq, l.Succeeded, l.Unfinished, total)
		case l.begins():
			if want := total - l.Succeeded; startsAll(l.Record) && l.Succeeded != 0 || l.Unfinished != want || l.Results != 0 && !byReport(l.Record) {
				return fmt.Errorf("record %d starts an attempt, all is %v, with %d succeeded, %d unfinished and %d results", l.Seq, startsAll(l.Record), l.Succeeded, l.Unfinished, l.Results)
			}
		case !byReport(l.Record):
			if succeeded != 0 || finished != 0 || l.Results != 0 {
				return fmt.Errorf("record %d is no report and has %d targets succeed, %d finish and %d results change", l.Seq, succeeded, finished, l.Results)
			}
		case succeeded < 0 || finished < succeeded || l.Results < finished || l.Results > l.total():
			return fmt.Errorf("record %d has %d targets succeed and %d finish by %d results on %d targets", l.Seq, succeeded, finished, l.Results, total)
		case l.Results == 0 && l.Cause == step.Results:
			return fmt.Errorf("record %d is a report that says nothing", l.Seq)
		}
	}
	return nil
}

// legal: each record leads from its start to the state that its row has, whatever came in between,
// and the event of a report follows from its counts.
func (e *evidence) legal() error {
	for i := range e.lines {
		l := &e.lines[i]
		switch {
		case l.To != l.move.To && (!l.move.Do.Instead().Has(l.To) || l.move.Do == step.Accept && !l.batchLeft()):
			return fmt.Errorf("record %d, %v, leads from %v to %v, by the rules to %v", l.Seq, l.Cause, l.From, l.To, l.move.To)
		case l.To == step.Gated && l.From != step.Gated && l.Gate.Then != l.then():
			return fmt.Errorf("record %d, %v, waits to %v, by the rules to %v", l.Seq, l.Cause, l.Gate.Then, l.then())
		case l.move.Do == step.Vote && (l.To == l.move.To) != (l.before.unfinished <= 1):
			return fmt.Errorf("record %d, %v, leads to %v, and %d votes were missing", l.Seq, l.Cause, l.To, l.before.unfinished)
		case l.Cause == step.Results && l.Unfinished == 0:
			return fmt.Errorf("record %d reports the last target and does not end the attempt", l.Seq)
		}
		if err := l.completes(); err != nil {
			return err
		}
	}
	return nil
}

// completes: the event of the last target of an attempt follows from the counts and the policy.
func (l *line) completes() error {
	byCount := step.CausesOf(step.AllSucceeded, step.SomeFailed, step.FailuresIgnored, step.FailedAgain)
	if !byCount.Has(l.Cause) {
		return nil
	}
	failed, counted := l.unsuccessful(), l.unsuccessful()-l.before.accepted
	again := l.before.automatic < l.spec.Retry.Attempts && (l.Mendable || l.begins() && l.Cause == step.FailedAgain)
	want := step.SomeFailed
	switch {
	case failed == 0:
		want = step.AllSucceeded
	case again && failed > l.before.run.First-l.before.earlier:
		want = step.FailedAgain
	case l.spec.IgnoreErrors || l.spec.Tolerate.Bears(counted, l.total()):
		want = step.FailuresIgnored
	}
	if again && l.begins() && l.then() == step.RunNext {
		want = l.Cause // whether a failure could be mended, the next attempt has forgotten
	}
	if l.Cause != want || l.Unfinished != 0 && !l.begins() {
		return fmt.Errorf("record %d is %v with %d succeeded and %d unfinished of %d targets, errors ignored: %v; %d have failed, %d of them not accepted: want %v",
			l.Seq, l.Cause, l.Succeeded, l.Unfinished, l.total(), l.spec.IgnoreErrors, failed, counted, want)
	}
	return nil
}

// admits: only confirmers of the definition use a row with that guard.
func (e *evidence) admits() error {
	for i := range e.lines {
		l := &e.lines[i]
		if l.move.Guard == operation.Approver && l.spec.Confirmers != nil && !slices.Contains(l.spec.Confirmers, l.Actor) {
			return fmt.Errorf("record %d, %v, is by %q, who is none of %v", l.Seq, l.Cause, l.Actor, l.spec.Confirmers)
		}
	}
	return nil
}

// deadlines: no deadline passes before its time, each has the decision of the definition, the step that is
// under way has the deadlines that follow from its starts, and Due is the first of its moments.
func (e *evidence) deadlines() error {
	ofJob := step.Time(0)
	began := false
	for i := range e.lines {
		l := &e.lines[i]
		if goesOn := !l.JobTo.Finished() && l.JobTo != step.Terminating; goesOn && (l.JobFrom.Finished() || l.JobFrom == step.Terminating) && ofJob <= l.At {
			ofJob = 0
		}
		if err := l.expires(ofJob); err != nil {
			return err
		}
		if l.Cause == step.JobExpired {
			ofJob = 0
		}
		if starts := l.Effect == store.RunTargets || l.Effect == store.AskConfirmers; starts && !began && e.Spec.Timeout > 0 {
			ofJob = l.At.Add(e.Spec.Timeout)
		}
		began = began || l.Effect == store.RunTargets || l.Effect == store.AskConfirmers
	}
	if e.Job.Deadline != ofJob {
		return fmt.Errorf("the job has a deadline at %v, want %v", e.Job.Deadline, ofJob)
	}
	for i := range e.Steps {
		s, spec := &e.Steps[i], &e.Spec.Steps[i]
		var want, expires, due step.Time
		if s.ID == e.at {
			expires = e.last.expires
			if s.State.Attempting() && spec.Timeout > 0 {
				want = e.last.started.Add(spec.Timeout)
			}
			moments := []step.Time{want, expires, e.last.gate.Until}
			if s.State != step.Terminating {
				moments = append(moments, ofJob)
			}
			for _, t := range moments {
				if s.State.Active() && t != 0 && (due == 0 || t < due) {
					due = t
				}
			}
		}
		if s.Deadline != want || s.Expires != expires {
			return fmt.Errorf("step %d is %v with a deadline at %v and another at %v, want %v and %v", s.ID, s.State, s.Deadline, s.Expires, want, expires)
		}
		if s.Due != due {
			return fmt.Errorf("step %d is %v and due at %v, its first moment is %v", s.ID, s.State, s.Due, due)
		}
	}
	return nil
}

// expires: the moment of l has come, and it has the decision of the definition.
func (l *line) expires(ofJob step.Time) error {
	if !byTime(l.Record) {
		return nil
	}
	if l.Cause == step.JobExpired {
		if ofJob == 0 || l.At < ofJob {
			return fmt.Errorf("record %d expires at %v a job with a deadline at %v", l.Seq, l.At, ofJob)
		}
		return nil
	}
	if l.Cause == step.Opened {
		if g := l.before.gate; g.Reason != step.TurnGate && (g.Until == 0 || l.At < g.Until) {
			return fmt.Errorf("record %d opens at %v what waits for %v until %v", l.Seq, l.At, g.Reason, g.Until)
		}
		return nil
	}
	confirms := (l.From == step.Waiting || l.From == step.Gated) && l.spec.OnTimeout == step.ConfirmOnTimeout
	ofAttempt := l.From.Attempting() && l.spec.Timeout > 0 && l.At >= l.before.started.Add(l.spec.Timeout)
	switch ofStep := l.before.expires != 0 && l.At >= l.before.expires; {
	case !ofAttempt && !ofStep:
		return fmt.Errorf("record %d expires at %v what began at %v and has %v", l.Seq, l.At, l.before.started, l.spec.Timeout)
	case confirms != (l.Cause == step.ExpiredConfirmed):
		return fmt.Errorf("record %d, %v, is of a step that is to %v", l.Seq, l.Cause, l.spec.OnTimeout)
	}
	return nil
}

// gates: no attempt starts under a hold or before its gate has opened, and what a gate is for, waits.
func (e *evidence) gates() error {
	marks := make([]bool, len(e.Spec.Steps))
	for i := range marks {
		marks[i] = e.Spec.Steps[i].StopBefore
	}
	for i := range e.lines {
		l := &e.lines[i]
		if l.move.Do.Stays() {
			marks[l.Step-1] = l.move.Do == step.Mark
		}
		if l.Effect != store.RunTargets && l.Effect != store.AskConfirmers {
			continue
		}
		if l.held {
			return fmt.Errorf("record %d, %v, starts an attempt, and the job is on hold", l.Seq, l.Cause)
		}
		id := l.Subject()
		if id < 1 || int64(id) > int64(len(e.Spec.Steps)) {
			continue
		}
		spec := &e.Spec.Steps[id-1]
		first, next := l.Entered != 0 || l.before.attempt == 0, l.Entered == 0 && l.before.attempt > 0 && l.then() == step.RunNext
		var waits step.GateReason
		switch g := l.before.gate; {
		case l.Entered == 0 && g.Reason == step.PersonGate && !byPerson(l.Record),
			l.Entered == 0 && g.Reason == step.HoldGate && !l.Cause.OfJob():
			waits = g.Reason
		case l.Entered == 0 && g.Reason != step.NoGate: // looked at where it opens
		case l.move.Do == step.RunNext: // a person's word, which is what the batch waits for
			if spec.Window != "" {
				waits = step.WindowGate
			}
		case first && marks[id-1], next && spec.Rolling.Between.Person:
			waits = step.PersonGate
		case first && (spec.Delay > 0 || id == 1 && e.Spec.StartAt > l.At), next && spec.Rolling.Between.Delay > 0,
			l.Cause == step.FailedAgain && spec.Retry.After > 0:
			waits = step.TimeGate
		case spec.Window != "":
			waits = step.WindowGate
		}
		if waits != step.NoGate {
			return fmt.Errorf("record %d, %v, starts an attempt of step %d, which waits for %v", l.Seq, l.Cause, id, waits)
		}
	}
	for i := range e.Steps {
		if s := &e.Steps[i]; s.StopBefore != marks[i] {
			return fmt.Errorf("a stop is set before step %d: %v, by its history: %v", s.ID, s.StopBefore, marks[i])
		}
	}
	if e.Job.Held != e.held || e.Job.Gate != e.last.gate.Reason {
		return fmt.Errorf("the job is on hold: %v, and waits for %v, by its history: %v, and %v", e.Job.Held, e.Job.Gate, e.held, e.last.gate.Reason)
	}
	return nil
}

// final: nothing moves in a state that the job cannot leave, or after a seal.
func (e *evidence) final() error {
	documented := e.Rules == operation.Standard()
	sealed := false
	for i := range e.lines {
		switch l := &e.lines[i]; {
		case l.Cause.OfEffect(), l.move.Do == step.Note, !sealed && l.move.Do == step.Release: // of the end of the job, say
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
		case do == step.Accept && l.batchLeft() && l.To.Passed():
			return fmt.Errorf("record %d, %v, passes step %d, and a batch is left", l.Seq, l.Cause, l.Step)
		case l.stays(), l.Cause == step.Results, do == step.Vote && l.before.unfinished > 1:
			job, effect = l.JobFrom, store.NoEffect
		case l.To == step.Gated:
			effect = store.NoEffect
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
			switch {
			case l.Gate.Reason != step.NoGate:
				job, effect = step.Gated, store.NoEffect
			case job == step.Waiting:
				effect = store.AskConfirmers
			}
		}
		if err := l.carries(); err != nil {
			return err
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

// carries: a record has a gate if and only if something waits in consequence, and what it says of earlier
// batches and of failures that can be mended changes only where that can change.
func (l *line) carries() error {
	waits := l.Entered == 0 && l.To == step.Gated && (l.From != step.Gated || l.move.Do == step.Open || l.move.Do == step.Hold && l.Gate.Reason != step.NoGate) ||
		l.Entered != 0 && l.JobTo == step.Gated
	moment := l.Gate.Reason == step.TimeGate || l.Gate.Reason == step.WindowGate
	switch {
	case waits != (l.Gate.Reason != step.NoGate) || l.Gate.Reason != step.NoGate && !l.Gate.Reason.Valid():
		return fmt.Errorf("record %d, %v, has gate %+v, and leads to %v, the job to %v", l.Seq, l.Cause, l.Gate, l.To, l.JobTo)
	case moment != (l.Gate.Until != 0) || moment && l.Gate.Until < l.At,
		waits == (l.Gate.Then == 0), l.Entered != 0 && waits && l.Gate.Then != step.Enter, l.gates() && l.Gate.Then != l.then():
		return fmt.Errorf("record %d, %v, has gate %+v", l.Seq, l.Cause, l.Gate)
	}
	next := l.begins() && l.then() == step.RunNext && l.before.attempt > 0
	least, most := l.before.earlier, l.before.earlier
	if next {
		least += l.before.succeeded
		most = least
		if byReport(l.Record) {
			most += l.before.unfinished
		}
	}
	if l.Before < least || l.Before > most {
		return fmt.Errorf("record %d, %v, counts %d targets of earlier batches that have succeeded, want %d to %d", l.Seq, l.Cause, l.Before, least, most)
	}
	mendable := l.before.mendable && !l.begins()
	failed := l.before.unfinished-l.Unfinished > l.Succeeded-l.before.succeeded
	if may := byReport(l.Record) && !l.begins() && failed && l.spec.Retry.Attempts > 0; l.Mendable != mendable && !(may && l.Mendable) {
		return fmt.Errorf("record %d, %v, says that a failure can be mended: %v, before it: %v", l.Seq, l.Cause, l.Mendable, l.before.mendable)
	}
	return nil
}
