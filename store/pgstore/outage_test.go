package pgstore_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/store"
)

// If the server goes away during a commit, an operation learns the outcome once the server is back: it
// has passed once, whether its commit had reached the server or not. If the server stays away, the
// outcome is unknown, and a repetition of the request learns it.
func TestServerGoesAwayInMidCommit(t *testing.T) {
	dsn, direct := shared(t)
	p := newProxy(t)
	eng := engine.New(open(t, connect(t, dsn, p.between, conns(1))))
	confirmation := jobkit.Start(t, eng, jobkit.Asking(1))

	calls := []struct {
		what string
		make func(turn int, r engine.Request) (store.JobID, store.Seq, error)
	}{
		{"Operate", func(turn int, r engine.Request) (store.JobID, store.Seq, error) {
			record, err := eng.Operate(t.Context(), confirmation, 1, jobkit.Alternating[turn%2], r)
			return record.Job, record.Seq, err
		}},
		{"Create", func(_ int, r engine.Request) (store.JobID, store.Seq, error) {
			created, err := eng.Create(t.Context(), jobkit.Asking(1), r)
			return created.Job, created.Seq, err
		}},
	}
	for turn, o := range []outage{{passes: true}, {}, {passes: true, stays: true}, {stays: true}} {
		o.mark = fmt.Sprint("somebody ", turn)
		request := store.RequestID{15: byte(turn + 1)}
		for _, call := range calls {
			t.Run(fmt.Sprintf("%s,passes=%v,stays=%v", call.what, o.passes, o.stays), func(t *testing.T) {
				p.takeAway(o)
				id, seq, err := call.make(turn, engine.Request{By: o.mark, ID: request})
				if o.stays {
					var unknown *engine.UnknownOutcomeError
					if !errors.Is(err, engine.ErrUnknownOutcome) || !errors.As(err, &unknown) || unknown.Request != request {
						t.Errorf("got error %v, want the outcome of request %v unknown", err, request)
					}
					p.back()
					id, seq, err = call.make(turn, engine.Request{By: o.mark, ID: request})
				}
				if err != nil {
					t.Fatalf("got error %v, want none", err)
				}
				if got := ask[store.RequestID](t, direct, `SELECT request FROM stepgate_records WHERE job = $1 AND seq = $2`, int64(id), int64(seq)); got != request {
					t.Errorf("the answer is record %d of job %d, which is that of request %v, want %v", seq, id, got, request)
				}
				if n := ask[int](t, direct, `SELECT count(*) FROM stepgate_records WHERE actor = $1 AND (seq = 1) = $2`, o.mark, call.what == "Create"); n != 1 {
					t.Errorf("there are %d records of the request, want 1", n)
				}
				want := 2
				if o.passes {
					want = 1
				}
				if sent := p.back(); sent != want {
					t.Errorf("the commit was sent %d times, want %d", sent, want)
				}
			})
		}
	}
}
