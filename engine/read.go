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

// Job returns the header of a job. Like every read of one job, it returns a *[Refusal] with reason
// operation.NoSuchJob or operation.NoSuchStep if the engine's scope does not have the job, or the
// job the step. Callers own the results of reads.
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

// viewOf loads the view of a step; 0 means the current one.
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

// Steps returns up to limit steps of a job whose ids are greater than after, by id, without
// payloads. Limits of reads are 1 to 10,000; 0 means 100.
func (e *Engine) Steps(ctx context.Context, job store.JobID, after step.ID, limit int) ([]store.Step, error) {
	return read(ctx, e, job, limit, func(limit int) ([]store.Step, error) {
		return e.store.Steps(ctx, e.scope, job, store.Page[step.ID]{After: after, Limit: limit})
	})
}

// History returns up to limit records of a job whose sequence numbers are greater than after, in
// ascending order. After the last record the result is empty; the error is [ErrAhead] if the job
// has no record with the number after.
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

// ErrAhead: a cursor names a record that the job does not have, as after a restore of the store
// from a backup. Earlier reads of the job are void: read it again, from the beginning. The error
// is an [*AheadError].
var ErrAhead = errors.New("the cursor is ahead of the history")

// An AheadError is an [ErrAhead] with the cursor and the end of the history.
type AheadError struct {
	Job   store.JobID // the job that was read
	After store.Seq   // the cursor
	Last  store.Seq   // the last record of the job
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

// Effects returns up to limit unsettled effects of a job whose sequence numbers are greater than
// after, in ascending order: each with its deliveries so far and the last failure. A stop stays
// among them until its step has stopped. Their tokens are zero, as tokens are secrets of claims.
//
// An effect with Count 0 was never claimed, and has been due since its At: either no process
// serves its kind (and, for a run or a stop, its step type), or all that do are at their limits.
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

// A TargetQuery selects targets of a step, page by page: From is one more than the last index of
// the page before. The zero TargetQuery selects the first 100.
type TargetQuery struct {
	Class   store.Class // of the current or last attempt; ignored if Attempt is set
	Attempt int32       // if not 0, selects the targets that reported in this attempt, instead
	From    int32       // the lowest index
	Limit   int         // maximum of targets: 1 to 10,000; 0 means 100

	// IfAttempt refuses the query as stale unless the step is in this attempt while
	// the targets are read, so that an executor does not take the targets of the next
	// attempt for its own; 0 is no condition.
	IfAttempt int32
}

// Targets returns targets of a step by index. The status of a target without a finished result is
// derived: waiting or running while its attempt is active, and terminated or unknown for ever once
// it is over. A target that did not run again because it had succeeded has the status
// step.SucceededEarlier, and the attempt of that success.
//
// In a step with batches, a target of a batch that has not begun waits. A target of an earlier
// batch has the result that it had at the end of its batch, and step.SucceededEarlier if it
// succeeded.
//
// Only the history has the outcome of an earlier attempt. A query by an earlier Attempt that finds
// a target without a finished result, or one of a step that is gated, terminated or skipped, reads up to
// log2(version of the job) records, one by one, and the records of stops before a step beside them.
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
	x := exhibit{s: &s, ended: s.State}
	switch {
	case q.Attempt != 0 && q.Attempt < s.Attempt:
		x.earlier = true
		if slices.ContainsFunc(targets, func(t store.Target) bool { return !t.Status.Finished() }) {
			x.ended, err = e.endOf(ctx, view.Job, id, q.Attempt)
		}
	case len(targets) > 0 && targets[0].Index < s.Run.First:
		x.begun, err = e.begun(ctx, job, id)
	}
	if err == nil && x.doubtful(targets) {
		x.ended, err = e.endOf(ctx, view.Job, id, s.Attempt)
	}
	if err != nil {
		return nil, err
	}
	x.show(targets)
	return targets, nil
}

// endOf returns the state in which an earlier attempt of a step ended. The current step, and the
// attempts of a step, only grow along the history, so a binary search finds the record.
func (e *Engine) endOf(ctx context.Context, job store.Job, id step.ID, attempt int32) (step.State, error) {
	var end store.Record
	for from, to := store.Seq(1), job.Version; from <= to; {
		middle := from + (to-from)/2
		r, err := e.telling(ctx, job, middle, to)
		switch {
		case err != nil:
			return 0, err
		case r.Seq == 0:
			to = middle - 1
		case r.Step > id, r.Step == id && (r.Attempt > attempt || r.Attempt == attempt && !r.To.Attempting()):
			end, to = r, middle-1
		default:
			from = r.Seq + 1
		}
	}
	if end.Step == id && end.Attempt == attempt {
		return end.To, nil
	}
	return end.From, nil // the next attempt began at once
}

