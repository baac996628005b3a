package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A ClaimQuery selects effects to claim: those that are due and are of one of the kinds and step
// types. The zero ClaimQuery selects all, takes up to 100 for 14 s each, and does not wait.
type ClaimQuery struct {
	Effects []store.Effect // kinds, in any order; none means all
	Types   step.Types     // of the steps whose runs and stops are claimed; the empty set means all
	Lease   time.Duration  // lease duration without a renewal, see RenewEvery: 1 s to 1 h; 0 means 14 s
	Limit   int            // maximum of effects, as in a read
	Wait    time.Duration  // maximum wait for a due effect: 1 min at most; 0 does not wait

	// Bytes is the maximum size of the payloads and confirmers in the result. Once they have
	// reached it, no further effect is added; only the last one can exceed it. 0 means no maximum.
	Bytes int

	// Turn, if not nil, is called before each look for effects, and done after a look that found
	// none. A caller with little memory lets looks wait in Turn, so that few run at once; a claim
	// that waits for effects holds no turn. After a look that found some, the turn stays with the
	// caller of Claim. An error of Turn ends the claim with that error.
	Turn func(ctx context.Context) (done func(), err error)
}

const (
	minLease = time.Second
	maxLease = time.Hour
	maxWait  = time.Minute
)

// RenewEvery returns the time from a claim or a renewal to the next renewal: 5/14 of the lease. A
// lease of 0 is the default of 14 s, which is renewed every 5 s. The lease runs out only after two
// renewals in a row have failed.
func RenewEvery(lease time.Duration) time.Duration {
	return cmp.Or(lease, defaultLease) / 14 * 5
}

func checkLease(d time.Duration) *Refusal {
	if d != 0 && (d < minLease || d > maxLease) {
		return invalid("lease", "%v: want %v to %v, or 0 for %v", d, minLease, maxLease, defaultLease)
	}
	return nil
}

// checkSelection returns the selected kinds of effects, each once; an empty list selects all. It
// refuses a kind or a step type that the engine's rules do not deliver.
func (e *Engine) checkSelection(effects []store.Effect, types step.Types) ([]store.Effect, *Refusal) {
	for i, effect := range effects {
		if !slices.Contains(allEffects, effect) {
			return nil, invalid(fmt.Sprintf("effects[%d]", i), "%v (%d) is not delivered: want one of %v", effect, effect, allEffects)
		}
	}
	if !types.Empty() {
		declared := step.TypesOf(e.rules.Types()...)
		if unknown := types.Minus(declared); !unknown.Empty() {
			return nil, invalid("types", "the rules do not declare %v: want some of %v", unknown, declared)
		}
	}
	if len(effects) == 0 {
		return allEffects, nil
	}
	unwanted := func(e store.Effect) bool { return !slices.Contains(effects, e) }
	return slices.DeleteFunc(slices.Clone(allEffects), unwanted), nil
}

