package pgstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
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

// later is the time of the changes of [decide]: after all other changes here, unless a step has a
// deadline.
const later step.Time = 4_000_000_000_000

// decide returns the change that a command makes to what q shows of a store.
func decide(t testing.TB, st store.Store, q store.Query, cmd engine.Command) store.Change {
	t.Helper()
	var view store.View
	if _, creates := cmd.(*engine.Create); !creates {
		var err error
		if view, err = st.View(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	at := later
	if _, expires := cmd.(*engine.Expire); view.Step.Deadline != 0 && !expires {
		at = view.Step.Deadline - 1
	}
	d, err := engine.Decide(operation.Standard(), view, cmd, at)
	if err != nil {
		t.Fatal(err)
	}
	return d.Change
}

// refusing returns the change that an operation on the first step of a job makes, which is one
// of those that [asking] makes.
func refusing(t testing.TB, st store.Store, id store.JobID, request store.RequestID) store.Change {
	t.Helper()
	return decide(t, st, store.Query{Job: id, Step: 1}, &engine.Operate{Cause: operation.TerminateConfirmation.Cause(), Request: engine.Request{ID: request}})
}

// unhurried has a lane wait for what a test holds up, instead of going on beside it.
var unhurried = pgstore.WithTimeout(time.Hour)

// lock holds what a statement locks until the returned function is called.
func lock(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) (release func()) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		if err := tx.Rollback(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(release)
	return release
}

// lockJob holds the row of a job, so that a change to it waits.
func lockJob(t testing.TB, pool *pgxpool.Pool, id store.JobID) (release func()) {
	t.Helper()
	return lock(t, pool, `SELECT FROM stepgate_jobs WHERE id = $1 FOR UPDATE`, int64(id))
}

// asked makes a call and returns where its answer will come.
func asked(call func() error) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- call() }()
	return answer
}

// queued makes a call that has to queue, as others of its lane are under way, and returns
// when it does.
func queued(ctx context.Context, call func(context.Context) error) (answer <-chan error) {
	w := &waited{Context: ctx, by: make(chan struct{})}
	answer = asked(func() error { return call(w) })
	<-w.by
	return answer
}

// waited is a context that signals the first wait for its end. A call waits for it once the call is in
// the queue.
type waited struct {
	context.Context
	once sync.Once
	by   chan struct{} // closed then
}

func (w *waited) Done() <-chan struct{} {
	w.once.Do(func() { close(w.by) })
	return w.Context.Done()
}

// queueBehind starts a group of changes, which queue behind one to a job whose row is locked
// until they do.
func queueBehind(t testing.TB, pool *pgxpool.Pool, st *pgstore.Store, changes []store.Change) (answers []<-chan error) {
	t.Helper()
	held := jobkit.Start(t, engine.New(st), jobkit.Asking(1))
	change := refusing(t, st, held, store.RequestID{})
	release, others := lockJob(t, pool, held), stuck(t, pool)
	first := asked(func() error { return st.Commit(t.Context(), change) })
	blocked(t, pool, others+1)
	for _, c := range changes {
		answers = append(answers, queued(t.Context(), func(ctx context.Context) error { return st.Commit(ctx, c) }))
	}
	release()
	if err := <-first; err != nil {
		t.Fatalf("the change before the group: %v", err)
	}
	return answers
}

// commitTogether commits changes in one group and returns their answers.
func commitTogether(t testing.TB, pool *pgxpool.Pool, st *pgstore.Store, changes []store.Change) (errs []error) {
	t.Helper()
	for _, answer := range queueBehind(t, pool, st, changes) {
		errs = append(errs, <-answer)
	}
	return errs
}

// viewTogether reads views in one group, which queues behind a view that waits for a lock until all
// of them do, and returns the answers.
func viewTogether(t testing.TB, pool *pgxpool.Pool, st *pgstore.Store, queries []store.Query) (views []store.View, errs []error) {
	t.Helper()
	release := lock(t, pool, `LOCK TABLE stepgate_steps IN ACCESS EXCLUSIVE MODE`)
	first := asked(func() error { _, err := st.View(t.Context(), store.Query{Job: 1}); return err })
	blocked(t, pool, 1)
	views = make([]store.View, len(queries))
	var answers []<-chan error
	for i, q := range queries {
		answers = append(answers, queued(t.Context(), func(ctx context.Context) (err error) { views[i], err = st.View(ctx, q); return err }))
	}
	release()
	if err := <-first; err != nil && err != store.ErrNotFound {
		t.Fatalf("the view before the group: %v", err)
	}
	for _, answer := range answers {
		errs = append(errs, <-answer)
	}
	return views, errs
}

// A change whose caller's context ends while it queues has no effect, and the caller learns so at
// once.
func TestContextEndsTheQueueing(t *testing.T) {
	pool := migrated(t)
	st := open(t, pool, pgstore.WithLanes(1), unhurried)
	eng := engine.New(st)
	held, id := jobkit.Start(t, eng, jobkit.Asking(1)), jobkit.Start(t, eng, jobkit.Asking(1))
	before, change, other := rows(t, pool, id, id), refusing(t, st, id, store.RequestID{}), refusing(t, st, held, store.RequestID{})
	release := lockJob(t, pool, held)
	first := asked(func() error { return st.Commit(t.Context(), other) })
	blocked(t, pool, 1)

	ctx, cancel := context.WithCancel(t.Context())
	answer := queued(ctx, func(ctx context.Context) error { return st.Commit(ctx, change) })
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) || !errors.Is(err, store.ErrUndone) {
		t.Errorf("Commit that queues as its context ends: got error %v, want %v and that nothing was done", err, context.Canceled)
	}
	release()
	if err := <-first; err != nil {
		t.Errorf("the change that it waited for: %v", err)
	}
	if after := rows(t, pool, id, id); !slices.Equal(after, before) {
		t.Errorf("it has left\n%s\nwant\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	if err := st.Commit(t.Context(), change); err != nil {
		t.Errorf("the same change later: %v", err)
	}
}

// A change whose statement the server ends, as its row stays locked, fails alone when the
// group that it was in does.
func TestNeighbourOfAStuckChangePasses(t *testing.T) {
	pool := migrated(t)
	st := open(t, pool, pgstore.WithLanes(1), unhurried)
	eng := engine.New(st)
	locked, free := jobkit.Start(t, eng, jobkit.Asking(1)), jobkit.Start(t, eng, jobkit.Asking(1))
	changes := []store.Change{refusing(t, st, locked, store.RequestID{}), refusing(t, st, free, store.RequestID{})}
	lockJob(t, pool, locked)
	answers := queueBehind(t, pool, st, changes)
	var began time.Time
	for range 2 { // the group, and then the change alone
		jobkit.Eventually(t, "a statement waits for the row", func() bool {
			return pool.QueryRow(t.Context(), `SELECT query_start FROM pg_stat_activity
				WHERE application_name = current_schema() AND wait_event_type = 'Lock' AND query_start > $1`, began).Scan(&began) == nil
		})
		execute(t, pool, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = current_schema() AND query_start = $1`, began)
	}
	err := <-answers[0]
	if refused(t, "the change that is stuck", err, "canceling statement"); errors.Is(err, store.ErrConflict) {
		t.Errorf("the change that is stuck is a conflict")
	}
	if err := <-answers[1]; err != nil {
		t.Errorf("its neighbour: %v", err)
	}
}
