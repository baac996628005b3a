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

// Pages of a read: the default limit is 100, the maximum 10,000.
const (
	defaultLimit = 100
	maxLimit     = 10_000
)

func checkLimit(limit int) (int, *Refusal) {
	switch {
	case limit == 0:
		return defaultLimit, nil
	case limit < 0 || limit > maxLimit:
		return 0, invalid("limit", "%d: want 1 to %d, or 0 for %d", limit, maxLimit, defaultLimit)
	}
	return limit, nil
}

// Job returns the header of a job.
func (e *Engine) Job(ctx context.Context, job store.JobID) (store.Job, error) {
	view, err := e.viewOf(ctx, job, 0)
	return view.Job, err
}

// Step returns one step of a job, with its payload.
func (e *Engine) Step(ctx context.Context, job store.JobID, id step.ID) (store.Step, error) {
	if err := checkStep(id); err != nil {
		return store.Step{}, err
	}
	view, err := e.viewOf(ctx, job, id)
	if err != nil {
		return store.Step{}, err
	}
	details, err := e.store.Details(ctx, store.DetailQuery{Scope: e.scope, Job: job, Step: id})
	if err != nil {
		return store.Step{}, e.explainMiss(ctx, store.Query{Scope: e.scope, Job: job, Step: id}, err)
	}
	view.Step.Payload = details.Payload
	return view.Step, nil
}

// viewOf loads what there is to see of a step, 0 being the current one.
func (e *Engine) viewOf(ctx context.Context, job store.JobID, id step.ID) (store.View, error) {
	if err := e.checkRead(ctx, job); err != nil {
		return store.View{}, err
	}
	return e.load(ctx, job, id)
}

func (e *Engine) checkRead(ctx context.Context, job store.JobID) error {
	if err := e.checkEngine(ctx); err != nil {
		return err
	}
	if err := checkJob(job); err != nil {
		return err
	}
	return nil
}

// Steps returns up to limit steps of a job that come after the step after, by id, without
// payloads. Limits of reads are 1 to 10,000; 0 means 100.
func (e *Engine) Steps(ctx context.Context, job store.JobID, after step.ID, limit int) ([]store.Step, error) {
	return read(ctx, e, job, limit, func(limit int) ([]store.Step, error) {
		return e.store.Steps(ctx, e.scope, job, store.Page[step.ID]{After: after, Limit: limit})
	})
}

// History returns up to limit records of a job that come after the sequence number
// after, in their order: none after the last one, and [ErrAhead] after a record that the
// job does not have.
func (e *Engine) History(ctx context.Context, job store.JobID, after store.Seq, limit int) ([]store.Record, error) {
	if after < 1 {
		return read(ctx, e, job, limit, func(limit int) ([]store.Record, error) {
			return e.store.History(ctx, e.scope, job, store.Page[store.Seq]{Limit: limit})
		})
	}
	// The record of the cursor is read as well: it shows that the history reaches that far.
	records, err := read(ctx, e, job, limit, func(limit int) ([]store.Record, error) {
		return e.store.History(ctx, e.scope, job, store.Page[store.Seq]{After: after - 1, Limit: limit + 1})
	})
	switch {
	case err != nil:
		return nil, err
	case len(records) == 0:
		return nil, e.ahead(ctx, job, after)
	}
	return records[1:], nil
}

// ErrAhead: a cursor names a record that the job does not have, as after the store was
// restored from a backup. What was read of the job is void: read it again, from the
// beginning. The error is an [*AheadError].
var ErrAhead = errors.New("the cursor is ahead of the history")

// An AheadError is an [ErrAhead] with the cursor and where the history ends.
type AheadError struct {
	Job   store.JobID
	After store.Seq // the cursor
	Last  store.Seq // the last record of the job
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("job %d: %v: after record %d, the last record is %d", e.Job, ErrAhead, e.After, e.Last)
}

// Is reports whether target is ErrAhead.
func (e *AheadError) Is(target error) bool { return target == ErrAhead }

// ahead returns the error of a cursor without its record, or nil if it has one by now.
func (e *Engine) ahead(ctx context.Context, job store.JobID, after store.Seq) error {
	header, err := e.Job(ctx, job)
	if err == nil && header.Version < after {
		return &AheadError{Job: job, After: after, Last: header.Version}
	}
	return err
}

// Effects returns up to limit effects of a job that are not settled yet and come
// after the sequence number after: what still has to be delivered, how often that was
// tried, and why it failed. A stop that was delivered, and whose step has not stopped yet,
// is among them. Their tokens are zero: those are secrets of claims.
//
// One with Count 0 was never claimed, and has been due since its At: either no process is at work that
// serves its kind and, of a run or a stop, its step type, or those that are have no room.
func (e *Engine) Effects(ctx context.Context, job store.JobID, after store.Seq, limit int) ([]store.Delivery, error) {
	effects, err := e.effects(ctx, job, after, limit)
	for i := range effects {
		effects[i].Token = store.Token{}
	}
	return effects, err
}

