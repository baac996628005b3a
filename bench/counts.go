package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A book is an engine on a store of its own, with the ledger of the store's database.
type book struct {
	*engine.Engine
	ledger // none of a store in memory

	clean func(ctx context.Context) error // prepares the database for the measurement, if there is one
	close func() error
}

// A chore is a call whose writes are counted. start returns a function that makes the call n times,
// one after another.
type chore struct {
	name  string
	start func(ctx context.Context, eng *engine.Engine, times int) (call func(ctx context.Context, n int) error, err error)
}

var chores = []chore{
	{"an operation without a request id", confirmingOnce(func(int) store.RequestID { return store.RequestID{} })},
	{"an operation with a request id", confirmingOnce(requestIDs(1))},
	{"a report of one result", oneResult},
	{"a claim and a settlement of one effect", oneEffect},
	{"a creation of a job of 5 steps", func(_ context.Context, eng *engine.Engine, _ int) (func(context.Context, int) error, error) {
		return func(ctx context.Context, _ int) error {
			_, err := eng.Create(ctx, asking(5), engine.Request{By: "ann"})
			return err
		}, nil
	}},
}

func confirmingOnce(request func(caller int) store.RequestID) func(context.Context, *engine.Engine, int) (func(context.Context, int) error, error) {
	return func(ctx context.Context, eng *engine.Engine, _ int) (func(context.Context, int) error, error) {
		ids, err := started(ctx, eng, 1, 1, asking(5))
		o := operator{jobs: ids}
		return func(ctx context.Context, _ int) error { return o.operate(ctx, eng, request(0)) }, err
	}
}

// oneResult is the report of one target of many.
func oneResult(ctx context.Context, eng *engine.Engine, times int) (func(context.Context, int) error, error) {
	ids, err := started(ctx, eng, 1, 1, running(times+1))
	return func(ctx context.Context, n int) error {
		_, err := eng.Report(ctx, engine.Report{Job: ids[0], Step: 1, Attempt: 1, Results: []engine.TargetResult{
			{Target: int32(n), Result: store.Result{Status: step.TargetSucceeded}},
		}})
		return err
	}, err
}

// oneEffect is what an executor in another process does with an effect, but for its work.
func oneEffect(ctx context.Context, eng *engine.Engine, times int) (func(context.Context, int) error, error) {
	_, err := started(ctx, eng, times, 1, asking(1))
	return func(ctx context.Context, _ int) error {
		due, err := eng.Claim(ctx, engine.ClaimQuery{Limit: 1})
		if err == nil && len(due) != 1 {
			err = fmt.Errorf("%d effects were claimed, want one", len(due))
		}
		if err != nil {
			return err
		}
		return eng.Settle(ctx, due[0].Claimed())
	}, err
}

// running returns a job of one step with a number of targets.
func running(targets int) engine.JobSpec {
	spec := step.Spec{Type: step.Script, Name: "run", Targets: make([]string, targets)}
	for i := range spec.Targets {
		spec.Targets[i] = fmt.Sprint("host-", i)
	}
	return engine.JobSpec{Name: "bench", Steps: []step.Spec{spec}}
}

// books are the stores that are counted, by the names of their rows.
func (r *run) books() []opening {
	return []opening{
		{memoryName, "", memoryBook},
		{sqliteName, "", r.sqliteBook},
		{postgresName, r.noPostgres(), r.postgresBook},
	}
}

// An opening is how a book is had.
type opening struct {
	name, absent string
	open         func(context.Context) (book, error)
}

func memoryBook(context.Context) (book, error) {
	return book{Engine: engine.New(memstore.New()), close: func() error { return nil }}, nil
}

// counted counts what no speed of a machine changes: rows and allocations of calls, bytes of jobs.
func counted(ctx context.Context, r *run) (section, error) {
	times, jobs, targets := 200, 2000, 200_000
	if r.quick {
		times, jobs, targets = 20, 50, 20_000
	}
	calls := table{title: "Rows and allocations of a call", head: []string{""}, rows: make([][]string, len(chores))}
	for i, c := range chores {
		calls.rows[i] = []string{c.name}
	}
	sizes := table{
		title: "Bytes of a job and of a target", head: []string{""},
		rows: [][]string{{"a job of 5 steps and 5 records"}, {"a target without a result"}, {"a target with a result"}},
	}
	for _, o := range r.books() {
		rows, allocs, bytes, err := o.count(ctx, times, jobs, targets)
		if err != nil {
			return section{}, fmt.Errorf("%s: %w", o.name, err)
		}
		calls.head = append(calls.head, o.name+": rows", "allocations")
		for i := range chores {
			calls.rows[i] = append(calls.rows[i], rowCount(rows[i]), count(allocs[i]))
		}
		sizes.head = append(sizes.head, o.name)
		for i := range sizes.rows {
			sizes.rows[i] = append(sizes.rows[i], bytesOf(bytes[i]))
		}
	}
	return section{
		title: "Counts",
		words: []string{
			fmt.Sprintf("Rows are those that the database counts as inserted, updated or deleted, as below; allocations are those of this process, in the background as well: both the mean of %d calls of one caller, whose effects wait. Bytes are the growth of the heap after a collection, or of the tables and indices, by %s jobs without payload, their effects settled, and by one step of %s targets, whose names are left out in memory.", times, whole(jobs), whole(targets)),
		},
		tables: []table{calls, sizes},
		brief:  []table{calls, sizes},
	}, nil
}

