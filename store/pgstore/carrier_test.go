package pgstore_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// A carrier writes its effects to a table of its own.
type carrier struct {
	carried []store.Delivery // of the transactions that were not undone for another reason
	refuses store.JobID      // it does not carry effects of this job
	hides   store.JobID      // it fails to, and does not say so
	panics  store.JobID      // it panics with effects of this job
}

func (c *carrier) Carry(ctx context.Context, tx pgx.Tx, effects []store.Delivery) error {
	for _, d := range effects {
		if err := insertOwn(ctx, tx, d.Job, d.Seq); err != nil {
			return err
		}
		if d.Job == c.refuses {
			return errOwn
		}
		if d.Job == c.panics {
			panic("oh")
		}
		if d.Job == c.hides {
			_ = insertOwn(ctx, tx, d.Job, d.Seq) // once more
		}
	}
	c.carried = append(c.carried, effects...)
	return nil
}

// effectOf returns the one effect of a job.
func effectOf(t *testing.T, st *pgstore.Store, id store.JobID) store.Delivery {
	t.Helper()
	effects, err := st.Effects(t.Context(), store.Scope{}, id, store.Page[store.Seq]{Limit: 9})
	if err != nil || len(effects) != 1 {
		t.Fatalf("Effects(%d): %+v, %v, want one", id, effects, err)
	}
	return effects[0]
}

// An effect is carried in the transaction of its change. It waits in the store as well, where
// no claim takes it.
func TestCarrier(t *testing.T) {
	pool, c := withOwn(t), &carrier{}
	st := open(t, pool, pgstore.WithCarrier(c))
	id := jobkit.Start(t, engine.New(st), jobkit.Asking(1))
	if !ask[bool](t, pool, `SELECT o.xmin = r.xmin FROM own o JOIN stepgate_records r ON r.job = o.job AND r.seq = o.seq`) {
		t.Error("the effect was carried by another transaction than that of its record")
	}
	d := effectOf(t, st, id)
	if d.NotBefore != math.MaxInt64 || len(c.carried) != 1 || c.carried[0] != d {
		t.Errorf("carried: %+v, and waiting: %+v, want the same, for ever", c.carried, d)
	}
	claimed, err := st.Claim(t.Context(), store.Claim{Effects: []store.Effect{store.AskConfirmers}, Now: later, Until: later + 1, Limit: 9})
	if err != nil || len(claimed) > 0 {
		t.Errorf("Claim: %+v, %v, want nothing", claimed, err)
	}
}

// ending returns changes that end jobs, which has an effect. The first is a conflict.
func ending(t *testing.T, st *pgstore.Store, jobs int) []store.Change {
	t.Helper()
	var changes []store.Change
	for range jobs {
		changes = append(changes, refusing(t, st, jobkit.Start(t, engine.New(st), jobkit.Asking(1)), store.RequestID{}))
	}
	changes[0].Job.Version++
	changes[0].Records[0].Seq++
	return changes
}

// carriedTogether commits changes in a group, which must come to this, and asserts that the
// effects of those that have passed were carried, and no others.
func carriedTogether(t *testing.T, pool *pgxpool.Pool, st *pgstore.Store, changes []store.Change, want ...error) {
	t.Helper()
	for i, err := range commitTogether(t, pool, st, changes) {
		if !errors.Is(err, want[i]) {
			t.Errorf("change %d of a group: got error %v, want %v", i, err, want[i])
		}
		id := int64(changes[i].Job.ID)
		records := ask[int](t, pool, `SELECT count(*) FROM stepgate_records WHERE job = $1 AND seq > 2`, id)
		carried := ask[int](t, pool, `SELECT count(*) FROM own WHERE job = $1 AND seq > 2`, id)
		if passed := want[i] == nil; passed != (records == 1) || passed != (carried == 1) {
			t.Errorf("change %d of a group: %d records and %d carried effects, passed: %v", i, records, carried, passed)
		}
	}
}

// The effects of the changes of a group that pass are carried.
func TestCarrierOfAGroup(t *testing.T) {
	pool := withOwn(t)
	st := open(t, pool, pgstore.WithCarrier(&carrier{}), pgstore.WithLanes(1), unhurried)
	carriedTogether(t, pool, st, ending(t, st, 3), store.ErrConflict, nil, nil)
}

// An effect that is not carried undoes its change, whatever is done alongside, and none of
// those that were committed with it.
func TestCarrierFails(t *testing.T) {
	pool, c := withOwn(t), &carrier{}
	st := open(t, pool, pgstore.WithCarrier(c), pgstore.WithLanes(1), unhurried)
	changes := ending(t, st, 3)
	c.refuses = changes[1].Job.ID
	carriedTogether(t, pool, st, changes, store.ErrConflict, errOwn, nil)

	ctx := pgstore.Alongside(t.Context(), func(context.Context, pgx.Tx) error { return nil })
	if err := st.Commit(ctx, changes[1]); !errors.Is(err, errOwn) {
		t.Errorf("Commit with something alongside: got error %v, want %v", err, errOwn)
	}
	c.refuses = 0
	if err := st.Commit(ctx, changes[1]); err != nil {
		t.Errorf("Commit of what is carried now: %v", err)
	}
}

