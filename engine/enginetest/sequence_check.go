package enginetest

import (
	"context"
	"fmt"
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

// after checks the version that a command has left. Promise 1: what was accepted made one
// version, or two if a deadline had passed before it, and what was refused none.
func (w *sequence) after(j *tracked, a answer) {
	w.land()
	w.expect(a.err)
	w.checkAccepted()
	before, version := j.version(), w.header(j).Version
	expired := store.Seq(0) // whether an expiry came first
	if news := w.history(j); len(news) == 2 && byTime(&news[0]) {
		expired = 1
	}
	switch {
	case a.err != nil && version != before:
		w.Fatalf("promise 1: %v, but the job went from version %d to %d", a.err, before, version)
	case a.err == nil && a.seq != 0 && (a.seq != version || version != before+expired+1):
		w.Fatalf("promise 1: accepted as version %d, but the job went from version %d to %d", a.seq, before, version)
	case a.err == nil && a.seq == 0 && version != before:
		w.Fatalf("promise 1: nothing was to change, but the job went from version %d to %d", before, version)
	}
	w.check(j)
	w.checkOthers(j)
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

// Promise 6: what was accepted stands in the history, under its own number.
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

// check reads j back and checks every promise that can be seen in what is stored, and then
// that the model agrees.
func (w *sequence) check(j *tracked) {
	s, before := w.load(j), j.version()
	if j.final && slices.ContainsFunc(s.History[before:], func(r store.Record) bool { return !r.Cause.OfEffect() }) {
		w.Fatalf("promise 2: nothing was to happen to job %d any more, and it went from version %d to %d", j.id, before, s.Job.Version)
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

// follow has the model do what a new record says, and notes what came up.
func (w *sequence) follow(j *tracked, r *store.Record) {
	w.seen["record"]++
	w.seen[r.Cause.String()]++
	if s := j.last.Job; s.Sealed && s.Version == r.Seq {
		w.seen["seal"]++
	}
	w.seen[fmt.Sprint("step type: ", j.spec.Steps[r.Step-1].Type)]++
	if byPerson(r) && r.Effect == store.RunTargets && startsAll(r) && r.Entered == 0 {
		j.succeeded[r.Step] = nil
	}
	report := w.sent[r.Actor]
	gaveUp := r.Cause == step.Broke && w.givers[r.Request]
	if byReport(r) && !gaveUp && (report.Job != r.Job || report.Step != r.Step || report.Attempt != r.Attempt) {
		w.Fatalf("promise 4: a report of attempt %d.%d of job %d was counted for attempt %d.%d of job %d",
			report.Step, report.Attempt, report.Job, r.Step, r.Attempt, r.Job)
	}
	if j.oracle == nil {
		return
	}
	j.oracle = j.oracle.Clone()
	made := *r
	if gaveUp {
		made.Cause, made.Effect = step.GivenUp, store.RunTargets
	}
	if changed, reason := apply(j.oracle, &made, report); !changed {
		w.Fatalf("promise 6: record %d, %v, starts in %v: there, by the model, the command is %s", r.Seq, r.Cause, r.From, verdict(reason, changed))
	}
	j.passed = append(j.passed, j.oracle)
}

// apply has the model do what made a record, which was a report if the record says so. Of a run that
// was given up the record says that, and its effect.
func apply(m *model.Job, r *store.Record, report engine.Report) (changed bool, refused operation.Reason) {
	switch {
	case r.Cause.OfStep():
		refused = m.Operate(r.Step, operation.Code(r.Cause.Code()), r.Actor, r.At)
	case r.Cause.OfJob():
		refused = m.OperateJob(operation.JobCode(r.Cause.Code()), r.Actor, r.At)
	case r.Cause.OfEffect():
		refused = m.OperateEffect(r.Cause, model.Effect(r.Effect.String()), r.Step, r.Attempt, r.At)
	case byTime(r):
		refused = m.Expire(r.Step, r.Attempt, r.At)
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

// Promise 3: what was read of an attempt when it was over is read as long as another runs.
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

// Promise 2: somebody may do something to a job that waits for people, and nothing happens
// any more to one that is final.
func (w *sequence) checkGoesOn(j *tracked) {
	ctx, ann, c := context.Background(), engine.Request{By: "ann"}, j.last.current()
	legal := j.last.sight().Legal("ann")
	codes, err := w.engines[1].Allowed(ctx, j.id, c.ID, ann)
	overdue := c.Deadline != 0 && c.Deadline <= step.At(w.now) // she is told what is legal after the expiry
	if err != nil || codes != legal && !overdue {
		w.Fatalf("promise 2: job %d is %v: the rules let ann do %v, and she is told %v, %v", j.id, c.State, legal, codes, err)
	}
	if c.State == step.Pending {
		if _, err := w.engines[1].OperateJob(ctx, j.id, operation.StartJob, engine.Request{By: "ann", DryRun: true}); err != nil {
			w.Fatalf("promise 2: job %d cannot be started: %v", j.id, err)
		}
	}
	if final := c.State.Finished() && legal.Empty(); final != j.final {
		j.final = final
		w.seen["final job"]++
	}
}
