package pgstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// param sets a parameter of the sessions of a pool.
func param(name, value string) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams[name] = value }
}

// A call that the server or the connection has refused is an error without effect, and not in
// doubt.
func TestRefusalsAreUndone(t *testing.T) {
	dsn, direct := shared(t)
	right := open(t, direct)
	eng := engine.New(right)
	id := jobkit.Start(t, eng, jobkit.Asking(1))
	change := refusing(t, right, id, store.RequestID{})
	var claimed store.Delivery
	for _, d := range claim(t, right) {
		if d.Job == id {
			claimed = d
		}
	}
	before := rows(t, direct, id, id)
	for what, c := range map[string]struct {
		with []func(*pgxpool.Config)
		lock bool                                // of the job's row, and of its effects
		make func(t *testing.T, p *pgxpool.Pool) // what is wrong, once the store is open
		says string
	}{
		"a server that only reads": {
			with: []func(*pgxpool.Config){param("default_transaction_read_only", "on")}, says: "25006",
		},
		"a lock that is held for too long": {
			with: []func(*pgxpool.Config){param("lock_timeout", "50ms")}, lock: true, says: "55P03",
		},
		"a statement that takes too long": {
			with: []func(*pgxpool.Config){param("statement_timeout", "500ms")}, lock: true, says: "57014",
		},
		"a connection that could not be made": {
			make: func(_ *testing.T, p *pgxpool.Pool) { p.Close() }, says: "closed pool",
		},
	} {
		t.Run(what, func(t *testing.T) {
			pool := connect(t, dsn, c.with...)
			st := open(t, pool)
			if c.make != nil {
				c.make(t, pool)
			}
			release := func() {}
			if c.lock {
				release = lock(t, direct, `SELECT FROM stepgate_jobs j, stepgate_effects e WHERE j.id = $1 AND e.job = j.id FOR UPDATE`, int64(id))
			}
			defer release()
			_, err := engine.New(st).Operate(t.Context(), id, 1, operation.TerminateConfirmation, engine.Request{})
			if errors.Is(err, engine.ErrUnknownOutcome) {
				t.Errorf("Operate: got error %v, want that nothing was done", err)
			}
			for call, err := range map[string]error{
				"Operate": err,
				"Commit":  st.Commit(t.Context(), change),
				"Defer":   st.Defer(t.Context(), claimed),
				"Settle":  st.Settle(t.Context(), claimed),
				"Commit alongside": st.Commit(pgstore.Alongside(t.Context(), func(context.Context, pgx.Tx) error {
					t.Error("what is alongside was run")
					return nil
				}), change),
			} {
				if !errors.Is(err, store.ErrUndone) {
					t.Errorf("%s: got error %v, want that nothing was done", call, err)
				}
				refused(t, call, err, c.says)
			}
		})
	}
	if after := rows(t, direct, id, id); !slices.Equal(after, before) {
		t.Errorf("they have left\n%s\nwant\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

// claim takes all effects that are due.
func claim(t *testing.T, st *pgstore.Store) []store.Delivery {
	t.Helper()
	claimed, err := st.Claim(t.Context(), store.Claim{Effects: []store.Effect{store.AskConfirmers}, Now: later, Until: later + 1, Limit: 9})
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}

// A call with a prepared statement that the server has lost fails without effect, and the next call
// prepares it again.
func TestLostStatementIsUndone(t *testing.T) {
	pool := migrated(t, conns(1))
	st := open(t, pool)
	eng := engine.New(st)
	id := jobkit.Start(t, eng, jobkit.Asking(1))
	change := refusing(t, st, id, store.RequestID{})
	jobkit.Start(t, eng, jobkit.Asking(1))
	execute(t, pool, `DEALLOCATE ALL`)
	if err := st.Commit(t.Context(), change); !errors.Is(err, store.ErrUndone) {
		t.Errorf("Commit by a statement that the server has lost: got error %v, want that nothing was done", err)
	}
	if err := st.Commit(t.Context(), change); err != nil {
		t.Errorf("Commit again: %v", err)
	}
}

// Connections that have led to a read-only server since a failover are closed at the first refusal;
// the next call has a new one.
func TestReadOnlyConnectionsAreClosed(t *testing.T) {
	pool := migrated(t, conns(2))
	st := open(t, pool)
	eng := engine.New(st)
	id := jobkit.Start(t, eng, jobkit.Asking(1))
	change := refusing(t, st, id, store.RequestID{})
	for _, c := range held(t, pool, 2) {
		if _, err := c.Exec(t.Context(), `SET default_transaction_read_only = on`); err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
	if err := st.Commit(t.Context(), change); !errors.Is(err, store.ErrUndone) {
		t.Errorf("Commit on a server that only reads: got error %v, want that nothing was done", err)
	}
	if err := st.Commit(t.Context(), change); err != nil {
		t.Errorf("Commit again, on a new connection: %v", err)
	}
}

// held returns n connections of a pool, all at once.
func held(t *testing.T, pool *pgxpool.Pool, n int) (conns []*pgxpool.Conn) {
	t.Helper()
	for range n {
		c, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	return conns
}

// An error alongside a commit is an error without effect.
func TestFailureAlongsideIsUndone(t *testing.T) {
	st := open(t, migrated(t))
	eng := engine.New(st)
	id := jobkit.Start(t, eng, jobkit.Asking(1))
	runs := 0
	ctx := pgstore.Alongside(t.Context(), func(context.Context, pgx.Tx) error { runs++; return errOwn })
	_, err := eng.Operate(ctx, id, 1, operation.TerminateConfirmation, engine.Request{})
	if !errors.Is(err, store.ErrUndone) || !errors.Is(err, errOwn) || errors.Is(err, engine.ErrUnknownOutcome) || runs != 1 {
		t.Errorf("Operate with a failure alongside: got error %v after %d runs, want that nothing was done after one", err, runs)
	}
}

// Where transactions are strict, a call on an effect that others have changed meanwhile is tried
// again.
func TestEffectsWhereTransactionsAreStrict(t *testing.T) {
	const change = `UPDATE stepgate_effects SET failures = failures + 1`
	dsn, pool := shared(t)
	st := open(t, connect(t, dsn, strict, conns(1)))
	eng := engine.New(st)
	for what, c := range map[string]struct {
		others string // what others do meanwhile: a claim waits for no row
		call   func(d store.Delivery) error
	}{
		"Defer":  {change, func(d store.Delivery) error { return st.Defer(t.Context(), d) }},
		"Settle": {change, func(d store.Delivery) error { return st.Settle(t.Context(), d) }},
		"Claim": {`LOCK TABLE stepgate_effects IN ACCESS EXCLUSIVE MODE; ` + change, func(store.Delivery) error {
			_, err := st.Claim(t.Context(), store.Claim{Effects: []store.Effect{store.AskConfirmers}, Now: later + 1, Until: later + 2, Limit: 9})
			return err
		}},
	} {
		jobkit.Start(t, eng, jobkit.Asking(1))
		d := claim(t, st)[0]
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), c.others); err != nil {
			t.Fatal(err)
		}
		answer := asked(func() error { return c.call(d) })
		blocked(t, pool, 1)
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Errorf("%s of an effect that was changed meanwhile: got error %v, want none", what, err)
		}
	}
}

// A commit that the server ends because of a deadlock is tried again.
func TestDeadlockedCommit(t *testing.T) {
	pool := migrated(t)
	st := open(t, pool)
	id := jobkit.Start(t, engine.New(st), jobkit.Asking(1))
	change := refusing(t, st, id, store.RequestID{})
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `SELECT FROM stepgate_steps WHERE job = $1 FOR UPDATE`, int64(id)); err != nil {
		t.Fatal(err)
	}
	answer := asked(func() error { return st.Commit(t.Context(), change) })
	blocked(t, pool, 1)
	// The server looks for deadlocks a second after a wait has begun: the commit is found in one.
	if _, err := tx.Exec(t.Context(), `SELECT FROM stepgate_jobs WHERE id = $1 FOR UPDATE`, int64(id)); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Errorf("Commit: got error %v, want none", err)
	}
}
