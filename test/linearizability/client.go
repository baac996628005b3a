package linearizability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A client asks, remembers what it was shown, and asks for what should be possible then;
// others have often been faster.
type client struct {
	*rand.Rand
	engine *engine.Engine // narrowed to the job's scope
	sweeps *engine.Engine // the same, on a host whose clock is ahead
	clock  *step.Time     // of that host
	store  store.Store
	id     store.JobID
	specs  []step.Spec
	seen   sight
	asked  []request // under an id of its own
}

// newClient returns a client that asks e about one job.
func newClient(dice *rand.Rand, e *engine.Engine, st store.Store, j recorded) *client {
	clock := start
	return &client{
		Rand: dice, store: st, id: j.id, specs: j.specs,
		engine: e.In(j.scope),
		sweeps: engine.New(storetest.WithoutClock(st), engine.WithClock(func() time.Time { return clock.Std() })).In(j.scope),
		clock:  &clock,
		seen:   sight{current: 1, state: step.Pending, version: 1},
	}
}

// A sight is where a client saw its job last.
type sight struct {
	current step.ID
	state   step.State // of the job, and so of the current step unless all have passed
	attempt int32      // of the current step, as far as it was told
	version store.Seq
}

// saw notes where the job is, unless c has seen it later than that.
func (c *client) saw(current step.ID, state step.State, version store.Seq) {
	if version < c.seen.version {
		return
	}
	if current != c.seen.current || c.seen.attempt == 0 {
		c.seen.attempt = 1
	}
	c.seen.current, c.seen.state, c.seen.version = current, state, version
}

var people = []string{"ann", "bob", "eve"} // eve confirms nothing

// next draws what c asks for.
func (c *client) next() request {
	at := c.seen.current
	if c.oneIn(20) {
		at = step.ID(1 + c.IntN(len(c.specs)))
	}
	r := request{Step: at, Person: people[c.IntN(len(people))], Now: start}
	switch n := c.IntN(100); {
	case n < 8:
		r.Kind = readJob
	case n < 16:
		r.Kind = readStep
	case n < 22:
		r.Kind = pageSteps
	case n < 26:
		r.Kind = readHistory
	case n < 30:
		r.Kind, r.State = listJobs, c.seen.state
	case n < 34:
		r.Kind = explain
	case n < 40:
		r.Kind, r.Now = sweep, start.Add(time.Duration(1+c.IntN(20))*time.Minute)
	case n < 45 && len(c.asked) > 0:
		r = c.asked[c.IntN(len(c.asked))]
		r.Again = true
		if c.oneIn(8) {
			r.Person += "'s double"
		}
	case n < 85 && (c.seen.state == step.Running || c.seen.state == step.Terminating):
		c.report(&r)
	default:
		c.operate(&r)
	}
	return r
}

func (c *client) oneIn(n int) bool { return c.IntN(n) == 0 }

// operate draws an operation: mostly one that is legal in what c saw last.
func (c *client) operate(r *request) {
	typ := c.specs[c.seen.current-1].Type
	var codes []operation.Code
	var jobCodes []operation.JobCode
	for cause := range operation.Standard().Legal(operation.Standing{Type: typ, State: c.seen.state, Job: c.seen.state}).All() {
		if cause.OfJob() {
			jobCodes = append(jobCodes, operation.JobCode(cause.Code()))
		} else {
			codes = append(codes, operation.Code(cause))
		}
	}
	if c.seen.state == step.Waiting && !c.oneIn(4) {
		jobCodes = nil // the end of the job comes soon enough
	}
	if c.oneIn(8) || len(codes)+len(jobCodes) == 0 {
		codes, jobCodes = operation.AllCodes(), operation.AllJobCodes()
		r.Step = step.ID(1 + c.IntN(len(c.specs)+1)) // perhaps one that there is not
	}
	if n := c.IntN(len(codes) + len(jobCodes)); n < len(codes) {
		r.Kind, r.Code = operate, codes[n]
		if c.oneIn(10) {
			r.Kind = dryRun
		}
	} else {
		r.Kind, r.JobCode = operateJob, jobCodes[n-len(codes)]
	}
	if c.oneIn(8) && r.Step == c.seen.current && c.seen.attempt > 0 {
		r.IfAttempt = c.seen.attempt
	}
	if c.oneIn(8) {
		r.IfVersion = c.seen.version
	}
	if r.Kind != dryRun && c.oneIn(3) {
		for i := range r.ID {
			r.ID[i] = byte(c.Uint32())
		}
		c.asked = append(c.asked, *r)
	}
}

// report draws what an executor could say, or another one of an attempt before.
func (c *client) report(r *request) {
	r.Kind, r.Attempt = report, max(1, c.seen.attempt)
	if c.oneIn(10) {
		r.Attempt = int32(1 + c.IntN(int(r.Attempt)+1))
	}
	statuses := []step.Status{
		step.TargetSucceeded, step.TargetSucceeded, step.TargetSucceeded, step.NonZeroExit, step.NotDelivered,
		step.TargetRunning, step.TargetWaiting, step.ScriptTerminated,
	}
	for i := range c.specs[r.Step-1].Targets {
		if c.oneIn(3) {
			continue
		}
		status := statuses[c.IntN(len(statuses))]
		r.Results = append(r.Results, model.Result{Target: int32(i), Status: status, ExitCode: int32(status) % 3})
	}
	switch n := c.IntN(100); {
	case n < 8:
		r.Outcome = step.Stopped
	case n < 16:
		r.Outcome = step.Broke
	case n < 17:
		r.Outcome = step.Dropped
	case len(r.Results) == 0:
		r.Outcome = step.Stopped
	}
}

