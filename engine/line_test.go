package engine_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// grouped is a store that notes how many records each commit holds, and what its context carries.
type grouped struct {
	store.Store
	mu      sync.Mutex // guards all below
	records []int
	carried []any
}

type carriedKey struct{}

func (s *grouped) Commit(ctx context.Context, c store.Change) error {
	s.mu.Lock()
	s.records, s.carried = append(s.records, len(c.Records)), append(s.carried, ctx.Value(carriedKey{}))
	s.mu.Unlock()
	return s.Store.Commit(ctx, c)
}

// A noted meeting is one whose commits are noted.
type noted struct {
	*meeting
	*grouped
}

// meetIn is meet, on a store that notes commits.
func meetIn(t *testing.T, targets int) noted {
	t.Helper()
	g := &grouped{Store: memstore.New()}
	m := &meeting{faults: storetest.NewFaults(g), release: make(chan struct{})}
	m.desk = newDesk(t, m.faults)
	m.id = m.job(targets)
	g.records, g.carried = nil, nil
	m.hold()
	return noted{m, g}
}

// A commit is shared by reports of one step, 128 at most, with 10,000 results at most.
func TestWhatSharesATurn(t *testing.T) {
	many := func(id store.JobID, first, n int32) engine.Report {
		r := told(id)
		for i := range n {
			r.Results = append(r.Results, success(first+i))
		}
		return r
	}
	bubble(t, "results", func(t *testing.T) {
		m := meetIn(t, 20_001)
		for i := range int32(3) {
			m.send(t.Context(), many(m.id, 1+i*4000, 4000))
		}
		m.send(t.Context(), many(m.id, 12_001, 1000)) // the first two leave room for both
		m.send(t.Context(), many(m.id, 13_001, 1000))
		m.goOn()
		if want := []int{1, 4, 1}; !slices.Equal(m.grouped.records, want) {
			t.Errorf("commits of %v records, want %v", m.grouped.records, want)
		}
	})
	bubble(t, "reports", func(t *testing.T) {
		m := meetIn(t, 200)
		for i := range int32(130) {
			m.send(t.Context(), told(m.id, success(i)))
		}
		m.goOn()
		if want := []int{1, 128, 2}; !slices.Equal(m.grouped.records, want) {
			t.Errorf("commits of %v records, want %v", m.grouped.records, want)
		}
	})
	bubble(t, "steps", func(t *testing.T) {
		m := meetIn(t, 4)
		other := told(m.id)
		other.Step, other.Outcome = 2, step.Stopped
		m.send(t.Context(), told(m.id, success(1)))
		answer := m.send(t.Context(), other)
		m.send(t.Context(), told(m.id, success(2)))
		m.goOn()
		refusal := new(engine.Refusal)
		if want := []int{1, 2}; !slices.Equal(m.grouped.records, want) || !errors.As(answer.err, &refusal) || refusal.Step != 2 {
			t.Errorf("commits of %v records, want %v; of step 2: %v, want a refusal that names it", m.grouped.records, want, answer.err)
		}
	})
	bubble(t, "scopes", func(t *testing.T) {
		m := meetIn(t, 4)
		whole := m.eng
		m.send(t.Context(), told(m.id, success(1)))
		m.eng = whole.In(store.Scope{Type: "biz", ID: "2"})
		a, b := m.send(t.Context(), told(m.id, success(2))), m.send(t.Context(), told(m.id, success(3)))
		if !a.done.Load() || !b.done.Load() || !errors.Is(a.err, operation.NoSuchJob) || !errors.Is(b.err, operation.NoSuchJob) {
			t.Errorf("reports in another scope: %v and %v, want no such job at once", a.err, b.err)
		}
		m.goOn()
	})
}

// A report with a context of its own for the commit shares no commit, and the commits before and after
// it do not carry that context.
func TestAContextForOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meetIn(t, 6)
		own := func(word string) context.Context {
			return context.WithValue(store.Alone(t.Context()), carriedKey{}, word)
		}
		m.send(t.Context(), told(m.id, success(1)))
		m.send(own("a"), told(m.id, success(2)))
		m.send(t.Context(), told(m.id, success(3)))
		m.send(own("b"), told(m.id, success(4)))
		m.goOn()
		if want := []any{nil, nil, "a", "b"}; !reflect.DeepEqual(m.grouped.carried, want) {
			t.Errorf("the contexts of the commits carry %v, want %v", m.grouped.carried, want)
		}
		if want := []int{1, 2, 1, 1}; !slices.Equal(m.grouped.records, want) {
			t.Errorf("commits of %v records, want %v", m.grouped.records, want)
		}
		for i, a := range m.answers {
			if a.err != nil || a.receipt.Accepted != 1 {
				t.Errorf("report %d: %+v, %v, want it accepted", i, a.receipt, a.err)
			}
		}
	})
}

