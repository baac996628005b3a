package store

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/stepgate/stepgate/step"
)

// Errors of a [Store]. They may be wrapped; test with errors.Is.
var (
	// ErrNotFound: there is no such job or step, or it is not in the scope of
	// the read. The two cannot be told apart.
	ErrNotFound = errors.New("store: not found")

	// ErrConflict: the job is not at the version that the change was decided
	// on, or the request of a creation is known in its scope. Nothing was done.
	ErrConflict = errors.New("store: conflict")

	// ErrLeaseLost: the effect was settled, or claimed again since. Nothing was
	// done.
	ErrLeaseLost = errors.New("store: lease lost")

	// ErrMalformed: the change contradicts itself, and no job could take it; see [Change.Check]. It
	// is ErrUndone as well.
	ErrMalformed = errors.New("store: malformed change")

	// ErrUndone: the call failed, and the store knows that it changed nothing. A
	// store wraps it with the cause. Without it, and without one of the errors
	// above, the outcome of a failed call is unknown.
	ErrUndone = errors.New("store: nothing was done")
)

// A Store remembers jobs. Implementations pass storetest.Run, which has a subtest
// for each sentence below.
//
// Methods are safe for concurrent use. Values go in and values come out: nothing
// that a store keeps shares memory with what a caller passed or received, other
// than strings and step.Names, which are immutable. A context that has ended
// before a call fails the call, and nothing is done. Times are arguments: a store
// reads no clock, but one that is a [Clock] tells the time when asked.
//
// Reads see every commit that returned before they began. Where they take a Scope,
// a job of another scope does not exist for them. Where they take a Page, they
// return at most Limit rows with keys greater than After, in ascending order, and
// an empty result is not an error; a job that does not exist is ErrNotFound. Jobs
// alone can come the other way round, see [JobFilter].Newest.
type Store interface {
	Ledger
	Reader
	Outbox
}

// A Ledger is what deciding needs of a [Store]: what a command meets, and a place for what it does.
type Ledger interface {
	// View returns what deciding on one command needs, as of one moment. It is
	// ErrNotFound if the job or the step does not exist. Its cost depends on
	// the number of targets in q and on nothing else: its steps have no payload.
	View(ctx context.Context, q Query) (View, error)

	// Created returns the Created record that carries request, of the job of
	// exactly this scope, the zero Scope meaning none; ErrNotFound if there is
	// none.
	Created(ctx context.Context, scope Scope, request RequestID) (Record, error)

	// Commit applies c, all of it or nothing, if the job's version is the one
	// that c was decided on: c.Job.Version less the number of c.Records; 0 for
	// a job that does not exist yet. Otherwise it is ErrConflict and nothing
	// is done; so is the creation of a job if another creation in its scope
	// carries the same request. A change that [Change.Check] refuses fails with what that
	// returns, as it is, and nothing is done. After any other error that is not ErrUndone the outcome is
	// unknown: the change may have been applied, or be applied later. A change can hold
	// the records of several commands, each with a request of its own that no earlier record
	// of the job carries: the View that c was decided on shows one that does, and a store need
	// not look. Each record with an effect makes that effect wait for delivery, claimable at
	// once, whatever the record's time.
	Commit(ctx context.Context, c Change) error
}

// A Reader is what those who look at jobs need of a [Store].
type Reader interface {
	// Jobs returns the headers of the jobs that f selects, by id: ascending or, if f
	// asks for the newest, descending.
	Jobs(ctx context.Context, f JobFilter) ([]Job, error)

	// Counts returns how many jobs of the scope are in each state, counted up to most,
	// which is positive: a count that equals most means most or more. States without a
	// job are left out.
	Counts(ctx context.Context, scope Scope, most int) (map[step.State]int, error)

	// Snapshot returns a job with all its steps, without payloads, and, if q asks, all their
	// targets, as of one moment. It is ErrNotFound if the job does not exist. It costs what it returns,
	// and a number of round trips that does not depend on the job.
	Snapshot(ctx context.Context, q SnapshotQuery) (Snapshot, error)

	// Steps returns steps of a job, by id, without payloads.
	Steps(ctx context.Context, scope Scope, job JobID, p Page[step.ID]) ([]Step, error)

	// Targets returns targets of a step, by index. What it costs depends on
	// the number of targets returned, and not on how many there are beside. It
	// is ErrNotFound if the job or the step does not exist.
	Targets(ctx context.Context, f TargetFilter) ([]Target, error)

	// History returns records of a job, by sequence number.
	History(ctx context.Context, scope Scope, job JobID, p Page[Seq]) ([]Record, error)

	// Details returns what may be large of one step, which no other read returns. It is
	// ErrNotFound if the job or the step does not exist.
	Details(ctx context.Context, q DetailQuery) (Details, error)
}

