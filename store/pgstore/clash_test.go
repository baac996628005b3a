package pgstore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// deadlocks counts the statements that the server ended as they waited for each other.
type deadlocks struct{ atomic.Int64 }

func (d *deadlocks) trace(c *pgxpool.Config) { c.ConnConfig.Tracer = d }

func (d *deadlocks) note(err error) {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "40P01" {
		d.Add(1)
	}
}

func (d *deadlocks) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (d *deadlocks) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	d.note(data.Err)
}
func (d *deadlocks) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (d *deadlocks) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	d.note(data.Err)
}
func (d *deadlocks) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// settled asserts that want of the commits pass, that the others conflict, and that no statement
// was deadlocked.
func (d *deadlocks) settled(t *testing.T, answers []<-chan error, want int) {
	t.Helper()
	passed := 0
	for _, answer := range answers {
		switch err := <-answer; {
		case err == nil:
			passed++
		case err != store.ErrConflict:
			t.Errorf("Commit: got error %v, want nil or a conflict", err)
		}
	}
	if n := d.Load(); n > 0 || passed != want {
		t.Errorf("%d statements were deadlocked and %d changes passed, want 0 and %d", n, passed, want)
	}
}

// Two processes that change the same jobs in groups neither wait for each other for ever nor
// lose a change of the other: what was accepted is the history, without a gap.
func TestTwoStoresOnTheSameJobs(t *testing.T) {
	const jobs, callers, rounds = 6, 8, 40
	ctx := t.Context()
	dsn, pool := shared(t, conns(2))
	var locked deadlocks
	ids := make([]store.JobID, jobs)
	for i := range ids {
		ids[i] = jobkit.Start(t, engine.New(open(t, pool)), jobkit.Asking(1))
	}
	var mu sync.Mutex // guards accepted
	accepted := map[store.JobID]map[store.Seq]store.RequestID{}
	for _, id := range ids {
		accepted[id] = map[store.Seq]store.RequestID{}
	}
	seed := testkit.Seed(t)
	var all sync.WaitGroup
	for process := range 2 {
		st := open(t, connect(t, dsn, hasty, locked.trace), pgstore.WithLanes(1), unhurried)
		eng := engine.New(st)
		for caller := range callers {
			random := rand.New(rand.NewPCG(seed, uint64(process*callers+caller)))
			all.Go(func() {
				for range rounds {
					id := ids[random.IntN(jobs)]
					record, err := eng.Operate(ctx, id, 1, jobkit.Alternating[random.IntN(2)], engine.Request{})
					var refusal *engine.Refusal
					if errors.As(err, &refusal) {
						continue // the other one is due
					}
					mu.Lock()
					if _, twice := accepted[id][record.Seq]; err != nil || twice {
						t.Errorf("Operate on job %d: receipt %+v, given before: %v; error %v", id, record, twice, err)
					}
					accepted[id][record.Seq] = record.Request
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	if n := locked.Load(); n > 0 {
		t.Errorf("%d statements were deadlocked", n)
	}
	eng := engine.New(open(t, pool))
	for _, id := range ids {
		job, err := eng.Job(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		history, err := eng.History(ctx, id, 0, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		const before = 2 // records of creation and start
		if len(history) != before+len(accepted[id]) || job.Version != store.Seq(len(history)) {
			t.Errorf("job %d: %d records and version %d, after %d accepted operations", id, len(history), job.Version, len(accepted[id]))
		}
		for i, r := range history {
			if r.Seq != store.Seq(i+1) || i >= before && accepted[id][r.Seq] != r.Request {
				t.Errorf("job %d: record %d is %+v, want that of request %v", id, i+1, r, accepted[id][r.Seq])
			}
		}
	}
	if ask[bool](t, pool, `SELECT count(*) = count(DISTINCT xmin::text) FROM stepgate_records`) {
		t.Error("no two changes were committed together: the test has not tested it")
	}
}

// Two processes whose groups hold the same jobs in opposite orders lock them in one order.
func TestGroupsLockInOneOrder(t *testing.T) {
	dsn, pool := shared(t)
	var locked deadlocks
	st := open(t, pool)
	var ids []store.JobID
	for range 4 {
		ids = append(ids, jobkit.Start(t, engine.New(st), jobkit.Asking(1)))
	}
	slices.Sort(ids)
	first, second, third, last := ids[0], ids[1], ids[2], ids[3]

	// One is held up when it has locked its first job and wants its second; so is the other,
	// or it already waits for the one.
	releases := []func(){lockJob(t, pool, second), lockJob(t, pool, third)}
	var answers []<-chan error
	for process, group := range [][]store.JobID{{first, second, last}, {last, third, first}} {
		var changes []store.Change
		for _, id := range group {
			changes = append(changes, refusing(t, st, id, store.RequestID{}))
		}
		st := open(t, connect(t, dsn, locked.trace), pgstore.WithLanes(1), unhurried)
		answers = append(answers, queueBehind(t, pool, st, changes)...)
		blocked(t, pool, process+1)
	}
	for _, release := range releases {
		release()
	}
	locked.settled(t, answers, len(ids))
}

// Two processes that create jobs by the same requests, in groups of opposite orders, make each job
// once and do not wait for each other.
func TestCreationsLockInOneOrder(t *testing.T) {
	dsn, pool := shared(t)
	var locked deadlocks
	requests := []store.RequestID{{15: 1}, {15: 2}, {15: 3}}
	held := requests[1] // so that each group waits for it, or for the other group
	release := lock(t, pool, `INSERT INTO stepgate_creations (scope_type, scope_id, request, job) VALUES ('', '', $1, 1)`, held[:])
	var answers []<-chan error
	for process := range 2 {
		st := open(t, connect(t, dsn, locked.trace), pgstore.WithLanes(1), unhurried)
		var changes []store.Change
		for i, request := range requests {
			id := store.JobID(1 + process*len(requests) + i)
			changes = append(changes, decide(t, st, store.Query{}, &engine.Create{Job: id, Request: engine.Request{ID: request}, Spec: jobkit.Asking(1)}))
		}
		if process == 1 {
			slices.Reverse(changes)
		}
		answers = append(answers, queueBehind(t, pool, st, changes)...)
		blocked(t, pool, process+1)
	}
	release()
	locked.settled(t, answers, len(requests))
}

// A claim passes over an effect that another transaction holds, and takes it later.
func TestClaimWaitsForNone(t *testing.T) {
	pool := migrated(t)
	st := open(t, pool)
	held, free := jobkit.Start(t, engine.New(st), jobkit.Asking(1)), jobkit.Start(t, engine.New(st), jobkit.Asking(1))
	release := lock(t, pool, `SELECT FROM stepgate_effects WHERE job = $1 FOR UPDATE`, int64(held))
	for _, want := range []store.JobID{free, held} {
		if claimed := claim(t, st); len(claimed) != 1 || claimed[0].Job != want {
			t.Errorf("Claim: got %+v, want the effect of job %d", claimed, want)
		}
		release()
	}
}

// strict has transactions see nothing that was committed after they began.
func strict(c *pgxpool.Config) {
	c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "repeatable read"
}

// Where the server does not let a statement see what it has waited for, a change that others
// were faster than still is a conflict, alone and in a group.
func TestConflictWhereTransactionsAreStrict(t *testing.T) {
	dsn, pool := shared(t)
	st := open(t, connect(t, dsn, strict), pgstore.WithLanes(1), unhurried)
	eng := engine.New(st)
	for _, others := range []int{0, 1} {
		id := jobkit.Start(t, eng, jobkit.Asking(1))
		changes := []store.Change{refusing(t, st, id, store.RequestID{})}
		for range others {
			changes = append(changes, refusing(t, st, jobkit.Start(t, eng, jobkit.Asking(1)), store.RequestID{}))
		}
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `UPDATE stepgate_jobs SET version = version + 1 WHERE id = $1`, int64(id)); err != nil {
			t.Fatal(err)
		}
		var answers []<-chan error
		if others == 0 {
			answers = []<-chan error{asked(func() error { return st.Commit(t.Context(), changes[0]) })}
		} else {
			answers = queueBehind(t, pool, st, changes)
		}
		blocked(t, pool, 1)
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, answer := range answers {
			want := error(nil)
			if i == 0 {
				want = store.ErrConflict
			}
			if err := <-answer; err != want {
				t.Errorf("change %d of %d: got error %v, want %v", i+1, len(changes), err, want)
			}
		}
	}
}