// Claim leases due effects to an executor that fetches its work, as one in another process does,
// which [Engine.Dispatch] cannot call. Each claim draws a token. The caller renews the lease with
// [Engine.Renew] and ends it with [Engine.Settle], [Engine.Fail] or [Engine.Release]; these take
// the token. An effect whose lease has run out can be claimed again. [Handler] lists the other
// duties of an executor. Questions and ends of jobs are effects as well: an executor claims only
// the kinds, and the runs and stops of the step types, that it can carry out. The cost of a claim
// does not depend on effects that it does not select.
//
// Any number of claimers and dispatchers can share a store: two of them hold one effect only
// after the first one's lease has run out, by the engine's time (see [WithClock]). Obsolete
// effects are settled and not returned. Effects come in the order in which they fell due, as far
// as the store can tell.
//
// The caller owns the result. It is empty if nothing fell due within q.Wait, and can hold
// fewer than q.Limit although more are due. If ctx ends, the error is ctx's, and the claimed
// effects are due again at once. Each call of the store is bounded by the lease and by 30 s.
// An effect whose job cannot be read has failed: the observer is told, and the effect is due
// again later, as after [Engine.Fail].
func (e *Engine) Claim(ctx context.Context, q ClaimQuery) ([]Delivery, error) {
	if err := e.checkEngine(ctx); err != nil {
		return nil, err
	}
	kinds, refusal := e.checkSelection(q.Effects, q.Types)
	if refusal != nil {
		return nil, refusal
	}
	if err := checkLease(q.Lease); err != nil {
		return nil, err
	}
	if q.Bytes < 0 {
		return nil, invalid("bytes", "%d: it is 1 or more, or 0 for no bound", q.Bytes)
	}
	if q.Wait < 0 || q.Wait > maxWait {
		return nil, invalid("wait", "%v: want 0 to %v", q.Wait, maxWait)
	}
	limit, refusal := checkLimit(q.Limit)
	if refusal != nil {
		return nil, refusal
	}
	c := e.courier()
	c.lease, c.types = cmp.Or(q.Lease, c.lease), q.Types
	for over := time.Now().Add(q.Wait); ; {
		// Listen first and claim then, so that no commit falls between.
		changed, stop := e.wake(0)
		due, err := c.claimOnce(ctx, q, kinds, limit)
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

// claimOnce claims effects once, in a turn of its own.
func (c *courier) claimOnce(ctx context.Context, q ClaimQuery, kinds []store.Effect, limit int) (due []Delivery, err error) {
	if q.Turn != nil {
		done, err := q.Turn(ctx)
		if err != nil {
			return nil, err
		}
		defer func() {
			if len(due) == 0 {
				done()
			}
		}()
	}
	if q.Bytes > 0 {
		return c.dueWithin(ctx, kinds, limit, q.Bytes)
	}
	return c.due(ctx, kinds, limit)
}

// dueWithin is due with a maximum of bytes. It loads effects one by one, and claims batches whose
// size follows from the average of those loaded so far. Effects that do not fit are given back,
// due at once.
func (c *courier) dueWithin(ctx context.Context, kinds []store.Effect, limit, bytes int) ([]Delivery, error) {
	var (
		due  []Delivery
		from []store.Delivery // each of due as it was claimed
		held int              // bytes of due
	)
	for batch, more := min(limit, 4), true; more && len(due) < limit && held < bytes; {
		claimed, _, err := c.claim(ctx, kinds, batch)
		if err != nil && len(due) == 0 {
			return nil, err
		}
		more = len(claimed) == batch
		for i, d := range claimed {
			if held >= bytes || ctx.Err() != nil {
				c.giveBack(ctx, claimed[i:])
				break
			}
			if shown := c.toExecutor(ctx, d); shown != nil {
				due, from, held = append(due, *shown), append(from, d), held+sizeOf(shown)
			}
		}
		if err := ctx.Err(); err != nil { // the caller has gone
			c.giveBack(ctx, from)
			return nil, err
		}
		batch *= 2 // while all were obsolete
		if len(due) > 0 {
			batch = max(1, (bytes-held)/max(1, held/len(due)))
		}
		batch = min(batch, limit-len(due))
	}
	return due, nil
}

// giveBack makes claimed effects due again at once.
func (c *courier) giveBack(ctx context.Context, claimed []store.Delivery) {
	for _, d := range claimed {
		_ = c.detached(ctx, func(ctx context.Context) error { return c.letGo(ctx, d, 0) })
	}
}

// sizeOf returns how many bytes the payload and the confirmers of a delivery have.
func sizeOf(d *Delivery) int {
	n := len(d.Step.Payload)
	for name := range d.Step.Confirmers.All() {
		n += len(name)
	}
	return n
}

// due claims effects until some of them are not obsolete, or none is due.
func (c *courier) due(ctx context.Context, kinds []store.Effect, limit int) ([]Delivery, error) {
	const atOnce = 64 // views
	for {
		claimed, _, err := c.claim(ctx, kinds, limit)
		if err != nil || len(claimed) == 0 {
			return nil, err
		}
		shown := make([]*Delivery, len(claimed))
		each(len(claimed), atOnce, func(i int) { shown[i] = c.toExecutor(ctx, claimed[i]) })
		if err := ctx.Err(); err != nil { // the caller has gone
			each(len(claimed), atOnce, func(i int) {
				if shown[i] != nil {
					c.finish(ctx, claimed[i], err)
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

// Claimed names one claim of an effect. It is a fence and a secret: a call with another token
// than the claim drew, or after the effect was settled or claimed again, fails with
// [store.ErrLeaseLost]. Until then the claim holds, even if the lease has run out.
type Claimed struct {
	Job   store.JobID `json:"job"`   // of the effect
	Seq   store.Seq   `json:"seq"`   // of the record that asked for the effect
	Count int32       `json:"count"` // deliveries of the effect, this one included
	Token store.Token `json:"token"` // zero only for a claim from before there were tokens
}

// Claimed names d for [Engine.Settle], [Engine.Renew], [Engine.Fail] and [Engine.Release].
func (d Delivery) Claimed() Claimed {
	return Claimed{Job: d.Job.ID, Seq: d.Seq, Count: d.Count, Token: d.Token}
}

func (c Claimed) check() *Refusal {
	switch {
	case c.Seq < 1:
		return invalid("seq", "%d: sequence numbers count from 1", c.Seq)
	case c.Count < 1:
		return invalid("count", "%d: deliveries count from 1", c.Count)
	}
	return nil
}

// held calls f with the current state of a claimed effect. It fails with store.ErrLeaseLost if the
// claim holds no more.
func (e *Engine) held(ctx context.Context, claimed Claimed, f func(context.Context, *courier, store.Delivery) error) error {
	if err := e.checkRead(ctx, claimed.Job); err != nil {
		return err
	}
	if err := claimed.check(); err != nil {
		return err
	}
	return within(ctx, storeWait, func(ctx context.Context) error {
		found, err := e.effects(ctx, claimed.Job, claimed.Seq-1, 1)
		if err != nil {
			return err
		}
		if len(found) == 0 || found[0].Seq != claimed.Seq || found[0].Count != claimed.Count || found[0].Token != claimed.Token {
			return fmt.Errorf("job %d: effect %d, delivery %d: %w", claimed.Job, claimed.Seq, claimed.Count, store.ErrLeaseLost)
		}
		return f(ctx, e.courier(), found[0])
	})
}

// Settle ends a claim: the effect was carried out, or its executor will report by other means.
// The effect is not delivered again, but for a stop, which is delivered every 30 s until its
// step has stopped.
//
// The error is [store.ErrLeaseLost], with the job's id, if the effect was settled or claimed
// again since, if the token is not that of the claim, or if the job has no effect with that
// number: another executor may carry it out. So repeating a Settle that passed fails with
// ErrLeaseLost, except for a stop whose step has not stopped: its 30 s begin anew. The error is a
// *[Refusal] if the engine's scope does not have the job. Any other error is the store's, or its
// failure to answer within 30 s; the call can then be repeated.
//
// Settle, Renew, Fail and Release of one delivery are for one caller at a time: the last write
// wins.
func (e *Engine) Settle(ctx context.Context, c Claimed) error {
	return e.held(ctx, c, func(ctx context.Context, by *courier, d store.Delivery) error { return by.done(ctx, d) })
}

// Renew gives a claimed effect a new lease that begins now: 1 s to 1 h; 0 means 14 s. The next
// renewal is due after [RenewEvery] of it. Its errors are those of [Engine.Settle]. An executor
// whose lease is lost must stop, as another one may carry the effect out. The same holds once the
// last successful renewal is older than the lease.
func (e *Engine) Renew(ctx context.Context, c Claimed, lease time.Duration) error {
	if err := checkLease(lease); err != nil {
		return err
	}
	return e.held(ctx, c, func(ctx context.Context, by *courier, d store.Delivery) error {
		return by.renewFor(ctx, d, cmp.Or(lease, defaultLease))
	})
}

// Fail ends a claim whose effect could not be carried out. The effect is due again after a
// back-off of 1 s, doubled with each further failure in a row, up to 5 min, or 30 s for a stop.
// [Engine.Effects] shows the first 500 characters of cause; the observer is told all of it. Its
// errors are those of [Engine.Settle], but a repetition passes and counts as another failure, up
// to one for each claim so far.
func (e *Engine) Fail(ctx context.Context, c Claimed, cause error) error {
	if cause == nil {
		return invalid("Cause", "nil")
	}
	return e.held(ctx, c, func(ctx context.Context, by *courier, d store.Delivery) error { return by.fail(ctx, d, cause) })
}

// Release ends a claim whose effect was not carried out and has not failed: the effect is due
// again at once, for any executor. An executor that shuts down releases the effects that it has
// not begun. Its errors and repetitions are those of [Engine.Settle].
func (e *Engine) Release(ctx context.Context, c Claimed) error {
	return e.held(ctx, c, func(ctx context.Context, by *courier, d store.Delivery) error { return by.letGo(ctx, d, 0) })
}
