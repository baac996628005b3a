package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// axes are what can grow, in the order of the page.
func (r *run) axes() []axis {
	jobs, steps, records, targets, peers := decadesTo(1000, 1_000_000), []int{5, 30, 200, 1000}, decadesTo(10, 10_000), decadesTo(10, 1_000_000), decadesTo(1000, 100_000)
	if r.quick {
		jobs, steps, records, targets, peers = []int{300, 1000}, []int{5, 20}, []int{10, 40}, []int{10, 1000}, []int{300, 1000}
	}
	return []axis{
		{
			file: "growth-jobs.svg", title: "Time by jobs stored", x: "jobs stored",
			note:  fmt.Sprintf("*terminate_confirmation* and *restart_confirmation* take turns, on %d jobs spread over the store. The stored jobs have one step each and belong to 100 scopes.", spread),
			lines: append(r.stepgate(jobs, ofJobs), r.dbosStored(peers), r.riverStored(peers)),
		},
		{
			file: "growth-steps.svg", title: "Time by steps of the job", x: "steps",
			note:  "*terminate_confirmation* and *restart_confirmation* take turns, on the first step of such jobs.",
			lines: append(r.stepgate(steps, ofSteps), r.dbosForks(steps)),
		},
		{
			file: "growth-records.svg", title: "Time by records of the job", x: "records",
			note:  "*terminate_confirmation* and *restart_confirmation* take turns, on jobs with such a history; each operation adds a record. No peer keeps a history of operations.",
			lines: r.stepgate(records, ofRecords),
		},
		{
			file: "growth-targets.svg", title: "Time of retry failed by targets of the step", x: "targets",
			note:  fmt.Sprintf("The failed ones of that many targets are retried: all of 10, of more targets %d. After each retry the executor reports the attempt abnormal, so that the next retry is legal; the figures exclude that report. No peer has targets.", mostFailed),
			lines: r.stepgate(targets, ofTargets),
		},
	}
}

// decadesTo returns the powers of ten from least to most.
func decadesTo(least, most int) (all []int) {
	for n := least; n <= most; n *= 10 {
		all = append(all, n)
	}
	return all
}

// stepgate returns a line for each of Stepgate's stores.
func (r *run) stepgate(sizes []int, fill func(context.Context, *warehouse, int) (operating, error)) []line {
	on := func(open func(context.Context) (*warehouse, error)) func(context.Context, int) (system, error) {
		return func(ctx context.Context, size int) (system, error) {
			w, err := open(ctx)
			if err != nil {
				return system{}, err
			}
			operate, err := fill(ctx, w, size)
			if err == nil {
				err = w.reopen(ctx)
			}
			if err != nil {
				_ = w.close()
				return system{}, err
			}
			return system{func(ctx context.Context, n int) (time.Duration, error) { return operate(ctx, w.engine, n) }, w.close}, nil
		}
	}
	return []line{
		{name: memoryName, sizes: sizes, system: on(memoryWarehouse)},
		{name: sqliteName, sizes: sizes, system: on(r.sqliteWarehouse)},
		{name: postgresName, sizes: sizes, system: on(r.postgresWarehouse), absent: r.noPostgres()},
	}
}

// operating does an operation for the n-th time, see [system].
type operating func(ctx context.Context, eng *engine.Engine, n int) (time.Duration, error)

const (
	spread     = 256 // jobs that are operated on in turn
	mostFailed = 100 // targets of a step that fail
	atOnce     = 32  // concurrent calls, which share commits in a store
)

// ofJobs stores size jobs and operates on some, spread over all of them.
func ofJobs(ctx context.Context, w *warehouse, size int) (operating, error) {
	all, err := w.stock(ctx, size)
	if err != nil {
		return nil, err
	}
	ids := make([]store.JobID, min(spread, size))
	return toAndFro(ids), inParallel(atOnce, len(ids), func(i int) error {
		ids[i] = all + store.JobID(i*(size/len(ids)))
		_, err := w.engine.OperateJob(ctx, ids[i], operation.StartJob, engine.Request{})
		return err
	})
}

