package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stepgate/stepgate/store"
)

// A ClaimQuery selects effects to claim.
type ClaimQuery struct {
	Effects []store.Effect // the kinds that are wanted, in any order; none means all
	Lease   time.Duration  // how long they are the caller's: 1 s to 1 h; 0 means 30 s
	Limit   int            // at most so many, as in a read
	Wait    time.Duration  // how long to wait for something to be due: 1 min at most; 0 does not wait
}

const (
	minLease = time.Second
	maxLease = time.Hour
	maxWait  = time.Minute
)

func checkLease(d time.Duration) *Refusal {
	if d != 0 && (d < minLease || d > maxLease) {
		return invalid("lease", "%v: it is %v to %v, or 0 for %v", d, minLease, maxLease, defaultLease)
	}
	return nil
}

// kinds returns the kinds of effects that are wanted, each once.
func (q *ClaimQuery) kinds() ([]store.Effect, *Refusal) {
	if len(q.Effects) == 0 {
		return allEffects, nil
	}
	for i, effect := range q.Effects {
		if !slices.Contains(allEffects, effect) {
			return nil, invalid(fmt.Sprintf("effects[%d]", i), "%v (%d) is nothing to deliver; there are %v", effect, effect, allEffects)
		}
	}
	unwanted := func(e store.Effect) bool { return !slices.Contains(q.Effects, e) }
	return slices.DeleteFunc(slices.Clone(allEffects), unwanted), nil
}

// Claim hands out effects that are due, for executors that fetch their work: those in other
// processes, which [Engine.Dispatch] cannot call. An effect is the caller's for the time of the
// lease, which [Engine.Renew] renews, and is answered for with [Engine.Settle] or
// [Engine.Fail]; otherwise it is handed out again when the lease has run out. What an executor
// owes beside that is said at [Handler]. Questions and ends of jobs are effects as well:
// whoever claims only what it can carry out leaves them to others.
//
// Any number of claimers and dispatchers can share a store: at any time an effect is with one
// of them at most, or its lease has run out. What nobody needs any more is settled unseen.
// Effects come in the order in which they fell due, as far as the store can tell. The caller
// owns the result. It is empty if nothing was due and nothing came up within q.Wait; fewer than
// q.Limit may be handed out although there are more. If ctx ends, the error is ctx's, and what
// was claimed is due again at once. An effect whose job cannot be read has failed: the observer
// is told, and it comes again later, as after [Engine.Fail].
func (e *Engine) Claim(ctx context.Context, q ClaimQuery) ([]Delivery, error) {
	if err := e.ready(ctx); err != nil {
		return nil, err
	}
	kinds, refusal := q.kinds()
	if refusal != nil {
		return nil, refusal
	}
	if err := checkLease(q.Lease); err != nil {
		return nil, err
	}
	if q.Wait < 0 || q.Wait > maxWait {
		return nil, invalid("wait", "%v: it is 0 to %v", q.Wait, maxWait)
	}
	limit, refusal := checkLimit(q.Limit)
	if refusal != nil {
		return nil, refusal
	}
	c := e.courier()
	c.lease = cmp.Or(q.Lease, c.lease)
	for over := time.Now().Add(q.Wait); ; {
		// Listen first and claim then, so that no commit falls between.
		changed, stop := e.wake(0)
		due, err := c.due(ctx, kinds, limit)
		left := time.Until(over)
		waits := err == nil && len(due) == 0 && left > 0
		if waits {
			err = pause(ctx, changed, min(left, pollEvery)) // at the latest, as time alone makes an effect due again
		}
		stop()
		if !waits || err != nil {
			return due, err
		}
	}
}

