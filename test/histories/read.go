package histories

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// reads are the calls that change nothing.
var reads = []func(p *performer, ctx context.Context, e viewpoint, j *job, at *store.View){
	(*performer).readHeader,
	(*performer).readView,
	(*performer).readCreated,
	(*performer).readJobs,
	(*performer).readNamed,
	(*performer).readCounts,
	(*performer).readSnapshot,
	(*performer).readSteps,
	(*performer).readTargets,
	(*performer).readTargets,
	(*performer).readAttempt,
	(*performer).readShown,
	(*performer).readHistory,
	(*performer).readEffects,
	(*performer).readOverdue,
	(*performer).readDetails,
	(*performer).explain,
}

func (p *performer) read(ctx context.Context, j *job, at *store.View) {
	p.Tally["read"]++
	one(p, reads)(p, ctx, p.from(j), j, at)
}

func (p *performer) readHeader(ctx context.Context, e viewpoint, j *job, _ *store.View) {
	id := p.anyStep(j)
	p.ask("job %d: header, and step %d, %v", j.id, id, e)
	header, err := e.Job(ctx, j.id)
	answer(p.History, header, err)
	row, err := e.Step(ctx, j.id, id)
	answer(p.History, row, err)
}

func (p *performer) readView(ctx context.Context, e viewpoint, j *job, at *store.View) {
	q := store.Query{Scope: e.scope, Job: j.id, Step: step.ID(p.IntN(len(j.spec.Steps) + 2)), Targets: p.anyTargets(at.Step.Total)}
	if len(j.done) > 0 && p.oneIn(2) {
		q.Request = one(p, j.done).ID
	}
	p.ask("view %+v", q)
	for range 2 { // the second answer does not depend on the first
		view, err := p.store.View(ctx, q)
		if err != nil {
			p.fail(err)
			p.row(p.toldApart(ctx, q, j.spec.Scope, err))
			return
		}
		p.rowsOf(&view)
		if view.Replay != nil {
			*view.Replay = store.Record{}
		}
	}
}

// toldApart reports whether the error for a job of another scope differs from that for a job that
// does not exist by more than its id.
func (p *performer) toldApart(ctx context.Context, q store.Query, scope store.Scope, err error) bool {
	if q.Scope.Holds(scope) {
		return false
	}
	text := strings.ReplaceAll(err.Error(), fmt.Sprint(q.Job), "ID")
	q.Job = store.MaxJobID
	_, err = p.store.View(ctx, q)
	return strings.ReplaceAll(fmt.Sprint(err), fmt.Sprint(q.Job), "ID") != text
}

func (p *performer) readCreated(ctx context.Context, e viewpoint, j *job, _ *store.View) {
	e.scope = one(p, []store.Scope{j.spec.Scope, {}, one(p, scopes)})
	p.ask("created by %v, %v", j.created.ID, e)
	r, err := p.store.Created(ctx, e.scope, j.created.ID)
	answer(p.History, r, err)
}

func (p *performer) readJobs(ctx context.Context, e viewpoint, j *job, at *store.View) {
	f := store.JobFilter{Scope: e.scope, Newest: p.oneIn(3)}
	for range p.IntN(3) {
		f.States = f.States.With(one(p, step.AllStates()))
	}
	p.ask("jobs in states %v, newest first %v, %v", f.States, f.Newest, e)
	pages(p, j.id, func(j store.Job) store.JobID { return j.ID }, func(page store.Page[store.JobID]) ([]store.Job, error) {
		f.Page = page
		return p.store.Jobs(ctx, f)
	})
}

// readNamed looks for part of a name, in either case.
func (p *performer) readNamed(ctx context.Context, e viewpoint, j *job, at *store.View) {
	name := []rune(one(p, p.jobs).spec.Name)
	from := p.IntN(len(name))
	f := store.JobFilter{
		Scope: e.scope, Newest: p.oneIn(2), Window: one(p, []int{1, 3, 1000}),
		Name: one(p, []func(string) string{strings.ToUpper, strings.ToLower, strings.Clone})(string(name[from : from+1+p.IntN(len(name)-from)])),
	}
	if p.oneIn(3) {
		f.States = step.StatesOf(at.Job.State)
	}
	p.ask("jobs of the name %q of the newest %d in states %v, newest first %v, %v", f.Name, f.Window, f.States, f.Newest, e)
	pages(p, j.id, func(j store.Job) store.JobID { return j.ID }, func(page store.Page[store.JobID]) ([]store.Job, error) {
		f.Page = page
		return p.store.Jobs(ctx, f)
	})
}

func (p *performer) readCounts(ctx context.Context, e viewpoint, _ *job, _ *store.View) {
	most := one(p, []int{1, 2, 1000})
	p.ask("counts, %d at most, %v", most, e)
	counts, err := p.store.Counts(ctx, e.scope, most)
	answer(p.History, counts, err)
}

// readSnapshot reads a job as of one moment, with as many targets as it has, or one less.
func (p *performer) readSnapshot(ctx context.Context, e viewpoint, j *job, _ *store.View) {
	q := store.SnapshotQuery{Scope: e.scope, Job: j.id}
	for _, s := range j.spec.Steps {
		q.Targets += len(s.Targets)
	}
	q.Targets = max(q.Targets-p.IntN(2), 0)
	p.ask("snapshot %+v", q)
	s, err := p.store.Snapshot(ctx, q)
	answer(p.History, s.Job, err)
	answers(p.History, s.Steps, nil)
	answers(p.History, s.Targets, nil)
}

