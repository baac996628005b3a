package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// bound is the timeout of stores whose server falls silent. It is a fifth of the default: a slow
// machine takes a tenth of a second for a new connection, and all are made anew at once.
const bound = 2 * time.Second

// When all connections of a process fall silent at once, as after a failover, and new ones work,
// its calls end within the bound of the store and go on: operations, whose callers set no deadline,
// the dispatcher, the sweep and the watchers.
func TestServerFallsSilent(t *testing.T) {
	restless := func(c *pgxpool.Config) {
		c.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return true }
	}
	resting := func(c *pgxpool.Config) {
		c.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	}
	for _, lanes := range []int{1, 4, 0} {
		for what, pings := range map[string]func(*pgxpool.Config){"the pool asks its connections": restless, "the pool does not ask": resting} {
			t.Run(fmt.Sprintf("lanes=%d,%s", lanes, what), func(t *testing.T) {
				fallSilent(t, lanes, pings) // one at a time: the bounds are short, and new connections cost a processor
			})
		}
	}
}

func fallSilent(t *testing.T, lanes int, pings func(*pgxpool.Config)) {
	const jobs = 8
	dsn, direct := shared(t, hasty)
	p := newProxy(t)
	st := open(t, connect(t, dsn, p.between, conns(16), pings), pgstore.WithTimeout(bound), pgstore.WithLanes(lanes))
	eng, near := engine.New(st), engine.New(open(t, direct))

	defer p.cut() // so that no pool waits for what is silent as it closes
	ctx, end := context.WithCancel(t.Context())
	var background sync.WaitGroup
	defer background.Wait()
	defer end()
	delivered := make(chan store.JobID, 3*jobs)
	background.Go(func() {
		_ = eng.Dispatch(ctx, func(_ context.Context, d engine.Delivery) error {
			if d.Effect == store.JobEnded {
				delivered <- d.Job.ID
			}
			return nil
		}, engine.SweepEvery(bound/10), engine.Lease(4*bound))
	})
	w := watching(t, open(t, direct), st)
	w.told(2)
	listener(t, direct, 0)
	var ids []store.JobID
	for range jobs {
		ids = append(ids, jobkit.Start(t, near, jobkit.Asking(1)))
	}
	timed := jobkit.Start(t, near, engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Confirmation, Name: "go?", Timeout: bound}}})
	at := time.Now()
	if p.silence() < 2 {
		t.Fatal("the store has no connections that could fall silent")
	}

	answers := make([]<-chan error, jobs)
	for i, id := range ids {
		answers[i] = asked(func() error {
			_, err := eng.Operate(t.Context(), id, 1, operation.Confirm, engine.Request{ID: store.RequestID{15: 1}})
			return err
		})
	}
	soon := time.After(20 * bound) // of these an operation takes four at the most: two loads and two commits
	for i, answer := range answers {
		select {
		case err := <-answer:
			if err != nil && !errors.Is(err, store.ErrUndone) {
				t.Errorf("operation %d: got error %v, want that it passes or that nothing was done", i, err)
			}
			if err != nil {
				_, err = eng.Operate(t.Context(), ids[i], 1, operation.Confirm, engine.Request{ID: store.RequestID{15: 1}})
			}
			if err != nil {
				t.Errorf("operation %d, again: %v", i, err)
			}
		case <-soon:
			t.Fatalf("operation %d has no answer after %v", i, time.Since(at))
		}
	}
	t.Logf("the operations took %v", time.Since(at))
	left := map[store.JobID]bool{timed: true} // by the sweep
	for _, id := range ids {
		left[id] = true
	}
	for len(left) > 0 {
		select {
		case id := <-delivered:
			delete(left, id)
		case <-soon:
			t.Fatalf("%d ends of jobs are not delivered after %v", len(left), time.Since(at))
		}
	}
	w.told(2)
	t.Logf("all took %v", time.Since(at))
}

// A commit whose answer does not come is in doubt: it may have taken effect.
func TestCommitIntoSilence(t *testing.T) {
	dsn, direct := shared(t)
	p := newProxy(t)
	st := open(t, connect(t, dsn, p.between, conns(1)), pgstore.WithTimeout(bound))
	id := jobkit.Start(t, engine.New(open(t, direct)), jobkit.Asking(1))
	change := refusing(t, st, id, store.RequestID{})
	p.silence()
	defer p.cut()
	err := st.Commit(t.Context(), change)
	if !errors.Is(err, pgstore.ErrTimeout) || errors.Is(err, store.ErrUndone) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Commit into silence: got error %v, want %v and the outcome unknown", err, pgstore.ErrTimeout)
	}
	if _, err := st.View(t.Context(), store.Query{Job: id}); err != nil {
		t.Errorf("View after it, on the only place of the pool: %v", err)
	}
}
