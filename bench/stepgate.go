package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// A site is an engine on a store of its own.
type site struct {
	*engine.Engine
	settle func(ctx context.Context) error // settles all effects that wait; nil where they may pile up
	end    func(ctx context.Context) error // see [subject]
	close  func() error
}

// open returns a site of one of Stepgate's stores, by the name of its row.
func (r *run) open(ctx context.Context, name string, options ...engine.Option) (site, error) {
	switch name {
	case sqliteName:
		st, err := sqlitestore.Open(filepath.Join(r.disk, fmt.Sprintf("stepgate-%d.db", serial.Add(1))))
		if err != nil {
			return site{}, err
		}
		return site{Engine: engine.New(st, options...), close: st.Close}, nil
	case postgresName:
		pool, remove, err := r.pool(ctx, conns)
		if err != nil {
			return site{}, err
		}
		st, err := openPostgres(ctx, pool)
		if err != nil {
			return site{}, errors.Join(err, remove())
		}
		return site{
			Engine: engine.New(st, options...),
			end:    func(context.Context) error { pool.Reset(); return nil }, // the connections are others' now
			close:  func() error { st.Close(); return remove() },
		}, nil
	}
	st := memstore.New()
	return site{
		Engine: engine.New(st, options...),
		settle: func(ctx context.Context) error { return settle(ctx, st) },
		close:  func() error { return nil },
	}, nil
}

// serial makes the names of files differ.
var serial atomic.Int64

// conns is the maximum of a subject's connections to PostgreSQL, and DBOS's own default.
const conns = 20

// A work is the repeated calls of a number of callers on a site.
type work func(ctx context.Context, on site, callers int) (subject, error)

// onStepgate returns an entrant that does a work on one of Stepgate's stores.
func onStepgate(store string, does work, unit string) func(context.Context, *run, string, int) (subject, error) {
	return func(ctx context.Context, r *run, name string, callers int) (subject, error) {
		at, err := r.open(ctx, store)
		if err != nil {
			return subject{}, err
		}
		s, err := does(ctx, at, callers)
		if at.end != nil { // others come before the first turn
			err = errors.Join(err, at.end(ctx))
		}
		if err != nil {
			return subject{}, errors.Join(err, at.close())
		}
		s.name, s.unit, s.end, s.close = name, unit, at.end, at.close
		return s, nil
	}
}

// jobsOfCaller is the number of a caller's own jobs: callers share none.
const jobsOfCaller = 8

// An operator moves the confirmations of one caller's jobs to and fro. It is not safe for concurrent
// use.
type operator struct {
	jobs []store.JobID
	n    int
}

func (o *operator) operate(ctx context.Context, eng *engine.Engine, request store.RequestID) error {
	id, code := o.jobs[o.n%len(o.jobs)], moves[o.n/len(o.jobs)%2].code
	o.n++
	_, err := eng.Operate(ctx, id, 1, code, engine.Request{By: "ann", ID: request})
	return err
}

// operations is a work whose calls each operate on a job of the caller's own.
func operations(ctx context.Context, on site, callers int) (subject, error) {
	return confirming(ctx, on, callers, func(int) store.RequestID { return store.RequestID{} })
}

// requests is operations whose callers send request ids, as every client of the HTTP API does.
func requests(ctx context.Context, on site, callers int) (subject, error) {
	return confirming(ctx, on, callers, requestIDs(callers))
}

// requestIDs returns a function that draws an id for a caller. The ids of a caller ascend, as ids do
// that begin with a time.
func requestIDs(callers int) func(caller int) store.RequestID {
	last := make([]store.RequestID, callers)
	for i := range last {
		binary.BigEndian.PutUint64(last[i][:8], rand.Uint64())
	}
	return func(caller int) store.RequestID {
		n := last[caller][8:]
		binary.BigEndian.PutUint64(n, binary.BigEndian.Uint64(n)+1)
		return last[caller]
	}
}

