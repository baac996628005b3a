package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// created returns the change that creates a job of a number of steps, each with two targets and a list
// of confirmers.
func created(steps int) store.Change {
	c := store.Change{
		Job:     store.Job{ID: 1, State: step.Pending, Version: 1, Moved: 1, Current: 1, Steps: int32(steps)},
		Records: []store.Record{{Job: 1, Seq: 1, Cause: step.Created, JobTo: step.Pending}},
	}
	for i := range steps {
		spec := step.Spec{Type: step.Script, Name: fmt.Sprint("step ", i), Targets: []string{"a", "b"}, Confirmers: []string{"ann", "bob"}}
		c.Specs = append(c.Specs, spec)
		c.Steps = append(c.Steps, store.NewStep(step.ID(i+1), spec))
	}
	return c
}

// reported returns a change with a number of results.
func reported(targets int) store.Change {
	c := store.Change{
		Job:     store.Job{ID: 1, State: step.Running, Version: 3, Moved: 2, Current: 1, Steps: 2},
		Steps:   []store.Step{{ID: 1, Type: step.Script, Total: int32(targets), State: step.Running, Attempt: 1, Run: store.FirstRun}, {ID: 2, State: step.Pending, Run: store.FirstRun}},
		Records: []store.Record{{Job: 1, Seq: 3, Cause: step.Results, Step: 1, From: step.Running, To: step.Running, JobFrom: step.Running, JobTo: step.Running}},
	}
	for i := range targets {
		c.Targets = append(c.Targets, store.Target{Index: int32(i), Attempt: 1, Success: 1})
	}
	return c
}

// rolled returns a change with results of all targets of a batch, which begins the next one.
func rolled(targets int) store.Change {
	c, end := reported(targets), int32(targets)
	s := &c.Steps[0]
	s.Total, s.Attempt, s.Batch, s.Before = 3*end, 2, 2, end
	s.Run = store.Run{Full: 2, First: end, End: 2 * end}
	c.Batches = []store.Batch{
		{Step: 1, Number: 1, End: end, Full: 1, Since: 1, Attempt: 1, State: step.Succeeded, Succeeded: end},
		{Step: 1, Number: 2, First: end, End: 2 * end, Full: 2, Since: 2, Attempt: 2, State: step.Running, Unfinished: end},
	}
	return c
}

// A well-formed change costs its check no memory.
func TestCheckAllocatesNothing(t *testing.T) {
	for name, c := range map[string]store.Change{
		"a creation of 100 steps": created(100), "a report of 1,000 results": reported(1000), "a report that ends a batch of 500": rolled(500),
	} {
		var err error
		if allocs := testing.AllocsPerRun(10, func() { err = c.Check() }); allocs != 0 || err != nil {
			t.Errorf("Check of %s: %v allocations, error %v, want neither", name, allocs, err)
		}
	}
}

// Results may come in any order, and steps too.
func TestCheckTakesAnyOrder(t *testing.T) {
	c := reported(100)
	c.Targets[7], c.Targets[40] = c.Targets[40], c.Targets[7]
	if err := c.Check(); err != nil {
		t.Errorf("Check of results out of order: %v", err)
	}
	c.Targets[8].Index = 7
	if err := c.Check(); !errors.Is(err, store.ErrMalformed) {
		t.Errorf("Check of results out of order, of which two are of one target: %v, want %v", err, store.ErrMalformed)
	}
}

func ExampleChange_Check() {
	c := store.Change{Job: store.Job{ID: 7, Version: 3}}
	fmt.Println(c.Check())
	// Output: store: malformed change of job 7: no record, want at least one
}

// What does the check of a change cost?
func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct {
		name   string
		change store.Change
	}{{"no results", reported(0)}, {"10 results", reported(10)}, {"10,000 results", reported(10_000)}, {"end of a batch of 10", rolled(10)}, {"creation of 5 steps", created(5)}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.change.Check(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
