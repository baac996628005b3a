package engine

import (
	"context"
	"errors"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// KEPT VIEWS. The view after the last commit in a line serves the next report, which saves a load.
// One rule makes that safe: a kept view counts only with a commit that passed, as the commit
// compares the version and so proves the view right. A refusal, or a report without news, is
// decided again on a fresh view before the caller gets it.
//
// A version can come twice: after a failover to a replica that lags, or a restore. So a view is
// kept for one second at most, and not over a failure of the store.

const (
	keptFor     = time.Second // from before the commit that left it, by the host's clock
	keptLines   = 1024        // lines that rest with a kept view, with
	keptTargets = 65_536      // results of targets: together some 4 MB at most
	keptRoom    = 1024        // results whose memory a line uses again
	keptNames   = 64          // confirmers of the step and the next one; with more, nothing is kept
)

// kept is the state that the last commit in a line has left. It is owned by the holder of the turn,
// or by the lines while the line rests. The zero kept is empty.
type kept struct {
	view     store.View      // of the job's current step, without targets
	targets  map[int32]known // by index, those whose latest results are known
	complete bool            // a target that is not known has never reported
	at       time.Time       // by the host's clock, before the commit
	failures int64           // of the store, by then
}

// known has the fields of a target's latest result that decisions read.
type known struct {
	attempt, success, exitCode int32
	status                     step.Status
}

// forget empties k.
func (k *kept) forget() {
	if len(k.targets) > keptRoom { // clear would leave their memory, and take its time
		k.targets = nil
	}
	clear(k.targets)
	k.view, k.complete = store.View{}, false
}

// recall returns the kept view that answers q, if there is one and it is fresh enough.
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

// keep makes the line keep v as it is after c, which was decided on v: a store's view, or a
// recalled one.
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
	if left.Step.ID != left.Job.Current || !left.Step.State.Attempting() ||
		len(k.targets) > keptTargets || left.Step.Confirmers.Len()+left.Next.Confirmers.Len() > keptNames {
		k.forget()
	}
}

// learn adds the latest results of targets.
func (k *kept) learn(targets []store.Target) {
	if k.targets == nil {
		k.targets = make(map[int32]known, len(targets))
	}
	for i := range targets {
		t := &targets[i]
		k.targets[t.Index] = known{t.Attempt, t.Success, t.ExitCode, t.Status}
	}
}

// commitKept decides a report on the kept view of its line, and reports whether its commit passed.
// If it did not, the caller decides the report on a fresh view.
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

// A watched store tells the lines of its failures, after which they keep no view.
type watched struct {
	store.Store
	lines *lines
}

// heard returns err, and drops the kept views if it is a failure of the store: not one of the
// store's answers, nor that the caller has left.
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
