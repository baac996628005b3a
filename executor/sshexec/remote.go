package sshexec

import (
	"context"
	"sync"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// address returns the address of a target, with an account.
func (x *Remote) address(ctx context.Context, target string) (Address, *failure) {
	a, err := x.c.Address(ctx, target)
	if err == nil {
		err = a.check()
	}
	if err != nil && ctx.Err() != nil {
		return Address{}, ended(ctx)
	}
	if err != nil {
		return Address{}, failed(noAddress, "%w", err)
	}
	if a.User == "" {
		a.User = x.c.User
	}
	if a.User == "" {
		return Address{}, failed(noUser, "no account: want user@host, or Config.User")
	}
	return a, nil
}

// log returns the name of the log of a host's stream.
func log(t *executor.Task, h executor.Host, s executor.Stream) executor.Log {
	return executor.Log{Job: t.Job.ID, Step: t.Step.ID, Attempt: t.Attempt, Target: h.Index, Stream: s}
}

// broken ends the attempt: its payload, which all targets share, is invalid.
func broken(t *executor.Task, err error) store.Result {
	t.Break(err.Error())
	return store.Result{Status: step.NotDelivered, Detail: err.Error()}
}

// payloads caches the payloads read last: the payload of a step is read once for all targets.
type payloads struct {
	mu   sync.Mutex // guards all below
	read map[payloadKey]payload
}

type payloadKey struct {
	job store.JobID
	id  step.ID
	typ step.Type
}

// A payload is a Script or Files, or the error of a text that is neither.
type payload struct {
	text  string
	value any
	err   error
}

const maxPayloads = 16

// of returns the payload of a step from the cache, or reads it with f.
func (p *payloads) of(t *executor.Task, f func(text string) (any, error)) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := payloadKey{t.Job.ID, t.Step.ID, t.Step.Type}
	known, ok := p.read[key]
	if !ok || known.text != t.Step.Payload {
		known.text = t.Step.Payload
		known.value, known.err = f(known.text)
		if len(p.read) >= maxPayloads || p.read == nil {
			p.read = map[payloadKey]payload{}
		}
		p.read[key] = known
	}
	return known.value, known.err
}
