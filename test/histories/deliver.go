package histories

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// sweep expires what is overdue, mostly at a time about the deadline of a job.
func (p *performer) sweep(ctx context.Context, j *job, at *store.View) {
	if d := at.Step.Due; d != 0 && d.Std().Sub(p.now) < 48*time.Hour && !p.oneIn(4) {
		p.now = latest(p.now, d.Add(time.Duration(p.IntN(3)-1)*time.Millisecond).Std())
	}
	e := p.from(j)
	p.ask("sweep at %d, %v", step.At(p.now), e)
	p.sweeps = true
	n, err := e.Sweep(ctx)
	p.sweeps = false
	answer(p.History, n, err)
	p.Tally["expired"] += n
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// errHandler is the error of handlers that fail.
var errHandler = errors.New("the handler failed")

// deliver delivers the due effects to handlers, some of which fail. Handlers run concurrently, so the
// history leaves out their order.
func (p *performer) deliver(ctx context.Context, j *job, _ *store.View) {
	var mu sync.Mutex // guards delivered
	var delivered []engine.Delivery
	salt := store.Seq(p.IntN(4))
	e := p.from(j)
	p.ask("deliver what is due at %d, %v", step.At(p.now), e)
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	n, err := e.Deliver(ctx, func(_ context.Context, d engine.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if delivered = append(delivered, d); len(delivered) > 2000 {
			giveUp() // the same ones again and again
		}
		if (d.Seq+store.Seq(d.Count)+salt)%4 == 0 {
			return fmt.Errorf("%w: %d %v", errHandler, d.Seq, strings.Repeat("ünï", int(d.Seq)*20))
		}
		return nil
	}, engine.Runs(p.handlers))
	slices.SortFunc(delivered, func(a, b engine.Delivery) int {
		return cmp.Or(cmp.Compare(a.Job.ID, b.Job.ID), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Count, b.Count))
	})
	if errors.Is(err, errHandler) {
		err = nil // as it should
	}
	answers(p.History, delivered, err)
	p.row(n)
	p.Tally["delivered"] += n
}

// claim claims lots of effects until none is due. The contract leaves open which effects of one
// NotBefore a lot has, so the history has only the times of each lot.
func (p *performer) claim(ctx context.Context, j *job, _ *store.View) {
	now := step.At(p.now)
	c := store.Claim{
		Scope: p.from(j).scope, Effects: one(p, someEffects), Now: now,
		Until: now + 1 + step.Time(p.IntN(60_000)), Limit: one(p, []int{1, 2, 5, 1000}),
	}
	if p.oneIn(2) {
		c.Types = one(p, someTypes)
	}
	binary.BigEndian.PutUint64(c.Token[:], p.Uint64())
	before := p.waiting(ctx)
	p.ask("claim %+v", c)
	var all []store.Delivery
	for range 100 {
		lot, err := p.store.Claim(ctx, c)
		if err != nil {
			p.fail(err)
			break
		}
		times := make([]step.Time, len(lot))
		for i, d := range lot {
			times[i] = before[effect{d.Job, d.Seq}]
		}
		slices.Sort(times)
		p.row(times)
		all = append(all, lot...)
		if len(lot) < c.Limit {
			break
		}
	}
	slices.SortFunc(all, func(a, b store.Delivery) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Seq, b.Seq))
	})
	answers(p.History, all, nil)
	p.row(slices.ContainsFunc(all, func(d store.Delivery) bool { return d.Token != c.Token })) // which no row shows
	p.held = append(p.held, all...)
	p.Tally["claimed"] += len(all)
}

// someEffects are the kinds of effects that are claimed together.
var someEffects = [][]store.Effect{
	{store.RunTargets},
	{store.StopAttempt},
	{store.AskConfirmers, store.JobEnded},
	{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded},
}

// someTypes are the step types of effects that are claimed together.
var someTypes = []step.Types{
	step.TypesOf(step.Script), step.TypesOf(step.FileTransfer, step.SQL), step.TypesOf(step.Script, step.Confirmation, 33), step.TypesOf(33),
}

// effect returns the name of an effect in the history.
type effect struct {
	job store.JobID
	seq store.Seq
}

// waiting reads the NotBefore of each effect.
func (p *performer) waiting(ctx context.Context) map[effect]step.Time {
	times := map[effect]step.Time{}
	for _, j := range p.jobs {
		effects, err := p.store.Effects(ctx, store.Scope{}, j.id, store.Page[store.Seq]{Limit: 1000})
		if err != nil {
			p.fail(err)
		}
		for _, d := range effects {
			times[effect{d.Job, d.Seq}] = d.NotBefore
		}
	}
	return times
}

// release settles or defers effects that were claimed before. Some of their leases have expired, so
// that others hold them, and some effects are settled already.
func (p *performer) release(ctx context.Context, j *job, at *store.View) {
	if len(p.held) == 0 {
		p.claim(ctx, j, at)
		return
	}
	for range 4 {
		d := one(p, p.held[p.IntN(len(p.held)):]) // rather a recent claim
		if p.oneIn(8) {
			d.Token[0]++ // the token of no claim
		}
		var err error
		if p.oneIn(2) {
			p.ask("settle effect %d of job %d, count %d", d.Seq, d.Job, d.Count)
			err = p.store.Settle(ctx, d)
		} else {
			d = p.deferred(d)
			p.ask("defer effect %d of job %d, count %d, until %d, held %v, %d failures, delivered %v, because of %q",
				d.Seq, d.Job, d.Count, d.NotBefore, d.Held, d.Failures, d.Delivered, d.LastError)
			err = p.store.Defer(ctx, d)
		}
		answer(p.History, "done", err)
		if err == nil {
			p.Tally["settled or deferred"]++
		} else {
			p.Tally["lease lost"]++
		}
		left, err := p.store.Effects(ctx, store.Scope{}, d.Job, store.Page[store.Seq]{After: d.Seq - 1, Limit: 1})
		answers(p.History, left, err)
	}
	p.held = p.held[max(len(p.held)-40, 0):]
}

// deferred returns an effect as a dispatcher defers it: while its handler runs, after the handler
// has failed, or until a step has stopped.
func (p *performer) deferred(d store.Delivery) store.Delivery {
	d.NotBefore, d.Held = step.At(p.now)+step.Time(p.IntN(100_000)-20_000), p.oneIn(2)
	switch p.IntN(3) {
	case 0:
		d.Failures, d.LastError = d.Failures+1, p.name()
	case 1:
		if d.Effect == store.StopAttempt {
			d.Failures, d.Delivered, d.LastError = 0, true, ""
		}
	}
	if p.oneIn(4) { // the view looks at nothing else
		return store.Delivery{
			Job: d.Job, Seq: d.Seq, Count: d.Count, Token: d.Token,
			NotBefore: d.NotBefore, Held: d.Held, Failures: d.Failures, Delivered: d.Delivered, LastError: d.LastError,
		}
	}
	return d
}
