package storetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var brokenEffects = []Breakage{
	{"effect lost", "it delivers no stop", []string{
		"Commit/applies all of a change",
		"Claim/takes the kinds that are wanted",
	}, replacing(func(s store.Store, p *patch) {
		p.effects = func(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
			ds, err := s.Effects(ctx, scope, id, p)
			return slices.DeleteFunc(ds, func(d store.Delivery) bool { return d.Effect == store.StopAttempt }), err
		}
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			c.Effects = slices.DeleteFunc(slices.Clone(c.Effects), func(e store.Effect) bool { return e == store.StopAttempt })
			return s.Claim(ctx, c)
		}
	})},

	{"effect settled twice", "it says that an effect is settled and delivers it again", []string{
		"Effects/are those of the job that are not settled, by sequence number",
		"Claim/takes no effect that is settled",
		"Defer/of a settled effect is a lost lease",
		"Settle/removes an effect for good",
		"Settle/of a settled effect is a lost lease",
	}, replacing(func(_ store.Store, p *patch) {
		p.settle = func(ctx context.Context, _ store.Delivery) error { return ctx.Err() }
	})},

	{"withheld", "it leaves an effect alone until its record's time", []string{
		"General/a store reads no clock",
		"Claim/takes an effect at once, whatever its record's time",
	}, replacing(func(s store.Store, p *patch) {
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			ds, err := s.Claim(ctx, c)
			ds = slices.DeleteFunc(ds, func(d store.Delivery) bool {
				if d.At > c.Now {
					d.NotBefore = d.At
					err = errors.Join(err, s.Defer(ctx, d))
				}
				return d.At > c.Now
			})
			return ds, err
		}
	})},

	{"claim before its time", "it claims what may be claimed a second later", []string{
		"Claim/takes no effect again before its lease has run out",
		"Defer/leaves an effect alone until NotBefore",
	}, claiming(func(c *store.Claim) { c.Now += 1000 })},

	{"short lease", "it leases for one millisecond", []string{
		"Claim/raises Count and leases until Until",
	}, claiming(func(c *store.Claim) { c.Until = c.Now + 1 })},

	{"any token", "it forgets who claimed", []string{
		"Claim/keeps Token with each effect",
		"Settle and Defer/with another Token are a lost lease and do nothing",
	}, replacing(func(s store.Store, p *patch) {
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			c.Token = store.Token{}
			return s.Claim(ctx, c)
		}
		p.delay = func(ctx context.Context, d store.Delivery) error {
			d.Token = store.Token{}
			return s.Defer(ctx, d)
		}
		p.settle = func(ctx context.Context, d store.Delivery) error {
			d.Token = store.Token{}
			return s.Settle(ctx, d)
		}
	})},

	{"held by nobody", "it does not tell a lease from a back-off", []string{
		"Claim/raises Count and leases until Until",
		"Claim/holds each effect until Defer lets it go",
	}, replacing(func(s store.Store, p *patch) {
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			ds, err := s.Claim(ctx, c)
			for i := range ds {
				ds[i].Held = false
				err = errors.Join(err, s.Defer(ctx, ds[i]))
			}
			return ds, err
		}
	})},

	{"held in the answer", "it holds an effect for its claimer, and not for others", []string{
		"Claim/holds each effect until Defer lets it go",
	}, replacing(func(s store.Store, p *patch) {
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			ds, err := s.Claim(ctx, c)
			for _, d := range ds {
				d.Held = false
				err = errors.Join(err, s.Defer(ctx, d))
			}
			return ds, err
		}
	})},

	{"any kind", "it claims effects that nobody wants", []string{
		"Claim/takes the kinds that are wanted",
	}, claiming(func(c *store.Claim) { c.Effects = everyKind })},

	{"any type", "it claims runs and stops of every step type", []string{
		"Claim/takes runs and stops of the step types that are wanted",
	}, claiming(func(c *store.Claim) { c.Types = step.Types{} })},

	{"any stop", "it takes stops to be of no step type", []string{
		"Claim/takes runs and stops of the step types that are wanted",
	}, claimingApart(func(c *store.Claim) bool { return c.Effects[0] == store.StopAttempt }, func(c *store.Claim) { c.Types = step.Types{} })},

	{"typed questions", "it claims no question for one who serves some step types", []string{
		"Claim/takes questions and ends of jobs whatever types are wanted",
	}, claimingApart(func(c *store.Claim) bool { return !c.Effects[0].ByType() && !c.Types.Empty() }, func(c *store.Claim) { c.Limit = 0 })},

	{"no embedder's type", "it knows no step types but its own", []string{
		"Claim/takes runs and stops of the step types that are wanted",
	}, claiming(func(c *store.Claim) {
		if !c.Types.Empty() {
			for typ := range c.Types.Minus(step.TypesOf(step.Script, step.FileTransfer, step.SQL)).All() {
				c.Types = c.Types.Without(typ).With(step.Confirmation)
			}
		}
	})},

	{"first type", "it claims the first of the step types that are wanted", []string{
		"Claim/takes runs and stops of the step types that are wanted",
	}, claiming(func(c *store.Claim) {
		for typ := range c.Types.All() {
			c.Types = step.TypesOf(typ)
			break
		}
	})},

	{"effects without a reason", "it forgets who asked for an effect, and why", []string{
		"Effects/tell by whom, why and by what each was asked for",
	}, replacing(func(s store.Store, p *patch) {
		p.effects = func(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
			return withoutReasons(s.Effects(ctx, scope, id, p))
		}
	})},

	{"claim without a reason", "its claims do not tell who asked for an effect, and why", []string{
		"Effects/tell by whom, why and by what each was asked for",
	}, replacing(func(s store.Store, p *patch) {
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			return withoutReasons(s.Claim(ctx, c))
		}
	})},

	{"by job", "it claims in the order of jobs, and so the same effect again and again", []string{
		"Claim/takes them in the order of NotBefore",
		"Claim/passes none over for ever",
	}, claimingBy(byJob)},

	{"by record", "it claims in the order of records' times, whatever was deferred or leased until later", []string{
		"Claim/takes them in the order of NotBefore",
		"Claim/passes none over for ever",
	}, claimingBy(func(ds []store.Delivery) []store.Delivery {
		return slices.SortedFunc(slices.Values(ds), func(a, b store.Delivery) int { return cmp.Compare(a.At, b.At) })
	})},

	{"kind by kind", "it claims all that is due of one kind before it looks at the next", []string{
		"Claim/takes them in the order of NotBefore",
	}, claimingBy(func(ds []store.Delivery) []store.Delivery {
		return slices.SortedStableFunc(slices.Values(ds), func(a, b store.Delivery) int { return cmp.Compare(a.Effect, b.Effect) })
	})},

	{"claimed twice", "it answers a claim as it answered the last one of that time", []string{
		"Claim/of two at once takes none twice at one Count",
	}, replacing(func(s store.Store, p *patch) {
		var mu sync.Mutex // guards both below
		var last step.Time
		var answer []store.Delivery
		p.claim = func(ctx context.Context, c store.Claim) (_ []store.Delivery, err error) {
			mu.Lock()
			defer mu.Unlock()
			if c.Now != last || len(answer) == 0 {
				last = c.Now
				answer, err = s.Claim(ctx, c)
			}
			return slices.Clone(answer), err
		}
	})},

	{"lease not fenced", "it lets an old claim defer and settle what was claimed again", []string{
		"Defer/of an effect claimed again is a lost lease and does nothing",
		"Settle/of an effect claimed again is a lost lease and does nothing",
	}, replacing(func(s store.Store, p *patch) {
		p.delay = func(ctx context.Context, d store.Delivery) error {
			d.Count = stored(ctx, s, d).Count
			return s.Defer(ctx, d)
		}
		p.settle = func(ctx context.Context, d store.Delivery) error { return s.Settle(ctx, stored(ctx, s, d)) }
	})},

	{"settled is fine", "it does not mind that an effect is not there", []string{
		"Defer/of a settled effect is a lost lease",
		"Settle/of a settled effect is a lost lease",
	}, intercepting(func(ctx context.Context, do func(context.Context) error) error {
		if err := do(ctx); !errors.Is(err, store.ErrLeaseLost) {
			return err
		}
		return nil
	})},

	{"lease ends with its time", "it takes a lease that has run out for lost", []string{
		"Settle/stands after the lease has run out, until another claims",
	}, replacing(func(s store.Store, p *patch) {
		var latest step.Time
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			latest = max(latest, c.Now)
			return s.Claim(ctx, c)
		}
		p.settle = func(ctx context.Context, d store.Delivery) error {
			if d.NotBefore <= latest {
				return store.ErrLeaseLost
			}
			return s.Settle(ctx, d)
		}
	})},

	{"back-off lost", "it does not defer", []string{
		"Effects/tell how often each was claimed, how often it failed and why",
		"Defer/leaves an effect alone until NotBefore",
		"Defer/keeps Failures, Delivered and LastError as they are given",
	}, replacing(func(_ store.Store, p *patch) {
		p.delay = func(ctx context.Context, _ store.Delivery) error { return ctx.Err() }
	})},

	{"deferred and claimed", "it keeps what came of a delivery, and not until when to leave it alone", []string{
		"Effects/tell how often each was claimed, how often it failed and why",
		"Claim/takes them in the order of NotBefore",
		"Defer/leaves an effect alone until NotBefore",
		"Defer/renews a lease, and ends one early",
	}, deferring(func(_ context.Context, _ store.Store, d *store.Delivery) { d.NotBefore = 0 })},

	{"only later", "it never brings the end of a lease forward", []string{
		"Defer/renews a lease, and ends one early",
	}, deferring(func(ctx context.Context, s store.Store, d *store.Delivery) {
		d.NotBefore = max(d.NotBefore, stored(ctx, s, *d).NotBefore)
	})},

	{"held for ever", "it takes every back-off for a lease", []string{
		"Claim/holds each effect until Defer lets it go",
		"Defer/keeps Held as it is given",
	}, deferring(func(_ context.Context, _ store.Store, d *store.Delivery) { d.Held = true })},

	{"let go by a renewal", "it takes every renewal for a back-off", []string{
		"Defer/keeps Held as it is given",
	}, deferring(func(_ context.Context, _ store.Store, d *store.Delivery) { d.Held = false })},

	{"let go for good", "it does not hold again what was let go", []string{
		"Defer/keeps Held as it is given",
	}, deferring(func(ctx context.Context, s store.Store, d *store.Delivery) {
		d.Held = d.Held && stored(ctx, s, *d).Held
	})},

	{"failures uncounted", "it does not keep how often a delivery has failed", []string{
		"Effects/tell how often each was claimed, how often it failed and why",
		"Defer/keeps Failures, Delivered and LastError as they are given",
	}, deferring(func(_ context.Context, _ store.Store, d *store.Delivery) { d.Failures = 0 })},

	{"failures never end", "it counts failures, and not that they are over", []string{
		"Defer/keeps Failures, Delivered and LastError as they are given",
	}, deferring(func(ctx context.Context, s store.Store, d *store.Delivery) {
		d.Failures = max(d.Failures, stored(ctx, s, *d).Failures)
	})},

	{"delivery forgotten", "it does not keep that a stop was delivered", []string{
		"Defer/keeps Failures, Delivered and LastError as they are given",
	}, deferring(func(_ context.Context, _ store.Store, d *store.Delivery) { d.Delivered = false })},

	{"error sticks", "it takes no error for no news, and keeps the old one", []string{
		"Defer/keeps Failures, Delivered and LastError as they are given",
	}, deferring(func(ctx context.Context, s store.Store, d *store.Delivery) {
		d.LastError = cmp.Or(d.LastError, stored(ctx, s, *d).LastError)
	})},

	{"deferred whole", "it puts what it is told to defer in the place of the effect", []string{
		"Defer/changes nothing else of an effect",
	}, replacing(func(s store.Store, p *patch) {
		var last store.Delivery
		p.delay = func(ctx context.Context, d store.Delivery) error {
			last = d
			return s.Defer(ctx, d)
		}
		p.effects = func(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
			ds, err := s.Effects(ctx, scope, id, p)
			for i, d := range ds {
				if d.Job == last.Job && d.Seq == last.Seq && d.Count == last.Count {
					ds[i] = last
				}
			}
			return ds, err
		}
	})},

	{"error cleared", "it forgets why a delivery failed when it is claimed again", []string{
		"Defer/keeps Failures, Delivered and LastError as they are given",
	}, replacing(func(s store.Store, p *patch) {
		p.claim = func(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
			ds, err := s.Claim(ctx, c)
			for i := range ds {
				ds[i].LastError = ""
			}
			return ds, err
		}
	})},
}

