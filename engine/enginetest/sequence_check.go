package enginetest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// expect wants an answer to be a success or a refusal.
func (w *sequence) expect(err error) {
	if err != nil && !player.Refused(err) {
		w.Fatalf("promise 1: %v is neither a success nor a refusal", err)
	}
}

// after checks the version after a command. Promise 1: an accepted command made one version, or two
// if a deadline had passed before it, and a refused command none.
func (w *sequence) after(j *tracked, a answer) {
	w.land()
	w.expect(a.err)
	w.checkAccepted()
	before, version := j.version(), w.header(j).Version
	news := w.history(j)
	for n := len(news); n > 1 && asked(&news[n-2], &news[n-1]); n-- { // about a window, by the engine itself
		news, version = news[:n-1], version-1
	}
	expired := store.Seq(0) // whether an expiry came first
	if len(news) == 2 && byTime(&news[0]) {
		expired = 1
	}
	// A sweep looks again once it has moved a turn, and may find the job due by another moment.
	swept := len(news) > 0 && news[0].Seq == a.seq && !slices.ContainsFunc(news, func(r store.Record) bool { return !byTime(&r) })
	switch {
	case a.err != nil && version != before:
		w.Fatalf("promise 1: %v, but the job went from version %d to %d", a.err, before, version)
	case a.err == nil && a.seq != 0 && !swept && (a.seq != version || version != before+expired+1):
		w.Fatalf("promise 1: accepted as version %d, but the job went from version %d to %d", a.seq, before, version)
	case a.err == nil && a.seq == 0 && version != before:
		w.Fatalf("promise 1: nothing was to change, but the job went from version %d to %d", before, version)
	}
	w.check(j)
	w.checkOthers(j)
}

// attemptBefore returns the attempt of the step before r, which has the attempt after it: a moment or a
// report can begin the next one.
func attemptBefore(r *store.Record) int32 {
	if r.Entered == 0 && (r.Effect == store.RunTargets || r.Effect == store.AskConfirmers) {
		return r.Attempt - 1
	}
	return r.Attempt
}

// asked reports whether r is the answer about the window at which the record before it left the step.
func asked(before, r *store.Record) bool {
	return r.Cause == step.Opened && before.Gate.Reason == step.WindowGate && before.Gate.Until == before.At
}

// checkOthers checks the jobs beside j, which have changed only if time has ended an
// attempt of theirs.
func (w *sequence) checkOthers(j *tracked) {
	for _, other := range w.jobs {
		if other == j || w.header(other).Version == other.version() {
			continue
		}
		for _, r := range w.history(other) {
			if !byTime(&r) {
				w.Fatalf("promise 1: a command to job %d did this to job %d: %+v", j.id, other.id, r)
			}
		}
		w.check(other)
	}
}

// Promise 6: an accepted command is in the history, under its own number.
func (w *sequence) checkAccepted() {
	for _, r := range w.accepted {
		history, err := w.engines[1].History(context.Background(), r.Job, r.Seq-1, 1)
		if err != nil || len(history) != 1 || history[0] != r {
			w.Fatalf("promise 6: accepted was\n%+v, the history has\n%+v, %v", r, history, err)
		}
	}
	w.accepted = w.accepted[:0]
}

func (w *sequence) header(j *tracked) store.Job {
	header, err := w.engines[1].Job(context.Background(), j.id)
	if err != nil {
		w.Fatalf("Job(%d): %v", j.id, err)
	}
	return header
}

// history returns the records that were made since the last command.
func (w *sequence) history(j *tracked) []store.Record {
	history, err := w.engines[1].History(context.Background(), j.id, j.version(), 10_000)
	if err != nil {
		w.Fatalf("History(%d): %v", j.id, err)
	}
	return history
}

// recordOf returns a record of j that was made since the last command.
func (w *sequence) recordOf(j *tracked, is func(store.Record) bool) (store.Record, bool) {
	news := w.history(j)
	if i := slices.IndexFunc(news, is); i >= 0 {
		return news[i], true
	}
	return store.Record{}, false
}

