package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
)

// played returns a line whose systems take as many milliseconds as they hold, and note their turns.
func played(name string, turns *[]string, failing int, sizes ...int) line {
	return line{name: name, sizes: sizes, system: func(_ context.Context, size int) (system, error) {
		next := 0
		return system{
			operate: func(_ context.Context, n int) (time.Duration, error) {
				if n != next {
					return 0, fmt.Errorf("operation %d follows %d", n, next-1)
				}
				if next++; size == failing && n >= 3 {
					return 0, errors.New("worn out")
				}
				if turn := fmt.Sprint(name, size); len(*turns) == 0 || (*turns)[len(*turns)-1] != turn {
					*turns = append(*turns, turn)
				}
				return time.Duration(size) * time.Millisecond, nil
			},
			close: func() error { *turns = append(*turns, "close"); return nil },
		}, nil
	}}
}

func ready(context.Context) error { return nil }

// All systems have one turn a round, each round begins with another one, and all are closed.
func TestSystemsTakeTurns(t *testing.T) {
	var turns []string
	a := axis{lines: []line{played("a", &turns, 0, 1, 2), {name: "b", sizes: []int{1}, absent: "none"}, played("c", &turns, 0, 5)}}
	all, err := a.measure(t.Context(), pace{rounds: 3, warm: 3, turn: 3, within: time.Minute}, ready)
	if err != nil {
		t.Fatal(err)
	}
	want := "a1 a2 c5 a1 a2 c5 a2 c5 a1 c5 a1 a2 close close close"
	if got := strings.Join(turns, " "); got != want {
		t.Errorf("the turns are\n%s, want\n%s", got, want)
	}
	if got := all[0].ratio(1, 2); got != 2 {
		t.Errorf("with twice as much an operation takes %v times as long, want 2", got)
	}
	for _, g := range []growth{all[0], all[2]} {
		for i, size := range g.sizes {
			if want := slices.Repeat([]float64{float64(size) / 1000}, 3); !slices.Equal(g.took[i], want) {
				t.Errorf("%s%d took %v, want %v", g.name, size, g.took[i], want)
			}
		}
	}
}

// A system that fails ends its line and no other, and the table says so.
func TestFailedSystemIsSaid(t *testing.T) {
	var turns []string
	a := axis{x: "jobs", lines: []line{played("a", &turns, 20, 10, 20), played("b", &turns, 0, 10, 20), {name: "c", sizes: []int{10, 20}, absent: "no PostgreSQL"}}}
	all, err := a.measure(t.Context(), pace{rounds: 2, warm: 3, turn: 3, within: time.Minute}, ready)
	if err != nil {
		t.Fatal(err)
	}
	got := a.table(all).String()
	for _, want := range []string{
		"| jobs | 10 | 20 | most / least |",
		"| a | 10.0 ms | – | – |",
		"| b | 10.0 ms | 20.0 ms | 2.0 |",
		"| c | – | – | – |",
		"Not measured: *a*: with 20: worn out. *c*: no PostgreSQL.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the table has no %q:\n%s", want, got)
		}
	}
	file, err := a.draw(&run{out: t.TempDir()}, all[2:])
	if file != "" || err != nil {
		t.Errorf("a plot of nothing: %q, %v", file, err)
	}
}

// A peer is compared with Stepgate on the same database, at the sizes that both have.
func TestDuels(t *testing.T) {
	all := []growth{
		{line: line{name: postgresName, sizes: []int{10, 100, 1000}}, took: [][]float64{{2, 2}, {4, 4}, {4, 4}}},
		{line: line{name: sqliteName, sizes: []int{10}}, took: [][]float64{{1, 1}}},
		{line: line{name: "peer", unit: "a task", sizes: []int{10, 100}}, took: [][]float64{{1, 1}, {8, 8}}},
	}
	want := []duel{{"peer", postgresName, "with 10 jobs", 2}, {"peer", postgresName, "with 100 jobs", 0.5}}
	if got := duels(all, postgresName, "jobs"); !slices.Equal(got, want) {
		t.Errorf("duels are %v, want %v", got, want)
	}
	if got := duels(all[1:], postgresName, "jobs"); got != nil {
		t.Errorf("duels without Stepgate are %v", got)
	}
}

// All of few targets fail, and a hundred of many.
func TestFails(t *testing.T) {
	for targets, want := range map[int]int{10: 10, 100: 100, 1000: 100, 100_000: 100, 1_000_000: 100} {
		got := 0
		for i := range targets {
			if fails(i, targets) {
				got++
			}
		}
		if got != want {
			t.Errorf("of %d targets %d fail, want %d", targets, got, want)
		}
	}
}

func TestDecadesTo(t *testing.T) {
	if got := decadesTo(10, 1000); !slices.Equal(got, []int{10, 100, 1000}) {
		t.Errorf("decadesTo(10, 1000) = %v", got)
	}
}

