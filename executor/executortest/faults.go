package executortest

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// faults lets people and faults act at random on jobs that several processes carry out. Then the
// faults stop: every job must end, every effect must be settled, and the stored results must be
// those that functions returned.
func (x *trial) faults() {
	x.lease = x.short
	x.does(x.random)
	x.launch()
	x.launch()
	jobs := []store.JobID{x.randomJob(), x.randomJob()}
	for range 8 + x.dice.IntN(24) {
		time.Sleep(x.upTo(x.pause / 2))
		switch n := x.dice.IntN(20); {
		case n < 3 && len(jobs) < 6:
			jobs = append(jobs, x.randomJob())
		case n < 9:
			x.askAtRandom(jobs[x.dice.IntN(len(jobs))])
		case n < 12:
			x.breakAtRandom(jobs[x.dice.IntN(len(jobs))])
		default:
			x.disturb()
		}
	}
	x.calm()
	for _, job := range jobs {
		x.await(fmt.Sprintf("job %d to end once the faults have stopped", job), func() bool { return x.rests(job) })
		x.await(fmt.Sprintf("every effect of job %d to be settled once it has ended", job), func() bool {
			return !x.waiting(job, store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded)
		})
	}
	for _, job := range jobs {
		x.checkResults(job)
	}
}

// upTo returns a duration below d.
func (x *trial) upTo(d time.Duration) time.Duration { return time.Duration(x.dice.Int64N(int64(d))) }

func (x *trial) randomJob() store.JobID {
	steps := make([]step.Spec, 1+x.dice.IntN(2))
	for i := range steps {
		steps[i] = spec(1 + x.dice.IntN(12))
		if x.dice.IntN(5) == 0 {
			steps[i].Timeout = x.short
		}
	}
	return x.job(steps...)
}

// random is a plan: a call's number among those of its host decides on its result. It does not block
// for longer than a lease.
func (x *trial) random(c *call) store.Result {
	nth := len(x.matching(func(o *call) bool {
		return o.Job == c.Job && o.Step == c.Step && o.Attempt == c.Attempt && o.Index == c.Index
	}))
	said := fnv.New64a()
	fmt.Fprint(said, c.Step, c.Attempt, c.Index, nth, x.seed)
	dice := rand.New(rand.NewPCG(said.Sum64(), 2))
	result := store.Result{Status: step.TargetSucceeded, Detail: fmt.Sprintf("call %d of process %d", nth, c.process.number)}
	takes := time.Duration(dice.Int64N(int64(x.pause)))
	switch n := dice.IntN(20); {
	case n < 8: // at once
		return result
	case n < 10: // whatever its context says
		time.Sleep(takes)
		return result
	case n < 11:
		panic("the function panics, as the dice have it")
	case n < 13:
		result.Status, result.ExitCode = step.NonZeroExit, int32(1+dice.IntN(200))
	}
	select {
	case <-time.After(takes):
		return result
	case <-c.ctx.Done():
	case <-x.over:
	}
	return interrupted
}

// askAtRandom asks for an operation, legal or not.
func (x *trial) askAtRandom(job store.JobID) {
	j, err := x.eng.Job(x.ctx(), job)
	x.must(err)
	codes := []operation.Code{operation.RetryFailed, operation.RetryAll, operation.RetryFailed, operation.IgnoreError, 0}
	if code := codes[x.dice.IntN(len(codes))]; code != 0 {
		_, err = x.eng.Operate(x.ctx(), job, j.Current, code, engine.Request{})
		x.notef("job %d: %v: %v", job, code, err)
	} else {
		_, err = x.eng.OperateJob(x.ctx(), job, operation.TerminateJob, engine.Request{})
		x.notef("job %d is told to stop: %v", job, err)
	}
	if refusal := (*engine.Refusal)(nil); err != nil && !errors.As(err, &refusal) {
		x.must(err)
	}
}

// breakAtRandom ends the attempt of a job without telling the executors, and begins the next one.
func (x *trial) breakAtRandom(job store.JobID) {
	j, err := x.eng.Job(x.ctx(), job)
	x.must(err)
	s, err := x.eng.Step(x.ctx(), job, j.Current)
	x.must(err)
	if s.State != step.Running {
		return
	}
	_, err = x.eng.Report(x.ctx(), engine.Report{Job: job, Step: s.ID, Attempt: s.Attempt, Outcome: step.Broke})
	if !errors.Is(err, operation.Stale) {
		x.must(err)
	}
	x.notef("job %d: step %d, attempt %d is over", job, s.ID, s.Attempt)
	if x.dice.IntN(4) > 0 {
		_, err = x.eng.Operate(x.ctx(), job, s.ID, operation.RetryFailed, engine.Request{})
		x.notef("job %d: it is retried: %v", job, err)
	}
}

