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
	// ErrNotFound: the job or step does not exist, or is not in the scope of the read. The error
	// is the same for both.
	ErrNotFound = errors.New("store: not found")

	// ErrConflict: the job is not at the version that the change was decided on, another
	// creation in the scope carries the same request, or a turn is free, or not free, against
	// the change. Nothing was done.
	ErrConflict = errors.New("store: conflict")

	// ErrLeaseLost: the effect was settled, or claimed again after the caller's claim. Nothing
	// was done.
	ErrLeaseLost = errors.New("store: lease lost")

	// ErrMalformed: the change contradicts itself, see [Change.Check]. Nothing was done: the error
	// is an ErrUndone as well.
	ErrMalformed = errors.New("store: malformed change")

	// ErrUndone: the call failed, and the store knows that it changed nothing. A store wraps it
	// with the cause. The outcome of a call that failed with none of these errors is unknown.
	ErrUndone = errors.New("store: nothing was done")
)

// A Store stores jobs. Implementations pass storetest.Run, which has a subtest for each sentence
// of the contract below.
//
// Methods are safe for concurrent use. A store shares no memory with arguments and results, other
// than strings and step.Names, which are immutable. If the context has ended before a call, the
// call fails and does nothing. Times are arguments: a store reads no clock, except in the method
// of a [Clock].
//
// Reads see every commit that returned before they began. A read with a Scope sees no job of
// another scope. A read with a Page returns at most Limit rows with keys greater than After, in
// ascending order. An empty result is not an error, but a job that does not exist is ErrNotFound.
// Only Jobs has a descending order as well, see [JobFilter].Newest.
type Store interface {
	Ledger
	Reader
	Outbox
}

// A Ledger is the part of a [Store] that an engine decides with: it reads the state that a command
// meets, and commits the change.
type Ledger interface {
	// View returns the data for a decision on one command, as of one moment. It is
	// ErrNotFound if the job or the step does not exist. Its cost depends on
	// the number of targets in q and on nothing else: its steps have no payload.
	View(ctx context.Context, q Query) (View, error)

	// Created returns the Created record that carries request, of a job of exactly this
	// scope: the zero Scope selects jobs without one. It is ErrNotFound if no job has that
	// record.
	Created(ctx context.Context, scope Scope, request RequestID) (Record, error)

	// Commit applies all of c if the job's version is [Change.Base], the version that c was
	// decided on; 0 for a job that does not exist yet. Otherwise it is ErrConflict and nothing
	// is done. The creation of a job is ErrConflict as well if another creation in its scope
	// carries the same request, and so is a change whose condition about a turn does not hold,
	// see [TurnMove]. If [Change.Check] returns an error, Commit returns that error
	// unwrapped, and nothing is done. After any other error that is not ErrUndone the outcome
	// is unknown: the change may have been applied, or be applied later.
	//
	// A change can have the records of several commands, each with a request of its own. A
	// store need not check that no earlier record of the job carries the request: the View
	// that c was decided on has shown that. The effect of each record waits for delivery, and
	// can be claimed at once, whatever the record's time.
	Commit(ctx context.Context, c Change) error
}

// A Reader is the part of a [Store] that reads of jobs use.
type Reader interface {
	// Jobs returns the headers of the jobs that f selects, by ascending id, or by descending
	// id if f.Newest is set.
	Jobs(ctx context.Context, f JobFilter) ([]Job, error)

	// Counts returns the number of jobs of the scope in each state, counted up to most,
	// which is positive: a count that equals most means most or more. States without a
	// job are left out.
	Counts(ctx context.Context, scope Scope, most int) (map[step.State]int, error)

	// Snapshot returns a job with all its steps, without payloads, and, if q asks, all their
	// targets, as of one moment. It is ErrNotFound if the job does not exist. Its cost is
	// proportional to the result, and its number of round trips does not depend on the job.
	Snapshot(ctx context.Context, q SnapshotQuery) (Snapshot, error)

	// Steps returns a page of the steps of a job, by id, without payloads.
	Steps(ctx context.Context, scope Scope, job JobID, p Page[step.ID]) ([]Step, error)

	// Targets returns the targets of a step that f selects, by index. Its cost depends on
	// the number of targets returned, and not on the number of other targets. It is
	// ErrNotFound if the job or the step does not exist.
	Targets(ctx context.Context, f TargetFilter) ([]Target, error)

	// History returns a page of the records of a job, by sequence number.
	History(ctx context.Context, scope Scope, job JobID, p Page[Seq]) ([]Record, error)

	// Details returns the parts of one step that may be large, and that no other read
	// returns. It is ErrNotFound if the job or the step does not exist.
	Details(ctx context.Context, q DetailQuery) (Details, error)
}

