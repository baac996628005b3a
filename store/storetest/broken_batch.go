package storetest

import (
	"context"
	"slices"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// batching breaks the batches that Details and Snapshot return.
func batching(change func([]store.Batch) []store.Batch) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.details = func(ctx context.Context, q store.DetailQuery) (store.Details, error) {
			d, err := s.Details(ctx, q)
			d.Batches = change(d.Batches)
			return d, err
		}
		p.snap = func(ctx context.Context, q store.SnapshotQuery) (store.Snapshot, error) {
			shown, err := s.Snapshot(ctx, q)
			shown.Batches = change(shown.Batches)
			return shown, err
		}
	})
}

// classing breaks the classes of targets: holds has the targets of a step, its batches and all that a
// read without a class returns.
func classing(holds func(class store.Class, s store.Step, batches []store.Batch, t store.Target) bool) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.targets = func(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
			if f.Class == store.AllTargets || f.Attempt != 0 {
				return s.Targets(ctx, f)
			}
			v, err := s.View(ctx, store.Query{Scope: f.Scope, Job: f.Job, Step: f.Step})
			if err != nil {
				return s.Targets(ctx, f)
			}
			d, err := s.Details(ctx, store.DetailQuery{Scope: f.Scope, Job: f.Job, Step: f.Step})
			if err != nil {
				return nil, err
			}
			page := f
			page.Class, page.Page.Limit = store.AllTargets, most
			every, err := s.Targets(ctx, page)
			found := slices.DeleteFunc(every, func(t store.Target) bool { return !holds(f.Class, v.Step, d.Batches, t) })
			return found[:min(len(found), f.Page.Limit)], err
		}
	})
}

var brokenBatches = []Breakage{
	{"batch forgotten", "it keeps only the batch of the current attempt", []string{
		"Commit/keeps each batch that began, and when it began",
		"Snapshot/has the batches of all steps if it has targets",
	}, batching(func(rows []store.Batch) []store.Batch { return rows[max(len(rows)-1, 0):] })},

	{"batch overwritten", "it takes the first attempt of a batch from its last change", []string{
		"Commit/keeps each batch that began, and when it began",
		"Snapshot/has the batches of all steps if it has targets",
	}, batching(func(rows []store.Batch) []store.Batch {
		rows = slices.Clone(rows)
		for i := range rows {
			rows[i].Since = rows[i].Attempt
		}
		return rows
	})},

	{"begun with the job", "it takes the start of a batch for that of the job", []string{
		"Commit/keeps each batch that began, and when it began",
	}, changing(func(c *store.Change) {
		for i := range c.Batches {
			c.Batches[i].Started = c.Job.Created
		}
	})},

	{"next batch's results", "it files the results that end a batch under the attempt that the change begins", []string{
		"Commit/results that end a batch are of that batch",
	}, changing(func(c *store.Change) {
		for i := range c.Targets {
			t := &c.Targets[i]
			if t.Success == t.Attempt {
				t.Success = c.Steps[0].Attempt
			}
			t.Attempt = c.Steps[0].Attempt
		}
	})},

	{"one attempt for all", "it asks which attempt covered all targets of the step, and not of the batch: a retry of all of one batch makes the targets of the others due", []string{
		"Targets/of a class go by the run of each batch",
		"Targets/a page of a class goes on in the next batch",
	}, classing(func(class store.Class, s store.Step, batches []store.Batch, t store.Target) bool {
		batches = slices.Clone(batches)
		for i := range batches {
			batches[i].Full = s.Run.Full
		}
		return class.Holds(s, batches, t)
	})},

	{"no earlier batch", "it knows the classes of the current batch alone", []string{
		"Targets/of a class go by the run of each batch",
		"Targets/a page of a class goes on in the next batch",
	}, classing(func(class store.Class, s store.Step, _ []store.Batch, t store.Target) bool {
		return class.Holds(s, nil, t)
	})},

	{"later batches are due", "it takes targets of batches that have not begun for due and unfinished", []string{
		"Targets/of a class go by the run of each batch",
		"Targets/a page of a class goes on in the next batch",
	}, classing(func(class store.Class, s store.Step, batches []store.Batch, t store.Target) bool {
		s.Run.End = 0
		return class.Holds(s, batches, t)
	})},

	{"failures of earlier batches are due", "it takes failed targets of earlier batches for due, and would retry them", []string{
		"Targets/of a class go by the run of each batch",
	}, classing(func(class store.Class, s store.Step, batches []store.Batch, t store.Target) bool {
		return class.Holds(s, batches, t) || class == store.DueTargets && store.FailedTargets.Holds(s, batches, t)
	})},

	{"page ends with the batch", "a page of a class ends with its first batch", []string{
		"Targets/a page of a class goes on in the next batch",
	}, replacing(func(s store.Store, p *patch) {
		p.targets = func(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
			rows, err := s.Targets(ctx, f)
			d, _ := s.Details(ctx, store.DetailQuery{Scope: f.Scope, Job: f.Job, Step: f.Step})
			for _, b := range d.Batches {
				if n := slices.IndexFunc(rows, func(t store.Target) bool { return t.Index >= b.End }); f.Class != store.AllTargets && n > 0 {
					return rows[:n], err
				}
			}
			return rows, err
		}
	})},

	{"batches without targets", "it shows batches where it shows no targets", []string{
		"Snapshot/has the batches of all steps if it has targets",
	}, snapshotting(func(ctx context.Context, s store.Store, q store.SnapshotQuery) (store.Snapshot, error) {
		shown, err := s.Snapshot(ctx, q)
		q.Targets = most
		every, _ := s.Snapshot(ctx, q)
		shown.Batches = every.Batches
		return shown, err
	})},
}