// ofSteps operates on jobs of size steps.
func ofSteps(ctx context.Context, w *warehouse, size int) (operating, error) {
	ids, err := started(ctx, w.engine, spread/8, atOnce, asking(size))
	return toAndFro(ids), err
}

// ofRecords operates on jobs with size records. For a small size it takes many jobs, so that the measured
// operations add few records to each.
func ofRecords(ctx context.Context, w *warehouse, size int) (operating, error) {
	jobs := spread
	if size > 1000 {
		jobs = spread / 8
	}
	ids, err := started(ctx, w.engine, jobs, atOnce, asking(5))
	if err != nil {
		return nil, err
	}
	return toAndFro(ids), w.age(ctx, ids, size)
}

// ofTargets retries the failed targets of a step with size targets.
func ofTargets(ctx context.Context, w *warehouse, size int) (operating, error) {
	id, err := failedJob(ctx, w.engine, size)
	if err != nil {
		return nil, err
	}
	failed := min(size, mostFailed)
	return func(ctx context.Context, eng *engine.Engine, n int) (time.Duration, error) {
		began := time.Now()
		record, err := eng.Operate(ctx, id, 1, operation.RetryFailed, engine.Request{By: "ann"})
		took := since(began)
		if err != nil {
			return 0, err
		}
		if int(record.Targets) != failed {
			return 0, fmt.Errorf("%d targets were retried, want %d", record.Targets, failed)
		}
		_, err = eng.Report(ctx, engine.Report{Job: id, Step: 1, Attempt: record.Attempt, Outcome: step.Broke})
		return took, err
	}, nil
}

// toAndFro refuses the confirmations of jobs and asks for them again, round by round. The jobs wait at
// their first step.
func toAndFro(ids []store.JobID) operating {
	return func(ctx context.Context, eng *engine.Engine, n int) (time.Duration, error) {
		began := time.Now()
		_, err := eng.Operate(ctx, ids[n%len(ids)], 1, moves[n/len(ids)%2].code, engine.Request{By: "ann"})
		return since(began), err
	}
}

// failedJob creates a job of one step. At most [mostFailed] of its targets, evenly spread, have failed, and
// the others have succeeded.
func failedJob(ctx context.Context, eng *engine.Engine, targets int) (store.JobID, error) {
	spec := step.Spec{Type: step.Script, Name: "run", Targets: make([]string, targets)}
	for i := range spec.Targets {
		spec.Targets[i] = fmt.Sprint("host-", i)
	}
	ids, err := started(ctx, eng, 1, 1, engine.JobSpec{Name: "bench", Steps: []step.Spec{spec}})
	if err != nil {
		return 0, err
	}
	for first := 0; first < targets; first += engine.MaxResults {
		report := engine.Report{Job: ids[0], Step: 1, Attempt: 1}
		for i := first; i < min(first+engine.MaxResults, targets); i++ {
			status := step.TargetSucceeded
			if fails(i, targets) {
				status = step.TargetFailed
			}
			report.Results = append(report.Results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: status}})
		}
		if _, err := eng.Report(ctx, report); err != nil {
			return 0, err
		}
	}
	return ids[0], nil
}

// fails reports whether target i of a step fails.
func fails(i, targets int) bool { return i%(targets/min(targets, mostFailed)) == 0 }

// since returns the time since began, less the cost of reading the clock.
func since(began time.Time) time.Duration { return max(0, time.Since(began)-clockCost()) }

// clockCost is the duration of two readings of the clock.
var clockCost = sync.OnceValue(func() time.Duration {
	var all []float64
	for range 10_001 {
		all = append(all, float64(time.Since(time.Now())))
	}
	return time.Duration(median(all))
})
