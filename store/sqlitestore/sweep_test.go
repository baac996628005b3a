package sqlitestore_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// Sweepers of two processes, whose clocks differ by seconds, expire each overdue attempt once.
func TestSweepersExpireEachAttemptOnce(t *testing.T) {
	const jobs, sweepers = 24, 6
	path, began := file(t), time.UnixMilli(1_800_000_000_000)
	stores := [2]*sqlitestore.Store{open(t, path), open(t, path)}
	clock := func(now time.Time) engine.Option { return engine.WithClock(func() time.Time { return now }) }
	eng := engine.New(stores[0], clock(began))
	var ids []store.JobID
	for i := range jobs {
		created, err := eng.Create(t.Context(), engine.JobSpec{Name: fmt.Sprint("job ", i), Steps: []step.Spec{
			{Type: step.Script, Name: "run", Targets: []string{"a"}, Timeout: time.Minute},
		}}, engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, created.Job)
	}
	var all sync.WaitGroup
	var expired atomic.Int64
	ready := make(chan struct{})
	for i := range sweepers {
		skew := time.Duration(i-sweepers/2) * 2 * time.Second
		sweeper := engine.New(stores[i%2], clock(began.Add(time.Minute+10*time.Second+skew)))
		all.Go(func() {
			<-ready
			n, err := sweeper.Sweep(t.Context())
			if err != nil {
				t.Errorf("Sweep with a clock off by %v: %v", skew, err)
			}
			expired.Add(int64(n))
		})
	}
	close(ready)
	all.Wait()
	if expired.Load() != jobs {
		t.Errorf("the sweepers say that they expired %d attempts, want %d", expired.Load(), jobs)
	}
	for _, id := range ids {
		records, err := stores[1].History(t.Context(), store.Scope{}, id, store.Page[store.Seq]{Limit: 10})
		if err != nil || len(records) != 3 || records[2].Cause != step.Expired {
			t.Errorf("history of job %d: %+v, %v, want a creation, a start and one expiry", id, records, err)
		}
	}
}