// check reads j back and checks every promise that the stored state can show, and then that the
// model agrees.
func (w *sequence) check(j *tracked) {
	s, before := w.load(j), j.version()
	if j.final && slices.ContainsFunc(s.History[before:], func(r store.Record) bool {
		mark := r.From == step.Pending && r.To == step.Pending // a stop before a step that never comes
		return !r.Cause.OfEffect() && !mark && !w.Rules.Comments(r.Cause)
	}) {
		w.Fatalf("promise 2: nothing was to happen to job %d any more, and it went from version %d to %d by %+v", j.id, before, s.Job.Version, s.History[before])
	}
	if err := w.checker.Check(&s); err != nil {
		w.Fatalf("job %d: %v", j.id, err)
	}
	if err := s.CheckDelivered(func(seq store.Seq) bool { return w.delivered[j.id][seq] || w.givenUp[effect{j.id, seq}] }); err != nil {
		w.Fatalf("job %d: %v", j.id, err)
	}
	j.last, j.passed = s, append(j.passed[:0], j.oracle)
	for i := range s.History[before:] {
		w.follow(j, &s.History[before:][i])
	}
	w.checkDue(j)
	w.checkEarlier(j)
	w.checkGoesOn(j)
	if j.oracle != nil {
		if err := Compare(j.oracle, s); err != nil {
			w.Fatalf("promise 8: job %d: %v", j.id, err)
		}
	}
}

// follow applies a new record to the model, and tallies it.
func (w *sequence) follow(j *tracked, r *store.Record) {
	w.seen["record"]++
	w.seen[r.Cause.String()]++
	if s := j.last.Job; s.Sealed && s.Version == r.Seq {
		w.seen["seal"]++
	}
	w.seen[fmt.Sprint("step type: ", j.spec.Steps[r.Step-1].Type)]++
	if byPerson(r) && r.Entered == 0 && (r.Effect == store.RunTargets && startsAll(r) || r.Gate.Then == step.RunAll) {
		maps.DeleteFunc(j.succeeded[r.Step], func(target int32, _ bool) bool { return r.Run.Has(target) })
	}
	report := w.sent[r.Actor]
	gaveUp := r.Cause == step.Broke && w.givers[r.Request]
	if byReport(r) && !gaveUp && (report.Job != r.Job || report.Step != r.Step || report.Attempt != attemptBefore(r)) {
		w.Fatalf("promise 4: a report of attempt %d.%d of job %d was counted for attempt %d.%d of job %d",
			report.Step, report.Attempt, report.Job, r.Step, attemptBefore(r), r.Job)
	}
	if j.oracle == nil {
		return
	}
	j.oracle = j.oracle.Clone()
	w.checkWindow(j, r)
	made := *r
	if gaveUp {
		made.Cause, made.Effect = step.GivenUp, store.RunTargets
	}
	before := &j.last.History[max(r.Seq, 2)-2]
	if n := len(j.passed); n > 1 && !byTime(r) && byTime(before) && before.Cause != step.Opened && before.At == r.At {
		// Perhaps both are of one command, which meets one deadline and no second one.
		both := j.passed[n-2].Clone()
		if changed, _ := apply(both, &made, report); changed {
			j.oracle = both
			j.passed = append(j.passed, both)
			return
		}
	}
	if changed, reason := apply(j.oracle, &made, report); !changed {
		w.Fatalf("promise 6: record %d, %v, starts in %v: there, by the model, the command is %s", r.Seq, r.Cause, r.From, verdict(reason, changed))
	}
	j.passed = append(j.passed, j.oracle)
}

// checkWindow checks that a record which asks about a window has the answer of the function of windows:
// the step begins, or waits until the window opens.
func (w *sequence) checkWindow(j *tracked, r *store.Record) {
	gate, name := j.oracle.Steps[j.oracle.Current-1].Gate, j.spec.Steps[j.oracle.Current-1].Window
	if r.Cause != step.Opened || gate.Reason != step.WindowGate {
		return
	}
	until := r.At
	if r.Gate.Reason == step.WindowGate {
		until = r.Gate.Until
	}
	if opens := step.At(window(name, r.At.Std())); until != opens {
		w.Fatalf("promise 9: job %d asked about the window %q at %v, which opens at %v, and the answer is %v", j.id, name, r.At, opens, until)
	}
	w.seen["window: "+r.To.String()]++
}