// due claims effects until there are some that somebody needs, or none is due any more.
func (c *courier) due(ctx context.Context, kinds []store.Effect, limit int) ([]Delivery, error) {
	const atOnce = 64 // are looked at
	for {
		claimed, err := c.claim(ctx, kinds, limit)
		if err != nil || len(claimed) == 0 {
			return nil, err
		}
		shown := make([]*Delivery, len(claimed))
		each(len(claimed), atOnce, func(i int) { shown[i] = c.show(ctx, claimed[i]) })
		if err := ctx.Err(); err != nil { // whoever asked has gone
			each(len(claimed), atOnce, func(i int) {
				if shown[i] != nil {
					c.end(ctx, claimed[i], err)
				}
			})
			return nil, err
		}
		var due []Delivery
		for _, d := range shown {
			if d != nil {
				due = append(due, *d)
			}
		}
		if len(due) > 0 {
			return due, nil
		}
	}
}

// Claimed names an effect as it was claimed once. It is a fence: once the effect is settled,
// or claimed again, it is good for nothing but [store.ErrLeaseLost]. Until then it is good,
// even if the lease has run out.
type Claimed struct {
	Job   store.JobID `json:"job"`
	Seq   store.Seq   `json:"seq"`
	Count int32       `json:"count"`
}

// Claimed names d for [Engine.Settle], [Engine.Renew] and [Engine.Fail].
func (d Delivery) Claimed() Claimed { return Claimed{d.Job.ID, d.Seq, d.Count} }

func (c Claimed) check() *Refusal {
	switch {
	case c.Seq < 1:
		return invalid("seq", "%d: sequence numbers count from 1", c.Seq)
	case c.Count < 1:
		return invalid("count", "%d: deliveries count from 1", c.Count)
	}
	return nil
}

// held returns a claimed effect as it stands, or an error that is store.ErrLeaseLost if
// it is not the caller's any more.
func (e *Engine) held(ctx context.Context, c Claimed) (store.Delivery, error) {
	if err := c.check(); err != nil {
		return store.Delivery{}, err
	}
	found, err := e.Effects(ctx, c.Job, c.Seq-1, 1)
	if err != nil {
		return store.Delivery{}, err
	}
	if len(found) == 0 || found[0].Seq != c.Seq || found[0].Count != c.Count {
		return store.Delivery{}, fmt.Errorf("job %d: effect %d, delivery %d: %w", c.Job, c.Seq, c.Count, store.ErrLeaseLost)
	}
	return found[0], nil
}

// Settle says that a claimed effect was carried out, or that somebody answers for it from now
// on: it is not delivered again. Only a stop is, every 30 s, until its step has stopped.
//
// The error is [store.ErrLeaseLost], with the job's id, if the effect was settled or claimed
// again since, or if the job has no such effect: somebody else carries it out by now. A
// repetition of a call that has passed is answered so too, but for a stop whose step has not
// stopped: that begins its 30 s anew. It is a *[Refusal] if there is no such job in the engine's
// scope. After an error of the store the call can be repeated.
//
// Settle, Renew and Fail of one delivery are for one caller at a time: of two that come at
// once the later one stands.
func (e *Engine) Settle(ctx context.Context, c Claimed) error {
	d, err := e.held(ctx, c)
	if err != nil {
		return err
	}
	return e.courier().done(ctx, d)
}

// Renew gives a claimed effect a new lease, which begins now: 1 s to 1 h, 0 meaning 30 s. Its
// errors are those of [Engine.Settle]. Whoever has lost the lease stops what it does: somebody
// else does it.
func (e *Engine) Renew(ctx context.Context, c Claimed, lease time.Duration) error {
	if err := checkLease(lease); err != nil {
		return err
	}
	d, err := e.held(ctx, c)
	if err != nil {
		return err
	}
	return e.courier().leave(ctx, d, cmp.Or(lease, defaultLease))
}

// Fail says that a claimed effect could not be carried out. It is delivered again after 1 s,
// which doubles with each further failure in a row up to 5 min, and up to 30 s for a stop.
// 500 characters of cause are kept for [Engine.Effects]; the observer is told of all of it. Its
// errors are those of [Engine.Settle], but that a repetition counts as another failure.
func (e *Engine) Fail(ctx context.Context, c Claimed, cause error) error {
	if cause == nil {
		return invalid("Cause", "nil")
	}
	d, err := e.held(ctx, c)
	if err != nil {
		return err
	}
	return e.courier().fail(ctx, d, cause)
}
