package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

func (e *Engine) create(ctx context.Context, c *call, spec JobSpec, r Request) error {
	if err := e.beginCall(ctx, c); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // before the authorizer is asked
		return err
	}
	if e.narrowed {
		if spec.Scope != (store.Scope{}) && spec.Scope != e.scope {
			return invalid("scope", "the engine is narrowed to %s %s", quoted(e.scope.Type), quoted(e.scope.ID))
		}
		spec.Scope = e.scope
	}
	cmd := &Create{Spec: spec, Request: r}
	if err := cmd.check(e.rules, &e.limits); err != nil {
		return err
	}
	c.view = store.View{Job: store.Job{Scope: spec.Scope, Name: spec.Name, State: step.Pending, Current: 1, Steps: int32(len(spec.Steps))}}
	if err := e.permit(ctx, c, &c.view, cmd); err != nil {
		return err
	}
	e.setTimeAndID(c, cmd)
	return e.createOnce(ctx, c, cmd)
}

// createOnce commits a creation on version 0 of an id. A conflict means that the id is
// taken, or that the request has been carried out. After an unknown outcome it keeps the id, so
// that the job cannot be created twice.
func (e *Engine) createOnce(ctx context.Context, c *call, cmd *Create) error {
	look := c.given() // the request may have been carried out
	taken := true     // an id must be drawn
	for {
		if look {
			err := e.created(ctx, c, cmd)
			if !errors.Is(err, store.ErrNotFound) {
				return c.orUnknown(err)
			}
		}
		if taken { // and not by this request
			cmd.Job, c.doubt.err, taken = e.nextJobID(c), nil, false
		}
		c.job = cmd.Job
		c.reset()
		if refusal := e.decide.on(e.rules, &c.view, cmd, operation.Move{}, c.now, &c.decision); refusal != nil {
			if refusal.Field == "job" {
				refusal.Field = "WithJobIDs" // the caller has not named the id
			}
			return refusal
		}
		if c.request.DryRun {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return c.orUnknown(err)
		}
		switch err := e.store.Commit(ctx, c.decision.Change); {
		case err == nil:
			return nil
		case errors.Is(err, store.ErrConflict):
			look, taken = true, true // by this very request, or by another job
			if c.lost++; c.lost == maxTries {
				return c.orUnknown(fmt.Errorf("create: %w: all of %d ids were taken", ErrConflict, maxTries))
			}
		default:
			look = true
			if !c.doubts(err, 0) {
				return c.orUnknown(fmt.Errorf("create: %w", err))
			}
		}
	}
}

// nextJobID draws an id. After each id that is taken, the next one is drawn for a moment a
// millisecond later, so that ids do not run out on a clock that stands still.
func (e *Engine) nextJobID(c *call) store.JobID {
	now := max(c.now, epoch) + step.Time(c.lost)
	if e.jobID != nil {
		return e.jobID(now)
	}
	return e.ids.next(now, e.random())
}

// created answers a creation that has been carried out with its record. It is a refusal if the
// earlier creation differs, and store.ErrNotFound if there is none.
func (e *Engine) created(ctx context.Context, c *call, cmd *Create) error {
	done, err := e.store.Created(ctx, cmd.Spec.Scope, cmd.Request.ID)
	if err != nil {
		return err
	}
	view, err := e.store.View(ctx, store.Query{Scope: cmd.Spec.Scope, Job: done.Job})
	if err != nil {
		return wrap(done.Job, err)
	}
	was := ""
	switch {
	case done.Actor != cmd.By:
		was = fmt.Sprintf("person %q", done.Actor)
	case done.Reason != cmd.Because:
		was = fmt.Sprintf("reason %q", done.Reason)
	case view.Job.Name != cmd.Spec.Name:
		was = fmt.Sprintf("job %q", view.Job.Name)
	case view.Job.Origin != cmd.Spec.Origin:
		was = fmt.Sprintf("origin %d", view.Job.Origin)
	case !view.Job.Policy.Equal(cmd.Spec.policy()):
		was = "another start time, timeout or turn"
	default:
		was, err = e.differs(ctx, view.Job, cmd.Spec.Steps)
	}
	if err != nil {
		return err
	}
	if was != "" {
		return &Refusal{
			Reason: operation.RequestReused, Job: done.Job, Actor: cmd.By,
			Detail: fmt.Sprintf("job %d was created with %s", done.Job, was),
		}
	}
	c.reset()
	c.job, c.decision.Replay = done.Job, &done
	return nil
}

// differs returns, in words, the first difference between the steps of a stored job and specs, or
// "". It reads everything, target names included, in pages.
func (e *Engine) differs(ctx context.Context, job store.Job, specs []step.Spec) (string, error) {
	if int(job.Steps) != len(specs) {
		return fmt.Sprintf("%d steps", job.Steps), nil
	}
	for first := 0; first < len(specs); {
		steps, err := e.store.Steps(ctx, job.Scope, job.ID, store.Page[step.ID]{After: step.ID(first), Limit: defaultLimit})
		if err != nil {
			return "", wrap(job.ID, err)
		}
		for _, s := range steps {
			same, err := e.same(ctx, job, s, specs[s.ID-1])
			if err != nil {
				return "", err
			}
			if !same {
				return fmt.Sprintf("a different step %d", s.ID), nil
			}
		}
		if len(steps) == 0 {
			return "", fmt.Errorf("job %d: the store has lost step %d", job.ID, first+1)
		}
		first += len(steps)
	}
	return "", nil
}

// same reports whether s is defined by spec.
func (e *Engine) same(ctx context.Context, job store.Job, s store.Step, spec step.Spec) (bool, error) {
	want := store.NewStep(s.ID, spec)
	if s.Type != want.Type || s.Name != want.Name || s.IgnoreErrors != want.IgnoreErrors || s.OnTimeout != want.OnTimeout ||
		s.Timeout != want.Timeout || s.Total != want.Total || !s.Policy.Equal(want.Policy) || !s.Confirmers.Equal(want.Confirmers) ||
		job.Version == 1 && s.StopBefore != want.StopBefore { // which operations set and clear
		return false, nil
	}
	details, err := e.store.Details(ctx, store.DetailQuery{Scope: job.Scope, Job: job.ID, Step: s.ID})
	if err != nil || details.Payload != spec.Payload {
		return false, wrap(job.ID, err)
	}
	for first := 0; first < len(spec.Targets); {
		targets, err := e.store.Targets(ctx, store.TargetFilter{
			Scope: job.Scope, Job: job.ID, Step: s.ID, Page: store.Page[int32]{After: int32(first) - 1, Limit: maxLimit},
		})
		if err != nil {
			return false, wrap(job.ID, err)
		}
		n := len(targets)
		if n == 0 || !slices.EqualFunc(targets, spec.Targets[first:first+n], func(t store.Target, name string) bool { return t.Name == name }) {
			return false, nil
		}
		first += n
	}
	return true, nil
}