func TestCopying(t *testing.T) {
	got := copying("jobs", []string{"id", "name", "offset"}, "t.id = 7", "generate_series(1, 9) AS numbers (n)", map[string]string{"id": "t.id + n", "other": "0"})
	want := `INSERT INTO jobs ("id", "name", "offset") SELECT t.id + n, t."name", t."offset" FROM jobs t CROSS JOIN generate_series(1, 9) AS numbers (n) WHERE t.id = 7`
	if got != want {
		t.Errorf("copying is\n%s, want\n%s", got, want)
	}
}

// eachWarehouse runs f with each of Stepgate's stores that this machine has.
func eachWarehouse(t *testing.T, f func(t *testing.T, w *warehouse)) {
	r := testRun(t)
	for _, c := range []struct {
		name, absent string
		open         func(context.Context) (*warehouse, error)
	}{{"memory", "", memoryWarehouse}, {"SQLite", "", r.sqliteWarehouse}, {"PostgreSQL", r.noPostgres(), r.postgresWarehouse}} {
		t.Run(c.name, func(t *testing.T) {
			if c.absent != "" {
				t.Skip(c.absent)
			}
			w, err := c.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			f(t, w)
			if err := w.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// testRun returns a run on a PostgreSQL, if this machine has one.
func testRun(t *testing.T) *run {
	r := &run{out: t.TempDir(), disk: t.TempDir(), quick: true, log: t.Logf}
	var err error
	if r.dsn, err = findServer(t.Context(), os.Getenv(variable)); err != nil {
		t.Log(err)
	}
	return r
}

// The ids of the jobs of a stock follow each other, and each job works as if the engine had created
// it: it starts, and replays.
func TestStock(t *testing.T) {
	eachWarehouse(t, func(t *testing.T, w *warehouse) {
		ctx := t.Context()
		const jobs = 250
		first, err := w.stock(ctx, jobs)
		if err == nil {
			err = w.reopen(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		all, err := w.engine.Jobs(ctx, engine.JobQuery{Limit: jobs + 1})
		if err != nil || len(all) != jobs {
			t.Fatalf("there are %d jobs, %v, want %d", len(all), err, jobs)
		}
		for i, j := range all {
			if want := (store.Scope{Type: "biz", ID: scopeID(i)}); j.ID != first+store.JobID(i) || j.Scope != want {
				t.Fatalf("job %d of the stock is %d of %v, want %d of %v", i, j.ID, j.Scope, first+store.JobID(i), want)
			}
		}
		for _, i := range []int{0, 1, jobs - 1} {
			if _, err := w.engine.OperateJob(ctx, all[i].ID, operation.StartJob, engine.Request{}); err != nil {
				t.Errorf("job %d of the stock does not start: %v", i, err)
			}
			spec := stocked
			spec.Scope = all[i].Scope
			replays(t, w.engine, all[i].ID, spec, 2)
		}
	})
}

// A job that was aged has its whole history, and replays to its stored state.
func TestAge(t *testing.T) {
	eachWarehouse(t, func(t *testing.T, w *warehouse) {
		ctx := t.Context()
		ids, err := started(ctx, w.engine, 2, 1, asking(5))
		if err == nil {
			err = w.age(ctx, ids, 12)
		}
		if err == nil {
			err = w.reopen(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			replays(t, w.engine, id, asking(5), 12)
		}
		operate := toAndFro(ids)
		for n := range 2 * len(ids) {
			if _, err := operate(ctx, w.engine, n); err != nil {
				t.Fatal(err)
			}
		}
		replays(t, w.engine, ids[0], asking(5), 14)
	})
}

// replays fails if the history of a job has another number of records, or does not lead to its stored
// state.
func replays(t *testing.T, eng *engine.Engine, id store.JobID, spec engine.JobSpec, records int) {
	t.Helper()
	ctx := t.Context()
	history, err := eng.History(ctx, id, 0, records+1)
	if err != nil || len(history) != records {
		t.Fatalf("job %d has %d records, %v, want %d", id, len(history), err, records)
	}
	job, steps, err := engine.Replay(operation.Standard(), spec, history)
	if err != nil {
		t.Fatal(err)
	}
	got, err := eng.Job(ctx, id)
	if err != nil || got != job {
		t.Errorf("job %d is %+v, %v, its history says %+v", id, got, err, job)
	}
	kept, err := eng.Steps(ctx, id, 0, len(steps))
	if err != nil || len(kept) != len(steps) {
		t.Fatalf("job %d has %d steps, %v, want %d", id, len(kept), err, len(steps))
	}
	steps[0].Started, kept[0].Started = 0, 0 // the copied records do not have the time
	if fmt.Sprint(kept) != fmt.Sprint(steps) {
		t.Errorf("the steps are\n%+v, their history says\n%+v", kept, steps)
	}
}
