package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// A retry writes four rows, and the model one more for each target. The count has the changed rows and
// no others.
func TestRowsOfARetry(t *testing.T) {
	r := testRun(t)
	const targets, n = 300, mostFailed
	for _, c := range []struct {
		name, absent string
		open         func(context.Context, int) (*retrier, error)
		want         [acts]float64
	}{
		// A report is a job, a step and a record, a row for each result and each set of 4096 targets
		// and, if it ends the attempt, an effect.
		{sqliteName, "", r.stepgateOnSQLite, [acts]float64{4, n + 5, 5*n + 1}},
		{postgresName, r.noPostgres(), r.stepgateOnPostgres, [acts]float64{4, n + 5, 5*n + 1}},
		// It is a step, a row for each result and, if it ends the attempt, a job, a record and an effect.
		{"the model on SQLite", "", r.modelOnSQLite, [acts]float64{targets + 4, n + 4, 2*n + 3}},
		{"the model on PostgreSQL", r.noPostgres(), r.modelOnPostgres, [acts]float64{targets + 4, n + 4, 2*n + 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.absent != "" {
				t.Skip(c.absent)
			}
			x, err := c.open(t.Context(), targets)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := x.close(); err != nil {
					t.Error(err)
				}
			}()
			var failed []int32
			for i := range targets {
				if fails(i, targets) {
					failed = append(failed, int32(i))
				}
			}
			tally := tally{name: c.name, on: x}
			for range 2 {
				if err := errors.Join(tally.time(t.Context(), failed), tally.count(t.Context(), failed)); err != nil {
					t.Fatal(err)
				}
			}
			for a, want := range c.want {
				w := tally.acts[a]
				for _, got := range w.rows {
					if got != want {
						t.Errorf("%s wrote %v rows, want %v each time", actTitles[a], w.rows, want)
						break
					}
				}
				if slices.Min(w.log) <= 0 {
					t.Errorf("%s wrote %v bytes of log", actTitles[a], w.log)
				}
			}
		})
	}
}

// The section compares each model with the tally before it, and says which one is ahead and what is
// missing.
func TestWrittenSection(t *testing.T) {
	of := func(rows, log, seconds float64) writing {
		return writing{seconds: []float64{seconds}, rows: []float64{rows}, log: []float64{log}, disk: []float64{8192}}
	}
	s := writtenSection([]tally{
		{name: postgresName, acts: [acts]writing{of(4, 2000, 0.001), of(105, 50_000, 0.003), of(500, 90_000, 0.1)}},
		{name: "a row per target, PostgreSQL", model: true, acts: [acts]writing{of(100_004, 2e7, 0.5), of(105, 100_000, 0.006), of(200, 45_000, 0.1)}},
		{name: sqliteName, absent: "out of disk"},
		{name: "a row per target, SQLite", model: true},
	}, 100_000, 100, 6, 3)
	var text strings.Builder
	for _, w := range s.words {
		text.WriteString(w + "\n")
	}
	for _, t := range s.tables {
		text.WriteString(t.String())
	}
	for _, want := range []string{
		"Of 100,000 targets 100 have failed",
		"A retry and its results in one report together take Stepgate, PostgreSQL 109 rows and 52.0 kB of log, in 4.00 ms; a row per target, PostgreSQL 100,109 rows and 20.1 MB of log, in 506 ms.",
		"**The model is ahead** where Stepgate takes more than it: the results of the retry, one by one, Stepgate, PostgreSQL: 2.5 times the rows, 2.0 times the log.",
		"| Stepgate, PostgreSQL | 4 | 2.00 kB | – | 8.19 kB | 1.00 ms |",
		"| Stepgate / a row per target | 0.000040 | 0.00010 | – | 1.0 | 0.0020 |",
		"| a row per target, SQLite | – | – | – | – | – |",
		"Not measured: *Stepgate, SQLite*: out of disk.",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the section has no %q:\n%s", want, &text)
		}
	}
}

func TestBytesOf(t *testing.T) {
	for n, want := range map[float64]string{0: "0 B", 5: "5.00 B", 1500: "1.50 kB", 2.5e7: "25.0 MB", nan: "–"} {
		if got := bytesOf(n); got != want {
			t.Errorf("bytesOf(%v) = %q, want %q", n, got, want)
		}
	}
}
