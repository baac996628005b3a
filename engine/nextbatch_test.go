package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The next batch is a change of one step and two batches, with no target, and is decided with the same
// memory: among 10 targets and a million, as the second batch and as the last of 500.
func TestTheNextBatchIsAChangeOfOneSize(t *testing.T) {
	sizes := strings.TrimSuffix(strings.Repeat("2 ", step.MaxBatches), " ")
	allocs := map[float64][]string{}
	for _, c := range []struct {
		batches string
		total   int32
		batch   int32 // that has failed
	}{
		{"1", 10, 1}, {"1", 500, 1}, {"1", 500, 499}, {"2000", 1_000_000, 1}, {"2000", 1_000_000, 499}, {sizes, 1000, 1}, {sizes, 1000, 499}, {"1%", 1_000_000, 50},
	} {
		ends, err := step.Batches(c.batches, c.total)
		if err != nil {
			t.Fatal(err)
		}
		s := store.Step{
			ID: 1, Type: step.Script, Name: "run", Total: c.total, Policy: &step.Policy{Rolling: step.Rolling{Batches: c.batches}},
			State: step.Failed, Attempt: c.batch, Batch: c.batch, Run: store.Run{Full: c.batch, End: ends[c.batch-1]},
		}
		if c.batch > 1 {
			s.Run.First = ends[c.batch-2]
		}
		v := store.View{Job: store.Job{ID: 1, Name: "job", State: step.Failed, Version: 7, Moved: 7, Current: 1, Steps: 1, Created: 1, Started: 1}, Step: s}
		rules, command := operation.Standard(), &engine.Operate{Cause: operation.IgnoreError.Cause()}
		var d engine.Decision
		name := fmt.Sprintf("batch %d of %.10q, %d targets", c.batch+1, c.batches, c.total)
		n := testing.AllocsPerRun(20, func() { d, err = engine.Decide(rules, v, command, 8) })
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		after := d.Change.Steps[0]
		if want := (store.Run{Full: c.batch + 1, First: ends[c.batch-1], End: ends[c.batch]}); after.Run != want || after.Batch != c.batch+1 {
			t.Errorf("%s: batch %d with run %+v, want %+v", name, after.Batch, after.Run, want)
		}
		if got := [4]int{len(d.Change.Steps), len(d.Change.Targets), len(d.Change.Batches), len(d.Change.Records)}; got != [4]int{1, 0, 2, 1} {
			t.Errorf("%s: a change of %d steps, targets, batches and records, want 1, 0, 2 and 1", name, got)
		}
		allocs[n] = append(allocs[n], name)
	}
	if len(allocs) != 1 {
		t.Errorf("allocations: %v, want as many for each", allocs)
	}
}