// An Outbox is the part of a [Store] that dispatchers and executors use: effects and deadlines.
type Outbox interface {
	// Effects returns a page of a job's unsettled effects, by sequence number.
	Effects(ctx context.Context, scope Scope, job JobID, p Page[Seq]) ([]Delivery, error)

	// Claim takes up to c.Limit unsettled effects that c selects and whose NotBefore is not
	// after c.Now, and returns them with Count raised by one, NotBefore at c.Until, Held, and
	// Token c.Token. No two calls take the same effect at the same Count. The order is that of
	// NotBefore as far as one store can tell, so that no effect waits for ever. The cost
	// depends on the effects that c selects and, if c selects all step types, on the number
	// of step types with effects. It does not depend on other effects.
	Claim(ctx context.Context, c Claim) ([]Delivery, error)

	// Defer sets NotBefore, Held, Failures, Delivered and LastError of a claimed effect to
	// those of d, to renew a lease or to back off; nothing else of the effect changes. It is
	// ErrLeaseLost if the effect is settled or its Count or its Token is not d's. A lease
	// that has run out still counts until the effect is claimed again.
	Defer(ctx context.Context, d Delivery) error

	// Settle removes a claimed effect for good. It is ErrLeaseLost if the
	// effect is settled or its Count or its Token is not d's.
	Settle(ctx context.Context, d Delivery) error

	// Overdue returns up to limit steps whose Due is set and not after now, and the current
	// steps of jobs that wait for a turn that became free by then (see [TurnMove]), in the order
	// of these moments. A step with both is returned for each. Its cost depends on the result
	// alone: not on steps that are due later, nor on jobs for which no turn is free.
	Overdue(ctx context.Context, scope Scope, now step.Time, limit int) ([]Overdue, error)
}

// A Waker is a [Store] that tells of commits as they happen. On a store that is no Waker,
// watchers and dispatchers poll.
type Waker interface {
	// Wake returns a channel that is closed at the first commit to the job that
	// begins after Wake has returned; job 0 means any job. It may be closed
	// earlier, without a commit. The caller calls stop when it no longer listens;
	// stop is idempotent.
	Wake(job JobID) (changed <-chan struct{}, stop func())
}

// A Clock is a [Store] with a clock of its own. Engines use it instead of the clocks of their
// hosts, so that the leases and deadlines of a store are compared with one clock.
type Clock interface {
	// Now returns the store's time. It costs at most one round trip.
	Now(ctx context.Context) (step.Time, error)
}

// A Local is a [Store] in the memory of this process, where a call is cheaper than the work of an
// engine to avoid it. On a Local, reports of one job that meet are committed one by one, and each
// is decided on a view of its own.
type Local interface {
	Local() // marks the store and does nothing
}

// A Query selects a [View].
type Query struct {
	Scope   Scope     // of the read
	Job     JobID     // ErrNotFound if the scope does not have it
	Step    step.ID   // 0 selects the job's current step
	Targets []int32   // indices into the step's targets, in any order
	Request RequestID // selects View.Replay; zero selects none
}

// A View is the data for a decision on one command, as of one moment.
type View struct {
	Job     Job      // the header
	Step    Step     // the step in question, without its payload
	Next    Step     // the step after it, without its payload; its ID is 0 if there is none
	Targets []Target // those of Query.Targets that the step has, in that order, without names
	Replay  *Record  // the job's record that carries Query.Request, or nil
	Turn    bool     // a turn is free for the job, so that TakeTurn would pass; false for a job without a key
}

// A Change is the change of one decision to one job. The caller keeps its ownership: a store
// copies what it keeps, and does not read the change after Commit has returned.
type Change struct {
	Job     Job         // the header after the change
	Specs   []step.Spec // of a creation: the definitions of all steps; else nil
	Steps   []Step      // the changed steps, after the change; of a creation all steps, with their payloads
	Targets []Target    // the targets of Steps[0] with a new latest result, after the change, without names; of a creation none
	Records []Record    // at least one; the last one's Seq is Job.Version
	Batches []Batch     // of Steps: those in which an attempt began or ended, or that a person accepted, after the change; Since and Started count when a batch is new
	Turn    TurnMove    // what the change does about the job's turn; NoTurn for a job without a key, and in a creation
}

// A TurnMove is what a change does about the turn of its job. The job's Policy has the key, and the
// limit. In one scope, the jobs with one key have turns, wait for turns in a queue, or do neither.
//
// A turn is free for a job if fewer than its Limit other jobs have one, and no other job waits
// before it: for a job that does not wait, none at all. So at most the first one of a queue has a free
// turn, and a job that asks for more room than there is holds up those behind it.
//
// The move is a part of the commit. If its condition does not hold, the commit is ErrConflict and
// nothing is done: two jobs never take the same turn, and no job begins to wait for one that is
// free. A turn that becomes free for the first of the queue, by whatever commit, is due from the
// time of that commit on (the header's Updated) until the job takes it or leaves: [Outbox].Overdue
// returns it. The cost of a move, and of a View, depends on the number of jobs that have turns,
// and not on the number of jobs that wait. Jobs without a key cost nothing.
type TurnMove uint8