// effects is Effects with the tokens.
func (e *Engine) effects(ctx context.Context, job store.JobID, after store.Seq, limit int) ([]store.Delivery, error) {
	return read(ctx, e, job, limit, func(limit int) ([]store.Delivery, error) {
		return e.store.Effects(ctx, e.scope, job, store.Page[store.Seq]{After: after, Limit: limit})
	})
}

// A TargetQuery selects targets of a step.
type TargetQuery struct {
	Class   store.Class // of the current or last attempt; ignored if Attempt is set
	Attempt int32       // instead: the results that were reported in this attempt
	From    int32       // the first index to look at
	Limit   int

	// IfAttempt refuses the query as stale unless the step is in this attempt while
	// the targets are read, so that an executor does not take those of the next
	// attempt for its own; 0 asks for none.
	IfAttempt int32
}

// Targets returns targets of a step by index. The status of a target without a
// finished result is derived: waiting or running while its attempt is active, and
// terminated or unknown afterwards, for ever; a target that was not run again because it had
// succeeded reads succeeded_earlier, with the attempt in which it did.
//
// How an earlier attempt ended is in the history alone. A query by Attempt that finds such
// a target in one reads log2 of the job's version many records, one by one.
func (e *Engine) Targets(ctx context.Context, job store.JobID, id step.ID, q TargetQuery) ([]store.Target, error) {
	if q.Attempt < 0 {
		return nil, invalid("attempt", "%d: attempts count from 1, and 0 means the current one", q.Attempt)
	}
	if q.IfAttempt < 0 {
		return nil, invalid("if_attempt", "%d: attempts count from 1", q.IfAttempt)
	}
	if q.From < 0 {
		return nil, invalid("from", "%d: targets count from 0", q.From)
	}
	if q.Class > store.SucceededTargets {
		return nil, invalid("class", "unknown class %d", q.Class)
	}
	if err := checkStep(id); err != nil {
		return nil, err
	}
	view, err := e.viewOf(ctx, job, id)
	if err != nil {
		return nil, err
	}
	s := view.Step
	targets, err := read(ctx, e, job, q.Limit, func(limit int) ([]store.Target, error) {
		return e.store.Targets(ctx, store.TargetFilter{
			Scope: e.scope, Job: job, Step: id, Class: q.Class, Attempt: q.Attempt,
			Page: store.Page[int32]{After: q.From - 1, Limit: limit},
		})
	})
	if err != nil {
		return nil, err
	}
	if q.IfAttempt != 0 {
		after, err := e.viewOf(ctx, job, id) // attempts only grow: what held before and holds after, held between
		if err != nil {
			return nil, err
		}
		if s.Attempt != q.IfAttempt || after.Step.Attempt != q.IfAttempt {
			return nil, refuse(e.rules, &after, &Refusal{Reason: operation.Stale, Detail: fmt.Sprintf(
				"meant for attempt %d, but it is attempt %d", q.IfAttempt, after.Step.Attempt)})
		}
	}
	in := s.State
	if left := func(t store.Target) bool { return !t.Status.Finished() }; q.Attempt != 0 && q.Attempt < s.Attempt && slices.ContainsFunc(targets, left) {
		if in, err = e.endOf(ctx, view.Job, id, q.Attempt); err != nil {
			return nil, err
		}
	}
	for i := range targets {
		targets[i].Result = shown(s, targets[i], q.Attempt, in)
	}
	return targets, nil
}

// endOf returns the state in which an attempt of a step ended that another one has followed. It
// is that from which the next one began. Steps, and attempts of a step, only grow along the
// history, so a binary search finds that record.
func (e *Engine) endOf(ctx context.Context, job store.Job, id step.ID, attempt int32) (step.State, error) {
	var next store.Record
	for from, to := store.Seq(1), job.Version; from <= to; {
		middle := from + (to-from)/2
		page, err := e.store.History(ctx, e.scope, job.ID, store.Page[store.Seq]{After: middle - 1, Limit: 1})
		if err != nil {
			return 0, e.readError(ctx, job.ID, err)
		}
		if len(page) == 0 {
			return 0, fmt.Errorf("job %d: the history lacks record %d of %d", job.ID, middle, job.Version)
		}
		if r := page[0]; r.Step > id || r.Step == id && r.Attempt > attempt {
			next, to = r, middle-1
		} else {
			from = middle + 1
		}
	}
	return next.From, nil
}

