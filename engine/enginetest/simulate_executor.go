package enginetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An executor carries out effects, and keeps the contract of [engine.Handler] as far as it remembers.
type executor struct {
	*simulation
	name  string
	runs  []*run          // in the order in which they came
	stops []*run          // requested and not reported yet
	seen  map[place]int32 // the newest attempt of a run or a stop
}

// place is a step of a job.
type place struct {
	job  store.JobID
	step step.ID
}

// A run is an attempt under way.
type run struct {
	place
	attempt int32
	durable bool    // its effect is settled, and it outlives the process
	begun   bool    // it knows its targets
	due     []int32 // the targets that it has not finished
	over    bool    // all is reported, or the attempt is over in the engine
}

// The results of targets, the finished ones among them, and the outcomes that executors report.
var (
	said     = []step.Status{step.TargetSucceeded, step.TargetSucceeded, step.NonZeroExit, step.TargetRunning}
	ended    = []step.Status{step.TargetSucceeded, step.NonZeroExit}
	outcomes = []step.Cause{step.Broke, step.Stopped, step.Broke, step.Stopped, step.Dropped}
)

func newExecutor(s *simulation, name string) *executor {
	return &executor{simulation: s, name: name, seen: map[place]int32{}}
}

// A mood is the behaviour of an executor for one effect.
type mood struct {
	fails   bool // the first delivery fails
	durable bool // a run is settled at once
	deaf    bool // a stop is ignored until it is asked again
}

// drawMoods draws them beforehand: handlers run in goroutines of their own.
func (s *simulation) drawMoods() (moods [4]mood) {
	for i := range moods {
		bits := s.Below(8, "mood")
		moods[i] = mood{fails: bits&1 == 1 && !s.calm, durable: bits&2 == 2, deaf: bits&4 == 4 && !s.calm}
	}
	return moods
}

var errUnderWay = errors.New("the run is under way")

// receive takes the due effects of the executor, from a dispatcher or by a claim.
func (x *executor) receive(e *engine.Engine, moods [4]mood) {
	if !x.calm && player.OneIn(x, 3, "fetches") {
		x.fetch(e, moods)
		return
	}
	_, err := e.Deliver(context.Background(), func(_ context.Context, d engine.Delivery) error {
		return x.handle(d, moods[d.Seq%4])
	}, engine.Runs(1), engine.Lease(3*time.Second), engine.Backoff(time.Second, 3*time.Second), engine.StopEvery(2*time.Second))
	if x.calm && err != nil && !errors.Is(err, errUnderWay) {
		x.Fatalf("Deliver: %v", err)
	}
}

// fetch claims the due effects, as an executor does that no dispatcher can call. It ignores errors
// when it ends a claim: a lost effect is another executor's, and any other effect comes again.
func (x *executor) fetch(e *engine.Engine, moods [4]mood) {
	ctx, lease := context.Background(), 3*time.Second
	for {
		claimed, err := e.Claim(ctx, engine.ClaimQuery{Lease: lease, Limit: 1})
		if err != nil || len(claimed) == 0 {
			return
		}
		d := claimed[0]
		switch failure := x.handle(d, moods[d.Seq%4]); {
		case errors.Is(failure, errUnderWay):
			err = e.Renew(ctx, d.Claimed(), lease)
			x.simulation.seen["executor: fetches and keeps"]++
		case failure != nil:
			err = e.Fail(ctx, d.Claimed(), failure)
			x.simulation.seen["executor: fetches and fails"]++
		default:
			err = e.Settle(ctx, d.Claimed())
			x.simulation.seen["executor: fetches and settles"]++
		}
		if errors.Is(err, store.ErrLeaseLost) {
			x.simulation.seen["executor: has lost what it has fetched"]++
		}
	}
}

