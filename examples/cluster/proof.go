package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// findings are figures of the database.
type findings struct {
	jobs     map[step.State]int
	steps    int
	attempts int
	operated int // operations of people
	expired  int
	records  int
}

// An attempt identifies an attempt of a step of one job.
type attempt struct {
	step step.ID
	n    int32
}

// A proof checks all jobs of a store, from the store alone.
type proof struct {
	setting
	store    store.Store
	checker  *enginetest.Checker
	names    map[string]store.JobID
	requests map[store.RequestID]store.JobID
	found    findings
	faults   []error
}

// prove reads every job and returns all breaches of these invariants:
//   - every wanted job exists once, as it was defined, and is final;
//   - each history has no gap, every record starts in the state of the one before it and follows the
//     rules, and it replays to the header and the steps;
//   - counts equal the targets' results, in every attempt;
//   - no request was carried out twice, and no acknowledged request is missing;
//   - no attempt expired twice;
//   - no target succeeded twice without a retry of all targets;
//   - no effect waits for delivery.
func prove(ctx context.Context, st store.Store, s setting, acknowledged map[store.RequestID]bool) (findings, error) {
	p := proof{
		setting: s, store: st, checker: enginetest.NewChecker(nil), names: map[string]store.JobID{}, requests: map[store.RequestID]store.JobID{},
		found: findings{jobs: map[step.State]int{}},
	}
	jobs, err := st.Jobs(ctx, store.JobFilter{Page: store.Page[store.JobID]{Limit: s.Jobs + 1}})
	if err != nil {
		return p.found, err
	}
	for _, job := range jobs {
		p.names[job.Name] = job.ID
	}
	if len(jobs) != s.Jobs {
		p.fault("%d jobs are stored, want %d", len(jobs), s.Jobs)
	}
	for i := range s.Jobs {
		if err := p.job(ctx, i); err != nil {
			return p.found, err
		}
	}
	for request := range acknowledged {
		if p.requests[request] == 0 {
			p.fault("request %v was acknowledged and is in no history", request)
		}
	}
	return p.found, errors.Join(p.faults...)
}

// proveIn is prove on a connection of its own to the database of s.
func proveIn(ctx context.Context, s setting, acknowledged map[store.RequestID]bool) (findings, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	st, closeAll, err := s.open(ctx)
	if err != nil {
		return findings{}, err
	}
	defer closeAll()
	return prove(ctx, st, s, acknowledged)
}

func (p *proof) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf(format, args...))
}

// job proves the invariants of one job.
func (p *proof) job(ctx context.Context, i int) error {
	spec := p.spec(i)
	id, ok := p.names[spec.Name]
	if !ok {
		p.fault("%s is missing", spec.Name)
		return nil
	}
	snapshot, err := enginetest.Load(ctx, p.store, nil, id, spec)
	if err != nil {
		return err
	}
	job := snapshot.Job
	p.found.jobs[job.State]++
	p.found.steps += len(snapshot.Steps)
	p.found.records += len(snapshot.History)
	if err := p.checker.Check(&snapshot); err != nil {
		p.fault("%s: %w", spec.Name, err)
	}
	current := slices.IndexFunc(snapshot.Steps, func(s store.Step) bool { return s.ID == job.Current })
	if current < 0 || !(player.Sight{Rules: operation.Standard(), Job: job, Step: snapshot.Steps[current]}).Final() {
		p.fault("%s has not ended: it is %v in step %d", spec.Name, job.State, job.Current)
	}
	if n := len(snapshot.Effects); n > 0 {
		p.fault("%s: %d effects wait, the first is %v of record %d", spec.Name, n, snapshot.Effects[0].Effect, snapshot.Effects[0].Seq)
	}
	p.once(spec.Name, snapshot.History)
	return p.results(ctx, snapshot)
}

// once finds requests and expiries that were carried out twice.
func (p *proof) once(name string, history []store.Record) {
	expired := map[attempt]bool{}
	for _, r := range history {
		if other := p.requests[r.Request]; other != 0 || r.Request == (store.RequestID{}) {
			p.fault("%s: the request of record %d, %v, was carried out before, on job %d", name, r.Seq, r.Request, other)
		}
		p.requests[r.Request] = r.Job
		switch {
		case r.Cause.OfStep() || r.Cause.OfJob():
			p.found.operated++
			continue
		case r.Cause == step.Expired || r.Cause == step.ExpiredConfirmed:
			p.found.expired++
		default:
			continue
		}
		a := attempt{r.Step, r.Attempt}
		if expired[a] {
			p.fault("%s: record %d expires attempt %d of step %d again", name, r.Seq, r.Attempt, r.Step)
		}
		expired[a] = true
	}
}

// results checks the results of every attempt that ran on targets.
func (p *proof) results(ctx context.Context, s enginetest.Snapshot) error {
	unfinished := map[attempt]int32{} // at its end
	for _, r := range s.History {
		unfinished[attempt{r.Step, r.Attempt}] = r.Unfinished
	}
	succeeded := map[int32]int32{} // targets of the step since the last run on all -> attempt
	for _, r := range s.History {
		run, ok := s.Delivery(r.Seq)
		if !ok || run.Effect != store.RunTargets {
			continue
		}
		p.found.attempts++
		targets, err := p.store.Targets(ctx, store.TargetFilter{
			Job: run.Job, Step: run.Step, Attempt: run.Attempt, Page: store.Page[int32]{After: -1, Limit: len(hosts)},
		})
		if err != nil {
			return err
		}
		if run.Run.All(run.Attempt) {
			clear(succeeded)
		}
		finished := p.recount(s.Job.Name, run, targets, succeeded)
		if want := r.Targets - unfinished[attempt{run.Step, run.Attempt}]; finished != want {
			p.fault("%s: attempt %d of step %d has %d results, by the history %d", s.Job.Name, run.Attempt, run.Step, finished, want)
		}
	}
	return nil
}

// recount returns the number of targets that finished in an attempt, and finds those that had
// succeeded before.
func (p *proof) recount(name string, run store.Delivery, targets []store.Target, succeeded map[int32]int32) (finished int32) {
	for _, t := range targets {
		if t.Status.Finished() {
			finished++
		}
		if !t.Status.Success() {
			continue
		}
		if before := succeeded[t.Index]; before != 0 {
			p.fault("%s: %s succeeded in attempt %d of step %d, and again in %d", name, t.Name, before, run.Step, run.Attempt)
		}
		succeeded[t.Index] = run.Attempt
	}
	return finished
}
