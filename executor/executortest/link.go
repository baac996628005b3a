package executortest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A link is what a process has of the store: the kit can freeze, fail and hold its calls.
type link struct {
	store.Store // for the methods that no executor calls
	trial       *trial
	process     *process

	mu        sync.Mutex // guards all below
	state     linkState
	changed   chan struct{} // closed when state changes
	withheld  []store.Effect
	gates     map[method]*gate
	failed    int // number of commits that the link failed
	delivered map[store.Effect]int
	claims    map[effect]int // number of claims of each by this process
}

// An effect is named by its job and record.
type effect struct {
	job store.JobID
	seq store.Seq
}

// A linkState is the fault of all calls over a link.
type linkState uint8

const (
	well     linkState = iota
	frozen             // calls, and answers to calls, are held up
	failing            // commits fail, and nothing was done
	slow               // calls take a while
	deaf               // calls are made, and their answers are lost
	refusing           // commits are refused, and nothing was done
)

func (s linkState) String() string {
	return [...]string{"well", "frozen", "failing", "slow", "deaf", "refusing"}[s]
}

// errOf has the errors of commits in a state. The engine returns a refusal as its own.
var errOf = map[linkState]error{
	failing:  errors.New("the store is away"),
	refusing: &engine.Refusal{Reason: operation.InvalidInput, Field: "results", Detail: "too long for this server"},
}

// A method is the name of a method whose calls can be held.
type method string

const (
	readTargets method = "Targets"
	readDetails method = "Details"
	writeCommit method = "Commit"
	other       method = ""
)

// A gate holds the next call of a method.
type gate struct {
	reached chan struct{}
	opened  chan struct{}
}

// open lets the call through.
func (g *gate) open() { close(g.opened) }

// isReached reports whether a call is at the gate, or was.
func (g *gate) isReached() bool {
	select {
	case <-g.reached:
		return true
	default:
		return false
	}
}

func newLink(p *process, withheld []store.Effect) *link {
	return &link{
		Store: p.store, trial: p.trial, process: p, withheld: withheld, changed: make(chan struct{}),
		gates: map[method]*gate{}, delivered: map[store.Effect]int{}, claims: map[effect]int{},
	}
}

// asStore returns l, with a clock if the store has one.
func (l *link) asStore() store.Store {
	if clock, ok := l.Store.(store.Clock); ok {
		return &clockLink{l, clock}
	}
	return l
}

// A clockLink is a link to a store with a clock.
type clockLink struct {
	*link
	clock store.Clock
}

// Now implements store.Clock.
func (l *clockLink) Now(ctx context.Context) (step.Time, error) {
	return through(ctx, l.link, other, func() (step.Time, error) { return l.clock.Now(ctx) })
}

// set changes the state of the link.
func (l *link) set(s linkState) {
	if s != well {
		l.trial.noteFault()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	close(l.changed)
	l.changed = make(chan struct{})
}

// withhold keeps effects of the given kinds, and of no others, from this process.
func (l *link) withhold(kinds ...store.Effect) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.withheld = kinds
}

// hold holds the next call of a method.
func (l *link) hold(m method) *gate {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := &gate{make(chan struct{}), make(chan struct{})}
	l.gates[m] = g
	return g
}

// failures returns the number of commits that the link failed.
func (l *link) failures() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// deliveries returns the number of effects of a kind that were delivered to the process.
func (l *link) deliveries(kind store.Effect) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delivered[kind]
}

// pass delays or fails a call, or the answer to one, as the state of the link says.
func (l *link) pass(ctx context.Context, m method) error {
	for {
		l.mu.Lock()
		state, changed, g := l.state, l.changed, l.gates[m]
		if m != other {
			delete(l.gates, m)
		}
		err := errOf[state]
		if m != writeCommit || l.trial.isOver() {
			err = nil
		}
		if err != nil {
			l.failed++
		}
		l.mu.Unlock()
		switch {
		case err != nil:
			l.trial.tell()
			return fmt.Errorf("%w: %w", store.ErrUndone, err)
		case g != nil && m != other:
			close(g.reached)
			l.trial.tell()
			if err := l.wait(ctx, g.opened); err != nil {
				return err
			}
			m = other
		case state == slow && !l.trial.isOver():
			return l.wait(ctx, l.trial.after(l.trial.pause/4))
		case state != frozen || l.trial.isOver():
			return nil
		default:
			if err := l.wait(ctx, changed); err != nil {
				return err
			}
		}
	}
}

func (l *link) wait(ctx context.Context, until <-chan struct{}) error {
	select {
	case <-until:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.trial.over:
		return nil
	}
}

// through makes a call over a link.
func through[T any](ctx context.Context, l *link, m method, do func() (T, error)) (T, error) {
	var none T
	if err := l.pass(ctx, m); err != nil {
		return none, err
	}
	answer, err := do()
	if late := l.pass(ctx, other); late != nil {
		return none, late
	}
	if l.isDeaf() {
		return none, errLost
	}
	return answer, err
}

