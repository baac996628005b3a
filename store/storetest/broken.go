package storetest

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Breakage breaks a correct store on purpose, in one way.
type Breakage struct {
	Name    string   // unique
	Why     string   // the fault, in words
	Rejects []string // the promises that the suite must find broken, of [Promises]

	// Break returns a broken store on s. Its caller does not use s any more.
	Break func(s store.Store) store.Store
}

// Broken returns the breakages that the suite must reject: at least one for each of [Promises].
// They prove that the suite finds errors.
func Broken() []Breakage {
	return slices.Concat(brokenCommits, brokenFields, brokenMalformed, brokenReads, brokenViews, brokenLists, brokenSnapshots, brokenDetails, brokenBatches, brokenGates, brokenEffects, brokenOverdue, brokenTurns, brokenWakes)
}

// A patch is a store whose methods can be replaced one by one.
type patch struct {
	view    func(context.Context, store.Query) (store.View, error)
	created func(context.Context, store.Scope, store.RequestID) (store.Record, error)
	commit  func(context.Context, store.Change) error
	jobs    func(context.Context, store.JobFilter) ([]store.Job, error)
	counts  func(context.Context, store.Scope, int) (map[step.State]int, error)
	snap    func(context.Context, store.SnapshotQuery) (store.Snapshot, error)
	steps   func(context.Context, store.Scope, store.JobID, store.Page[step.ID]) ([]store.Step, error)
	targets func(context.Context, store.TargetFilter) ([]store.Target, error)
	history func(context.Context, store.Scope, store.JobID, store.Page[store.Seq]) ([]store.Record, error)
	details func(context.Context, store.DetailQuery) (store.Details, error)
	effects func(context.Context, store.Scope, store.JobID, store.Page[store.Seq]) ([]store.Delivery, error)
	claim   func(context.Context, store.Claim) ([]store.Delivery, error)
	delay   func(context.Context, store.Delivery) error // Defer
	settle  func(context.Context, store.Delivery) error
	overdue func(context.Context, store.Scope, step.Time, int) ([]store.Overdue, error)
}

var _ store.Store = (*patch)(nil)

// replacing breaks a store by replacing methods. The result is no [store.Waker].
func replacing(replace func(s store.Store, p *patch)) func(store.Store) store.Store {
	return func(s store.Store) store.Store {
		p := &patch{s.View, s.Created, s.Commit, s.Jobs, s.Counts, s.Snapshot, s.Steps, s.Targets, s.History, s.Details, s.Effects, s.Claim, s.Defer, s.Settle, s.Overdue}
		replace(s, p)
		return p
	}
}

// intercepting breaks a store in every method alike.
func intercepting(c caller) func(store.Store) store.Store {
	return func(s store.Store) store.Store {
		f := NewFaults(s)
		f.between = c
		return f
	}
}

// committing breaks Commit.
func committing(commit func(ctx context.Context, s store.Store, c store.Change) error) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.commit = func(ctx context.Context, c store.Change) error { return commit(ctx, s, c) }
	})
}

// changing breaks Commit by changing the change before it.
func changing(change func(*store.Change)) func(store.Store) store.Store {
	return committing(func(ctx context.Context, s store.Store, c store.Change) error {
		c = c.Clone()
		change(&c)
		return s.Commit(ctx, c)
	})
}

// viewing breaks View.
func viewing(view func(ctx context.Context, s store.Store, q store.Query) (store.View, error)) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.view = func(ctx context.Context, q store.Query) (store.View, error) { return view(ctx, s, q) }
	})
}

// claiming breaks Claim by changing its argument.
func claiming(change func(*store.Claim)) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			change(&c)
			return s.Claim(ctx, c)
		}
	})
}

// claimingApart makes a store claim kind by kind, and breaks the claims of some kinds by changing
// their argument.
func claimingApart(broken func(*store.Claim) bool, change func(*store.Claim)) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.claim = func(ctx context.Context, c store.Claim) (all []store.Delivery, err error) {
			for _, kind := range c.Effects {
				one := c
				one.Effects, one.Limit = []store.Effect{kind}, c.Limit-len(all)
				if broken(&one) {
					change(&one)
				}
				ds, failed := s.Claim(ctx, one)
				all, err = append(all, ds...), errors.Join(err, failed)
			}
			return all, err
		}
	})
}

// deferring breaks Defer by changing its argument.
func deferring(change func(ctx context.Context, s store.Store, d *store.Delivery)) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.delay = func(ctx context.Context, d store.Delivery) error {
			change(ctx, s, &d)
			return s.Defer(ctx, d)
		}
	})
}

// askingForNewest breaks Jobs by changing a filter for the newest.
func askingForNewest(change func(*store.JobFilter)) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.jobs = func(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
			if f.Newest {
				change(&f)
			}
			return s.Jobs(ctx, f)
		}
	})
}

