package pgstore_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// two returns stores of two processes on one schema, and a pool beside them.
func two(t *testing.T, opts ...pgstore.Option) (near, far *pgstore.Store, pool *pgxpool.Pool) {
	t.Helper()
	dsn, pool := shared(t)
	return open(t, connect(t, dsn), opts...), open(t, connect(t, dsn), opts...), pool
}

// listeners selects the connections of the schema that listen.
const listeners = ` FROM pg_stat_activity WHERE application_name = current_schema() AND query LIKE 'LISTEN %' AND state = 'idle'`

// listener waits for a connection of the schema that listens, other than before, and returns
// the number of its process.
func listener(t *testing.T, pool *pgxpool.Pool, before int) (pid int) {
	t.Helper()
	jobkit.Eventually(t, "a store listens", func() bool {
		pid = ask[int](t, pool, `SELECT coalesce(max(pid), 0)`+listeners+` AND pid <> $1`, before)
		return pid != 0
	})
	return pid
}

// A watch is the history of a job as a watcher gets it.
type watch struct {
	testing.TB
	eng     *engine.Engine // commits in another process
	job     store.JobID
	records chan store.Record
}

// watching makes far watch a job that near changes. far does not poll.
func watching(t *testing.T, near, far *pgstore.Store) *watch {
	t.Helper()
	w := &watch{TB: t, eng: engine.New(near), records: make(chan store.Record)}
	w.job = jobkit.Start(t, w.eng, jobkit.Asking(1))
	go func() {
		defer close(w.records)
		for r, err := range engine.New(far).Watch(t.Context(), w.job, 2, engine.WatchPoll(time.Hour)) {
			if err != nil {
				if t.Context().Err() == nil {
					t.Errorf("Watch: %v", err)
				}
				return // the test has ended
			}
			w.records <- r
		}
	}()
	return w
}

// told changes the job some times and waits until the watcher gets each record. At most the first one
// may come from the store's read at the beginning of its listening.
func (w *watch) told(times int) {
	w.Helper()
	for n := range times {
		record, err := w.eng.Operate(w.Context(), w.job, 1, jobkit.Alternating[n%2], engine.Request{})
		if err != nil {
			w.Fatal(err)
		}
		select {
		case r := <-w.records:
			if r.Seq != record.Seq {
				w.Fatalf("told of record %d, want %d", r.Seq, record.Seq)
			}
		case <-time.After(jobkit.Patience):
			w.Fatalf("told nothing of record %d for %v", record.Seq, jobkit.Patience)
		}
	}
}

// A commit of one process wakes the watchers of another, without a poll. A new connection replaces a
// lost listening one.
func TestCommitsOfAnotherProcessWake(t *testing.T) {
	near, far, pool := two(t)
	w := watching(t, near, far)
	first := listener(t, pool, 0)
	w.told(4)
	if !ask[bool](t, pool, `SELECT pg_terminate_backend($1)`, first) {
		t.Fatal("the listening connection is gone already")
	}
	listener(t, pool, first)
	w.told(4)
}

// A commit of more jobs than a notification can name wakes the watchers of all of them.
func TestManyCommitsOfAnotherProcessWake(t *testing.T) {
	const jobs = 120
	near, far, pool := two(t, pgstore.WithLanes(1), unhurried)
	watching(t, near, far).told(2)
	var changes []store.Change
	var woken []<-chan struct{}
	for id := range store.JobID(jobs) {
		changes = append(changes, decide(t, near, store.Query{}, &engine.Create{Job: id + 1, Spec: jobkit.Asking(1)}))
		changed, stop := far.Wake(id + 1)
		defer stop()
		woken = append(woken, changed)
	}
	for i, err := range commitTogether(t, pool, near, changes) {
		if err != nil {
			t.Fatalf("change %d of a group: %v", i, err)
		}
	}
	deadline := time.After(jobkit.Patience)
	for i, changed := range woken {
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("nobody was told of a commit to job %d for %v", i+1, jobkit.Patience)
		}
	}
}

// background returns the number of goroutines that stores run on their own.
func background() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "pgstore.(*news)")
}

// Close ends the background work of a store, and its listening. It can be called again. Calls before and
// after it go on.
func TestClose(t *testing.T) {
	near, far, pool := two(t)
	id := jobkit.Start(t, engine.New(near), jobkit.Asking(2))
	_, stop := far.Wake(id)
	stop()
	listener(t, pool, 0)
	if background() == 0 {
		t.Fatal("a store that listens has no goroutine: the test does not see it")
	}
	near.Close()
	far.Close()
	if n := background(); n > 0 {
		t.Errorf("%d goroutines are left", n)
	}
	far.Close()
	jobkit.Eventually(t, "no connection listens", func() bool { return ask[int](t, pool, `SELECT count(*)`+listeners) == 0 })

	changed, stop := far.Wake(id)
	defer stop()
	if _, err := engine.New(far).Operate(t.Context(), id, 1, operation.Confirm, engine.Request{}); err != nil {
		t.Errorf("Operate after Close: %v", err)
	}
	select {
	case <-changed:
	case <-time.After(jobkit.Patience):
		t.Errorf("a commit of the same process woke nobody for %v", jobkit.Patience)
	}
	if n := background(); n > 0 {
		t.Errorf("%d goroutines have begun after Close", n)
	}
}