var errLost = errors.New("the store's answer is lost")

func (l *link) isDeaf() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == deaf && !l.trial.isOver()
}

var (
	_ store.Store = (*link)(nil)
	_ store.Waker = (*link)(nil)
)

// Claim implements store.Store.
func (l *link) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	return through(ctx, l, other, func() ([]store.Delivery, error) {
		l.mu.Lock()
		withheld := l.withheld
		l.mu.Unlock()
		c.Effects = slices.DeleteFunc(slices.Clone(c.Effects), func(e store.Effect) bool { return slices.Contains(withheld, e) })
		if len(c.Effects) == 0 {
			return nil, ctx.Err()
		}
		claimed, err := l.Store.Claim(ctx, c)
		l.mu.Lock()
		for _, d := range claimed {
			l.delivered[d.Effect]++
			l.claims[effect{d.Job, d.Seq}]++
		}
		l.mu.Unlock()
		l.trial.tell()
		return claimed, err
	})
}

// Wake implements store.Waker. A store that trials share does not wake: each commit would make
// every process of every trial claim.
func (l *link) Wake(job store.JobID) (changed <-chan struct{}, stop func()) {
	if w, ok := l.Store.(store.Waker); ok && l.trial.alone {
		return w.Wake(job)
	}
	return nil, func() {}
}

// isOnlyClaim reports whether this process has claimed an effect once. It may give back a later claim
// that was never delivered, as its job could not be read, while functions of an earlier one are at work.
func (l *link) isOnlyClaim(d store.Delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.claims[effect{d.Job, d.Seq}] == 1
}

// mute gives a call an empty result.
func mute(do func() error) func() (struct{}, error) {
	return func() (struct{}, error) { return struct{}{}, do() }
}

// View implements store.Store, as do the rest.
func (l *link) View(ctx context.Context, q store.Query) (store.View, error) {
	return through(ctx, l, other, func() (store.View, error) { return l.Store.View(ctx, q) })
}

func (l *link) Created(ctx context.Context, s store.Scope, r store.RequestID) (store.Record, error) {
	return through(ctx, l, other, func() (store.Record, error) { return l.Store.Created(ctx, s, r) })
}

func (l *link) Commit(ctx context.Context, c store.Change) error {
	_, err := through(ctx, l, writeCommit, mute(func() error { return l.Store.Commit(ctx, c) }))
	return err
}

func (l *link) Jobs(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
	return through(ctx, l, other, func() ([]store.Job, error) { return l.Store.Jobs(ctx, f) })
}

func (l *link) Counts(ctx context.Context, s store.Scope, most int) (map[step.State]int, error) {
	return through(ctx, l, other, func() (map[step.State]int, error) { return l.Store.Counts(ctx, s, most) })
}

func (l *link) Snapshot(ctx context.Context, q store.SnapshotQuery) (store.Snapshot, error) {
	return through(ctx, l, other, func() (store.Snapshot, error) { return l.Store.Snapshot(ctx, q) })
}

func (l *link) Steps(ctx context.Context, s store.Scope, job store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
	return through(ctx, l, other, func() ([]store.Step, error) { return l.Store.Steps(ctx, s, job, p) })
}

func (l *link) Targets(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
	return through(ctx, l, readTargets, func() ([]store.Target, error) { return l.Store.Targets(ctx, f) })
}

func (l *link) History(ctx context.Context, s store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	return through(ctx, l, other, func() ([]store.Record, error) { return l.Store.History(ctx, s, job, p) })
}

func (l *link) Details(ctx context.Context, q store.DetailQuery) (store.Details, error) {
	return through(ctx, l, readDetails, func() (store.Details, error) { return l.Store.Details(ctx, q) })
}

func (l *link) Effects(ctx context.Context, s store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	return through(ctx, l, other, func() ([]store.Delivery, error) { return l.Store.Effects(ctx, s, job, p) })
}

func (l *link) Defer(ctx context.Context, d store.Delivery) error {
	_, err := through(ctx, l, other, mute(func() error {
		err := l.Store.Defer(ctx, d)
		if err == nil && !d.Held && l.isOnlyClaim(d) {
			l.process.givesBack(d, "gives back")
		}
		return err
	}))
	return err
}

func (l *link) Settle(ctx context.Context, d store.Delivery) error {
	_, err := through(ctx, l, other, mute(func() error {
		err := l.Store.Settle(ctx, d)
		if err == nil && l.isOnlyClaim(d) && l.trial.runs(d) {
			l.process.givesBack(d, "settles")
		}
		return err
	}))
	return err
}

func (l *link) Overdue(ctx context.Context, s store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	return through(ctx, l, other, func() ([]store.Overdue, error) { return l.Store.Overdue(ctx, s, now, limit) })
}