// disturb causes one fault.
func (x *trial) disturb() {
	var living []*process
	for _, p := range x.processes {
		if p.alive() {
			living = append(living, p)
		}
	}
	if len(living) == 0 {
		x.launch()
		return
	}
	p := living[x.dice.IntN(len(living))]
	switch n := x.dice.IntN(10); n {
	case 0:
		p.kill()
		x.launch()
	case 1:
		x.notef("process %d is to end", p.number)
		p.end()
		x.launch()
	case 2, 3, 4, 5:
		to := []linkState{frozen, failing, slow, deaf}[n-2]
		x.notef("the store of process %d is %v", p.number, to)
		p.link.set(to)
	case 6, 7:
		x.notef("all stores answer")
		x.thaw()
	default:
		kinds := []store.Effect{store.RunTargets, store.RunTargets, store.StopAttempt, store.JobEnded}
		x.giveBack(x.take(kinds[x.dice.IntN(len(kinds))]))
	}
}

// thaw makes the stores of all living processes answer.
func (x *trial) thaw() {
	for _, p := range x.processes {
		if p.alive() {
			p.link.set(well)
		}
	}
}

// calm ends all faults, and starts a process if none is left.
func (x *trial) calm() {
	x.notef("the faults stop")
	x.thaw()
	x.launch()
}

// rests reports whether a job has ended. A job that has passed its deadline does so.
func (x *trial) rests(job store.JobID) bool {
	_, err := x.eng.Sweep(x.ctx())
	x.must(err)
	j, err := x.eng.Job(x.ctx(), job)
	x.must(err)
	return j.State.Finished()
}

// checkResults compares the stored results of a job with those that functions returned.
func (x *trial) checkResults(job store.JobID) {
	steps, err := x.eng.Steps(x.ctx(), job, 0, 1000)
	x.must(err)
	runs := x.coverage(job)
	for _, s := range steps {
		succeeded := map[int32][]int32{} // by host: the attempts with a success
		for attempt := int32(1); attempt <= s.Attempt; attempt++ {
			results, err := x.eng.Targets(x.ctx(), job, s.ID, engine.TargetQuery{Attempt: attempt, Limit: 1000})
			x.must(err)
			for _, t := range results {
				if t.Attempt != attempt || !t.Status.Finished() {
					continue
				}
				x.checkResult(job, s.ID, t)
				if t.Status == step.TargetSucceeded {
					succeeded[t.Index] = append(succeeded[t.Index], attempt)
				}
			}
		}
		for _, c := range x.matching(func(c *call) bool { return c.Job == job && c.Step == s.ID }) {
			for _, earlier := range succeeded[c.Index] {
				if run := runs[at{s.ID, c.Attempt}]; earlier < c.Attempt && run.Full <= earlier {
					x.errorf("%v is called although it had succeeded in attempt %d", c, earlier)
				}
			}
		}
	}
}

// checkResult notes an error unless a function has returned this result, a success once. It skips the
// result that the engine derives for a target without one once its attempt is over.
func (x *trial) checkResult(job store.JobID, id step.ID, t store.Target) {
	if t.Status == step.TargetTerminated || t.Status == step.UnknownStatus {
		return
	}
	returned := x.matching(func(c *call) bool {
		return c.Job == job && c.Step == id && c.Attempt == t.Attempt && c.Index == t.Index && c.returned &&
			c.result.Status == t.Status && (c.panicked || c.result.Detail == t.Detail && c.result.ExitCode == t.ExitCode)
	})
	if len(returned) == 0 || t.Status.Success() && len(returned) != 1 {
		x.errorf("job %d, step %d, attempt %d, host %d: %v, exit code %d, %q is stored, which %d calls of the function returned, want one",
			job, id, t.Attempt, t.Index, t.Status, t.ExitCode, t.Detail, len(returned))
	}
}

// An at is an attempt of a step.
type at struct {
	step    step.ID
	attempt int32
}

// coverage returns which hosts each attempt of a job covers, from its history.
func (x *trial) coverage(job store.JobID) map[at]store.Run {
	runs := map[at]store.Run{}
	for after := store.Seq(0); ; {
		records, err := x.eng.History(x.ctx(), job, after, 1000)
		x.must(err)
		for _, r := range records {
			runs[at{r.Step, r.Attempt}] = r.Run
			if r.Entered != 0 {
				runs[at{r.Entered, 1}] = store.FirstRun
			}
			after = r.Seq
		}
		if len(records) == 0 {
			return runs
		}
	}
}
