package pgstore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// claims starts jobs and claims their questions.
func claims(t *testing.T, st *pgstore.Store, n int) []store.Delivery {
	t.Helper()
	jobkit.StartMany(t, engine.New(st), n, jobkit.Asking(1))
	claimed, err := st.Claim(t.Context(), store.Claim{
		Effects: []store.Effect{store.AskConfirmers}, Now: later, Until: later + 1, Limit: n, Token: store.Token{1},
	})
	if err != nil || len(claimed) != n {
		t.Fatalf("Claim: %d effects and error %v, want %d", len(claimed), err, n)
	}
	return claimed
}

// lockEffect holds the row of an effect, so that its settlement waits.
func lockEffect(t *testing.T, pool *pgxpool.Pool, d store.Delivery) (release func()) {
	t.Helper()
	return lock(t, pool, `SELECT FROM stepgate_effects WHERE job = $1 AND seq = $2 FOR UPDATE`, int64(d.Job), int64(d.Seq))
}

// settleBehind starts the settlement of each effect of group, which queue behind the settlement of
// first until they all do.
func settleBehind(t *testing.T, pool *pgxpool.Pool, st *pgstore.Store, first store.Delivery, group []store.Delivery) (answers []<-chan error) {
	t.Helper()
	release, others := lockEffect(t, pool, first), stuck(t, pool)
	before := asked(func() error { return st.Settle(t.Context(), first) })
	blocked(t, pool, others+1)
	for _, d := range group {
		answers = append(answers, queued(t.Context(), func(ctx context.Context) error { return st.Settle(ctx, d) }))
	}
	release()
	if err := <-before; err != nil {
		t.Fatalf("the settlement before the group: %v", err)
	}
	return answers
}

// Effects that are settled at once are settled in one statement, and each settlement has its own
// answer: a lost lease fails no other.
func TestSettlementsTogether(t *testing.T) {
	pool := migrated(t)
	st := open(t, pool, pgstore.WithLanes(1), unhurried)
	claimed := claims(t, st, 6)
	again, foreign := claimed[2], claimed[3]
	again.Count++
	foreign.Token = store.Token{2}
	group := []store.Delivery{claimed[1], again, foreign, claimed[4], claimed[4], claimed[5]}
	want := []error{nil, store.ErrLeaseLost, store.ErrLeaseLost, nil, store.ErrLeaseLost, nil}
	release := lockEffect(t, pool, claimed[5])
	answers := settleBehind(t, pool, st, claimed[0], group)
	blocked(t, pool, 1)
	unanswered(t, "a settlement in the group of one that waits", answers[0])
	release()
	for i, answer := range answers {
		if err := <-answer; !errors.Is(err, want[i]) || (err == nil) != (want[i] == nil) {
			t.Errorf("settlement %d of the group: got error %v, want %v", i, err, want[i])
		}
	}
	for i, left := range []int{0, 0, 1, 1, 0, 0} {
		if n := ask[int](t, pool, `SELECT count(*) FROM stepgate_effects WHERE job = $1`, int64(claimed[i].Job)); n != left {
			t.Errorf("job %d has %d effects, want %d", i, n, left)
		}
	}
}

// An effect that another transaction holds delays no other settlement for long.
func TestLockedEffectInAGroup(t *testing.T) {
	pool := migrated(t, hasty, conns(8))
	st := open(t, pool, pgstore.WithLanes(1), pgstore.WithTimeout(jobkit.Patience))
	claimed := claims(t, st, 5)
	release := lockEffect(t, pool, claimed[2])
	answers := settleBehind(t, pool, st, claimed[0], claimed[1:])
	for i, answer := range answers {
		if i == 1 {
			continue
		}
		if err := <-answer; err != nil {
			t.Errorf("settlement %d: %v", i, err)
		}
	}
	unanswered(t, "the settlement of the locked effect", answers[1])
	release()
	if err := <-answers[1]; err != nil {
		t.Errorf("the settlement of the locked effect: %v", err)
	}
}
