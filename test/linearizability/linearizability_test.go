package linearizability

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
	"github.com/stepgate/stepgate/test/stores"
)

func TestMemstore(t *testing.T) { Run(t, stores.Memory.Open) }

func TestSQLite(t *testing.T) { Run(t, stores.SQLite.Emptied(t)) }

func TestPostgreSQL(t *testing.T) { Run(t, stores.PostgreSQL.Emptied(t)) }

// The stores that a history must reject, and the fault of each.
var broken = []struct {
	name, why string
	breaks    func(store.Store) store.Store
}{
	{"lost update", "it commits onto whatever version the job is at", ofSuite("lost update")},
	{"check, then commit", "it compares the version first and commits later", ofSuite("check, then commit")},
	{"busy", "it says that a commit has passed which it dropped because of another", ofSuite("busy")},
	{"dropped", "it says that every fifth commit has passed, and drops it", func(s store.Store) store.Store {
		return &dropping{Store: s}
	}},
	{"stale read", "every fourth view is of the commit before", func(s store.Store) store.Store {
		return &lagging{Store: s}
	}},
}

// A hundred runs catch each broken store a hundred times. A run records histories, as [Run] does,
// until one is not linearizable. Mostly the first is not. A store that loses an update only in a race
// can pass a history without that race.
func TestBrokenStoresAreCaught(t *testing.T) {
	const runs = 100
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			seed := testkit.Seed(t)
			caught, most := 0, 0
			for run := range runs {
				n, err := untilCaught(t, b.breaks, seed+uint64(run*histories))
				if err != nil {
					t.Errorf("run %d: %d histories, and nobody noticed that %s: %v", run, n, b.why, err)
					continue
				}
				caught, most = caught+1, max(most, n)
			}
			t.Logf("linearizability: %s: caught in %d of %d runs, by history %d at the latest", b.name, caught, runs, most)
		})
	}
}

// untilCaught records histories on broken stores and returns the number of the first caught one.
func untilCaught(t *testing.T, breaks func(store.Store) store.Store, seed uint64) (int, error) {
	for n := range histories {
		h, err := Record(t.Context(), breaks(memstore.New()), seed+uint64(n))
		if err != nil {
			return n + 1, err
		}
		err = h.Check()
		if violation := (*Violation)(nil); errors.As(err, &violation) {
			return n + 1, nil
		}
		if err != nil {
			return n + 1, err
		}
	}
	return histories, errors.New("every history is linearizable")
}

// A violation shows the end of the linearizable part, the calls that cannot come next, and the right
// answers. It can be drawn.
func TestAViolationSaysWhatIsWrong(t *testing.T) {
	h, err := Record(t.Context(), &dropping{Store: memstore.New()}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var v *Violation
	if err := h.Check(); !errors.As(err, &v) {
		t.Fatalf("Check() = %v, want a violation", err)
	}
	for _, want := range []string{"not linearizable: ", " calls on a job of ", "and then none of these:\n", "but it should be: "} {
		if !strings.Contains(v.Error(), want) {
			t.Errorf("the violation does not say %q:\n%v", want, v)
		}
	}
	if said := draw(t, fmt.Errorf("wrapped: %w", v)); !strings.Contains(said, filepath.Join(t.ArtifactDir(), "history.html")) {
		t.Errorf("draw() = %q, want it to name the file", said)
	}
}

// ofSuite returns the function that breaks a store as one of the conformance suite's broken stores.
func ofSuite(name string) func(store.Store) store.Store {
	all := storetest.Broken()
	return all[slices.IndexFunc(all, func(b storetest.Breakage) bool { return b.Name == name })].Break
}

// dropping is a store that loses updates.
type dropping struct {
	store.Store
	mu      sync.Mutex // guards all below
	commits int
}

func (d *dropping) Commit(ctx context.Context, c store.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.commits++; d.commits%5 == 0 {
		return nil
	}
	return d.Store.Commit(ctx, c)
}

// lagging is a store that now and then shows a step from a replica that is one commit
// behind.
type lagging struct {
	store.Store
	mu      sync.Mutex // guards all below
	views   int
	replica map[place]store.View
}

type place struct {
	job  store.JobID
	step step.ID
}

func (l *lagging) View(ctx context.Context, q store.Query) (store.View, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.views++
	if old, ok := l.replica[place{q.Job, q.Step}]; ok && l.views%4 == 0 && q.Targets == nil && q.Request == (store.RequestID{}) {
		return old, nil
	}
	return l.Store.View(ctx, q)
}

func (l *lagging) Commit(ctx context.Context, c store.Change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := map[place]store.View{}
	for id := range step.ID(c.Job.Steps + 1) {
		if view, err := l.Store.View(ctx, store.Query{Job: c.Job.ID, Step: id}); err == nil {
			before[place{c.Job.ID, id}] = view
		}
	}
	err := l.Store.Commit(ctx, c)
	if err == nil {
		if l.replica == nil {
			l.replica = map[place]store.View{}
		}
		maps.Copy(l.replica, before)
	}
	return err
}