// shown returns what a target of s reads in an attempt or, for 0, in the current or last
// one, which is or ended in the given state. A result of an earlier attempt does not show in
// one that runs the target again.
func shown(s store.Step, t store.Target, attempt int32, in step.State) store.Result {
	current := attempt == 0 || attempt == s.Attempt
	switch {
	case s.Attempt == 0:
		return store.Result{}
	case t.Attempt > 0 && t.Status.Finished() && (!current || t.Attempt == s.Attempt):
		return t.Result
	case current && !s.Run.Due(t):
		t.Status = step.SucceededEarlier
		return t.Result
	case t.Attempt != s.Attempt || t.Status != step.TargetRunning:
		t.Result = store.Result{Status: step.TargetWaiting}
	}
	switch {
	case current && in.Active():
	case in == step.Terminated || in == step.Skipped:
		t.Status = step.TargetTerminated
	default:
		t.Status = step.UnknownStatus
	}
	return t.Result
}

// Snapshot returns a job with all its steps, without payloads, as of one moment. It returns all
// their targets too, in the order of steps and indices, if they are at most targets in number, and
// none if they are more: the Totals of the steps tell. Targets read as [Engine.Targets] has them.
func (e *Engine) Snapshot(ctx context.Context, job store.JobID, targets int) (store.Snapshot, error) {
	if targets < 0 {
		return store.Snapshot{}, invalid("targets", "%d: want the maximum, 0 or more", targets)
	}
	if err := e.checkRead(ctx, job); err != nil {
		return store.Snapshot{}, err
	}
	all, err := e.store.Snapshot(ctx, store.SnapshotQuery{Scope: e.scope, Job: job, Targets: targets})
	if err != nil {
		return store.Snapshot{}, e.readError(ctx, job, err)
	}
	rest := all.Targets
	for _, s := range all.Steps {
		n := min(int(s.Total), len(rest))
		for i := range rest[:n] {
			rest[i].Result = shown(s, rest[i], 0, s.State)
		}
		rest = rest[n:]
	}
	return all, nil
}

// A JobQuery selects jobs.
type JobQuery struct {
	States step.States // the empty set selects all
	Name   string      // a part of the name, see Jobs; empty selects all
	Newest bool        // by descending id
	Limit  int

	// After selects jobs with greater ids or, of the newest, with smaller ones; 0 begins
	// at the first. A follower that goes on from the last id it has seen misses no job
	// that one engine creates after another, by the default ids. Jobs that are created
	// at the same time, or by several processes, can appear below that id: ids are drawn
	// before jobs are stored, by clocks that differ. Such a follower begins each look an
	// overlap earlier, of more than a creation takes and clocks differ, and passes over
	// what it has seen: 4096 below an id is a millisecond earlier.
	After store.JobID
}

// Jobs returns the headers of jobs, by id: ascending or, if q asks for the newest,
// descending. The default ids ascend in the order in which one engine creates jobs. A Name is looked for among the newest [store.NameWindow] jobs that the rest of q
// selects, ASCII letters in either case: [Engine.Counts] tells whether there are more.
func (e *Engine) Jobs(ctx context.Context, q JobQuery) ([]store.Job, error) {
	if err := e.checkEngine(ctx); err != nil {
		return nil, err
	}
	if unknown := q.States.Minus(step.StatesOf(step.AllStates()...)); !unknown.Empty() {
		return nil, invalid("states", "unknown states: %v; want some of %v", unknown, step.StatesOf(step.AllStates()...))
	}
	if refusal := checkText("name", q.Name, maxName); refusal != nil {
		return nil, refusal
	}
	limit, refusal := checkLimit(q.Limit)
	if refusal != nil {
		return nil, refusal
	}
	return e.store.Jobs(ctx, store.JobFilter{
		Scope: e.scope, States: q.States, Newest: q.Newest, Name: q.Name, Window: store.NameWindow,
		Page: store.Page[store.JobID]{After: q.After, Limit: limit},
	})
}

// MaxCount is the most that [Engine.Counts] counts to.
const MaxCount = 1_000_000

// Counts returns how many jobs are in each state, counted up to most: a count that equals most
// means most or more. States without a job are left out. It costs what it counts, at most most
// for each state; most is 1 to [MaxCount]. The caller owns the result.
func (e *Engine) Counts(ctx context.Context, most int) (map[step.State]int, error) {
	if err := e.checkEngine(ctx); err != nil {
		return nil, err
	}
	if most < 1 || most > MaxCount {
		return nil, invalid("most", "%d: want 1 to %d", most, MaxCount)
	}
	return e.store.Counts(ctx, e.scope, most)
}

// read checks what the reads of one job have in common and runs get.
func read[T any](ctx context.Context, e *Engine, job store.JobID, limit int, get func(limit int) ([]T, error)) ([]T, error) {
	if err := e.checkRead(ctx, job); err != nil {
		return nil, err
	}
	limit, refusal := checkLimit(limit)
	if refusal != nil {
		return nil, refusal
	}
	rows, err := get(limit)
	if err != nil {
		return nil, e.readError(ctx, job, err)
	}
	return rows, nil
}

func (e *Engine) readError(ctx context.Context, job store.JobID, err error) error {
	return e.explainMiss(ctx, store.Query{Scope: e.scope, Job: job}, err)
}
