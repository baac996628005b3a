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
	atOnce       = 20 // jobs that the operator looks after
	mostAttempts = 3  // of a step, after which people want to get on
	outsider     = "mallory"
)

// An operator does with jobs what people do. It remembers nothing but what stands in the
// database, so that it can be killed at any moment: started again, it looks, comes to the
// same choices, and makes them by the same request ids.
type operator struct {
	setting
	teller
	eng *engine.Engine
}

// operate creates all jobs and brings them to their end.
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

// see creates job i, unless it was created, and looks after it until it is final.
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
			continue // it has moved on
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

// chance returns what the choices about a job are drawn from while a step of it stands in
// some state: a step stands in it once in an attempt.
func (s setting) chance(job int, current store.Step) player.Dice {
	return player.Rand{Rand: rand.New(rand.NewPCG(s.Seed^uint64(job)<<32, uint64(current.ID)<<40|uint64(current.Attempt)<<8|uint64(current.State)))}
}
