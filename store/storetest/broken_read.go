package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var brokenReads = []Breakage{
	{"handed out", "it returns the slice of steps that it keeps", []string{
		"General/nothing kept shares memory with what was returned",
	}, replacing(func(s store.Store, p *patch) {
		kept := map[store.JobID][]store.Step{}
		p.commit = func(ctx context.Context, c store.Change) error {
			delete(kept, c.Job.ID)
			return s.Commit(ctx, c)
		}
		p.steps = func(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[step.ID]) (_ []store.Step, err error) {
			if kept[id] == nil {
				kept[id], err = s.Steps(ctx, scope, id, p)
			}
			return kept[id], err
		}
	})},

	{"cache by version", "it keeps steps by the version of their job and not by the job", []string{
		"Commit/jobs do not touch each other",
	}, replacing(func(s store.Store, p *patch) {
		cache := map[store.Seq][]store.Step{}
		p.steps = func(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
			v, err := s.View(ctx, store.Query{Scope: scope, Job: id})
			if err == nil && cache[v.Job.Version] == nil {
				cache[v.Job.Version], err = s.Steps(ctx, scope, id, p)
			}
			return cache[v.Job.Version], err
		}
	})},

	{"stale read", "it reads steps from a replica that is one commit behind", []string{
		"General/a read sees every commit that returned before it",
	}, replacing(func(s store.Store, p *patch) {
		replica := map[store.JobID][]store.Step{}
		p.commit = func(ctx context.Context, c store.Change) error {
			replica[c.Job.ID], _ = s.Steps(ctx, store.Scope{}, c.Job.ID, everyStep)
			return s.Commit(ctx, c)
		}
		p.steps = func(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
			if old := replica[id]; old != nil {
				return old, nil
			}
			return s.Steps(ctx, scope, id, p)
		}
	})},

	{"deaf", "it does what an ended context forbids", []string{
		"General/a context that has ended fails every call and nothing is done",
	}, intercepting(func(ctx context.Context, do func(context.Context) error) error {
		return do(context.WithoutCancel(ctx))
	})},

	{"done all the same", "it notices that a context has ended when it has done the work", []string{
		"General/a context that has ended fails every call and nothing is done",
	}, intercepting(func(ctx context.Context, do func(context.Context) error) error {
		return errors.Join(do(context.WithoutCancel(ctx)), ctx.Err())
	})},

	{"early sweep", "it takes for overdue what is overdue by its own clock", []string{
		"General/a store reads no clock",
	}, replacing(func(s store.Store, p *patch) {
		p.overdue = func(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
			return s.Overdue(ctx, scope, max(now, step.At(time.Now())), limit)
		}
	})},

	{"handed-out replay", "it returns the record that it keeps of a request", []string{
		"General/nothing kept shares memory with what was returned",
	}, replacing(func(s store.Store, p *patch) {
		kept := map[store.RequestID]*store.Record{}
		p.view = func(ctx context.Context, q store.Query) (store.View, error) {
			v, err := s.View(ctx, q)
			if kept[q.Request] == nil {
				kept[q.Request] = v.Replay
			}
			v.Replay = kept[q.Request]
			return v, err
		}
	})},

	{"own clock", "it claims what is claimable by its own clock", []string{
		"General/a store reads no clock",
	}, claiming(func(c *store.Claim) { c.Now = max(c.Now, step.At(time.Now())) })},

	{"wrong scope", "it reads the history of any job and claims in any scope", []string{
		"General/a job of another scope does not exist",
		"Claim/takes those of the scope",
	}, replacing(func(s store.Store, p *patch) {
		p.history = func(ctx context.Context, _ store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
			return s.History(ctx, store.Scope{}, id, p)
		}
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			c.Scope = store.Scope{}
			return s.Claim(ctx, c)
		}
	})},

	{"forbidden, not absent", "it tells a job of another scope from one that does not exist", []string{
		"General/a job of another scope does not exist",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		v, err := s.View(ctx, q)
		if err != nil && exists(ctx, s, q.Job) {
			err = fmt.Errorf("job of another scope: %w", err)
		}
		return v, err
	})},

	{"half a scope", "it compares the ids of scopes and not their types", []string{
		"General/a scope is its type and its id",
	}, replacing(func(s store.Store, p *patch) {
		p.jobs = func(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
			id := f.Scope.ID
			f.Scope = store.Scope{}
			jobs, err := s.Jobs(ctx, f)
			return slices.DeleteFunc(jobs, func(j store.Job) bool { return id != "" && id != j.Scope.ID }), err
		}
	})},

	{"no scope is none", "it lists only jobs without a scope in the zero scope", []string{
		"General/the zero scope of a read is every scope",
	}, replacing(func(s store.Store, p *patch) {
		p.jobs = func(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
			jobs, err := s.Jobs(ctx, f)
			return slices.DeleteFunc(jobs, func(j store.Job) bool { return f.Scope != j.Scope }), err
		}
	})},

	{"no scope is every scope", "it finds a creation of any scope in the zero scope", []string{
		"Created/is of exactly the scope, and the zero scope means none",
	}, replacing(func(s store.Store, p *patch) {
		p.created = func(ctx context.Context, scope store.Scope, r store.RequestID) (store.Record, error) {
			got, err := s.Created(ctx, scope, r)
			if scope == (store.Scope{}) && err != nil {
				return s.Created(ctx, teamA, r)
			}
			return got, err
		}
	})},

	{"latest for created", "it returns the latest record of the job that a request made", []string{
		"Created/is the record that made the job",
	}, replacing(func(s store.Store, p *patch) {
		p.created = func(ctx context.Context, scope store.Scope, r store.RequestID) (store.Record, error) {
			got, err := s.Created(ctx, scope, r)
			if err != nil {
				return got, err
			}
			all, err := s.History(ctx, scope, got.Job, everySeq)
			return all[len(all)-1], err
		}
	})},

	{"absent is empty", "it returns nothing and no error for what does not exist", []string{
		"View/a job that does not exist is not found",
		"View/a step that does not exist is not found",
		"Created/is not found for a request that made no job",
		"Steps/of a job that does not exist are not found",
		"Targets/of a job or a step that does not exist are not found",
		"History/of a job that does not exist is not found",
		"Effects/of a job that does not exist are not found",
	}, intercepting(func(ctx context.Context, do func(context.Context) error) error {
		if err := do(ctx); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return nil
	})},
}

