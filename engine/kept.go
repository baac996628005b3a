package engine

import (
	"context"
	"errors"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// WHAT A COMMIT HAS LEFT BEHIND. The view that the last commit in a line has left serves the next
// report, which saves its load. One rule makes that safe: only a commit that passed may rest on a
// kept view. The commit compares the version, and so proves that the view was the truth. All else,
// a refusal or a report that tells nothing new, is decided on a fresh view before it is told.
//
// Versions can come again: after a failover to a replica that lags, or a restore. So nothing is
// kept for longer than a second, nor over a failure of the store.

const (
	keptFor     = time.Second // from before the commit that left it, by the host's clock
	keptLines   = 1024        // lines that rest with a kept view, with
	keptTargets = 65_536      // results of targets: together some 4 MB at most
	keptRoom    = 1024        // results whose memory a line uses again
	keptNames   = 64          // confirmers of the step and the next one; with more, nothing is kept
)

// kept is what the last commit in a line has left. It belongs to who has the turn, and while the
// line rests to the lines. The zero kept is nothing.
type kept struct {
	view     store.View      // of the job's current step, without targets
	targets  map[int32]known // by index, those whose latest results are known
	complete bool            // a target that is not known has never reported
	at       time.Time       // by the host's clock, before the commit
	failures int64           // of the store, by then
}

// known is what decisions look at of the latest result of a target.
type known struct {
	attempt, success, exitCode int32
	status                     step.Status
}

// forget leaves nothing.
func (k *kept) forget() {
	if len(k.targets) > keptRoom { // clear would leave their memory, and take its time
		k.targets = nil
	}
	clear(k.targets)
	k.view, k.complete = store.View{}, false
}

// recall returns what q asks for as the last commit in the line has left it, if it serves.
func (e *Engine) recall(t turn, q *store.Query, now time.Time) (v store.View, ok bool) {
	k := &t.line.kept
	age := now.Sub(k.at)
	if k.view.Step.ID != q.Step || q.Request != (store.RequestID{}) || age < 0 || age >= keptFor || k.failures != e.lines.failures.Load() {
		return store.View{}, false
	}
	v = k.view
	v.Targets = make([]store.Target, len(q.Targets))
	for i, index := range q.Targets {
		t, ok := k.targets[index]
		if !ok && (!k.complete || index < 0 || index >= v.Step.Total) {
			return store.View{}, false
		}
		v.Targets[i] = store.Target{Index: index, Attempt: t.attempt, Success: t.success, Result: store.Result{Status: t.status, ExitCode: t.exitCode}}
	}
	return v, true
}

// keep has the line keep what c has left of v, on which it was decided: a store's view, or one that
// was recalled.
func (t turn) keep(v store.View, recalled bool, c *store.Change, at time.Time, failures int64) {
	k := &t.line.kept
	if !recalled {
		k.forget()
		// In its first attempt, nothing but its entry leaves a step running; see TestOnlyTheEntryLeavesAStepRunning.
		k.complete = v.Step.State == step.Running && v.Step.Attempt == 1 && v.Job.Moved == v.Job.Version
		k.learn(v.Targets)
	}
	k.learn(c.Targets)
	v.Targets, v.Replay = nil, nil
	k.view = v.After(*c)
	k.at, k.failures = at, failures
	left := &k.view
	if left.Step.ID != left.Job.Current || !left.Step.State.Active() ||
		len(k.targets) > keptTargets || left.Step.Confirmers.Len()+left.Next.Confirmers.Len() > keptNames {
		k.forget()
	}
}

// learn adds latest results of targets.
func (k *kept) learn(targets []store.Target) {
	if k.targets == nil {
		k.targets = make(map[int32]known, len(targets))
	}
	for i := range targets {
		t := &targets[i]
		k.targets[t.Index] = known{t.Attempt, t.Success, t.ExitCode, t.Status}
	}
}

// commitKept decides a report on what the last commit in its line has left, and reports whether its
// commit passed. Where it did not, the report is to be decided on a fresh view.
func (e *Engine) commitKept(ctx context.Context, c *call, q *store.Query, cmd Command) (passed bool, err error) {
	c.at, c.failures = e.clock.host(), e.lines.failures.Load()
	view, ok := e.recall(c.turn, q, c.at)
	if !ok {
		return false, nil
	}
	e.setTimeAndID(c, cmd)
	c.view = view
	c.reset()
	if overdue(&c.view, c.now) || e.decide.on(e.rules, &c.view, cmd, operation.Move{}, c.now, &c.decision) != nil || !c.decision.Changes() {
		return false, nil
	}
	again, err := e.commit(ctx, c, q, view.Job.Version, true)
	return !again && err == nil, err
}

// A watched store has nothing kept over a failure of another one, whatever was called.
type watched struct {
	store.Store
	lines *lines
}

// heard returns err. What a store answers is no failure, nor is a call that its caller has left.
func (w watched) heard(ctx context.Context, err error) error {
	switch {
	case err == nil, errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrLeaseLost):
	case ctx.Err() == context.Canceled && errors.Is(err, context.Canceled):
	default:
		w.lines.forget()
	}
	return err
}

func (w watched) View(ctx context.Context, q store.Query) (store.View, error) {
	v, err := w.Store.View(ctx, q)
	return v, w.heard(ctx, err)
}

func (w watched) Created(ctx context.Context, s store.Scope, r store.RequestID) (store.Record, error) {
	v, err := w.Store.Created(ctx, s, r)
	return v, w.heard(ctx, err)
}

func (w watched) Jobs(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
	v, err := w.Store.Jobs(ctx, f)
	return v, w.heard(ctx, err)
}

func (w watched) Counts(ctx context.Context, s store.Scope, most int) (map[step.State]int, error) {
	v, err := w.Store.Counts(ctx, s, most)
	return v, w.heard(ctx, err)
}

func (w watched) Snapshot(ctx context.Context, q store.SnapshotQuery) (store.Snapshot, error) {
	v, err := w.Store.Snapshot(ctx, q)
	return v, w.heard(ctx, err)
}

func (w watched) Steps(ctx context.Context, s store.Scope, job store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
	v, err := w.Store.Steps(ctx, s, job, p)
	return v, w.heard(ctx, err)
}

func (w watched) Targets(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
	v, err := w.Store.Targets(ctx, f)
	return v, w.heard(ctx, err)
}

func (w watched) History(ctx context.Context, s store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	v, err := w.Store.History(ctx, s, job, p)
	return v, w.heard(ctx, err)
}

func (w watched) Details(ctx context.Context, q store.DetailQuery) (store.Details, error) {
	v, err := w.Store.Details(ctx, q)
	return v, w.heard(ctx, err)
}

func (w watched) Effects(ctx context.Context, s store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	v, err := w.Store.Effects(ctx, s, job, p)
	return v, w.heard(ctx, err)
}

func (w watched) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	v, err := w.Store.Claim(ctx, c)
	return v, w.heard(ctx, err)
}

func (w watched) Overdue(ctx context.Context, s store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	v, err := w.Store.Overdue(ctx, s, now, limit)
	return v, w.heard(ctx, err)
}

func (w watched) Commit(ctx context.Context, c store.Change) error {
	return w.heard(ctx, w.Store.Commit(ctx, c))
}

func (w watched) Defer(ctx context.Context, d store.Delivery) error {
	return w.heard(ctx, w.Store.Defer(ctx, d))
}

func (w watched) Settle(ctx context.Context, d store.Delivery) error {
	return w.heard(ctx, w.Store.Settle(ctx, d))
}
