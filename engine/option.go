package engine

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An Option sets up an [Engine]. Of two that set the same thing the later one holds.
type Option func(*config)

type config struct {
	rules     *operation.Rules
	now       func() time.Time
	random    func() uint64
	jobID     func(now step.Time) store.JobID
	authorize func(context.Context, Access) error
	observe   Observer
	limits    Limits
	window    func(name string, t time.Time) time.Time // nil for none
}

func defaults() config {
	return config{
		rules:  operation.Standard(),
		now:    time.Now,
		random: rand.Uint64,
		limits: DefaultLimits(),
	}
}

// WithRules replaces the documented rules, [operation.Standard]; nil keeps them.
func WithRules(r *operation.Rules) Option {
	return func(c *config) {
		if r != nil {
			c.rules = r
		}
	}
}

// WithClock replaces time.Now as the host's clock; nil keeps it. The engine reads it once per
// operation, once more for an observer, and twice more for a report. A moment before 1970 or after
// [step.MaxTime] counts as the nearest one between. Waiting, as of a dispatcher for its next poll,
// uses package time in any case.
//
// On a store that is a [store.Clock] the engine's time is the store's: the engine reads the
// store's clock when it first needs the time, and again when 30 s have passed or the host's
// clock was set, and adds the time since then by the host's clock. A reading is one round
// trip of one call, bounded by 5 s. The engine's time is behind the store's by the delay of the
// answer, and never ahead of it. While the store's clock cannot be read, the last reading
// stays; without any reading, calls that need the time fail and change nothing.
//
// On any other store, engines in several processes use the clocks of their hosts. Leases tolerate
// a difference of two sevenths of the shortest lease, 4 s of the default: an engine whose clock is
// further ahead can claim effects that another one holds. Deadlines, back-offs and the times of
// records are off by the difference. After a clock was set back by d, leases and back-offs that
// began before can last longer by d, and so can gates and back-offs that begin afterwards: the times
// of a job never run backwards, so they count from the job's last time.
func WithClock(now func() time.Time) Option {
	return func(c *config) {
		if now != nil {
			c.now = func() time.Time { return sane(now()) }
		}
	}
}

// sane returns the moment nearest to t that the times of a job can hold.
func sane(t time.Time) time.Time {
	first, last := time.UnixMilli(1), step.MaxTime.Std() // 0 means never
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// WithWindows tells when the windows of steps open: f returns t if the window of a name is open at t,
// and else the next moment at which it opens. Every engine that creates jobs with windows, or
// sweeps, needs f, and all need the same. The engine asks f, outside of every decision, when a step
// is about to begin an attempt, and keeps the answer in the record, so no replay asks again. At the
// moment of an answer it asks again. A panic, no answer for a second, and a moment before t are told to
// [Observer].Failed, and f is asked again after a minute; about a name whose call hangs, not before that
// call returns. A sweep asks about one step after another, so a slow f delays all that is behind it. f
// must be safe for concurrent use.
func WithWindows(f func(name string, t time.Time) time.Time) Option {
	return func(c *config) { c.window = f }
}

// WithRandom replaces the source of job ids, request ids, the tokens of claims and jitter;
// nil keeps it. It must be safe for concurrent use. The default is math/rand/v2's Uint64, which the
// runtime seeds and whose output does not allow predictions.
func WithRandom(random func() uint64) Option {
	return func(c *config) {
		if random != nil {
			c.random = random
		}
	}
}

// WithJobIDs replaces the source of job ids; nil keeps it. next must be safe for concurrent use. If
// an id is taken, the engine calls next again with a time that is a millisecond later. An id
// outside of 1 to [store.MaxJobID] fails the creation.
//
// The default draws 41 bits of milliseconds since 2024 and 12 bits of randomness. The ids that
// one engine draws ascend strictly, within a millisecond and after its clock was set back. Those
// of several engines ascend as far as their clocks agree: see [JobQuery].After.
func WithJobIDs(next func(now step.Time) store.JobID) Option {
	return func(c *config) { c.jobID = next }
}

// WithAuthorizer calls f before every request of a person, creations included, with the
// state that the decision is made on: again after each conflict. An error, a panic
// or an ended context is a denial. The error is the refusal's cause, found by errors.Is
// and errors.As: to tell reasons apart, look at [Refusal].Reason. Of the error, clients see only
// the text of [Public]. f must be safe for concurrent use. The default permits every request.
func WithAuthorizer(f func(ctx context.Context, a Access) error) Option {
	return func(c *config) { c.authorize = f }
}

// Access is the request that an authorizer permits or denies.
type Access struct {
	Actor    string     `json:"actor"`             // the person's name; empty for the anonymous actor
	Executor bool       `json:"executor,omitzero"` // the person is an executor as well: see [Request]
	Cause    step.Cause `json:"cause"`             // the operation, step.GivenUp, step.Hurried or step.Created
	Job      store.Job  `json:"job"`               // before the request; for a creation, the new job without its id
	Step     store.Step `json:"step,omitzero"`     // the step in question, or the job's current one; zero for a creation

	Effect store.Effect `json:"effect,omitzero"` // the kind of the effect to give up or hurry; else 0
	Seq    store.Seq    `json:"seq,omitzero"`    // its sequence number; else 0
}

// WithLimits replaces the limits; a limit of 0 keeps its default. The maximum is 4,000,000
// targets per step. Limits apply to requests only: larger jobs in the store stay usable.
func WithLimits(l Limits) Option {
	return func(c *config) {
		if l.Steps > 0 {
			c.limits.Steps = l.Steps
		}
		if l.Targets > 0 {
			c.limits.Targets = min(l.Targets, 4_000_000)
		}
		if l.Reason > 0 {
			c.limits.Reason = l.Reason
		}
		if l.Payload > 0 {
			c.limits.Payload = l.Payload
		}
	}
}

// Limits are the maximum sizes of a request; see [WithLimits].
type Limits struct {
	Steps   int // per job
	Targets int // per step; also names per list of confirmers
	Reason  int // characters of a reason
	Payload int // bytes of a step's payload
}

// DefaultLimits returns the default limits: 1,000 steps per job, 1,000,000 targets per step, 2,000
// characters of a reason and 1 MiB of payload per step.
func DefaultLimits() Limits {
	return Limits{Steps: 1_000, Targets: 1_000_000, Reason: 2_000, Payload: 1 << 20}
}

// WithObserver calls o for every request that was accepted, refused, tried as a dry run or
// failed: the place for logs, metrics and traces. It is not called for a replay, a report that
// changes nothing, or a read. The default observes nothing.
func WithObserver(o Observer) Option { return func(c *config) { c.observe = o } }

// An Observer is told the outcome of requests, after the commit and under no lock. Its
// functions may be nil; they must be safe for concurrent use; a panic in one is contained.
// A refusal is shared with the caller of the request: neither may change it.
type Observer struct {
	Accepted   func(ctx context.Context, r store.Record, took time.Duration)            // r was committed: a request's, or an expiry's before it
	Refused    func(ctx context.Context, r *Refusal, took time.Duration)                // a request was refused
	Dry        func(ctx context.Context, r store.Record, took time.Duration)            // a dry run passed: r as it would be
	Conflicted func(ctx context.Context, job store.JobID, lost int, took time.Duration) // lost commits of one request lost a race
	Failed     func(ctx context.Context, err error)                                     // a request or a delivery failed, and was not refused
}

// timed reports whether o wants to know how long requests take.
func (o *Observer) timed() bool {
	return o.Accepted != nil || o.Refused != nil || o.Dry != nil || o.Conflicted != nil
}
