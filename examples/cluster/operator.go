package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/store"
)

const (
	atOnce       = 20 // jobs of the operator at once
	mostAttempts = 3  // attempts of a step before people go on without it
	outsider     = "mallory"
)

// An operator operates on jobs as people do. Its only memory is the database: after a kill at any
// moment, it reads the jobs, makes the same choices again, and sends them with the same request
// ids.
type operator struct {
	setting
	teller
	eng *engine.Engine
}

// operate creates all jobs and operates on them until they end.
func operate(ctx context.Context, st store.Store, s setting, t teller) error {
	o := &operator{s, t, engine.New(st, engine.WithObserver(t.observer()))}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	slots := make(chan struct{}, atOnce)
	var people sync.WaitGroup
	for i := range s.Jobs {
		slots <- struct{}{}
		people.Go(func() {
			defer func() { <-slots }()
			if err := o.see(ctx, i); err != nil {
				fail(fmt.Errorf("job %d: %w", i, err))
			}
		})
	}
	people.Wait()
	return context.Cause(ctx)
}

// see creates job i, unless it exists, and operates on it until it is final.
func (o *operator) see(ctx context.Context, i int) error {
	created, err := o.eng.Create(ctx, o.spec(i), engine.Request{By: confirmers[0], ID: player.ID(o.chance(i, store.Step{}))})
	if err != nil {
		return err
	}
	for r, err := range o.eng.Watch(ctx, created.Job, 0, engine.WithoutProgress()) {
		if err != nil {
			return err
		}
		job, err := o.eng.Job(ctx, created.Job)
		if err != nil {
			return err
		}
		if r.Seq < job.Moved {
			continue // the job has moved on
		}
		s, err := o.eng.Step(ctx, job.ID, job.Current)
		if err != nil {
			return err
		}
		if (player.Sight{Rules: o.eng.Rules(), Job: job, Step: s}).Final() {
			return nil
		}
		if err := o.turn(ctx, o.chance(i, s), job, s); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// chance returns the source of choices for a state of a step of a job, which a step enters once per
// attempt.
func (s setting) chance(job int, current store.Step) player.Dice {
	return player.Rand{Rand: rand.New(rand.NewPCG(s.Seed^uint64(job)<<32, uint64(current.ID)<<40|uint64(current.Attempt)<<8|uint64(current.State)))}
}