// count counts on one store: rows and allocations of the chores, and bytes in the order of the table.
func (o opening) count(ctx context.Context, times, jobs, targets int) (rows, allocs []float64, bytes [3]float64, err error) {
	rows, allocs = make([]float64, len(chores)), make([]float64, len(chores))
	for i := range chores {
		rows[i], allocs[i] = nan, nan
	}
	if o.absent != "" {
		return rows, allocs, [3]float64{nan, nan, nan}, nil
	}
	for i, c := range chores {
		if err := o.with(ctx, func(b book) (err error) {
			rows[i], allocs[i], err = c.count(ctx, b, times)
			return err
		}); err != nil {
			return nil, nil, bytes, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	bytes, err = o.sizes(ctx, jobs, targets)
	return rows, allocs, bytes, err
}

// sizes returns how many bytes a job takes, a target without a result and one with a result.
func (o opening) sizes(ctx context.Context, jobs, targets int) (bytes [3]float64, err error) {
	for i, fill := range []func(context.Context, book) (units int, err error){
		func(ctx context.Context, b book) (int, error) { return jobs, aged(ctx, b.Engine, jobs) },
		func(ctx context.Context, b book) (int, error) {
			return targets, targeted(ctx, b.Engine, targets, false)
		},
		func(ctx context.Context, b book) (int, error) { return targets, targeted(ctx, b.Engine, targets, true) },
	} {
		if bytes[i], err = o.bytes(ctx, fill, i > 0); err != nil {
			return bytes, err
		}
	}
	return bytes, nil
}

// with has do work on a book, and closes it.
func (o opening) with(ctx context.Context, do func(book) error) error {
	b, err := o.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(b), b.close())
}

// count returns how many rows and allocations a call takes. The first calls, of as many, are not counted:
// connections and caches are new to them.
func (c chore) count(ctx context.Context, b book, times int) (rows, allocs float64, err error) {
	call, err := c.start(ctx, b.Engine, 2*times)
	if err != nil {
		return 0, 0, err
	}
	several := func(from int) error {
		for n := range times {
			if err := call(ctx, from+n); err != nil {
				return err
			}
		}
		return nil
	}
	if err := several(0); err != nil {
		return 0, 0, err
	}
	written := func() (float64, error) {
		if b.rows == nil {
			return nan, nil
		}
		return b.rows(ctx)
	}
	before, err := written()
	if err != nil {
		return 0, 0, err
	}
	made := mallocs()
	err = several(times)
	made = mallocs() - made
	if err != nil {
		return 0, 0, err
	}
	after, err := written()
	return (after - before) / float64(times), float64(made) / float64(times), err
}

// bytes returns what a unit takes of those that fill stores. In memory, names of targets are left out.
func (o opening) bytes(ctx context.Context, fill func(context.Context, book) (int, error), targets bool) (per float64, err error) {
	err = o.with(ctx, func(b book) error {
		size := b.disk
		if size == nil {
			size = heap
		}
		before, err := size(ctx)
		if err != nil {
			return err
		}
		units, err := fill(ctx, b)
		if err == nil && b.clean != nil {
			err = b.clean(ctx)
		}
		if err != nil {
			return err
		}
		after, err := size(ctx)
		per = (after - before) / float64(units)
		if targets && b.disk == nil {
			names := 0
			for _, name := range running(units).Steps[0].Targets {
				names += len(name)
			}
			per -= float64(names) / float64(units)
		}
		runtime.KeepAlive(b.Engine)
		return err
	})
	return per, err
}

// heap returns the bytes in use after a collection.
func heap(context.Context) (float64, error) {
	runtime.GC()
	runtime.GC() // the first one leaves what finalizers and pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc), nil
}

// aged stores jobs of five steps and five records each, and settles their effects.
func aged(ctx context.Context, eng *engine.Engine, jobs int) error {
	ids, err := started(ctx, eng, jobs, atOnce, asking(5))
	if err != nil {
		return err
	}
	err = inParallel(atOnce, jobs, func(i int) error {
		o := operator{jobs: ids[i : i+1]}
		for range 3 { // besides the creation and the start
			if err := o.operate(ctx, eng, store.RequestID{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = eng.Deliver(ctx, func(context.Context, engine.Delivery) error { return nil })
	return err
}

// targeted stores a job of one step, and the results of its targets if so asked.
func targeted(ctx context.Context, eng *engine.Engine, targets int, results bool) error {
	ids, err := started(ctx, eng, 1, 1, running(targets))
	for first := 0; results && first < targets && err == nil; first += engine.MaxResults {
		report := engine.Report{Job: ids[0], Step: 1, Attempt: 1}
		for i := first; i < min(targets, first+engine.MaxResults); i++ {
			report.Results = append(report.Results, engine.TargetResult{
				Target: int32(i), Result: store.Result{Status: step.TargetSucceeded, Started: 1, Finished: 2},
			})
		}
		_, err = eng.Report(ctx, report)
	}
	return err
}
