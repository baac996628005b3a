package executortest

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A process runs the executor under test.
type process struct {
	*trial
	number int
	link   *link
	end    context.CancelFunc // ends it gracefully
	done   chan struct{}      // closed when it has returned
	dead   bool               // killed; guarded by trial.mu
	gone   bool               // returned; guarded by trial.mu
}

// launch starts the executor in a process of its own, which gets no effects of the withheld kinds.
func (x *trial) launch(withheld ...store.Effect) *process {
	p := &process{trial: x, number: len(x.processes) + 1, done: make(chan struct{})}
	p.link = newLink(p, withheld)
	var ctx context.Context
	ctx, p.end = context.WithCancel(context.Background())
	watch := engine.Observer{Failed: func(_ context.Context, err error) { x.notef("process %d: %v", p.number, err) }}
	eng := engine.New(p.link.asStore(), engine.WithObserver(watch)).In(x.scope)
	x.mu.Lock()
	x.processes = append(x.processes, p)
	x.mu.Unlock()
	x.notef("process %d starts", p.number)
	world := Process{Engine: eng, Scope: x.scope, Type: typ, Lease: x.lease, Work: p.work, Failed: p.failed}
	go func() {
		defer close(p.done)
		defer p.leave()
		defer func() {
			if v := recover(); v != nil {
				x.errorf("process %d panics: %v", p.number, v)
			}
		}()
		err := x.start(ctx, world)
		if ended := ctx.Err(); err != nil && (ended == nil || !errors.Is(err, ended)) && !p.isDead() {
			x.errorf("process %d returned %v, want nil", p.number, err)
		}
	}()
	return p
}

// leave notes that a process has returned: none of its functions may run.
func (p *process) leave() {
	p.notef("process %d has returned", p.number)
	p.mu.Lock()
	p.gone = true
	p.mu.Unlock()
	if left := p.atWork(func(*call) bool { return true }); len(left) > 0 {
		p.errorf("process %d returned while functions were at work, %v, want it to wait for them", p.number, left)
	}
	p.tell()
}

// atWork returns the calls of a process that have not returned, of those that which selects. A
// process that was killed has none.
func (p *process) atWork(which func(*call) bool) (left []*call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if c.process == p && !c.returned && !p.dead && which(c) {
			left = append(left, c)
		}
	}
	return left
}

// givesBack notes that a process ends its claim of a run: no function of the run may be at work.
func (p *process) givesBack(d store.Delivery, how string) {
	if d.Effect != store.RunTargets {
		return
	}
	left := p.atWork(func(c *call) bool { return c.Job == d.Job && c.Step == d.Step && c.Attempt == d.Attempt })
	if len(left) > 0 {
		p.errorf("process %d %s the run of job %d, attempt %d, while functions are at work on it, %v, want it to wait for them",
			p.number, how, d.Job, d.Attempt, left)
	}
}

// runs reports whether the attempt of d still runs.
func (x *trial) runs(d store.Delivery) bool {
	v, err := x.store.View(context.Background(), store.Query{Job: d.Job, Step: d.Step})
	return err == nil && v.Step.State == step.Running && v.Step.Attempt == d.Attempt
}

// kill ends a process as SIGKILL does: it reaches the store no more, and its functions hang.
func (p *process) kill() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.link.set(frozen)
	p.notef("process %d is killed", p.number)
	p.tell()
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// alive reports whether p was neither killed nor has returned.
func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead && !p.gone
}

// shutDown ends a process gracefully. If the process does not return, the trial ends.
func (p *process) shutDown() {
	p.notef("process %d is to end", p.number)
	p.end()
	p.await(fmt.Sprintf("process %d to return once its context has ended", p.number), func() bool { return !p.alive() })
}

// A call is one call of the function.
type call struct {
	Assignment
	process  *process
	ctx      context.Context
	answer   chan store.Result // the result to return, from the trial
	returned bool              // guarded by trial.mu
	result   store.Result      // guarded by trial.mu; after a panic, a failure
	panicked bool              // guarded by trial.mu
}

func (c *call) String() string {
	return fmt.Sprintf("job %d, attempt %d, host %d", c.Job, c.Attempt, c.Index)
}

// work is the function of p's executor.
func (p *process) work(ctx context.Context, of Assignment) store.Result {
	c := &call{Assignment: of, process: p, ctx: ctx, answer: make(chan store.Result, 1)}
	does := p.begin(c)
	if does == nil {
		<-p.over
		return interrupted
	}
	result, panicked := store.Result{Status: step.TargetFailed}, true
	defer func() {
		if p.isDead() {
			<-p.over
		}
		p.noteReturn(c, result, panicked)
	}()
	result, panicked = does(c), false
	return result
}

// failed is the Failed of p's executor.
func (p *process) failed(_ context.Context, err error) {
	p.mu.Lock()
	silence := p.silence
	p.mu.Unlock()
	p.notef("process %d tells: %v", p.number, err)
	if silence != nil {
		select {
		case <-silence:
		case <-p.over:
		}
	}
}