// An operation waits for no report until it has lost a race. Then it has the next turn, before all
// waiting reports.
func TestAnOperationThatLostIsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meet(t, 4)
		m.send(t.Context(), told(m.id, success(1)))
		m.send(t.Context(), told(m.id, success(2)))
		views := m.faults.Calls(storetest.View)
		m.faults.Add(storetest.Fault{Method: storetest.Commit, Err: store.ErrConflict})
		stop := m.terminate()
		if stop.done.Load() || m.faults.Calls(storetest.View) != views+1 {
			t.Fatalf("the terminate %+v, %v has not lost its race", stop.record, stop.err)
		}
		m.goOn()
		if stop.err != nil || stop.record.Seq != 4 {
			t.Errorf("OperateJob: %+v, %v, want version 4, before those that waited", stop.record, stop.err)
		}
		for i, a := range m.answers {
			if i > 0 && a.receipt.State != step.Terminating && a != stop {
				t.Errorf("report %d: %+v, %v, want it to meet a step that terminates", i, a.receipt, a.err)
			}
		}
	})
}

// terminate operates on the job and waits until the operation waits.
func (m *meeting) terminate() *answer {
	a := &answer{}
	m.calls.Go(func() {
		a.record, a.err = m.eng.OperateJob(m.Context(), m.id, operation.TerminateJob, engine.Request{By: "ann"})
		a.done.Store(true)
	})
	synctest.Wait()
	return a
}

// An authorizer can call the engine back for the job it is asked about: an operation that has the
// turn gives it on after 100 ms, and passes all the same.
func TestAnAuthorizerCallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *meeting
		asked := 0
		var back error
		var took time.Duration
		m = meet(t, 4, engine.WithAuthorizer(func(ctx context.Context, a engine.Access) error {
			if a.Cause != operation.TerminateJob.Cause() {
				return nil
			}
			if asked++; asked == 2 { // the operation has the turn
				began := time.Now()
				_, back = m.eng.Report(ctx, told(m.id, success(3)))
				took = time.Since(began)
			}
			return nil
		}))
		m.faults.Add(storetest.Fault{Method: storetest.Commit, Err: store.ErrConflict})
		stop := m.terminate()
		m.goOn()
		if back != nil || took != 100*time.Millisecond {
			t.Errorf("the report of the authorizer: %v after %v, want it to pass after 100 ms", back, took)
		}
		if stop.err != nil || stop.record.Seq != 5 || asked != 3 {
			t.Errorf("OperateJob: %+v, %v, the authorizer was asked %d times; want version 5, after 3", stop.record, stop.err, asked)
		}
	})
}

// An observer can call the engine back: it is told when the turn is over.
func TestAnObserverCallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *meeting
		var back error
		var called atomic.Bool
		m = meet(t, 4, engine.WithObserver(engine.Observer{Accepted: func(_ context.Context, r store.Record, _ time.Duration) {
			if r.Seq > 2 && !called.Swap(true) {
				_, back = m.eng.Report(t.Context(), told(m.id, success(3)))
			}
		}}))
		m.send(t.Context(), told(m.id, success(1)))
		m.send(t.Context(), told(m.id, success(2)))
		m.goOn()
		if back != nil || len(m.history()) != 6 {
			t.Errorf("the observer's report: %v, with %d records; want it to pass as the sixth", back, len(m.history()))
		}
	})
}

// A deadline that passes while reports wait is met by each of them; the sweep makes its record.
func TestADeadlinePassesInLine(t *testing.T) {
	for _, n := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			m := meet(t, 4)
			for i := range n {
				m.send(t.Context(), told(m.id, success(int32(1+i))))
			}
			time.Sleep(2 * time.Hour)
			m.goOn()
			for i, a := range m.answers[1:] {
				if !errors.Is(a.err, operation.Stale) {
					t.Errorf("report %d of %d: %+v, %v, want it stale", i, n, a.receipt, a.err)
				}
			}
			if expired, err := m.eng.Sweep(t.Context()); expired != 1 || err != nil {
				t.Errorf("Sweep: %d, %v, want one", expired, err)
			}
		})
	}
}