// apply applies the command that made a record to the model. The command is report if the record
// says so, and otherwise follows from the record, also for a run that was given up.
func apply(m *model.Job, r *store.Record, report engine.Report) (changed bool, refused operation.Reason) {
	if r.Gate.Reason == step.TimeGate {
		defer func() { changed = changed && m.Drawn(r.Gate.Until) }()
	}
	switch {
	case r.Cause.OfStep():
		refused = m.Operate(r.Step, operation.Code(r.Cause.Code()), r.Actor, r.At)
	case r.Cause.OfJob():
		refused = m.OperateJob(operation.JobCode(r.Cause.Code()), r.Actor, r.At)
	case r.Cause.OfEffect():
		refused = m.OperateEffect(r.Cause, model.Effect(r.Effect.String()), r.Step, r.Attempt, r.At)
	case byTime(r):
		window := r.At // the answer about a window, which opens or says when it will
		if r.Gate.Reason == step.WindowGate {
			window = r.Gate.Until
		}
		refused = m.Expire(r.Step, attemptBefore(r), window, r.At)
	default:
		return m.Report(report.Step, report.Attempt, modelled(report.Results), report.Outcome, r.At)
	}
	return refused == 0, refused
}

// Promise 5: no target whose success was accepted is due again.
func (w *sequence) checkDue(j *tracked) {
	for i, s := range j.last.Steps {
		for _, t := range j.last.Targets[i] {
			if s.Attempt > 0 && s.Run.Due(t) && j.succeeded[s.ID][t.Index] {
				w.Fatalf("promise 5: target %d of step %d has succeeded, and attempt %d runs it again", t.Index, s.ID, s.Attempt)
			}
		}
	}
}

// Promise 3: the results that a read returned after the end of an attempt are still the same while
// another attempt runs.
func (w *sequence) checkEarlier(j *tracked) {
	current := j.last.current()
	if current.Attempt == 0 || current.Total == 0 {
		return
	}
	read := func(number int32) []store.Target {
		targets, err := w.engines[1].Targets(context.Background(), j.id, current.ID, engine.TargetQuery{Attempt: number})
		if err != nil {
			w.Fatalf("promise 3: targets of attempt %d.%d of job %d: %v", current.ID, number, j.id, err)
		}
		return targets
	}
	switch was, seen := j.ended[current.ID]; {
	case current.State.Finished():
		if j.ended == nil {
			j.ended = map[step.ID]attempt{}
		}
		j.ended[current.ID] = attempt{current.Attempt, j.version(), read(current.Attempt)}
	case seen && !slices.ContainsFunc(j.last.History[was.version:], func(r store.Record) bool {
		return r.Step == current.ID && r.Attempt == was.number && r.Moves() // under some rules it ends once more
	}):
		w.seen["earlier attempt"]++
		if now := read(was.number); !slices.Equal(now, was.targets) {
			w.Fatalf("promise 3: of attempt %d.%d of job %d was read\n%+v, and while attempt %d runs\n%+v",
				current.ID, was.number, j.id, was.targets, current.Attempt, now)
		}
	}
}

// Promise 2: a job that waits for people has a legal operation, and no command changes a final job.
func (w *sequence) checkGoesOn(j *tracked) {
	ctx, ann, c := context.Background(), engine.Request{By: "ann"}, j.last.current()
	legal := j.last.sight().Legal("ann")
	codes, err := w.engines[1].Allowed(ctx, j.id, c.ID, ann)
	overdue := j.last.expired(step.At(w.now)) // she is told what is legal after the expiry
	if err != nil || codes != legal && !overdue {
		w.Fatalf("promise 2: job %d is %v: the rules let ann do %v, and she is told %v, %v", j.id, c.State, legal, codes, err)
	}
	if c.State == step.Pending {
		if _, err := w.engines[1].OperateJob(ctx, j.id, operation.StartJob, engine.Request{By: "ann", DryRun: true}); err != nil {
			w.Fatalf("promise 2: job %d cannot be started: %v", j.id, err)
		}
	}
	if final := c.State.Finished() && j.last.sight().Idle(); final != j.final {
		j.final = final
		w.seen["final job"]++
	}
}

// expired reports whether a deadline of the attempt, the step or the job has passed, so that a command
// meets its expiry first.
func (s *Snapshot) expired(now step.Time) bool {
	return slices.ContainsFunc([]step.Time{s.current().Deadline, s.current().Expires, s.Job.Deadline}, func(t step.Time) bool {
		return t != 0 && t <= now
	})
}
