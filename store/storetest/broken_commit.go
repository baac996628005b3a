package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var brokenCommits = []Breakage{
	{"lost update", "it commits onto whatever version the job is at", []string{
		"Commit/another version is a conflict and changes nothing",
		"Commit/applies several records at once",
		"Commit/of racing changes exactly one passes",
		"Commit/two at once on one step lose nothing",
	}, committing(commitAnyhow)},

	{"check, then commit", "it compares the version first and commits later, as a join without a lock does", []string{
		"Commit/of racing changes exactly one passes",
		"Commit/two at once on one step lose nothing",
	}, committing(func(ctx context.Context, s store.Store, c store.Change) error {
		if v, err := s.View(ctx, store.Query{Job: c.Job.ID}); err != nil || v.Job.Version != c.Base() {
			return s.Commit(ctx, c)
		}
		letOthers()
		return commitAnyhow(ctx, s, c)
	})},

	{"busy", "it says that a commit has passed which it dropped because of another", []string{
		"General/methods are safe for concurrent use",
		"Commit/of racing changes exactly one passes",
		"Commit/of racing creations exactly one passes",
	}, replacing(func(s store.Store, p *patch) {
		var busy sync.Mutex
		p.commit = func(ctx context.Context, c store.Change) error {
			if !busy.TryLock() {
				return nil
			}
			defer busy.Unlock()
			letOthers()
			return s.Commit(ctx, c)
		}
	})},

	{"conflict that half applies", "it says conflict when it has taken over the first step and the results", []string{
		"Commit/another version is a conflict and changes nothing",
	}, committing(func(ctx context.Context, s store.Store, c store.Change) error {
		err := s.Commit(ctx, c)
		if errors.Is(err, store.ErrConflict) && c.Base() != 0 {
			c.Steps = c.Steps[:1]
			return errors.Join(err, commitAnyhow(ctx, s, c))
		}
		return err
	})},

	{"undone, but done", "it says that nothing was done if its caller has left by the time that it has committed", []string{
		"Commit/what is told as undone has changed nothing",
	}, committing(func(ctx context.Context, s store.Store, c store.Change) error {
		err := s.Commit(ctx, c)
		if err == nil && ctx.Err() != nil {
			return fmt.Errorf("%w: %w", store.ErrUndone, ctx.Err())
		}
		return err
	})},

	{"creation accepted twice", "it takes an id that exists for a repeated creation", []string{
		"Commit/an id that exists is a conflict and changes nothing",
		"Commit/of racing creations exactly one passes",
	}, committing(func(ctx context.Context, s store.Store, c store.Change) error {
		err := s.Commit(ctx, c)
		if errors.Is(err, store.ErrConflict) && c.Base() == 0 && exists(ctx, s, c.Job.ID) {
			return nil
		}
		return err
	})},

	{"update of nothing", "it does not notice that there was no job to update", []string{
		"Commit/a job that does not exist is at version 0",
	}, committing(func(ctx context.Context, s store.Store, c store.Change) error {
		if c.Base() != 0 && !exists(ctx, s, c.Job.ID) {
			return nil
		}
		return s.Commit(ctx, c)
	})},

	{"duplicate request", "it creates a second job for one request", []string{
		"Commit/a request that made a job in the scope is a conflict and changes nothing",
		"Commit/of racing creations exactly one passes",
	}, committing(func(ctx context.Context, s store.Store, c store.Change) error {
		err := s.Commit(ctx, c)
		if errors.Is(err, store.ErrConflict) && c.Base() == 0 {
			c.Records = slices.Clone(c.Records)
			c.Records[0].Request = requestOf(c.Job.ID, 1<<40)
			return s.Commit(ctx, c)
		}
		return err
	})},

	{"requests unique everywhere", "it refuses a request that another scope or another kind of record knows", []string{
		"Commit/the same request in another scope, or of another kind, is none",
	}, replacing(func(s store.Store, p *patch) {
		known := map[store.RequestID]bool{}
		p.commit = func(ctx context.Context, c store.Change) error {
			if c.Base() == 0 && known[c.Records[0].Request] {
				return store.ErrConflict
			}
			known[c.Records[0].Request] = true
			return s.Commit(ctx, c)
		}
	})},

	{"half a change", "it takes over the first of the steps that changed", []string{
		"Commit/applies all of a change",
		"General/a read sees every commit that returned before it",
	}, changing(func(c *store.Change) {
		if c.Base() != 0 {
			c.Steps = c.Steps[:1]
		}
	})},

	{"results lost", "it forgets the results of a report", []string{
		"Commit/applies all of a change",
		"View/targets come in the order asked for, without names",
	}, changing(func(c *store.Change) {
		c.Targets = nil
	})},

	{"short statements", "it keeps the first 1,000 results of a report", []string{
		"Commit/takes as much as a report may hold",
	}, changing(func(c *store.Change) {
		c.Targets = c.Targets[:min(len(c.Targets), 1000)]
	})},

	{"one request a commit", "it forgets the requests of all records of a change but the first", []string{
		"Commit/applies several records at once",
		"Commit/applies the records of many reports at once, each with its request",
	}, changing(func(c *store.Change) {
		for i := range c.Records[1:] {
			c.Records[i+1].Request = store.RequestID{}
		}
	})},

	{"one effect a commit", "it forgets the effects of all records of a change but the last", []string{
		"Commit/applies several records at once",
	}, changing(func(c *store.Change) {
		for i := range len(c.Records) - 1 {
			c.Records[i].Effect = store.NoEffect
		}
	})},

	{"seal lost", "it forgets that a job is sealed", []string{
		"Commit/applies all of a change",
		"Commit/keeps values as they are",
	}, changing(func(c *store.Change) {
		c.Job.Sealed = false
	})},

	{"cause cut off", "it keeps the causes of records in seven bits", []string{
		"Commit/applies all of a change",
		"Commit/keeps values as they are",
	}, changing(func(c *store.Change) {
		for i := range c.Records {
			c.Records[i].Cause &= 127
		}
	})},

	{"lists lost", "it forgets who may confirm", []string{
		"Commit/creates a job on version 0",
		"Commit/keeps values as they are",
		"View/has the header and the step in question",
	}, changing(func(c *store.Change) {
		for i := range c.Specs {
			c.Specs[i].Confirmers = nil
		}
		for i := range c.Steps {
			c.Steps[i].Confirmers = step.Names{}
		}
	})},

	{"trimmed", "it trims spaces off names", []string{
		"Commit/keeps values as they are",
	}, changing(func(c *store.Change) {
		for i, spec := range c.Specs {
			for t, name := range spec.Targets {
				c.Specs[i].Targets[t] = strings.TrimSpace(name)
			}
		}
	})},

	{"kept argument", "it keeps the slice of records that it was passed", []string{
		"General/nothing kept shares memory with what was passed",
	}, replacing(func(s store.Store, p *patch) {
		kept := map[store.JobID][][]store.Record{}
		p.commit = func(ctx context.Context, c store.Change) error {
			kept[c.Job.ID] = append(kept[c.Job.ID], c.Records)
			return s.Commit(ctx, c)
		}
		p.history = func(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
			_, err := s.History(ctx, scope, id, p)
			return slices.Concat(kept[id]...), err
		}
	})},
}

// commitAnyhow commits c as if it was decided on the job's current version.
func commitAnyhow(ctx context.Context, s store.Store, c store.Change) error {
	for last := store.Seq(-1); ; {
		v, err := s.View(ctx, store.Query{Job: c.Job.ID})
		if err != nil || c.Base() == 0 {
			return s.Commit(ctx, c)
		}
		err = s.Commit(ctx, shift(c, v.Job.Version-c.Base()))
		if !errors.Is(err, store.ErrConflict) || v.Job.Version == last { // the turn is what conflicts
			return err
		}
		last = v.Job.Version
	}
}

func exists(ctx context.Context, s store.Store, id store.JobID) bool {
	_, err := s.View(ctx, store.Query{Job: id})
	return err == nil
}

// letOthers gives other goroutines a chance to come in between.
func letOthers() {
	for range 100 {
		runtime.Gosched()
	}
}

// letMove gives other goroutines a chance to change a job.
func letMove(ctx context.Context, s store.Store, j store.Job) {
	for range 1000 {
		if now, err := s.View(ctx, store.Query{Job: j.ID}); err != nil || now.Job.Version != j.Version {
			return
		}
		runtime.Gosched()
	}
}