// An Outbox is what those who carry out effects, and watch deadlines, need of a [Store].
type Outbox interface {
	// Effects returns a job's unsettled effects, by sequence number.
	Effects(ctx context.Context, scope Scope, job JobID, p Page[Seq]) ([]Delivery, error)

	// Claim takes up to c.Limit unsettled effects that c selects and whose
	// NotBefore is not after c.Now, and returns them with Count raised by one,
	// NotBefore at c.Until and Token c.Token. No two calls take the same effect at the same
	// Count. The order is that of NotBefore as far as one store can tell, so
	// that none is passed over for ever. Its cost depends on the effects that c selects, and
	// on how many step types have effects if c selects all; not on effects beside.
	Claim(ctx context.Context, c Claim) ([]Delivery, error)

	// Defer leaves a claimed effect alone until d.NotBefore and keeps d's Failures,
	// Delivered and LastError with it; nothing else of the effect changes. It renews a
	// lease as well as it backs off. It is ErrLeaseLost if the effect is settled or
	// its Count or its Token is not d's; a lease that has run out counts until the effect
	// is claimed again.
	Defer(ctx context.Context, d Delivery) error

	// Settle removes a claimed effect for good. It is ErrLeaseLost if the
	// effect is settled or its Count or its Token is not d's.
	Settle(ctx context.Context, d Delivery) error

	// Overdue returns up to limit steps whose Deadline is set and not after
	// now, the longest overdue first.
	Overdue(ctx context.Context, scope Scope, now step.Time, limit int) ([]Overdue, error)
}

// A Waker is a [Store] that can tell when a job or an effect has changed. Without
// it, watchers and dispatchers poll.
type Waker interface {
	// Wake returns a channel that is closed at the first commit to the job that
	// begins after Wake has returned; job 0 means any job. It may be closed
	// earlier, without a commit. The caller calls stop when it no longer listens;
	// calling it again does nothing.
	Wake(job JobID) (changed <-chan struct{}, stop func())
}

// A Clock is a [Store] that tells the time. Engines go by it instead of the clocks of
// their hosts, so that leases and deadlines of one store are compared with one clock.
type Clock interface {
	// Now returns the store's time. It costs at most one round trip.
	Now(ctx context.Context) (step.Time, error)
}

// A Local is a [Store] in the memory of this process, where a call costs less than what an engine
// does to spare one. On a Local, reports of one job that meet are committed one by one, and each is
// decided on a view of its own.
type Local interface {
	Local()
}

// A Query selects a [View].
type Query struct {
	Scope   Scope
	Job     JobID
	Step    step.ID   // 0 selects the job's current step
	Targets []int32   // indices into the step's targets, in any order
	Request RequestID // look for the record that carries it; the zero RequestID looks for none
}

// A View is all that deciding on one command needs.
type View struct {
	Job     Job
	Step    Step     // the step in question, without its payload
	Next    Step     // the one after it, likewise; its ID is 0 if there is none
	Targets []Target // those of Query.Targets that the step has, in that order, without names
	Replay  *Record  // the record that carries Query.Request, or nil
}

// A Change is what one decision does to one job. The caller keeps its ownership: a store
// copies what it keeps, and looks at none of it once Commit has returned.
type Change struct {
	Job     Job         // the header after
	Specs   []step.Spec // on creation: the definitions of all steps; else nil
	Steps   []Step      // the steps that changed, after; on creation all of them, with their payloads
	Targets []Target    // the targets of Steps[0] whose latest result changed, after, without names; none on creation
	Records []Record    // at least one; the last one's Seq is Job.Version
}

