package riverfx_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// What does carrying through River cost an operation? Each operation has one effect. The two
// ways take turns within one run, and their ratio is what to read.
//
// The plain outbox commits change and effect in one statement, which is one round trip. With
// River it is a transaction of at least four: its begin, that statement, River's insert and
// the commit. River's table has two indexes on JSON beside three others, and now and then its
// insert comes with a NOTIFY, for which the commits of a database wait for each other. With
// many callers a group shares the round trips and the insert.
func BenchmarkOperate(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			p := newProcess(b)
			st, err := pgstore.New(b.Context(), p.pool)
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			outbox := newCallers(b, engine.New(st), callers)
			river := newCallers(b, p.eng, callers)
			outbox.operate(b)
			river.operate(b)
			var took [2]time.Duration
			n := 0
			for b.Loop() {
				took[0] += outbox.operate(b)
				took[1] += river.operate(b)
				n += callers * opsInTurn
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(took[0].Nanoseconds())/float64(n), "outbox-ns/op")
			b.ReportMetric(float64(took[1].Nanoseconds())/float64(n), "river-ns/op")
			b.ReportMetric(float64(took[1])/float64(took[0]), "river/outbox")
		})
	}
}

// opsInTurn is the number of a caller's operations in one turn of a way.
const opsInTurn = 8

// callers operate at once, each on a job of its own.
type callers struct {
	eng  *engine.Engine
	jobs []store.JobID
}

func newCallers(b *testing.B, eng *engine.Engine, n int) *callers {
	b.Helper()
	c := &callers{eng: eng}
	for range n {
		created, err := eng.Create(b.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Confirmation, Name: "ask"}}}, engine.Request{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := eng.OperateJob(b.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
			b.Fatal(err)
		}
		c.jobs = append(c.jobs, created.Job)
	}
	return c
}

// operate makes each caller do its turn, and returns the duration.
func (c *callers) operate(b *testing.B) time.Duration {
	began := time.Now()
	var all sync.WaitGroup
	for _, job := range c.jobs {
		all.Go(func() {
			for i := range opsInTurn {
				code := [...]operation.Code{operation.TerminateConfirmation, operation.RestartConfirmation}[i%2]
				if _, err := c.eng.Operate(b.Context(), job, 1, code, engine.Request{}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return time.Since(began)
}