var brokenViews = []Breakage{
	{"first for current", "it takes step 0 for the first", []string{
		"View/step 0 is the current step",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		if q.Step == 0 {
			q.Step = 1
		}
		return s.View(ctx, q)
	})},

	{"nothing next", "it does not return the next step", []string{
		"View/next is the step after it, or none",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		v, err := s.View(ctx, q)
		v.Next = store.Step{}
		return v, err
	})},

	{"targets in its own order", "it returns targets by index, each once", []string{
		"View/targets come in the order asked for, without names",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		q.Targets = slices.Compact(slices.Sorted(slices.Values(q.Targets)))
		return s.View(ctx, q)
	})},

	{"targets made up", "it returns an empty target for an index that the step does not have", []string{
		"View/targets that the step does not have are left out",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		v, err := s.View(ctx, q)
		for range len(q.Targets) - len(v.Targets) {
			v.Targets = append(v.Targets, store.Target{})
		}
		return v, err
	})},

	{"requests forgotten", "it finds no replay", []string{
		"View/replay is the record that carries the request",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		q.Request = store.RequestID{}
		return s.View(ctx, q)
	})},

	{"old requests forgotten", "it looks for a replay among the last 100 records", []string{
		"View/replay is found however long the history",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		v, err := s.View(ctx, q)
		if v.Replay != nil && v.Replay.Seq+100 < v.Job.Version {
			v.Replay = nil
		}
		return v, err
	})},

	{"no request is a request", "it finds a record without a request when none is looked for", []string{
		"View/replay is none for a request that no record of the job carries",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		v, err := s.View(ctx, q)
		if all, _ := s.History(ctx, q.Scope, q.Job, everySeq); q.Request == (store.RequestID{}) {
			if i := slices.IndexFunc(all, func(r store.Record) bool { return r.Request == store.RequestID{} }); i >= 0 {
				v.Replay = &all[i]
			}
		}
		return v, err
	})},

	{"torn view", "it reads the header first and the rest when the job has moved on", []string{
		"View/is of one moment",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		header, _ := s.View(ctx, q)
		letMove(ctx, s, header.Job)
		v, err := s.View(ctx, q)
		v.Job = header.Job
		return v, err
	})},
}

