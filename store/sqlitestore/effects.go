package sqlitestore

import (
	"cmp"
	"context"
	"slices"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/store"
)

// Claim implements store.Store. It orders effects with equal NotBefore by the time of their
// records. A claim that finds nothing does not wait for other writers.
func (s *Store) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	c.Effects = slices.Clone(c.Effects)
	var first []store.Delivery
	err := s.read(ctx, func(r *conn) (err error) {
		first, err = r.due(&c, 1)
		return err
	})
	if err != nil || len(first) == 0 {
		return nil, failed(undone(err), "look for effects to claim")
	}
	taken := &claim{Claim: c}
	if err := s.write(ctx, taken); err != nil {
		return nil, failed(err, "claim effects")
	}
	return taken.claimed, nil
}

// claim is a change that claims due effects.
type claim struct {
	store.Claim
	claimed []store.Delivery
}

func (c *claim) keep() change { return c } // Claim has copied it

func (c *claim) apply(w *conn) (err error) {
	if c.claimed, err = w.due(&c.Claim, c.Limit); err != nil {
		return err
	}
	for i := range c.claimed {
		d := &c.claimed[i]
		d.Count++
		d.NotBefore, d.Held, d.Token = c.Until, true, c.Token
		if err := w.do(leaseEffect, d.Job, d.Seq, d.Count, idOf(d.Token), d.NotBefore); err != nil {
			return err
		}
	}
	return nil
}

// due returns the first effects that a claim may take, at most limit.
func (r *conn) due(c *store.Claim, limit int) ([]store.Delivery, error) {
	queues, err := r.queues(c)
	if err != nil {
		return nil, err
	}
	find := selectDue
	if c.Scope != (store.Scope{}) {
		find = selectDueOfScope
	}
	var all []store.Delivery
	for _, q := range queues {
		some, err := list(r, scanDelivery, find, c.Scope.Type, c.Scope.ID, q.Effect, q.Type, c.Now, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b store.Delivery) int {
		return cmp.Or(cmp.Compare(a.NotBefore, b.NotBefore), cmp.Compare(a.At, b.At), cmp.Compare(a.Job, b.Job), cmp.Compare(a.Seq, b.Seq))
	})
	return all[:min(limit, len(all))], nil
}

// queues returns the queues that a claim selects.
func (r *conn) queues(c *store.Claim) ([]schema.Queue, error) {
	find := selectTypes
	if c.Scope != (store.Scope{}) {
		find = selectTypesOfScope
	}
	queues, every := schema.Queues(c)
	for _, effect := range every {
		types, err := list(r, scanType, find, c.Scope.Type, c.Scope.ID, effect)
		if err != nil {
			return nil, err
		}
		for _, typ := range types {
			queues = append(queues, schema.Queue{Effect: effect, Type: typ})
		}
	}
	return queues, nil
}

// Defer implements store.Store.
func (s *Store) Defer(ctx context.Context, d store.Delivery) error {
	return failed(s.write(ctx, deferral(d)), "defer effect %d of job %d", d.Seq, d.Job)
}

// deferral is a change that defers a claimed effect.
type deferral store.Delivery

func (d deferral) keep() change { return d }

func (d deferral) apply(w *conn) error {
	return leased(w.exec(deferEffect, d.Job, d.Seq, d.Count, idOf(d.Token), d.NotBefore, d.Held, d.Failures, d.Delivered, d.LastError))
}

// Settle implements store.Store.
func (s *Store) Settle(ctx context.Context, d store.Delivery) error {
	return failed(s.write(ctx, settlement(d)), "settle effect %d of job %d", d.Seq, d.Job)
}

// settlement is a change that removes a claimed effect.
type settlement store.Delivery

func (d settlement) keep() change { return d }

func (d settlement) apply(w *conn) error {
	return leased(w.exec(settleEffect, d.Job, d.Seq, d.Count, idOf(d.Token)))
}

// leased returns store.ErrLeaseLost if a statement found no row of the claim.
func leased(rows int64, err error) error {
	if err == nil && rows == 0 {
		return store.ErrLeaseLost
	}
	return err
}

// Effects implements store.Store.
func (s *Store) Effects(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) (all []store.Delivery, err error) {
	err = s.readJob(ctx, scope, job, func(r *conn) error {
		all, err = list(r, scanDelivery, selectEffects, job, p.After, p.Limit)
		return err
	})
	return all, failed(err, "read the effects of job %d", job)
}