// A carrier that ignores an error which fails the transaction also undoes only that change.
func TestCarrierHidesAFailure(t *testing.T) {
	pool, c := withOwn(t), &carrier{}
	st := open(t, pool, pgstore.WithCarrier(c), pgstore.WithLanes(1), unhurried)
	changes := ending(t, st, 3)
	c.hides = changes[2].Job.ID
	carriedTogether(t, pool, st, changes, store.ErrConflict, nil, pgx.ErrTxCommitRollback)
}

// A panic of a carrier, or of what runs alongside, is the error of the change whose it is, alone and in
// a group, and undoes that change alone.
func TestCarrierPanics(t *testing.T) {
	pool, c := withOwn(t), &carrier{}
	st := open(t, pool, pgstore.WithCarrier(c), pgstore.WithLanes(1), unhurried)
	changes := ending(t, st, 4)
	c.panics = changes[2].Job.ID
	panics := func(what string, err error) {
		t.Helper()
		if refused(t, what, err, "pgstore: commit: panic: oh"); !errors.Is(err, store.ErrUndone) {
			t.Errorf("%s: got error %v, want that nothing was done", what, err)
		}
	}
	errs := commitTogether(t, pool, st, changes)
	if !errors.Is(errs[0], store.ErrConflict) || errs[1] != nil || errs[3] != nil {
		t.Errorf("the neighbours of a change whose carrier panics: got errors %v, want a conflict, none and none", errs)
	}
	panics("Commit in a group", errs[2])
	panics("Commit alone", st.Commit(t.Context(), changes[2]))
	c.panics = 0
	alongside := pgstore.Alongside(t.Context(), func(context.Context, pgx.Tx) error { panic("oh") })
	panics("Commit with a panic alongside", st.Commit(alongside, changes[2]))
	if err := st.Commit(t.Context(), changes[2]); err != nil {
		t.Errorf("Commit of what is carried now: %v", err)
	}
}

// Take claims a carried effect, and ends the lease of an earlier Take.
func TestTake(t *testing.T) {
	ctx, pool := t.Context(), withOwn(t)
	st := open(t, pool, pgstore.WithCarrier(&carrier{}))
	id := jobkit.Start(t, engine.New(st), jobkit.Asking(1))
	waiting := effectOf(t, st, id)
	take := func() store.Delivery {
		t.Helper()
		d, err := st.Take(ctx, id, waiting.Seq)
		if err != nil {
			t.Fatal(err)
		}
		if d.Token == waiting.Token {
			t.Errorf("Take: got token %v, want one of its own", d.Token)
		}
		waiting.Held, waiting.Count, waiting.Token = true, waiting.Count+1, d.Token
		if d != waiting {
			t.Errorf("Take: got %+v, want %+v", d, waiting)
		}
		return d
	}
	first, second := take(), take()
	for what, err := range map[string]error{"Settle": st.Settle(ctx, first), "Defer": st.Defer(ctx, first)} {
		if err != store.ErrLeaseLost {
			t.Errorf("%s of an effect that was taken again: got error %v, want that it is lost", what, err)
		}
	}
	if d := effectOf(t, st, id); d != second {
		t.Errorf("they have left %+v, want %+v", d, second)
	}
	if err := st.Defer(ctx, second); err != nil {
		t.Errorf("Defer of what was taken last: %v", err)
	}
	if err := st.Settle(ctx, second); err != nil {
		t.Errorf("Settle of what was taken last: %v", err)
	}
	if _, err := st.Take(ctx, id, waiting.Seq); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Take of what is settled: got error %v, want that it is not found", err)
	}
}

// SettleTx takes effect with its transaction, or not at all.
func TestSettleTx(t *testing.T) {
	ctx, pool := t.Context(), withOwn(t)
	st := open(t, pool, pgstore.WithCarrier(&carrier{}))
	id := jobkit.Start(t, engine.New(st), jobkit.Asking(1))
	first := effectOf(t, st, id)
	d, err := st.Take(ctx, id, first.Seq)
	if err != nil {
		t.Fatal(err)
	}
	in := func(d store.Delivery, end error) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return errors.Join(pgstore.SettleTx(ctx, tx, d), end) })
	}
	if err := in(first, nil); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("SettleTx of an effect that was taken since: got error %v, want that it is lost", err)
	}
	if err := in(d, errOwn); !errors.Is(err, errOwn) {
		t.Errorf("a transaction that is undone: got error %v", err)
	}
	if left := effectOf(t, st, id); left != d {
		t.Errorf("it has left %+v, want %+v", left, d)
	}
	if err := in(d, nil); err != nil {
		t.Errorf("SettleTx: %v", err)
	}
	if n := ask[int](t, pool, `SELECT count(*) FROM stepgate_effects`); n != 0 {
		t.Errorf("%d effects are left, want none", n)
	}
}