// handle takes one effect. It leaves the engine alone: that is work. A run that is not
// durable is delivered again until it is over, so that it is not lost with its process.
func (x *executor) handle(d engine.Delivery, m mood) error {
	x.simulation.seen["effect: "+d.Effect.String()]++
	x.Logf("%s: %v of job %d, step %d, attempt %d (record %d, for the %d. time), in mood %+v", x.name, d.Effect, d.Job.ID, d.Step.ID, d.Attempt, d.Seq, d.Count, m)
	if m.fails && d.Count == 1 {
		return errors.New("not in the mood")
	}
	if x.handed[effect{d.Job.ID, d.Seq}] {
		x.simulation.seen["effect: delivered again"]++
	}
	x.handed[effect{d.Job.ID, d.Seq}] = true
	at := place{d.Job.ID, d.Step.ID}
	switch d.Effect {
	case store.RunTargets:
		return x.start(at, d.Attempt, m)
	case store.StopAttempt:
		x.seen[at] = max(x.seen[at], d.Attempt)
		x.end(at, d.Attempt)
		if !m.deaf {
			x.stops = append(x.stops, &run{place: at, attempt: d.Attempt})
		}
	case store.JobEnded:
		x.end(at, d.Attempt)
	}
	return nil
}

// start begins a run, or returns an error while it is under way.
func (x *executor) start(at place, attempt int32, m mood) error {
	i := slices.IndexFunc(x.runs, func(r *run) bool { return r.place == at && r.attempt == attempt })
	switch {
	case i < 0 && attempt <= x.seen[at]:
		return nil // stopped, out of date, or over
	case i < 0:
		x.end(at, attempt-1)
		x.seen[at] = attempt
		x.runs = append(x.runs, &run{place: at, attempt: attempt, durable: m.durable})
		i = len(x.runs) - 1
	case x.runs[i].over:
		return nil
	}
	if x.runs[i].durable {
		return nil
	}
	return errUnderWay
}

// end ends the runs of a place, up to an attempt.
func (x *executor) end(at place, attempt int32) {
	for _, r := range x.runs {
		r.over = r.over || r.place == at && r.attempt <= attempt
	}
}

// busy draws an executor, one with work if there is any.
func (s *simulation) busy() *executor {
	x := player.Of(s, "executor", s.executors[:])
	if x.hasWork() {
		return x
	}
	for _, y := range s.executors {
		if y.hasWork() {
			return y
		}
	}
	return x
}

// hasWork reports whether the executor has a run or a stop that is not done.
func (x *executor) hasWork() bool {
	return len(x.stops) > 0 || slices.ContainsFunc(x.runs, func(r *run) bool { return !r.over })
}

// work makes the executor act: mostly on its runs and stops.
func (x *executor) work(e *engine.Engine) {
	x.runs = slices.DeleteFunc(x.runs, func(r *run) bool { return r.over })
	switch what := x.Below(16, "work"); {
	case what == 15:
		x.die()
	case what >= 11 && len(x.stops) > 0:
		r := x.stops[0]
		if x.report(e, r, nil, step.Stopped) {
			x.stops = slices.DeleteFunc(x.stops, func(s *run) bool { return s == r })
		}
	case len(x.runs) > 0:
		x.goOn(e, player.Of(x, "run", x.runs), what)
	}
}

// die makes the executor forget all but durable runs.
func (x *executor) die() {
	x.simulation.seen["executor: dies"]++
	x.Logf("%s dies", x.name)
	x.runs = slices.DeleteFunc(x.runs, func(r *run) bool { return !r.durable })
	x.stops, x.seen = nil, map[place]int32{}
	for _, r := range x.runs {
		x.seen[r.place] = max(x.seen[r.place], r.attempt)
	}
}

