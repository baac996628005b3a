package linearizability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A client makes requests that should be legal by what it has read. Other clients often change the
// job first.
type client struct {
	player.Rand
	engine *engine.Engine // narrowed to the job's scope
	rivals *engine.Engine // the same, for changes that overtake reports that meet
	stage  *stage         // of engine
	sweeps *engine.Engine // the same, on a host whose clock is ahead
	clock  *step.Time     // of that host
	store  store.Store
	specs  []step.Spec
	seen   player.Sight // the last that it saw; of the step state and attempt, as far as it was told
	asked  []player.Ask // under an id of its own
}

// newClient returns a client of e for one job.
func newClient(dice *rand.Rand, e *engine.Engine, st store.Store, j recorded) *client {
	clock := start
	c := &client{
		Rand: player.Rand{Rand: dice}, store: st, specs: j.specs,
		engine: e.In(j.scope),
		sweeps: engine.New(storetest.WithoutClock(st), engine.WithClock(func() time.Time { return clock.Std() })).In(j.scope),
		clock:  &clock,
		seen:   player.Sight{Rules: operation.Standard(), Job: store.Job{ID: j.id, Steps: int32(len(j.specs))}},
	}
	c.saw(1, step.Pending, 1)
	return c
}

// saw notes the state of the job, unless c has seen a later one.
func (c *client) saw(current step.ID, state step.State, version store.Seq) {
	job, at := &c.seen.Job, &c.seen.Step
	if version < job.Version {
		return
	}
	if current != at.ID || at.Attempt == 0 {
		*at = store.NewStep(current, c.specs[current-1])
		at.Attempt = 1
	}
	job.Current, job.State, job.Version, at.State = current, state, version, state
}

// The choices of clients; eve confirms nothing.
var (
	habits = player.Habits{
		People: []string{"bob", "eve", ""}, Anything: 8, Elsewhere: 20, OnJob: 12, WithID: 3, DryRun: 10, IfVersion: 8, IfAttempt: 8, Closes: 40,
	}
	odds = map[step.State]player.Odds{
		step.Running:     {Executor: 9, Person: 3, Time: 1},
		step.Terminating: {Executor: 9, Person: 3, Time: 1},
		step.Waiting:     {Person: 9, Time: 1},
	}
	// halts are asked for seldom, so that attempts run and their reports meet.
	halts = step.CausesOf(operation.StopBefore.Cause(), operation.ClearStop.Cause(), operation.HoldJob.Cause())

	reads = []kind{readJob, readJob, readStep, readStep, pageSteps, readHistory, listJobs, explain}
)

// next draws the next request of c.
func (c *client) next() request {
	h := habits
	if !player.OneIn(c, 16, "what holds a job up") {
		h.Avoided = halts
	}
	r := request{Kind: operate, Ask: c.seen.Ask(c, h), Now: start, State: c.seen.Job.State}
	turn := c.seen.Turn(c, odds)
	switch {
	case player.OneIn(c, 4, "read"):
		r.Kind = player.Of(c, "read", reads)
	case len(c.asked) > 0 && player.OneIn(c, 14, "again"):
		r.Again, r.Ask = true, player.Of(c, "asked", c.asked).Again(c, 4)
	case turn == player.Executor:
		words := player.Usual
		words.Astray = 10
		r.Kind, r.Report = report, c.seen.Report(c, words)
	case turn == player.Time:
		r.Kind, r.Now = sweep, start.Add(time.Duration(1+c.IntN(20))*time.Minute)
	default:
		if player.OneIn(c, 64, "no such step") {
			r.Step = step.ID(len(c.specs) + 1)
		}
		if r.ID != (store.RequestID{}) {
			c.asked = append(c.asked, r.Ask)
		}
	}
	return r
}

// call makes the request r and returns the answer.
func (c *client) call(ctx context.Context, r request) answer {
	e := c.engine
	switch r.Kind {
	case operate:
		record, err := r.Send(ctx, e)
		return c.accepted(record, err)
	case report:
		got, err := e.Report(ctx, r.Report)
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
	e, id := c.engine, c.seen.Job.ID
	switch r.Kind {
	case readJob:
		got, err := e.Job(ctx, id)
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
		got, err := e.Step(ctx, id, r.Step)
		return c.when(err, func() answer { return shownStep(c.row(got)) })
	case pageSteps:
		got, err := e.Steps(ctx, id, r.Step-1, 1)
		return c.when(err, func() answer { return shownStep(c.row(got[0])) })
	case readHistory:
		got, err := e.History(ctx, id, 0, 10_000)
		return c.when(err, func() answer {
			rec := got[len(got)-1]
			return told(len(got), change{
				rec.Seq, rec.Step, rec.From, rec.To, rec.JobFrom, rec.JobTo, rec.Attempt, rec.Entered, rec.Targets, rec.Effect.String(),
			}, rec.Results)
		})
	case readTargets:
		got, err := c.store.Targets(ctx, store.TargetFilter{Job: id, Step: r.Step, Page: store.Page[int32]{After: -1, Limit: 1000}})
		return c.when(err, func() answer {
			targets := make([]target, len(got))
			for i, t := range got {
				targets[i] = target{t.Attempt, t.Success, t.Status, t.ExitCode}
			}
			return listed(targets)
		})
	case explain:
		got, err := e.Explain(ctx, id, r.Step, engine.Request{By: r.By})
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

// when returns the answer for err, or the other answer if err is nil.
func (c *client) when(err error, said func() answer) answer {
	refusal, isRefusal := errors.AsType[*engine.Refusal](err)
	switch {
	case err == nil:
		return said()
	case errors.Is(err, engine.ErrUnknownOutcome):
		return unknown
	case isRefusal:
		if refusal.State != 0 {
			c.saw(refusal.Current, refusal.JobState, refusal.Version)
			if refusal.Step == refusal.Current {
				c.seen.Step.Attempt = refusal.Attempt
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
		if got.Entered == 0 && got.Seq == c.seen.Job.Version {
			c.seen.Step.Attempt = got.Attempt
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
	if got.ID == c.seen.Step.ID {
		c.seen.Step.State, c.seen.Step.Attempt = got.State, got.Attempt
	}
	return row{got.ID, got.State, got.Attempt, got.Run.Full, got.Succeeded, got.Unfinished, got.Started, got.Finished, got.Deadline}
}

// rest yields to other goroutines.
func rest() {
	for range rand.IntN(4) {
		runtime.Gosched()
	}
}
