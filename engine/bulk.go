package engine

import (
	"context"
	"crypto/sha256"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Bulk is one operation on each of many jobs, in the name of one person.
type Bulk struct {
	// ID identifies the bulk; required. The request id of each job is derived from it and the id of the job:
	// a repetition with the same ID and the same list goes on where the first was interrupted, and answers
	// for the jobs that it has reached with their first records.
	ID store.RequestID

	// Cause is that of the operation, from operation.JobCode.Cause, or from operation.Code.Cause for the
	// current step of each job.
	Cause step.Cause

	By      string // the person, as in a Request
	Because string // the reason
	DryRun  bool   // answer as if the operations were carried out, and change nothing

	AtOnce int           // jobs at once: 1 to 256; 0 means 32
	Every  time.Duration // minimum time between the starts of two operations; 0 for no limit
}

const (
	usualAtOnce = 32
	mostAtOnce  = 256
)

// A BulkAnswer is the answer of one job.
type BulkAnswer struct {
	Job    store.JobID  // of the list
	Record store.Record // as Operate returns it
	Err    error        // nil if it was carried out, now or by an earlier bulk of this ID; else as of Operate: a *Refusal, ErrUnknownOutcome, ErrConflict
}

// Bulk operates on jobs and yields an answer for each, in the order in which they come. A list with an id
// twice has two answers, of one record. The engine stores nothing about a bulk: the caller keeps its ID and
// the list, which a filter has yielded once, and repeats both after a crash. Jobs that come to match the
// filter later are not in the list.
//
// The answers end early if ctx ends, or the caller stops ranging: operations under way are then waited for,
// and jobs that it has not reached have no answer. Another range over the result repeats the bulk. The error is
// a *[Refusal] for a Bulk that no job could carry out.
func (e *Engine) Bulk(ctx context.Context, b Bulk, jobs []store.JobID) (iter.Seq[BulkAnswer], error) {
	if err := e.checkEngine(ctx); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if refusal := b.check(e); refusal != nil {
		return nil, refusal
	}
	if b.AtOnce == 0 {
		b.AtOnce = usualAtOnce
	}
	jobs = slices.Clone(jobs)
	return func(yield func(BulkAnswer) bool) {
		ctx, stop := context.WithCancel(ctx)
		answers := e.operateAll(ctx, &b, jobs)
		defer func() {
			stop()
			for range answers { // until all have left
			}
		}()
		for a := range answers {
			if !yield(a) {
				return
			}
		}
	}, nil
}

func (b *Bulk) check(e *Engine) *Refusal {
	switch {
	case b.ID == store.RequestID{}:
		return invalid("id", "missing: a bulk that is repeated needs the same one")
	case b.AtOnce < 0 || b.AtOnce > mostAtOnce:
		return invalid("at_once", "%d: want 1 to %d, or 0 for %d", b.AtOnce, mostAtOnce, usualAtOnce)
	case b.Every < 0:
		return invalid("every", "%v: want a duration, or 0 for no limit", b.Every)
	}
	return (&Operate{Cause: b.Cause, Request: Request{By: b.By, Because: b.Because}}).check(e.rules, &e.limits)
}

// operateAll operates on jobs until ctx ends. The answers are closed once nothing is under way.
func (e *Engine) operateAll(ctx context.Context, b *Bulk, jobs []store.JobID) <-chan BulkAnswer {
	next, answers := make(chan store.JobID), make(chan BulkAnswer)
	go func() {
		defer close(next)
		for i, job := range jobs {
			if i > 0 && b.Every > 0 && sleep(ctx, b.Every) != nil {
				return
			}
			select {
			case next <- job:
			case <-ctx.Done():
				return
			}
		}
	}()
	var workers sync.WaitGroup
	for range min(b.AtOnce, len(jobs)) {
		workers.Go(func() {
			for job := range next {
				record, err := e.operateOne(ctx, b, job)
				answers <- BulkAnswer{job, record, err}
			}
		})
	}
	go func() {
		workers.Wait()
		close(answers)
	}()
	return answers
}

// operateOne operates on one job. A repetition meets the step that the first call met.
func (e *Engine) operateOne(ctx context.Context, b *Bulk, job store.JobID) (store.Record, error) {
	r := Request{By: b.By, Because: b.Because, DryRun: b.DryRun, ID: derived(b.ID, job)}
	if b.Cause.OfJob() {
		return e.OperateJob(ctx, job, operation.JobCode(b.Cause.Code()), r)
	}
	if err := e.checkRead(ctx, job); err != nil {
		return store.Record{}, err
	}
	q := store.Query{Scope: e.scope, Job: job, Request: r.ID}
	v, err := e.store.View(ctx, q)
	if err != nil {
		return store.Record{}, e.explainMiss(ctx, q, err)
	}
	id := v.Step.ID
	if v.Replay != nil {
		id = v.Replay.Step
	}
	return e.Operate(ctx, job, id, operation.Code(b.Cause), r)
}

// derived returns the request id of a job in a bulk, a UUID of version 8.
func derived(bulk store.RequestID, job store.JobID) (id store.RequestID) {
	sum := sha256.Sum256(strconv.AppendInt(bulk[:], int64(job), 10))
	copy(id[:], sum[:])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return id
}