func confirming(ctx context.Context, on site, callers int, request func(caller int) store.RequestID) (subject, error) {
	ids, err := started(ctx, on.Engine, callers*jobsOfCaller, min(callers, atOnce), asking(5))
	all := make([]operator, callers)
	for i := range all {
		all[i].jobs = ids[i*jobsOfCaller:][:jobsOfCaller]
	}
	s := subject{op: func(ctx context.Context, caller, _ int) error {
		return all[caller].operate(ctx, on.Engine, request(caller))
	}}
	if on.settle != nil {
		s.every, s.pause = max(4096/callers, 1), on.settle
	}
	return s, err
}

// reportsOfJob is the number of results that a caller reports on one job before it takes another.
const reportsOfJob = 1000

// reports returns a work in which each call reports the result of one target. A number of callers report
// on one job. No report ends an attempt.
func reports(sharing int) work {
	return func(ctx context.Context, on site, callers int) (subject, error) {
		if callers < sharing {
			return subject{}, fmt.Errorf("needs %d callers", sharing)
		}
		spec := step.Spec{Type: step.Script, Name: "run", Targets: make([]string, sharing*reportsOfJob+1)}
		for i := range spec.Targets {
			spec.Targets[i] = fmt.Sprint("host-", i)
		}
		jobs := make([]store.JobID, (callers+sharing-1)/sharing)
		renew := func(ctx context.Context) error {
			ids, err := started(ctx, on.Engine, len(jobs), min(len(jobs), atOnce), engine.JobSpec{Name: "bench", Steps: []step.Spec{spec}})
			copy(jobs, ids)
			return err
		}
		return subject{
			every: reportsOfJob, pause: renew,
			op: func(ctx context.Context, caller, n int) error {
				target := caller%sharing*reportsOfJob + n%reportsOfJob
				result := engine.TargetResult{Target: int32(target), Result: store.Result{Status: step.TargetSucceeded}}
				told, err := on.Report(ctx, engine.Report{Job: jobs[caller/sharing], Step: 1, Attempt: 1, Results: []engine.TargetResult{result}})
				if err == nil && told.Accepted != 1 {
					err = fmt.Errorf("a report of one new result was answered with %+v", told)
				}
				return err
			},
		}, renew(ctx)
	}
}

const inClaim = 16 // effects that a call claims and settles

// claims is a work whose calls each claim effects, as an executor in another process does, and settle
// them. New effects replace the settled ones outside the timed part.
func claims(ctx context.Context, on site, callers int) (subject, error) {
	every := max(128/callers, 4)
	waiting := (every + 1) * callers * inClaim // so that there is always one more for each
	if _, err := started(ctx, on.Engine, waiting, atOnce, asking(1)); err != nil {
		return subject{}, err
	}
	settled := make([][]engine.Delivery, callers)
	return subject{
		times: inClaim, every: every,
		op: func(ctx context.Context, caller, _ int) error {
			for left := inClaim; left > 0; {
				due, err := on.Claim(ctx, engine.ClaimQuery{Limit: left})
				if err == nil && len(due) == 0 {
					err = errors.New("no effect was due")
				}
				for i := 0; i < len(due) && err == nil; i++ {
					err = on.Settle(ctx, due[i].Claimed())
				}
				if err != nil {
					return err
				}
				settled[caller] = append(settled[caller], due...)
				left -= len(due)
			}
			return nil
		},
		pause: func(ctx context.Context) error {
			all := slices.Concat(settled...)
			clear(settled)
			return inParallel(atOnce, len(all), func(i int) error {
				code := operation.TerminateConfirmation
				if all[i].Effect == store.JobEnded {
					code = operation.RestartConfirmation
				}
				_, err := on.Operate(ctx, all[i].Job.ID, 1, code, engine.Request{By: "ann"})
				return err
			})
		},
	}, nil
}