func withoutReasons(ds []store.Delivery, err error) ([]store.Delivery, error) {
	ds = slices.Clone(ds)
	for i := range ds {
		ds[i].Actor, ds[i].Reason = "", ""
	}
	return ds, err
}

// stored returns the stored effect of d, or d if it is settled.
func stored(ctx context.Context, s store.Store, d store.Delivery) store.Delivery {
	ds, err := s.Effects(ctx, d.Scope, d.Job, store.Page[store.Seq]{After: d.Seq - 1, Limit: 1})
	if err != nil || len(ds) == 0 {
		return d
	}
	return ds[0]
}

var brokenOverdue = []Breakage{
	{"overdue told once", "it tells of a deadline that has passed, and forgets it", []string{
		"Overdue/are steps whose deadline is not after now",
	}, replacing(func(s store.Store, p *patch) {
		told := map[store.Overdue]bool{}
		p.overdue = func(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
			all, err := s.Overdue(ctx, scope, now, limit)
			all = slices.DeleteFunc(all, func(o store.Overdue) bool { return told[o] })
			for _, o := range all {
				told[o] = true
			}
			return all, err
		}
	})},

	{"overdue forgets", "it keeps the first deadline of a step and never clears it", []string{
		"Overdue/follows the deadline as it is set, changed and cleared",
	}, replacing(func(s store.Store, p *patch) {
		var all []store.Overdue
		p.commit = func(ctx context.Context, c store.Change) error {
			for _, o := range (&job{Job: c.Job, steps: c.Steps}).overdue() {
				if !slices.ContainsFunc(all, func(old store.Overdue) bool { return old.Job == o.Job && old.Step == o.Step }) {
					all = append(all, o)
				}
			}
			return s.Commit(ctx, c)
		}
		p.overdue = func(_ context.Context, _ store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
			due := slices.DeleteFunc(slices.Clone(all), func(o store.Overdue) bool { return o.Due > now })
			return due[:min(limit, len(due))], nil
		}
	})},

	{"overdue in any scope", "it looks for deadlines in every scope", []string{
		"General/a job of another scope does not exist",
		"Overdue/is of the scope",
	}, replacing(func(s store.Store, p *patch) {
		p.overdue = func(ctx context.Context, _ store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
			return s.Overdue(ctx, store.Scope{}, now, limit)
		}
	})},
}

var brokenWakes = []Breakage{
	{"asleep", "it wakes nobody", []string{
		"Wake/closes after a commit to the job",
		"Wake/of job 0 closes after a commit to any job",
		"Wake/closes for every listener and again for the next",
	}, waking(func(store.Waker, store.JobID) (<-chan struct{}, func()) { return nil, func() {} })},

	{"stop once", "it panics when it is stopped twice", []string{
		"Wake/stop may be called at any time, twice, by several",
	}, waking(func(w store.Waker, id store.JobID) (<-chan struct{}, func()) {
		changed, stop := w.Wake(id)
		stopped := make(chan struct{})
		return changed, func() {
			close(stopped)
			stop()
		}
	})},
}