// telling returns the first of the records from one number to another that is about the current step,
// or the zero Record: a stop is set before any step.
func (e *Engine) telling(ctx context.Context, job store.Job, from, to store.Seq) (store.Record, error) {
	for limit := 1; from <= to; limit = min(2*limit, maxLimit) {
		page, err := e.store.History(ctx, e.scope, job.ID, store.Page[store.Seq]{After: from - 1, Limit: limit})
		if err != nil {
			return store.Record{}, e.readError(ctx, job.ID, err)
		}
		if len(page) == 0 || page[0].Seq != from {
			return store.Record{}, fmt.Errorf("job %d: the history lacks record %d of %d", job.ID, from, job.Version)
		}
		for _, r := range page {
			if r.To != step.Pending && r.Seq <= to {
				return r, nil
			}
		}
		from += store.Seq(len(page))
	}
	return store.Record{}, nil
}

// An exhibit is how the targets of a step show.
type exhibit struct {
	s       *store.Step
	begun   []store.Batch // by number; needed for targets of earlier batches
	earlier bool          // the results are those of an earlier attempt
	ended   step.State    // in which the attempt ended, if it is over
}

// doubtful reports whether the end of the current attempt decides how some of its targets show, and the
// state of the step may be a later one: of a gate, or of who left that.
func (x *exhibit) doubtful(targets []store.Target) bool {
	s := x.s
	if x.earlier || s.Attempt == 0 || s.Unfinished == 0 || s.State != step.Gated && s.State != step.Terminated && s.State != step.Skipped {
		return false
	}
	return slices.ContainsFunc(targets, func(t store.Target) bool { return s.Run.Due(t) && !(t.Attempt == s.Attempt && t.Status.Finished()) })
}

// show completes targets that a store has returned: the number of the batch, and the result.
func (x *exhibit) show(targets []store.Target) {
	ends := x.s.Batches()
	for i := range targets {
		t := &targets[i]
		if ends != nil {
			before, _ := slices.BinarySearch(ends, t.Index+1)
			t.Batch = int32(before) + 1
		}
		t.Result = x.result(*t)
	}
}

// result returns the result that shows for t. A result of an earlier attempt does not show in an attempt
// that runs the target again.
func (x *exhibit) result(t store.Target) store.Result {
	s := x.s
	switch {
	case s.Attempt == 0:
		return store.Result{}
	case x.earlier:
		return settled(t, 0, x.ended)
	case s.Run.Has(t.Index) && !s.Run.Due(t) && t.Attempt != s.Attempt:
		t.Status = step.SucceededEarlier
		return t.Result
	case s.Run.Has(t.Index) && s.State.Attempting():
		if t.Attempt != s.Attempt || !t.Status.Finished() && t.Status != step.TargetRunning {
			return store.Result{Status: step.TargetWaiting}
		}
		return t.Result
	case s.Run.Has(t.Index):
		return settled(t, s.Attempt, x.ended)
	case t.Index >= s.Run.First || t.Batch > int32(len(x.begun)):
		return store.Result{Status: step.TargetWaiting}
	}
	b := &x.begun[t.Batch-1]
	if t.Success >= b.Full {
		t.Status = step.SucceededEarlier
		return t.Result
	}
	return settled(t, b.Attempt, b.State)
}

// settled returns the result that shows for t in an attempt that is over, and ended in a state; 0
// means the attempt of t's result.
func settled(t store.Target, attempt int32, ended step.State) store.Result {
	if t.Attempt > 0 && t.Status.Finished() && (attempt == 0 || t.Attempt == attempt) {
		return t.Result
	}
	if attempt == 0 || t.Attempt != attempt || t.Status != step.TargetRunning {
		t.Result = store.Result{}
	}
	t.Status = step.UnknownStatus
	if ended == step.Terminated || ended == step.Skipped {
		t.Status = step.TargetTerminated
	}
	return t.Result
}

