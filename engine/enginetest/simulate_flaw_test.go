package enginetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A flaw is a store that is broken on purpose, with the error that a simulation must give.
type flaw struct {
	name  string
	says  string
	store func(store.Store) store.Store
}

var flaws = []flaw{
	{"an update that is lost", "promise", func(s store.Store) store.Store {
		return flawed{Store: s, commit: func(ctx context.Context, c store.Change) error {
			if c.Job.Version == 4 {
				return nil
			}
			return s.Commit(ctx, c)
		}}
	}},
	{"no compare-and-swap", "promise", overwriting},
	{"a conflict told of a commit that took effect", "promise", func(s store.Store) store.Store {
		return flawed{Store: s, commit: func(ctx context.Context, c store.Change) error {
			if err := s.Commit(ctx, c); err != nil || !byReport(&c.Records[0]) || c.Records[0].Cause == step.Results {
				return err
			}
			return store.ErrConflict
		}}
	}},
	{"a commit that took effect told as undone", "promise 1", func(s store.Store) store.Store {
		return flawed{Store: s, commit: func(ctx context.Context, c store.Change) error {
			if err := s.Commit(ctx, c); err != nil || !c.Records[0].Cause.OfStep() {
				return err
			}
			return store.ErrUndone
		}}
	}},
	{"a commit without its results", "promise", func(s store.Store) store.Store {
		return flawed{Store: s, commit: func(ctx context.Context, c store.Change) error {
			c.Targets = nil
			return s.Commit(ctx, c)
		}}
	}},
	{"records without their effects", "promise", func(s store.Store) store.Store {
		return flawed{Store: s, commit: func(ctx context.Context, c store.Change) error {
			c.Records = slices.Clone(c.Records)
			c.Records[0].Effect = store.NoEffect
			return s.Commit(ctx, c)
		}}
	}},
	{"requests that are not found again", "promise", func(s store.Store) store.Store {
		return flawed{Store: s, view: func(ctx context.Context, q store.Query) (store.View, error) {
			q.Request = store.RequestID{}
			return s.View(ctx, q)
		}}
	}},
	{"effects that get lost", "promise", func(s store.Store) store.Store {
		return flawed{Store: s, claim: func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			claimed, err := s.Claim(ctx, c)
			for _, d := range claimed {
				if err == nil && d.Effect == store.RunTargets && d.Seq > 3 {
					err = s.Settle(ctx, d)
					claimed = nil
				}
			}
			return claimed, err
		}}
	}},
	{"leases that do not end", "liveness", func(s store.Store) store.Store {
		return flawed{Store: s, claim: func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			c.Until = c.Until.Add(1 << 40)
			return s.Claim(ctx, c)
		}}
	}},
	{"effects that are not settled", "liveness", func(s store.Store) store.Store {
		return flawed{Store: s, settle: func(context.Context, store.Delivery) error { return nil }}
	}},
	{"a rest that does not end", "liveness", func(s store.Store) store.Store {
		return flawed{Store: s, rest: func(ctx context.Context, d store.Delivery) error {
			d.NotBefore = 1 << 50
			return s.Defer(ctx, d)
		}}
	}},
}

// overwriting returns s as a store that commits without comparing the version.
func overwriting(s store.Store) store.Store {
	return flawed{Store: s, commit: func(ctx context.Context, c store.Change) error {
		err := s.Commit(ctx, c)
		if !errors.Is(err, store.ErrConflict) || c.Base() == 0 {
			return err
		}
		now, err := s.View(ctx, store.Query{Job: c.Job.ID})
		if err != nil {
			return err
		}
		c.Records = slices.Clone(c.Records)
		for i := range c.Records {
			c.Records[i].Seq = now.Job.Version + store.Seq(i+1)
		}
		c.Job.Version = now.Job.Version + store.Seq(len(c.Records))
		return s.Commit(ctx, c)
	}}
}

// flawed is a store with some methods replaced.
type flawed struct {
	store.Store
	view   func(context.Context, store.Query) (store.View, error)
	commit func(context.Context, store.Change) error
	claim  func(context.Context, store.Claim) ([]store.Delivery, error)
	rest   func(context.Context, store.Delivery) error
	settle func(context.Context, store.Delivery) error
}

func (s flawed) View(ctx context.Context, q store.Query) (store.View, error) {
	if s.view == nil {
		return s.Store.View(ctx, q)
	}
	return s.view(ctx, q)
}

func (s flawed) Commit(ctx context.Context, c store.Change) error {
	if s.commit == nil {
		return s.Store.Commit(ctx, c)
	}
	return s.commit(ctx, c)
}

func (s flawed) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	if s.claim == nil {
		return s.Store.Claim(ctx, c)
	}
	return s.claim(ctx, c)
}

func (s flawed) Defer(ctx context.Context, d store.Delivery) error {
	if s.rest == nil {
		return s.Store.Defer(ctx, d)
	}
	return s.rest(ctx, d)
}

func (s flawed) Settle(ctx context.Context, d store.Delivery) error {
	if s.settle == nil {
		return s.Store.Settle(ctx, d)
	}
	return s.settle(ctx, d)
}

// Simulations catch each broken store, by its fault.
func TestSimulationsCatch(t *testing.T) {
	testkit.SetFlag(t, "rapid.checks", "1000")
	for _, f := range flaws {
		t.Run(f.name, func(t *testing.T) {
			open := func(testing.TB) store.Store { return f.store(memstore.New()) }
			caught(t, newStories(Config{Open: open}), f.says)
		})
	}
	t.Run("stale reads and no compare-and-swap", func(t *testing.T) {
		how := newStories(Config{Open: func(testing.TB) store.Store { return overwriting(memstore.New()) }})
		how.troubles = []trouble{stale, staleOn}
		caught(t, how, "promise")
	})
}

// caught plays stories until one fails, which must be with the flaw's error.
func caught(t *testing.T, how stories, says string) {
	t.Helper()
	verdict := ""
	synctest.Test(t, func(*testing.T) { verdict = testkit.Failure(t, how.play) })
	verdict, _, _ = strings.Cut(verdict, "\nTo reproduce")
	if !strings.Contains(verdict, says) {
		t.Errorf("the simulation says %q, want it to speak of %q", verdict, says)
	}
	t.Logf("after %d stories: %.300s", how.seen["story"], verdict)
}
