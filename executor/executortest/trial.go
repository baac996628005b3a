package executortest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A trial tests an executor for one promise. It has a store, or a scope of one, processes that run
// the executor on it, and the function calls that they make.
type trial struct {
	tempo
	start Start
	store store.Store
	scope store.Scope
	eng   *engine.Engine // the kit's own, on the store itself
	seed  int
	dice  *rand.Rand    // of the seed; for the trial's goroutine alone
	lease time.Duration // of processes that are launched from now on
	began time.Time
	over  chan struct{} // closed at the end: held calls return
	alarm chan struct{} // see eager
	stuck bool          // a process does not return

	mu        sync.Mutex // guards all below
	plan      plan       // of calls that begin from now on
	news      chan struct{}
	failures  []string
	journal   []string
	failed    int // the length of the journal at the first failure
	calls     []*call
	processes []*process
	silence   chan struct{} // if not nil, calls of Failed return once it is closed
	disturbed bool          // a process may have lost a lease: another one may work on its hosts
}

// scopes numbers the scopes of trials.
var scopes atomic.Int64

func newTrial(start Start, s store.Store, pace tempo, seed int) *trial {
	x := &trial{
		tempo: pace, start: start, store: s, lease: pace.long, plan: succeed, began: time.Now(),
		scope: store.Scope{Type: "trial", ID: fmt.Sprint(scopes.Add(1))},
		seed:  seed, dice: rand.New(rand.NewPCG(uint64(seed), 1)),
		over: make(chan struct{}), alarm: make(chan struct{}), news: make(chan struct{}),
	}
	x.eng = engine.New(s).In(x.scope)
	return x
}

// play plays the trial and returns its failures, the first one with the journal around it.
func (x *trial) play(keep func(*trial)) []string {
	played := make(chan struct{})
	go func() { // that a failure ends
		defer close(played)
		keep(x)
	}()
	<-played
	x.finish()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.failures) > 0 {
		if x.seed > 0 {
			x.failures[0] = fmt.Sprintf("seed %d: ", x.seed) + x.failures[0]
		}
		x.failures[0] += "\n" + strings.Join(x.journal[max(x.failed-50, 0):min(x.failed+10, len(x.journal))], "\n")
	}
	return x.failures
}

// isOver reports whether the trial is over: every call of a store passes, and no function blocks.
func (x *trial) isOver() bool {
	select {
	case <-x.over:
		return true
	default:
		return false
	}
}

// finish lets everything return, and waits until it has.
func (x *trial) finish() {
	close(x.over)
	for _, p := range x.processes {
		p.end()
	}
	late := time.After(x.patience)
	for _, p := range x.processes {
		select {
		case <-p.done:
		case <-late:
			x.stuck = true
			x.errorf("process %d has not returned %v after its context had ended, want it to return", p.number, x.patience)
			return
		}
	}
}

// errorf notes a failure.
func (x *trial) errorf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	x.notef("FAILS: %s", message)
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.failures) == 0 {
		x.failed = len(x.journal)
	}
	if len(x.failures) < 10 {
		x.failures = append(x.failures, message)
	}
}

// fatalf notes a failure and ends the trial. It is for the trial's own goroutine.
func (x *trial) fatalf(format string, args ...any) {
	x.errorf(format, args...)
	runtime.Goexit()
}

// notef adds a line to the journal, which is printed with the first failure.
func (x *trial) notef(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.journal = append(x.journal, fmt.Sprintf("%8.3fs ", time.Since(x.began).Seconds())+fmt.Sprintf(format, args...))
}

// tell wakes waiting calls of soon.
func (x *trial) tell() {
	x.mu.Lock()
	defer x.mu.Unlock()
	close(x.news)
	x.news = make(chan struct{})
}

// soon waits until ok holds, for d at most, and reports whether it does.
func (x *trial) soon(d time.Duration, ok func() bool) bool {
	for late := time.After(d); ; {
		x.mu.Lock()
		news := x.news
		x.mu.Unlock()
		if ok() {
			return true
		}
		select {
		case <-news:
		case <-time.After(x.look):
		case <-late:
			return ok()
		}
	}
}

// await waits until ok holds. If it does not, the trial ends.
func (x *trial) await(what string, ok func() bool) {
	if !x.soon(x.patience, ok) {
		x.fatalf("after %v: want %s", x.patience, what)
	}
}

// noteFault notes that leases can be lost from now on.
func (x *trial) noteFault() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.disturbed = true
}

// rest waits for an event that must not come.
func (x *trial) rest() { time.Sleep(x.pause) }

// after returns a channel that is closed after d.
func (x *trial) after(d time.Duration) <-chan struct{} {
	over := make(chan struct{})
	time.AfterFunc(d, func() { close(over) })
	return over
}