// begin enters a call and returns its plan, or nil if its process is dead.
func (p *process) begin(c *call) plan {
	defer p.tell()
	p.mu.Lock()
	dead, gone, does := p.dead, p.gone, p.plan
	beside := p.beside(c)
	if !dead {
		p.calls = append(p.calls, c)
	}
	p.mu.Unlock()
	if dead {
		return nil
	}
	p.notef("process %d: %v begins", p.number, c)
	if beside != nil {
		p.errorf("process %d calls %v while process %d is at work on %v, want no host to be worked on twice at once",
			p.number, c, beside.process.number, beside)
	}
	if gone {
		p.errorf("process %d calls %v after it has returned", p.number, c)
	}
	if want := fmt.Sprintf("host-%d", c.Index); c.Name != want {
		p.errorf("%v is called %q, want %q", c, c.Name, want)
	}
	return does
}

// beside returns a call at work on the host of c that must not be, or nil: one in the same process,
// or in another one while no lease can have been lost. The trial is locked.
func (p *process) beside(c *call) *call {
	everywhere := !p.disturbed && p.lease >= p.long
	for _, other := range p.calls {
		if (other.process == p || everywhere) && !other.returned && other.Job == c.Job && other.Step == c.Step && other.Index == c.Index {
			return other
		}
	}
	return nil
}

// noteReturn notes that a call returns.
func (p *process) noteReturn(c *call, result store.Result, panicked bool) {
	p.mu.Lock()
	c.returned, c.result, c.panicked = true, result, panicked
	p.mu.Unlock()
	if panicked {
		p.notef("process %d: %v panics", p.number, c)
	} else {
		p.notef("process %d: %v returns %v", p.number, c, result.Status)
	}
	p.tell()
}

var (
	success     = store.Result{Status: step.TargetSucceeded}
	interrupted = store.Result{Status: step.TargetTerminated, Detail: "interrupted"}
)

// A plan returns the result of a call.
type plan func(*call) store.Result

// does sets the plan of calls that begin from now on.
func (x *trial) does(f plan) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.plan = f
}

// succeed is a plan: the host succeeds at once.
func succeed(*call) store.Result { return success }

// held is a plan: the call returns when the trial gives the result, or when its ctx ends.
func (x *trial) held(c *call) store.Result {
	select {
	case r := <-c.answer:
		return r
	case <-c.ctx.Done():
	case <-x.over:
	}
	return interrupted
}

// stubborn is a plan: the call returns when the trial gives the result, even after the end of its
// ctx.
func (x *trial) stubborn(c *call) store.Result {
	select {
	case r := <-c.answer:
		return r
	case <-x.over:
	}
	return interrupted
}

// eager is a plan: once the trial has closed the alarm, the call returns as soon as its ctx has ended,
// while its executor still handles the end.
func (x *trial) eager(c *call) store.Result {
	select {
	case <-x.alarm:
	case <-c.ctx.Done():
	case <-x.over:
	}
	for range 20_000 { // not for ever: in a bubble, no time passes meanwhile
		if c.ctx.Err() != nil {
			return interrupted
		}
		runtime.Gosched()
	}
	return x.held(c)
}

// like selects calls of an attempt of a host; 0 and -1 select all.
func like(attempt, index int32) func(*call) bool {
	return func(c *call) bool {
		return (attempt == 0 || c.Attempt == attempt) && (index < 0 || c.Index == index)
	}
}

// of selects the calls of a job.
func of(job store.JobID) func(*call) bool { return func(c *call) bool { return c.Job == job } }

// matching returns the calls that which selects, in the order in which they began.
func (x *trial) matching(which func(*call) bool) (calls []*call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.calls {
		if which(c) {
			calls = append(calls, c)
		}
	}
	return calls
}

// awaitCall ends the trial unless a call comes that which selects, and returns the first.
func (x *trial) awaitCall(what string, which func(*call) bool) *call {
	x.await("the function to be called for "+what, func() bool { return len(x.matching(which)) > 0 })
	return x.matching(which)[0]
}

// wantCalls is an error of the trial unless which selects that number of calls.
func (x *trial) wantCalls(what string, want int, which func(*call) bool) {
	if got := x.matching(which); len(got) != want {
		x.errorf("%s: the function was called %d times, %v, want %d", what, len(got), got, want)
	}
}

// awaitEnd ends the trial unless the context of a call ends.
func (x *trial) awaitEnd(c *call, why string) {
	if !x.soon(x.patience, func() bool { return c.ctx.Err() != nil }) {
		x.fatalf("%v: its context has not ended %v after %s, want it ended", c, x.patience, why)
	}
}

// wantLive notes an error if the context of a call has ended.
func (x *trial) wantLive(c *call, why string) {
	if c.ctx.Err() != nil {
		x.errorf("%v: its context ended with %v, want it to live on: %s", c, context.Cause(c.ctx), why)
	}
}

// finish makes a call return r.
func (c *call) finish(r store.Result) { c.answer <- r }
