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

// A Redo says which part of a job a new one repeats. The zero Redo repeats all of it.
type Redo struct {
	// From is the first step that the new job repeats; it becomes step 1. 0 means the first.
	From step.ID `json:"from,omitzero"`

	// Failed leaves out the targets of that step that have succeeded. Later steps keep theirs. It is
	// invalid input for a step that asks, and [operation.NothingToRetry] if no target is left.
	Failed bool `json:"failed,omitzero"`
}

// Redo creates a new job by the definition of a stored one, or of a part of it, and leaves that as it is.
// The new job has its name, scope, deadline and turn, and its id as Origin; it is pending. The old one may be
// in any state, as long as it exists.
//
// Redo is a creation: the authorizer is asked for one, and the errors are those of [Engine.Create], of
// [Engine.Job] about the old job, and an [ErrConflict] if that moves on again and again while its targets
// are read. A repetition with the request id of the first call is answered with its record, whatever targets
// have succeeded since. Once the old job is deleted, it is refused as operation.NoSuchJob.
func (e *Engine) Redo(ctx context.Context, job store.JobID, part Redo, r Request) (store.Record, error) {
	if refusal := r.check(&e.limits); refusal != nil { // whether there is such a job or not
		return store.Record{}, refusal
	}
	if refusal := r.creates(); refusal != nil {
		return store.Record{}, refusal
	}
	spec, err := e.redone(ctx, job, part, r.ID)
	if err != nil {
		return store.Record{}, err
	}
	return e.Create(ctx, spec, r)
}

// redone returns the definition of the job that repeats a part of job: that of the job which request has
// created, if it has.
func (e *Engine) redone(ctx context.Context, job store.JobID, part Redo, request store.RequestID) (JobSpec, error) {
	if part.From < 0 {
		return JobSpec{}, invalid("from", "%d: steps count from 1, and 0 means the first", part.From)
	}
	part.From = max(part.From, 1)
	header, err := e.Job(ctx, job)
	if err != nil {
		return JobSpec{}, err
	}
	if part.From > step.ID(header.Steps) {
		return JobSpec{}, &Refusal{Reason: operation.NoSuchStep, Job: job, Step: part.From}
	}
	if request != (store.RequestID{}) {
		switch first, err := e.madeBy(ctx, header.Scope, request); {
		case err != nil:
			return JobSpec{}, err
		case first.Origin == job && first.Steps == header.Steps-int32(part.From)+1:
			return e.Spec(ctx, first.ID)
		}
	}
	spec, err := e.Spec(ctx, job)
	if err != nil {
		return JobSpec{}, err
	}
	spec.Origin, spec.Steps = job, spec.Steps[part.From-1:]
	if part.Failed {
		spec.Steps[0].Targets, err = e.unsucceeded(ctx, job, part.From, spec.Steps[0].Targets)
	}
	return spec, err
}

// madeBy returns the header of the job that a request has created, or the zero Job.
func (e *Engine) madeBy(ctx context.Context, scope store.Scope, request store.RequestID) (store.Job, error) {
	done, err := e.store.Created(ctx, scope, request)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Job{}, nil
	case err != nil:
		return store.Job{}, fmt.Errorf("redo: %w", err)
	}
	return e.Job(ctx, done.Job)
}

// Spec returns the definition of a job: a job that is created by it has the same steps, payloads and
// targets. Stops before steps are as operations have left them. Spec reads the payload of each step by
// itself, and targets by pages of 10,000.
func (e *Engine) Spec(ctx context.Context, job store.JobID) (JobSpec, error) {
	header, err := e.Job(ctx, job)
	if err != nil {
		return JobSpec{}, err
	}
	spec := JobSpec{Name: header.Name, Scope: header.Scope, Origin: header.Origin, Steps: make([]step.Spec, header.Steps)}
	if p := header.Policy; p != nil {
		spec.StartAt, spec.Timeout, spec.Turn = p.StartAt, p.Timeout, p.Turn
	}
	for i := range spec.Steps {
		s, err := e.Step(ctx, job, step.ID(i+1))
		if err != nil {
			return JobSpec{}, err
		}
		targets := make([]string, 0, s.Total)
		for int32(len(targets)) < s.Total {
			page, err := e.Targets(ctx, job, s.ID, TargetQuery{From: int32(len(targets)), Limit: maxLimit})
			switch {
			case err != nil:
				return JobSpec{}, err
			case len(page) == 0:
				return JobSpec{}, fmt.Errorf("job %d: the store has lost target %d of step %d", job, len(targets), s.ID)
			}
			for _, t := range page {
				targets = append(targets, t.Name)
			}
		}
		spec.Steps[i] = s.Spec(targets)
	}
	return spec, nil
}

// unsucceeded returns the names, of all names of a step's targets, of those that have not succeeded, at
// one moment.
func (e *Engine) unsucceeded(ctx context.Context, job store.JobID, id step.ID, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, invalid("failed", "step %d asks a person, and has no targets", id)
	}
	for range maxTries {
		before, err := e.Job(ctx, job)
		if err != nil {
			return nil, err
		}
		succeeded := map[int32]bool{}
		for from := int32(0); ; {
			page, err := e.Targets(ctx, job, id, TargetQuery{Class: store.SucceededTargets, From: from, Limit: maxLimit})
			if err != nil {
				return nil, err
			}
			for _, t := range page {
				succeeded[t.Index], from = true, t.Index+1
			}
			if len(page) < maxLimit {
				break
			}
		}
		after, err := e.Job(ctx, job)
		switch {
		case err != nil:
			return nil, err
		case after.Version != before.Version: // a result came in between
			continue
		case len(succeeded) == len(names):
			return nil, &Refusal{Reason: operation.NothingToRetry, Job: job, Step: id, Cause: step.Created}
		}
		i := int32(-1)
		return slices.DeleteFunc(slices.Clone(names), func(string) bool { i++; return succeeded[i] }), nil
	}
	return nil, fmt.Errorf("job %d: %w: gave up after %d tries", job, ErrConflict, maxTries)
}