// ctx returns the context of the kit's own calls.
func (x *trial) ctx() context.Context { return context.Background() }

func (x *trial) must(err error) {
	if err != nil {
		x.fatalf("the kit itself failed: %v", err)
	}
}

// typ is the type of steps that the executor carries out.
const typ = step.Script

// spec returns a step of that number of hosts.
func spec(hosts int) step.Spec {
	names := make([]string, hosts)
	for i := range names {
		names[i] = fmt.Sprintf("host-%d", i)
	}
	return step.Spec{Type: typ, Name: "work", Targets: names, Payload: "payload"}
}

// job creates and starts a job.
func (x *trial) job(steps ...step.Spec) store.JobID {
	created, err := x.eng.Create(x.ctx(), engine.JobSpec{Scope: x.scope, Name: "trial", Steps: steps}, engine.Request{By: "kit"})
	x.must(err)
	_, err = x.eng.OperateJob(x.ctx(), created.Job, operation.StartJob, engine.Request{By: "kit"})
	x.must(err)
	x.notef("job %d starts", created.Job)
	return created.Job
}

func (x *trial) operate(job store.JobID, code operation.Code) {
	_, err := x.eng.Operate(x.ctx(), job, 1, code, engine.Request{By: "kit"})
	x.must(err)
	x.notef("job %d: %v", job, code)
}

func (x *trial) operateJob(job store.JobID, code operation.JobCode) {
	_, err := x.eng.OperateJob(x.ctx(), job, code, engine.Request{By: "kit"})
	x.must(err)
	x.notef("job %d: %v", job, code)
}

func (x *trial) terminate(job store.JobID) { x.operateJob(job, operation.TerminateJob) }

// breakDown reports the attempt broken, so that it is over without a stop for the executor.
func (x *trial) breakDown(job store.JobID, attempt int32) {
	_, err := x.eng.Report(x.ctx(), engine.Report{Job: job, Step: 1, Attempt: attempt, Outcome: step.Broke, By: "kit"})
	x.must(err)
	x.notef("job %d: attempt %d is over", job, attempt)
}

// giveUp gives up the run of a job as a person.
func (x *trial) giveUp(job store.JobID) {
	effects, err := x.eng.Effects(x.ctx(), job, 0, 1000)
	x.must(err)
	for _, d := range effects {
		if d.Effect == store.RunTargets {
			_, err := x.eng.GiveUp(x.ctx(), job, d.Seq, engine.Request{By: "kit"})
			x.must(err)
			x.notef("job %d: the run of attempt %d is given up", job, d.Attempt)
		}
	}
}

// step returns the first step of a job.
func (x *trial) step(job store.JobID) store.Step {
	s, err := x.eng.Step(x.ctx(), job, 1)
	x.must(err)
	return s
}

// awaitState ends the trial unless the first step of a job comes to a state.
func (x *trial) awaitState(job store.JobID, want step.State) {
	if !x.soon(x.patience, func() bool { return x.step(job).State == want }) {
		s := x.step(job)
		x.fatalf("after %v the step is %v in attempt %d, %d of %d hosts succeeded and %d unfinished, want it %v",
			x.patience, s.State, s.Attempt, s.Succeeded, s.Total, s.Unfinished, want)
	}
}

// target returns a target of the first step of a job.
func (x *trial) target(job store.JobID, index int32) store.Target {
	targets, err := x.eng.Targets(x.ctx(), job, 1, engine.TargetQuery{From: index, Limit: 1})
	x.must(err)
	return targets[0]
}

// waiting reports whether a job has an unsettled effect of one of the kinds.
func (x *trial) waiting(job store.JobID, kinds ...store.Effect) bool {
	effects, err := x.eng.Effects(x.ctx(), job, 0, 1000)
	x.must(err)
	return slices.ContainsFunc(effects, func(d store.Delivery) bool { return slices.Contains(kinds, d.Effect) })
}

// take claims the effects of a kind that are due or leased, as another process does after their
// leases have run out, and giveBack makes them due at once.
func (x *trial) take(kind store.Effect) []store.Delivery {
	x.noteFault()
	now := step.At(time.Now()).Add(time.Hour)
	taken, err := x.store.Claim(x.ctx(), store.Claim{
		Scope: x.scope, Effects: []store.Effect{kind}, Now: now, Until: now.Add(time.Hour), Token: store.Token{1, byte(kind)}, Limit: 1000,
	})
	x.must(err)
	x.notef("%d effects %v are taken away", len(taken), kind)
	return taken
}

func (x *trial) giveBack(taken []store.Delivery) {
	for _, d := range taken {
		d.NotBefore, d.Held = d.At, false
		x.must(x.store.Defer(x.ctx(), d))
	}
	x.notef("%d effects are given back", len(taken))
}