// After returns what v shows once c, which was decided on v, is committed: the header, and of
// its steps and targets those that v shows. It is pure, and shares no memory with v or c that
// either can write to.
func (v View) After(c Change) View {
	after := View{Job: c.Job, Step: v.Step, Next: v.Next, Targets: slices.Clone(v.Targets), Replay: v.Replay}
	for _, s := range c.Steps {
		switch s.ID {
		case v.Step.ID:
			after.Step = s
		case v.Next.ID:
			after.Next = s
		}
	}
	if len(c.Targets) == 0 || c.Steps[0].ID != v.Step.ID {
		return after
	}
	changed := make(map[int32]*Target, len(c.Targets))
	for i := range c.Targets {
		changed[c.Targets[i].Index] = &c.Targets[i]
	}
	for i := range after.Targets {
		if t := changed[after.Targets[i].Index]; t != nil {
			after.Targets[i] = *t
		}
	}
	return after
}

// Base returns the version that c was decided on.
func (c Change) Base() Seq { return c.Job.Version - Seq(len(c.Records)) }

// A Page selects a part of an ordered result.
type Page[K ~int32 | ~int64] struct {
	After K   // rows with greater keys; targets, which count from 0, start at -1
	Limit int // the maximum of rows; must be positive
}

// A JobFilter selects jobs.
type JobFilter struct {
	Scope  Scope
	States step.States // the empty set selects all
	// Newest turns the order round: the greatest ids come first, and Page selects
	// those that are smaller than After, 0 meaning that there is no bound.
	Newest bool
	// Name, if not empty, selects the jobs whose name contains it, of the newest Window jobs
	// that Scope and States select. ASCII letters match in either case, all else byte for byte.
	Name   string
	Window int // of a search by name; must be positive then: a bound on its cost
	Page   Page[JobID]
}

// NameWindow is the Window of engines.
const NameWindow = 10_000

// Named reports whether f's Name is part of name.
func (f JobFilter) Named(name string) bool {
	return strings.Contains(lowerASCII(name), lowerASCII(f.Name))
}

// lowerASCII lowers ASCII letters and nothing else, which every database can do alike.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// A SnapshotQuery selects a [Snapshot].
type SnapshotQuery struct {
	Scope Scope
	Job   JobID
	// Targets is how many targets the caller can take; 0 asks for none. If the steps have more
	// in all, none are returned: the steps' Totals tell.
	Targets int
}

// A Snapshot is a job as of one moment.
type Snapshot struct {
	Job     Job
	Steps   []Step   // all of them, by id, without payloads
	Targets []Target // of the first step by index, then of the second, and so on, with names
}

// A DetailQuery selects [Details].
type DetailQuery struct {
	Scope Scope
	Job   JobID
	Step  step.ID
}

// Details is what may be large of one step.
type Details struct {
	Payload string // as the step was defined
}

// A TargetFilter selects targets of a step.
type TargetFilter struct {
	Scope Scope
	Job   JobID
	Step  step.ID
	Class Class
	// Attempt, if not 0, selects the results of that attempt instead: one row
	// per target that really reported in it. Class is not looked at then, and
	// Success is not told.
	Attempt int32
	Page    Page[int32]
}

// A Claim selects effects for delivery and leases them.
type Claim struct {
	Scope   Scope
	Effects []Effect   // the kinds that are wanted; at least one
	Types   step.Types // of the steps whose runs and stops are wanted; the empty set selects all
	Now     step.Time
	Until   step.Time // the end of the lease; after Now
	Token   Token     // proves later who claimed; kept with each effect
	Limit   int
}

// Selects reports whether c wants d, whether or not d is due.
func (c *Claim) Selects(d *Delivery) bool {
	return c.Scope.Holds(d.Scope) && slices.Contains(c.Effects, d.Effect) &&
		(!d.Effect.ByType() || c.Types.Empty() || c.Types.Has(d.Type))
}

// Overdue names an attempt whose deadline has passed.
type Overdue struct {
	Job      JobID
	Step     step.ID
	Attempt  int32
	Deadline step.Time
}