// call asks for r and returns the answer.
func (c *client) call(ctx context.Context, r request) answer {
	e := c.engine
	asked := engine.Request{By: r.Person, ID: r.ID, IfAttempt: r.IfAttempt, IfVersion: r.IfVersion, DryRun: r.Kind == dryRun}
	switch r.Kind {
	case operate, dryRun:
		record, err := e.Operate(ctx, c.id, r.Step, r.Code, asked)
		return c.accepted(record, err)
	case operateJob:
		record, err := e.OperateJob(ctx, c.id, r.JobCode, asked)
		return c.accepted(record, err)
	case report:
		said := engine.Report{Job: c.id, Step: r.Step, Attempt: r.Attempt, Outcome: r.Outcome}
		for _, result := range r.Results {
			said.Results = append(said.Results, engine.TargetResult{Target: result.Target, Result: store.Result{Status: result.Status, ExitCode: result.ExitCode}})
		}
		got, err := e.Report(ctx, said)
		return c.when(err, func() answer {
			return reported(news{got.Seq, got.State, got.JobState, got.Accepted, got.Repeated, len(got.Rejected)})
		})
	case sweep:
		*c.clock = r.Now
		n, err := c.sweeps.Sweep(ctx)
		return c.when(err, func() answer { return expired(n) })
	}
	return c.read(ctx, r)
}

func (c *client) read(ctx context.Context, r request) answer {
	e := c.engine
	switch r.Kind {
	case readJob:
		got, err := e.Job(ctx, c.id)
		return c.when(err, func() answer { return shown(c.header(got)) })
	case listJobs:
		got, err := e.Jobs(ctx, engine.JobQuery{States: step.StatesOf(r.State)})
		return c.when(err, func() answer {
			if len(got) == 0 {
				return notListed
			}
			return shown(c.header(got[0]))
		})
	case readStep:
		got, err := e.Step(ctx, c.id, r.Step)
		return c.when(err, func() answer { return shownStep(c.row(got)) })
	case pageSteps:
		got, err := e.Steps(ctx, c.id, r.Step-1, 1)
		return c.when(err, func() answer { return shownStep(c.row(got[0])) })
	case readHistory:
		got, err := e.History(ctx, c.id, 0, 10_000)
		return c.when(err, func() answer {
			rec := got[len(got)-1]
			return told(len(got), change{
				rec.Seq, rec.Step, rec.From, rec.To, rec.JobFrom, rec.JobTo, rec.Attempt, rec.Entered, rec.Targets, rec.Effect.String(),
			}, rec.Results)
		})
	case readTargets:
		got, err := c.store.Targets(ctx, store.TargetFilter{Job: c.id, Step: r.Step, Page: store.Page[int32]{After: -1, Limit: 1000}})
		return c.when(err, func() answer {
			targets := make([]target, len(got))
			for i, t := range got {
				targets[i] = target{t.Attempt, t.Success, t.Status, t.ExitCode}
			}
			return listed(targets)
		})
	case explain:
		got, err := e.Explain(ctx, c.id, r.Step, engine.Request{By: r.Person})
		return c.when(err, func() answer {
			var reasons []operation.Reason
			for _, v := range got.Causes {
				reasons = append(reasons, reasonOf(v.Refusal))
			}
			return explained(c.header(got.Job), c.row(got.Step), reasons)
		})
	}
	panic("what is " + string(r.Kind) + "?")
}

func reasonOf(r *engine.Refusal) operation.Reason {
	if r == nil {
		return 0
	}
	return r.Reason
}

// when returns the answer that err is, or else what is said without one.
func (c *client) when(err error, said func() answer) answer {
	var refusal *engine.Refusal
	switch {
	case err == nil:
		return said()
	case errors.Is(err, engine.ErrUnknownOutcome):
		return unknown
	case errors.As(err, &refusal):
		if refusal.State != 0 {
			c.saw(refusal.Current, refusal.JobState, refusal.Version)
			if refusal.Step == refusal.Current {
				c.seen.attempt = refusal.Attempt
			}
		}
		return refused(refusal.Reason, standing{refusal.Version, refusal.Current, refusal.State, refusal.Attempt, refusal.JobState})
	case errors.Is(err, errFault), errors.Is(err, engine.ErrConflict):
		return failed
	}
	return answer(fmt.Sprintf("an error that nobody expects: %v", err))
}

func (c *client) accepted(got store.Record, err error) answer {
	return c.when(err, func() answer {
		c.saw(max(got.Step, got.Entered), got.JobTo, got.Seq)
		if got.Entered == 0 && got.Seq == c.seen.version {
			c.seen.attempt = got.Attempt
		}
		return accepted(change{
			got.Seq, got.Step, got.From, got.To, got.JobFrom, got.JobTo, got.Attempt, got.Entered, got.Targets, got.Effect.String(),
		})
	})
}

func (c *client) header(got store.Job) header {
	c.saw(got.Current, got.State, got.Version)
	return header{got.State, got.Version, got.Moved, got.Current, got.Skipped, got.Ignored, got.Started, got.Finished}
}

func (c *client) row(got store.Step) row {
	if got.ID == c.seen.current {
		c.seen.state, c.seen.attempt = got.State, got.Attempt
	}
	return row{got.ID, got.State, got.Attempt, got.Run.Full, got.Succeeded, got.Unfinished, got.Started, got.Finished, got.Deadline}
}

// rest lets others come in between.
func rest() {
	for range rand.IntN(4) {
		runtime.Gosched()
	}
}