func (p *performer) readSteps(ctx context.Context, e viewpoint, j *job, at *store.View) {
	p.ask("job %d: steps, %v", j.id, e)
	pages(p, at.Job.Current, func(s store.Step) step.ID { return s.ID }, func(page store.Page[step.ID]) ([]store.Step, error) {
		return p.store.Steps(ctx, e.scope, j.id, page)
	})
}

// readTargets reads the targets of a class, as they are stored.
func (p *performer) readTargets(ctx context.Context, e viewpoint, j *job, at *store.View) {
	p.readFilter(ctx, e, j, store.TargetFilter{Class: store.Class(p.IntN(5)), Step: at.Job.Current})
}

// readAttempt reads the results of an attempt.
func (p *performer) readAttempt(ctx context.Context, e viewpoint, j *job, at *store.View) {
	p.readFilter(ctx, e, j, store.TargetFilter{Step: at.Job.Current, Attempt: 1 + p.Int32N(at.Step.Attempt+1)})
}

func (p *performer) readFilter(ctx context.Context, e viewpoint, j *job, f store.TargetFilter) {
	f.Scope, f.Job = e.scope, j.id
	if p.oneIn(3) {
		f.Step = p.anyStep(j)
	}
	p.ask("targets %+v", f)
	pages(p, one(p, []int32{0, 1, 63, 255, 256, 4094, 4095, 4096}), func(t store.Target) int32 { return t.Index }, func(page store.Page[int32]) ([]store.Target, error) {
		f.Page = page
		return p.store.Targets(ctx, f)
	})
}

// readShown reads targets as the engine shows them.
func (p *performer) readShown(ctx context.Context, e viewpoint, j *job, at *store.View) {
	q := engine.TargetQuery{Class: store.Class(p.IntN(5)), Attempt: p.Int32N(at.Step.Attempt + 1), From: p.Int32N(8), Limit: 1 + p.IntN(200)}
	if p.oneIn(3) {
		q.IfAttempt = max(at.Step.Attempt-p.Int32N(2), 0)
	}
	id := p.anyStep(j)
	p.ask("job %d: targets of step %d as they are shown, %+v, %v", j.id, id, q, e)
	targets, err := e.Targets(ctx, j.id, id, q)
	answers(p.History, targets, err)
}

func (p *performer) readHistory(ctx context.Context, e viewpoint, j *job, at *store.View) {
	p.ask("job %d: history, %v", j.id, e)
	pages(p, at.Job.Moved, func(r store.Record) store.Seq { return r.Seq }, func(page store.Page[store.Seq]) ([]store.Record, error) {
		return p.store.History(ctx, e.scope, j.id, page)
	})
}

func (p *performer) readEffects(ctx context.Context, e viewpoint, j *job, at *store.View) {
	p.ask("job %d: effects, %v", j.id, e)
	pages(p, at.Job.Moved, func(d store.Delivery) store.Seq { return d.Seq }, func(page store.Page[store.Seq]) ([]store.Delivery, error) {
		return p.store.Effects(ctx, e.scope, j.id, page)
	})
}

// readOverdue reads the overdue steps. The order of equal moments is open, so only the moments are written.
func (p *performer) readOverdue(ctx context.Context, e viewpoint, _ *job, _ *store.View) {
	now, limit := step.At(p.now)+one(p, []step.Time{0, 10_000, 3_600_000, math.MaxInt64 - step.At(p.now)}), one(p, []int{1, 3, 1000})
	p.ask("overdue at %d, %d at most, %v", now, limit, e)
	overdue, err := p.store.Overdue(ctx, e.scope, now, limit)
	moments := make([]step.Time, len(overdue))
	for i, o := range overdue {
		moments[i] = o.Due
	}
	answer(p.History, moments, err)
}

// readDetails reads the details of a step, now and then of a job that does not exist.
func (p *performer) readDetails(ctx context.Context, e viewpoint, j *job, _ *store.View) {
	q := store.DetailQuery{Scope: e.scope, Job: j.id, Step: p.anyStep(j)}
	if p.oneIn(10) {
		q.Job = store.MaxJobID
	}
	p.ask("details %+v", q)
	d, err := p.store.Details(ctx, q)
	answer(p.History, d, err)
}

func (p *performer) explain(ctx context.Context, e viewpoint, j *job, at *store.View) {
	id, a := p.anyStep(j), p.wish(j, at)
	a.ID, a.Because, a.DryRun = store.RequestID{}, "", false
	p.ask("explain step %d beside %v, %v", id, a, e)
	x, err := e.Explain(ctx, j.id, id, a.Request)
	answer(p.History, x, err)
}

// anyStep draws a step of a job, now and then one that does not exist.
func (p *performer) anyStep(j *job) step.ID {
	if p.oneIn(20) {
		return step.ID(len(j.spec.Steps) + 1)
	}
	return step.ID(1 + p.IntN(len(j.spec.Steps)))
}

// pages reads one page or a few: from the beginning, from a key that some row is likely to have, or
// from the ends of the range of keys.
func pages[T any, K ~int32 | ~int64](p *performer, likely K, key func(T) K, get func(store.Page[K]) ([]T, error)) {
	page := store.Page[K]{After: one(p, []K{-1, -1, 0, likely - 1, likely, likely + 1, math.MaxInt32, math.MinInt32}), Limit: one(p, []int{1, 2, 7, 100, math.MaxInt})}
	for range 1 + p.IntN(4) {
		rows, err := get(page)
		p.row(page)
		answers(p.History, rows, err)
		if err != nil || len(rows) == 0 {
			return
		}
		page.After = key(rows[len(rows)-1])
	}
}