// claimingBy breaks the order of Claim. Effects that order drops are claimed as well, and returned
// by the next claim.
func claimingBy(order func([]store.Delivery) []store.Delivery) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			limit := c.Limit
			c.Limit = most
			ds, err := s.Claim(ctx, c)
			ds = order(ds)
			limit = min(limit, len(ds))
			for _, d := range ds[limit:] {
				d.NotBefore = c.Now
				err = errors.Join(err, s.Defer(ctx, d))
			}
			return ds[:limit], err
		}
	})
}

// listing breaks every method that returns a list: ask changes the arguments, answer the result, a
// slice.
func listing(ask func(after int64, limit int) (int64, int), answer func(rows any) error) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.jobs = func(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
			f.Page = asked(f.Page, ask)
			rows, err := s.Jobs(ctx, f)
			return answered(rows, err, answer)
		}
		p.steps = func(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
			rows, err := s.Steps(ctx, scope, id, asked(p, ask))
			return answered(rows, err, answer)
		}
		p.targets = func(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
			f.Page = asked(f.Page, ask)
			rows, err := s.Targets(ctx, f)
			return answered(rows, err, answer)
		}
		p.history = func(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
			rows, err := s.History(ctx, scope, id, asked(p, ask))
			return answered(rows, err, answer)
		}
		p.effects = func(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
			rows, err := s.Effects(ctx, scope, id, asked(p, ask))
			return answered(rows, err, answer)
		}
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			_, c.Limit = ask(0, c.Limit)
			return s.Claim(ctx, c)
		}
		p.overdue = func(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
			_, limit = ask(0, limit)
			rows, err := s.Overdue(ctx, scope, now, limit)
			return answered(rows, err, answer)
		}
	})
}

func asked[K ~int32 | ~int64](p store.Page[K], ask func(int64, int) (int64, int)) store.Page[K] {
	after, limit := ask(int64(p.After), p.Limit)
	return store.Page[K]{After: K(after), Limit: limit}
}

func answered[T any](rows []T, err error, answer func(any) error) ([]T, error) {
	if err == nil {
		err = answer(rows)
	}
	return rows, err
}

// asIs does not change the arguments, and asIsToo not the result.
func asIs(after int64, limit int) (int64, int) { return after, limit }
func asIsToo(any) error                        { return nil }

// reverse turns a slice round.
func reverse(rows any) error {
	swap, n := reflect.Swapper(rows), reflect.ValueOf(rows).Len()
	for i := range n / 2 {
		swap(i, n-1-i)
	}
	return nil
}

// waking breaks a store's Wake, if it has one.
func waking(wake func(w store.Waker, id store.JobID) (<-chan struct{}, func())) func(store.Store) store.Store {
	return func(s store.Store) store.Store {
		w, ok := s.(store.Waker)
		if !ok {
			return s
		}
		return struct {
			store.Store
			wakeFunc
		}{s, func(id store.JobID) (<-chan struct{}, func()) { return wake(w, id) }}
	}
}

// A wakeFunc is a store.Waker.
type wakeFunc func(store.JobID) (<-chan struct{}, func())

func (f wakeFunc) Wake(id store.JobID) (<-chan struct{}, func()) { return f(id) }

func (p *patch) View(ctx context.Context, q store.Query) (store.View, error) { return p.view(ctx, q) }

func (p *patch) Created(ctx context.Context, scope store.Scope, r store.RequestID) (store.Record, error) {
	return p.created(ctx, scope, r)
}

func (p *patch) Commit(ctx context.Context, c store.Change) error { return p.commit(ctx, c) }

func (p *patch) Jobs(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
	return p.jobs(ctx, f)
}

func (p *patch) Counts(ctx context.Context, scope store.Scope, most int) (map[step.State]int, error) {
	return p.counts(ctx, scope, most)
}

func (p *patch) Snapshot(ctx context.Context, q store.SnapshotQuery) (store.Snapshot, error) {
	return p.snap(ctx, q)
}

func (p *patch) Steps(ctx context.Context, scope store.Scope, id store.JobID, page store.Page[step.ID]) ([]store.Step, error) {
	return p.steps(ctx, scope, id, page)
}

func (p *patch) Targets(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
	return p.targets(ctx, f)
}

func (p *patch) History(ctx context.Context, scope store.Scope, id store.JobID, page store.Page[store.Seq]) ([]store.Record, error) {
	return p.history(ctx, scope, id, page)
}

func (p *patch) Details(ctx context.Context, q store.DetailQuery) (store.Details, error) {
	return p.details(ctx, q)
}

func (p *patch) Effects(ctx context.Context, scope store.Scope, id store.JobID, page store.Page[store.Seq]) ([]store.Delivery, error) {
	return p.effects(ctx, scope, id, page)
}

func (p *patch) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	return p.claim(ctx, c)
}

func (p *patch) Defer(ctx context.Context, d store.Delivery) error { return p.delay(ctx, d) }

func (p *patch) Settle(ctx context.Context, d store.Delivery) error { return p.settle(ctx, d) }

func (p *patch) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	return p.overdue(ctx, scope, now, limit)
}