var brokenLists = []Breakage{
	{"every list turned", "it returns every list the wrong way round", []string{
		"Jobs/come by id",
		"Jobs/the newest come by descending id",
		"Steps/come by id",
		"Targets/come by index with their names",
		"History/comes by sequence number without a gap",
		"Effects/are those of the job that are not settled, by sequence number",
		"Overdue/comes longest overdue first",
	}, listing(asIs, reverse)},

	{"none is an error", "it says not found where a list is empty", []string{
		"Jobs/none is no error",
		"Targets/none is no error",
		"Effects/none is no error",
	}, listing(asIs, func(rows any) error {
		switch rows := rows.(type) {
		case []store.Job:
			return foundAny(rows)
		case []store.Target:
			return foundAny(rows)
		case []store.Delivery:
			return foundAny(rows)
		}
		return nil
	})},

	{"page from After on", "it begins a page with the row that the last one ended with", []string{
		"Jobs/a page is at most Limit after After",
		"Steps/a page is at most Limit after After",
		"Targets/a page is at most Limit after After",
		"History/a page is at most Limit after After",
		"Effects/a page is at most Limit after After",
	}, listing(func(after int64, limit int) (int64, int) { return after - 1, limit }, asIsToo)},

	{"no limit", "it returns twice as much as asked for", []string{
		"Jobs/a page is at most Limit after After",
		"Jobs/a page of the newest is at most Limit below After, 0 meaning no bound",
		"Steps/a page is at most Limit after After",
		"Targets/a page is at most Limit after After",
		"History/a page is at most Limit after After",
		"Effects/a page is at most Limit after After",
		"Claim/takes at most Limit",
		"Overdue/is at most limit",
	}, listing(func(after int64, limit int) (int64, int) { return after, 2 * limit }, asIsToo)},

	{"page from After + 1 on", "it begins a page with the key after After, which wraps at the greatest key", []string{
		"Jobs/a page is at most Limit after After",
		"Jobs/a page of the newest is at most Limit below After, 0 meaning no bound",
		"Steps/a page is at most Limit after After",
		"Targets/a page is at most Limit after After",
		"History/a page is at most Limit after After",
		"Effects/a page is at most Limit after After",
	}, listing(func(after int64, limit int) (int64, int) {
		if after == math.MaxInt32 || after == math.MaxInt64 {
			after = -1
		}
		return after, limit
	}, asIsToo)},

	{"attempt from After + 1 on", "it begins a page of an attempt with the index after After, which wraps", []string{
		"Targets/a page is at most Limit after After",
	}, replacing(func(s store.Store, p *patch) {
		p.targets = func(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
			if f.Attempt != 0 && f.Page.After == math.MaxInt32 {
				f.Page.After = -1
			}
			return s.Targets(ctx, f)
		}
	})},

	{"no sign", "it takes a negative After for a great one", []string{
		"Jobs/a page is at most Limit after After",
		"Steps/a page is at most Limit after After",
		"Targets/a page is at most Limit after After",
		"History/a page is at most Limit after After",
		"Effects/a page is at most Limit after After",
	}, listing(func(after int64, limit int) (int64, int) {
		if after < -1 { // with which pages of targets begin
			after = 1 << 30
		}
		return after, limit
	}, asIsToo)},

	{"whole pages", "it fails where fewer rows are left than asked for", []string{
		"Jobs/a page is at most Limit after After",
		"Jobs/a page of the newest is at most Limit below After, 0 meaning no bound",
		"Steps/a page is at most Limit after After",
		"Targets/a page is at most Limit after After",
		"History/a page is at most Limit after After",
		"Effects/a page is at most Limit after After",
		"Overdue/is at most limit",
	}, func(s store.Store) store.Store {
		var asked int
		return listing(func(after int64, limit int) (int64, int) {
			asked = limit
			return after, limit
		}, func(rows any) error {
			if n := reflect.ValueOf(rows).Len(); n < asked {
				return fmt.Errorf("%d rows of %d", n, asked)
			}
			return nil
		})(s)
	}},

	{"one row more", "it looks for one row more than Limit, which wraps, and finds one row at most", []string{
		"Jobs/a page is at most Limit after After",
		"Jobs/a page of the newest is at most Limit below After, 0 meaning no bound",
		"Steps/a page is at most Limit after After",
		"Targets/a page is at most Limit after After",
		"History/a page is at most Limit after After",
		"Effects/a page is at most Limit after After",
		"Claim/takes at most Limit",
		"Overdue/is at most limit",
	}, listing(func(after int64, limit int) (int64, int) {
		if limit == math.MaxInt {
			limit = 1
		}
		return after, limit
	}, asIsToo)},

	{"any state", "it returns jobs whatever their state", []string{
		"Jobs/are those of the scope and the states",
	}, replacing(func(s store.Store, p *patch) {
		p.jobs = func(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
			f.States = step.States{}
			return s.Jobs(ctx, f)
		}
	})},

	{"page, then filter", "it takes a page of all jobs and leaves out what was not asked for", []string{
		"Jobs/a page is at most Limit after After",
	}, replacing(func(s store.Store, p *patch) {
		p.jobs = func(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
			jobs, err := s.Jobs(ctx, store.JobFilter{Page: f.Page})
			return slices.DeleteFunc(jobs, func(j store.Job) bool {
				return !f.Scope.Holds(j.Scope) || !f.States.Empty() && !f.States.Has(j.State)
			}), err
		}
	})},

	{"never the newest first", "it returns the oldest jobs first whatever is asked for", []string{
		"Jobs/the newest come by descending id",
		"Jobs/a page of the newest is at most Limit below After, 0 meaning no bound",
	}, askingForNewest(func(f *store.JobFilter) { f.Newest = false })},

	{"newest of all", "it returns the newest jobs whatever their scope and state", []string{
		"Jobs/the newest come by descending id",
		"Jobs/a page of the newest is at most Limit below After, 0 meaning no bound",
	}, askingForNewest(func(f *store.JobFilter) { f.Scope, f.States = store.Scope{}, step.States{} })},

	{"newest from After on", "it begins a page of the newest with the job that the last one ended with", []string{
		"Jobs/a page of the newest is at most Limit below After, 0 meaning no bound",
	}, askingForNewest(func(f *store.JobFilter) {
		if f.Page.After != 0 && f.Page.After != math.MaxInt64 {
			f.Page.After++
		}
	})},

	{"newest below zero", "it takes an After of 0 for a bound, below which there is no job", []string{
		"Jobs/a page of the newest is at most Limit below After, 0 meaning no bound",
	}, askingForNewest(func(f *store.JobFilter) { f.Page.After = cmp.Or(f.Page.After, -1) })},

	{"newest below nothing", "it takes a negative After of the newest for none", []string{
		"Jobs/a page of the newest is at most Limit below After, 0 meaning no bound",
	}, askingForNewest(func(f *store.JobFilter) { f.Page.After = max(f.Page.After, 0) })},

	{"newest of the oldest", "it takes a page of the oldest jobs and turns it round", []string{
		"Jobs/a page of the newest is at most Limit below After, 0 meaning no bound",
	}, replacing(func(s store.Store, p *patch) {
		p.jobs = func(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
			turn := f.Newest
			f.Newest = false
			jobs, err := s.Jobs(ctx, f)
			if turn {
				slices.Reverse(jobs)
			}
			return jobs, err
		}
	})},

	{"nameless", "it returns targets without names", []string{
		"Targets/come by index with their names",
	}, replacing(func(s store.Store, p *patch) {
		p.targets = func(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
			rows, err := s.Targets(ctx, f)
			for i := range rows {
				rows[i].Name = ""
			}
			return rows, err
		}
	})},

	{"due is what never succeeded", "it does not take for due again what a retry of all runs again", []string{
		"Targets/of a class are those that it holds",
	}, replacing(func(s store.Store, p *patch) {
		p.targets = func(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
			rows, err := s.Targets(ctx, f)
			return slices.DeleteFunc(rows, func(t store.Target) bool { return f.Class == store.DueTargets && t.Success != 0 }), err
		}
	})},

	{"latest results only", "it knows of an attempt what no later one has overwritten", []string{
		"Targets/of an attempt are those that reported in it",
	}, replacing(func(s store.Store, p *patch) {
		p.targets = func(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
			attempt := f.Attempt
			if attempt != 0 {
				f.Attempt, f.Class = 0, store.AllTargets
			}
			rows, err := s.Targets(ctx, f)
			return slices.DeleteFunc(rows, func(t store.Target) bool { return attempt != 0 && t.Attempt != attempt }), err
		}
	})},

	{"gap in history", "it forgets records that changed nothing but results", []string{
		"History/comes by sequence number without a gap",
	}, replacing(func(s store.Store, p *patch) {
		p.history = func(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
			records, err := s.History(ctx, scope, id, p)
			return slices.DeleteFunc(records, func(r store.Record) bool { return !r.Moves() }), err
		}
	})},
}

func foundAny[T any](rows []T) error {
	if len(rows) == 0 {
		return store.ErrNotFound
	}
	return nil
}
