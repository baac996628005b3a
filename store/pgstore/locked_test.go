package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// unanswered fails the test if an answer has come.
func unanswered(t *testing.T, what string, answer <-chan error) {
	t.Helper()
	select {
	case err := <-answer:
		t.Errorf("%s has an answer, %v, and should wait for the lock", what, err)
	default:
	}
}

// A lock that another program holds on a job delays the changes of that job, and not those that
// come with them, before them or after them.
func TestLockedJobDelaysNoOther(t *testing.T) {
	for _, lanes := range []int{1, 4, 0} {
		t.Run(fmt.Sprintf("lanes=%d", lanes), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, hasty, conns(8))
			st := open(t, pool, pgstore.WithLanes(lanes), pgstore.WithTimeout(jobkit.Patience))
			eng := engine.New(st)
			change := func() store.Change { return refusing(t, st, jobkit.Start(t, eng, jobkit.Asking(1)), store.RequestID{}) }
			commit := func(c store.Change) <-chan error { return asked(func() error { return st.Commit(t.Context(), c) }) }
			locked := change()
			release := lockJob(t, pool, locked.Job.ID)
			first := commit(locked) // alone in its lane
			blocked(t, pool, 1)
			second := commit(locked) // of the same job
			var others []<-chan error
			for range 12 {
				others = append(others, commit(change()))
			}
			for i, answer := range others {
				if err := <-answer; err != nil {
					t.Errorf("change %d of another job: %v", i, err)
				}
			}
			unanswered(t, "the change of the locked job", first)
			release()
			one, two := <-first, <-second
			if one != nil {
				one, two = two, one
			}
			if one != nil || !errors.Is(two, store.ErrConflict) {
				t.Errorf("two changes of one version of the locked job: got errors %v and %v, want none and a conflict", one, two)
			}
		})
	}
}

// Those that were to be committed with a change of a locked job pass without it.
func TestLockedJobInAGroup(t *testing.T) {
	pool := migrated(t, hasty, conns(8))
	seed, st := open(t, pool), open(t, pool, pgstore.WithLanes(1), pgstore.WithTimeout(jobkit.Patience), pgstore.WithCarrier(&carrier{}))
	execute(t, pool, `CREATE TABLE own (job bigint, seq bigint, PRIMARY KEY (job, seq))`)
	var changes []store.Change
	for range 5 {
		changes = append(changes, refusing(t, seed, jobkit.Start(t, engine.New(seed), jobkit.Asking(1)), store.RequestID{}))
	}
	release := lockJob(t, pool, changes[2].Job.ID)
	answers := queueBehind(t, pool, st, changes)
	for i, answer := range answers {
		if i == 2 {
			continue
		}
		if err := <-answer; err != nil {
			t.Errorf("change %d: %v", i, err)
		}
	}
	unanswered(t, "the change of the locked job", answers[2])
	release()
	if err := <-answers[2]; err != nil {
		t.Errorf("the change of the locked job: %v", err)
	}
}

// A change whose job stays locked fails within the timeout, without effect.
func TestJobStaysLocked(t *testing.T) {
	for _, lanes := range []int{1, 0} {
		pool := migrated(t)
		st := open(t, pool, pgstore.WithLanes(lanes), pgstore.WithTimeout(bound))
		eng := engine.New(open(t, pool))
		change := refusing(t, st, jobkit.Start(t, eng, jobkit.Asking(1)), store.RequestID{})
		release := lockJob(t, pool, change.Job.ID)
		began := time.Now()
		answers := []<-chan error{
			asked(func() error { return st.Commit(t.Context(), change) }),
			asked(func() error { return st.Commit(t.Context(), change) }),
			asked(func() error {
				return st.Commit(pgstore.Alongside(t.Context(), func(context.Context, pgx.Tx) error { return nil }), change)
			}),
		}
		for _, answer := range answers {
			if err := <-answer; !errors.Is(err, store.ErrUndone) || !errors.Is(err, pgstore.ErrTimeout) {
				t.Errorf("lanes=%d: Commit to a job that stays locked: got error %v, want %v and that nothing was done", lanes, err, pgstore.ErrTimeout)
			}
		}
		t.Logf("lanes=%d: told after %v", lanes, time.Since(began))
		release()
		if err := st.Commit(t.Context(), change); err != nil {
			t.Errorf("lanes=%d: the same change later: %v", lanes, err)
		}
	}
}