// goOn makes progress with a run, in one of several ways.
func (x *executor) goOn(e *engine.Engine, r *run, what int) {
	if !r.begun {
		x.begin(e, r)
	}
	if !r.begun {
		return
	}
	piece := r.due[:min(1+x.Below(len(r.due)+1, "piece"), len(r.due))]
	switch what {
	case 0: // of an attempt that is over
		x.simulation.seen["executor: late"]++
		late := *r
		if late.attempt--; late.attempt > 0 {
			x.report(e, &late, player.Results(x, piece, said), 0)
		}
	case 1: // of targets that are not in the run
		x.simulation.seen["executor: contradicts"]++
		x.report(e, r, player.Results(x, []int32{0, 0}, said), 0)
	case 2:
		outcome := player.Of(x, "outcome", outcomes)
		x.simulation.seen["executor: "+outcome.String()]++
		r.over = x.report(e, r, player.Results(x, piece, said), outcome)
	case 3: // results that it has reported already
		x.simulation.seen["executor: repeats"]++
		results := player.Results(x, piece, said)
		if x.report(e, r, results, 0) {
			x.report(e, r, results, 0)
			x.finished(r, results)
		}
	case 4, 5: // each result by itself, all at once
		x.meet(e, r, player.Results(x, r.due, said))
	default:
		results := player.Results(x, piece, said)
		if x.report(e, r, results, 0) {
			x.finished(r, results)
		}
	}
}

// begin asks for the targets of a run: those without an accepted result.
func (x *executor) begin(e *engine.Engine, r *run) {
	x.muddled = false
	before := x.load(x.jobOf(r.job))
	targets, err := e.Targets(context.Background(), r.job, r.step, engine.TargetQuery{Class: store.UnfinishedTargets, IfAttempt: r.attempt, Limit: 1000})
	x.Logf("%s: targets of job %d, step %d, attempt %d: %+v, %v", x.name, r.job, r.step, r.attempt, targets, err)
	switch {
	case x.crashed:
	case err == nil && x.muddled: // the targets may be of an old state: it asks again
		x.simulation.seen["executor: asks again for its targets"]++
	case err == nil:
		r.begun, r.due = true, nil
		for _, t := range targets {
			r.due = append(r.due, t.Index)
		}
		x.allDue(r, &before)
	case isOver(err, r.attempt):
		r.over = true
	case x.calm && !errors.Is(err, operation.Stale):
		x.Fatalf("%s: targets of %+v: %v", x.name, *r, err)
	}
}

// allDue checks promise 5: no target whose success was accepted runs again. before is the job when
// the executor asked, as a late commit may take effect before the answer.
func (x *executor) allDue(r *run, before *Snapshot) {
	at := &before.Steps[r.step-1]
	for _, index := range r.due {
		if t := before.Targets[r.step-1][index]; at.Attempt == r.attempt && !at.Run.Due(t) {
			x.Fatalf("promise 5: %s runs target %d of job %d, step %d, attempt %d, which has succeeded in attempt %d", x.name, index, r.job, r.step, r.attempt, t.Success)
		}
	}
	x.simulation.seen["executor: runs"]++
	if len(r.due) < len(before.Targets[r.step-1]) {
		x.simulation.seen["executor: runs what is left"]++
	}
}

// finished removes the targets with accepted results from the run.
func (x *executor) finished(r *run, results []engine.TargetResult) {
	for _, result := range results {
		if result.Status.Finished() {
			r.due = slices.DeleteFunc(slices.Clone(r.due), func(t int32) bool { return t == result.Target })
		}
	}
	r.over = r.over || len(r.due) == 0
}

// honest makes the executor report all results and stops.
func (x *executor) honest(e *engine.Engine) {
	for _, r := range x.stops {
		x.report(e, r, nil, step.Stopped)
	}
	x.stops = nil
	for _, r := range x.runs {
		if !r.over && !r.begun {
			x.begin(e, r)
		}
		if r.over || !r.begun {
			continue
		}
		results := player.Results(x, r.due, ended)
		if x.report(e, r, results, 0) || len(results) == 0 {
			r.over = true
		}
	}
	x.runs = slices.DeleteFunc(x.runs, func(r *run) bool { return r.over })
}