// Batches returns the batches of a step, by number. A batch that has not begun is pending, and in
// no attempt. The result is empty for a step without batches; see [step.Batches] for their plan.
func (e *Engine) Batches(ctx context.Context, job store.JobID, id step.ID) ([]store.Batch, error) {
	if err := checkStep(id); err != nil {
		return nil, err
	}
	view, err := e.viewOf(ctx, job, id)
	if err != nil {
		return nil, err
	}
	if view.Step.Batches() == nil {
		return nil, nil
	}
	begun, err := e.begun(ctx, job, id)
	if err != nil {
		return nil, err
	}
	update(begun, &view.Step)
	return view.Step.Plan(begun), nil
}

// begun returns the rows of the batches of a step that have begun.
func (e *Engine) begun(ctx context.Context, job store.JobID, id step.ID) ([]store.Batch, error) {
	details, err := e.store.Details(ctx, store.DetailQuery{Scope: e.scope, Job: job, Step: id})
	if err != nil {
		return nil, e.explainMiss(ctx, store.Query{Scope: e.scope, Job: job, Step: id}, err)
	}
	return details.Batches, nil
}

// update brings the row of the batch that s is in up to s: the counts of an attempt that is under way,
// and the state while the batch waits for its next attempt. Rows that are newer than s stay as they are.
func update(begun []store.Batch, s *store.Step) {
	if s.Batch == 0 || int(s.Batch) > len(begun) || begun[s.Batch-1].Attempt != s.Attempt {
		return
	}
	switch b := &begun[s.Batch-1]; {
	case s.State.Attempting() && b.State.Attempting():
		b.State, b.Succeeded, b.Unfinished = s.State, s.Succeeded, s.Unfinished
	case s.State == step.Gated && s.Gate.Then != step.RunNext:
		b.State = step.Gated
	}
}

// Snapshot returns a job with all its steps, without payloads, as of one moment. If the steps have
// at most targets targets, the result has them all, in the order of steps and indices, and the
// batches that have begun; if they have more, it has none: the steps' Totals tell. A target's status
// is that of [Engine.Targets].
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
	rest, batches := all.Targets, all.Batches
	for i := range all.Steps {
		s := &all.Steps[i]
		n, begun := min(int(s.Total), len(rest)), min(int(s.Batch), len(batches))
		update(batches[:begun], s)
		x := exhibit{s: s, begun: batches[:begun], ended: s.State}
		if x.doubtful(rest[:n]) {
			if x.ended, err = e.endOf(ctx, all.Job, s.ID, s.Attempt); err != nil {
				return store.Snapshot{}, err
			}
		}
		x.show(rest[:n])
		rest, batches = rest[n:], batches[begun:]
	}
	return all, nil
}

// A JobQuery selects jobs, page by page: After is the last id of the page before. The zero JobQuery
// selects the first 100 of all states.
type JobQuery struct {
	States step.States // the empty set selects all
	Name   string      // a part of the name, see Jobs; empty selects all
	Newest bool        // by descending id
	Limit  int         // maximum of jobs: 1 to 10,000; 0 means 100

	// After selects jobs with greater ids, or with smaller ids if Newest is set; 0 begins
	// at the first. With the default ids, a follower that goes on from the last id it has
	// seen misses no job that one engine creates after another. Jobs that are created at
	// the same time, or by several processes, can appear below that id: ids are drawn
	// before jobs are stored, by clocks that differ. A follower of these reads again from
	// an earlier id, and skips the jobs it has seen. The overlap is longer than a creation
	// takes and than the clocks differ: 4096 below an id is a millisecond earlier.
	After store.JobID
}

// Jobs returns the headers of jobs by ascending id, or by descending id if q.Newest is set. The
// default ids ascend in the order in which one engine creates jobs. A Name is searched among the
// newest [store.NameWindow] jobs that the rest of q selects, and ASCII letters match in either
// case: [Engine.Counts] tells whether there are more jobs.
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

// MaxCount is the maximum of most in [Engine.Counts].
const MaxCount = 1_000_000

// Counts returns the number of jobs in each state, counted up to most: a count that equals most
// means most or more. States without a job are left out. The cost is proportional to the counts;
// most is 1 to [MaxCount]. The caller owns the result.
func (e *Engine) Counts(ctx context.Context, most int) (map[step.State]int, error) {
	if err := e.checkEngine(ctx); err != nil {
		return nil, err
	}
	if most < 1 || most > MaxCount {
		return nil, invalid("most", "%d: want 1 to %d", most, MaxCount)
	}
	return e.store.Counts(ctx, e.scope, most)
}

// read checks the arguments that the reads of one job have in common and runs get.
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
