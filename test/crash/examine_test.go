package crash

import (
	"context"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
)

// The stores that an examination must reject, and the fault of each.
var broken = []struct {
	name   string
	breaks func(*memstore.Store) store.Store
	harm   harm // that it does; none for the sound store
}{
	{"as it should be", func(s *memstore.Store) store.Store { return s }, ""},
	{"acknowledges commits and drops them", func(s *memstore.Store) store.Store {
		return &committing{Store: s, instead: func(store.Change) []store.Change { return nil }}
	}, lost},
	{"commits twice", func(s *memstore.Store) store.Store {
		return &committing{Store: s, instead: func(c store.Change) []store.Change { return []store.Change{c, following(c)} }}
	}, doubled},
	{"commits the history alone", func(s *memstore.Store) store.Store {
		return &committing{Store: s, instead: func(c store.Change) []store.Change {
			if c.Base() > 0 {
				c.Steps, c.Targets = nil, nil
			}
			return []store.Change{c}
		}}
	}, half},
	{"loses effects", func(s *memstore.Store) store.Store { return forgetful{s} }, missing},
	{"makes effects up", func(s *memstore.Store) store.Store { return inventive{s} }, orphan},
	{"acknowledges a settlement and drops it", func(s *memstore.Store) store.Store { return stubborn{s} }, lost},
}

// An examination finds the harm of each broken store within some hundred operations, and none in a
// sound store.
func TestExaminationBites(t *testing.T) {
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger")
			l, err := openLedger(path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			st, book := b.breaks(memstore.New()), newBook()
			// How many reports meet in a hundred turns is for the scheduler to say.
			for seed := uint64(1); seed == 1 || b.harm == "" && book.shares < 10 && seed <= 20; seed++ {
				play(t.Context(), st, l, book.open(), seed, 100, nil)
				if err := book.readOn(path); err != nil {
					t.Fatal(err)
				}
			}
			found, err := examine(t.Context(), st, book, func(store.Job) bool { return true })
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d changes of several reports", book.shares)
			switch {
			case b.harm != "" && len(found[b.harm]) == 0:
				t.Errorf("nothing is said to be %s; what is found:\n%v", b.harm, found)
			case b.harm == "" && len(found) > 0:
				t.Errorf("found:\n%v", found)
			case b.harm == "" && book.shares < 10:
				t.Errorf("%d changes of several reports, want 10", book.shares)
			}
		})
	}
}

// committing is a store that commits something else instead of every tenth change.
type committing struct {
	*memstore.Store
	instead func(store.Change) []store.Change
	n       atomic.Int64
}

func (s *committing) Commit(ctx context.Context, c store.Change) error {
	if s.n.Add(1)%10 != 0 {
		return s.Store.Commit(ctx, c)
	}
	for _, c := range s.instead(c) {
		if err := s.Store.Commit(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// following returns c as the change that follows itself.
func following(c store.Change) store.Change {
	n := store.Seq(len(c.Records))
	c = c.Clone()
	c.Job.Version += n
	for i := range c.Records {
		c.Records[i].Seq += n
	}
	return c
}

// forgetful is a store that loses every fifth effect.
type forgetful struct{ *memstore.Store }

func (s forgetful) Effects(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	return remembered(s.Store.Effects(ctx, scope, job, p))
}

func (s forgetful) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	return remembered(s.Store.Claim(ctx, c))
}

func remembered(all []store.Delivery, err error) ([]store.Delivery, error) {
	return slices.DeleteFunc(all, func(d store.Delivery) bool { return d.Seq%5 == 0 }), err
}

// inventive is a store that has an effect for every job, whatever its records say.
type inventive struct{ *memstore.Store }

func (s inventive) Effects(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	all, err := s.Store.Effects(ctx, scope, job, p)
	return append(all, store.Delivery{Job: job, Seq: 1, Scope: scope, Effect: store.JobEnded}), err
}

// stubborn is a store whose effects never go.
type stubborn struct{ *memstore.Store }

func (stubborn) Settle(context.Context, store.Delivery) error { return nil }