const (
	NoTurn    TurnMove = 0 // nothing: a turn and a place in the queue are kept
	TakeTurn  TurnMove = 1 // the job has a turn, whatever it had before; needs one that is free for it
	WaitTurn  TurnMove = 2 // the job is the last in the queue, whatever it had before; needs that none is free for it
	LeaveTurn TurnMove = 3 // the job has no turn and does not wait; always holds
)

// After returns v as it is after the commit of c, which was decided on v: the header, and the steps
// and targets of v. It is pure, and the result shares no memory with v or c that can be written.
func (v View) After(c Change) View {
	after := View{Job: c.Job, Step: v.Step, Next: v.Next, Targets: slices.Clone(v.Targets), Replay: v.Replay, Turn: v.Turn}
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
func (c *Change) Base() Seq { return c.Job.Version - Seq(len(c.Records)) }

// A Page selects a part of an ordered result: the rows with keys greater than After, up to Limit.
type Page[K ~int32 | ~int64] struct {
	After K   // 0 begins at the first row, but for targets, whose indices count from 0: -1
	Limit int // maximum of rows; must be positive
}

// A JobFilter selects jobs.
type JobFilter struct {
	Scope  Scope       // of the read
	States step.States // the empty set selects all
	// Newest selects descending order: the greatest ids come first, and Page selects the jobs
	// with ids smaller than After; 0 begins at the greatest.
	Newest bool
	// Name, if not empty, selects the jobs whose name contains it, among the newest Window jobs
	// that Scope and States select. ASCII letters match in either case, other bytes exactly.
	Name   string
	Window int         // maximum of jobs that a search by name reads; must be positive if Name is set
	Page   Page[JobID] // by id
}

// NameWindow is the Window of every search by an engine.
const NameWindow = 10_000

// Named reports whether f's Name is part of name.
func (f JobFilter) Named(name string) bool {
	return strings.Contains(lowerASCII(name), lowerASCII(f.Name))
}

// lowerASCII lowers ASCII letters and nothing else, which is the same in every database.
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
	Scope Scope // of the read
	Job   JobID // ErrNotFound if the scope does not have it
	// Targets is the maximum of targets; 0 selects none. If all steps together have more, the
	// snapshot has none: the steps' Totals tell.
	Targets int
}

// A Snapshot is a job as of one moment.
type Snapshot struct {
	Job     Job      // the header
	Steps   []Step   // all steps, by id, without payloads
	Targets []Target // of the first step by index, then of the second, and so on, with names
	Batches []Batch  // of all steps, by step and number, if the snapshot has targets
}

// A DetailQuery selects [Details].
type DetailQuery struct {
	Scope Scope   // of the read
	Job   JobID   // ErrNotFound if the scope does not have it
	Step  step.ID // ErrNotFound if the job does not have it
}

// Details has the parts of one step that may be large.
type Details struct {
	Payload string  // as the step was defined
	Batches []Batch // that have begun, by number
}

// A TargetFilter selects targets of a step.
type TargetFilter struct {
	Scope Scope   // of the read
	Job   JobID   // ErrNotFound if the scope does not have it
	Step  step.ID // ErrNotFound if the job does not have it
	Class Class   // the zero Class selects all targets
	// Attempt, if not 0, selects the results of that attempt instead: one row per target
	// that reported in it. Class is then ignored, and Success of the result is undefined.
	Attempt int32
	Page    Page[int32]
}

// A Claim selects effects for delivery and leases them; see [Outbox].
type Claim struct {
	Scope   Scope      // of the jobs; zero selects all
	Effects []Effect   // the kinds to select; at least one
	Types   step.Types // of the steps whose runs and stops to select; the empty set selects all
	Now     step.Time  // effects with a later NotBefore are not due
	Until   step.Time  // the end of the lease; after Now
	Token   Token      // drawn by the caller for this claim, and stored with each effect
	Limit   int        // maximum of effects; must be positive
}

// Selects reports whether c selects d by scope, kind and step type. It ignores when d is due.
func (c *Claim) Selects(d *Delivery) bool {
	return c.Scope.Holds(d.Scope) && slices.Contains(c.Effects, d.Effect) &&
		(!d.Effect.ByType() || c.Types.Empty() || c.Types.Has(d.Type))
}

// Overdue names a step whose moment has come: of a deadline, a gate, or a turn.
type Overdue struct {
	Job     JobID     // of the step
	Step    step.ID   // the job's current one
	Attempt int32     // the current or last one of the step
	Due     step.Time // the moment, not after the time of the read
}