var brokenGates = []Breakage{
	{"late gate", "its lists show the gate of a job as it was before the last commit", []string{
		"Commit/shows a gate at once, until it opens",
	}, replacing(func(s store.Store, p *patch) {
		before := map[store.JobID]step.GateReason{}
		p.commit = func(ctx context.Context, c store.Change) error {
			v, _ := s.View(ctx, store.Query{Job: c.Job.ID})
			err := s.Commit(ctx, c)
			if err == nil {
				before[c.Job.ID] = v.Job.Gate
			}
			return err
		}
		p.jobs = func(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
			jobs, err := s.Jobs(ctx, f)
			for i := range jobs {
				jobs[i].Gate = before[jobs[i].ID]
			}
			return jobs, err
		}
	})},

	{"gate left open", "it forgets that what was a gate has opened, in its steps", []string{
		"Commit/shows a gate at once, until it opens",
	}, replacing(func(s store.Store, p *patch) {
		shut := map[store.JobID]store.Gate{}
		p.commit = func(ctx context.Context, c store.Change) error {
			for _, row := range c.Steps {
				if row.State == step.Gated {
					shut[c.Job.ID] = row.Gate
				}
			}
			return s.Commit(ctx, c)
		}
		p.view = func(ctx context.Context, q store.Query) (store.View, error) {
			v, err := s.View(ctx, q)
			if v.Step.State.Active() {
				v.Step.Gate = shut[q.Job]
			}
			return v, err
		}
	})},

	{"gates are never due", "it loses the moment of a gate, and no sweep opens it", []string{
		"Overdue/are steps whose gate opens by now as well",
		"Commit/shows a gate at once, until it opens",
	}, changing(func(c *store.Change) {
		for i := range c.Steps {
			if c.Steps[i].State == step.Gated {
				c.Steps[i].Due = 0
			}
		}
	})},

	{"due by the attempt", "it takes the deadline of an attempt for the first moment of its step", []string{
		"Overdue/are steps whose gate opens by now as well",
	}, changing(func(c *store.Change) {
		for i := range c.Steps {
			if s := &c.Steps[i]; s.Due != 0 {
				s.Due = s.Deadline
			}
		}
	})},
}
