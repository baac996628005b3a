package main

import (
	"testing"
)

// The writes of a call depend on the store's tables only, and are the same each time.
func TestRowsOfCalls(t *testing.T) {
	r := testRun(t)
	const times = 20
	for _, o := range r.books()[1:] {
		t.Run(o.name, func(t *testing.T) {
			if o.absent != "" {
				t.Skip(o.absent)
			}
			for i, want := range []float64{
				4, // job, step, record and effect
				4, // likewise: the request id is in the record
				5, // job, step, record, a result and a set of 4096 targets
				2, // the effect is claimed, and is gone
				7, // job, five steps and a record; on PostgreSQL the scope's list of creations as well
			} {
				if o.name == postgresName && chores[i].name == "a creation of a job of 5 steps" {
					want++
				}
				rows, allocs := 0.0, 0.0
				err := o.with(t.Context(), func(b book) (err error) {
					rows, allocs, err = chores[i].count(t.Context(), b, times)
					return err
				})
				if err != nil || rows != want || allocs < 1 {
					t.Errorf("%s: %v rows and %v allocations, %v; want %v rows", chores[i].name, rows, allocs, err, want)
				}
			}
		})
	}
}

// Each store grows with its jobs and targets, by no more than the bounds below, and by more for a target with a
// result.
func TestBytesOfAJob(t *testing.T) {
	r := testRun(t)
	for _, o := range r.books() {
		t.Run(o.name, func(t *testing.T) {
			if o.absent != "" {
				t.Skip(o.absent)
			}
			bytes, err := o.sizes(t.Context(), 500, 20_000)
			if err != nil {
				t.Fatal(err)
			}
			for i, most := range []float64{20_000, 200, 400} {
				if bytes[i] <= 0 || bytes[i] > most {
					t.Errorf("a unit of row %d takes %v bytes, want up to %v", i+1, bytes[i], most)
				}
			}
			t.Logf("%s: %.0f bytes", o.name, bytes)
			if bytes[2] <= bytes[1] {
				t.Errorf("a target with a result takes %v bytes, one without %v", bytes[2], bytes[1])
			}
		})
	}
}
