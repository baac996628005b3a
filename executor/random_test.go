package executor_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

func TestMain(m *testing.M) { testkit.Main(m, 40) }

// An act is one thing that happens to jobs or processes.
type act struct {
	What string
	N    int // which job or process
	For  time.Duration
}

func (a act) String() string { return fmt.Sprintf("%s %d, %v", a.What, a.N, a.For) }

var (
	acts       = []string{"create", "create", "terminate", "break", "retry all", "retry failed", "stop process", "start process", "pass", "pass"}
	actsOfCuts = append([]string{"cut process", "hang process", "lose answers", "heal process", "deliver twice"}, acts...)
	times      = []time.Duration{0, time.Millisecond, 50 * time.Millisecond, time.Second, 3 * time.Second, 20 * time.Second}
)

// A call is one call of a function.
type call struct {
	process int
	job     store.JobID
	step    step.ID
	attempt int32
	host    string
}

// A play is a list of acts on jobs and processes, with its outcome.
type play struct {
	t    *testing.T
	cuts bool // connections are cut, and leases lost
	eng  *engine.Engine
	jobs []store.JobID
	src  [2]*source
	stop [2]func()

	mu     sync.Mutex // guards all below
	calls  map[call]int
	atWork map[string]int // by process, job, step and host
	wrong  []string
}

func (p *play) failed(format string, args ...any) {
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
}

// function returns a function whose duration, result and regard for its context depend on the host's
// name.
func (p *play) function(process int) executor.HostFunc {
	return func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
		p.mu.Lock()
		p.calls[call{process, t.Job.ID, t.Step.ID, t.Attempt, h.Name}]++
		busy := fmt.Sprint(process, " ", t.Job.ID, " ", t.Step.ID, " ", h.Name)
		if !p.cuts {
			busy = fmt.Sprint("any", busy[1:]) // without a lost lease, no two processes either
		}
		if p.atWork[busy]++; p.atWork[busy] > 1 {
			p.failed("process, job, step and host %s: twice at once", busy)
		}
		p.mu.Unlock()
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.atWork[busy]--
		}()
		switch {
		case strings.HasPrefix(h.Name, "slow"):
			if pauseFor(ctx, 5*time.Second) != nil {
				return store.Result{Status: step.TargetTerminated}
			}
		case strings.HasPrefix(h.Name, "deaf"):
			time.Sleep(7 * time.Second)
		case strings.HasPrefix(h.Name, "bad"):
			return store.Result{Status: step.TargetFailed}
		}
		return success
	}
}

// act does one act. What the engine refuses is no failure.
func (p *play) act(a act) {
	ctx := p.t.Context()
	process := a.N % 2
	if a.What == "create" {
		created, err := p.eng.Create(ctx, engine.JobSpec{Name: "job", Steps: []step.Spec{
			{Type: step.Script, Name: "one", Targets: []string{"quick", "slow 1", "slow 2", "deaf"}, IgnoreErrors: true},
			{Type: step.Script, Name: "two", Targets: []string{"quick", "slow", "bad"}},
		}}, engine.Request{})
		if err != nil {
			p.failed("Create = %v", err)
			return
		}
		p.jobs = append(p.jobs, created.Job)
		_, _ = p.eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{})
	}
	if len(p.jobs) > 0 {
		job := p.jobs[a.N%len(p.jobs)]
		header, err := p.eng.Job(ctx, job)
		if err != nil {
			p.failed("Job = %v", err)
		}
		switch a.What {
		case "terminate":
			_, _ = p.eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{})
		case "retry all":
			_, _ = p.eng.Operate(ctx, job, header.Current, operation.RetryAll, engine.Request{})
		case "retry failed":
			_, _ = p.eng.Operate(ctx, job, header.Current, operation.RetryFailed, engine.Request{})
		case "break":
			if s, err := p.eng.Step(ctx, job, header.Current); err == nil && s.Attempt > 0 {
				_, _ = p.eng.Report(ctx, engine.Report{Job: job, Step: s.ID, Attempt: s.Attempt, Outcome: step.Broke})
			}
		}
	}
	switch a.What {
	case "stop process":
		p.end(process)
	case "start process":
		p.begin(process)
	case "cut process":
		p.src[process].cutAll(cut)
	case "hang process":
		p.src[process].cutAll(hang)
	case "lose answers":
		p.src[process].deaf.Store(true)
	case "heal process":
		p.src[process].cutAll(nil)
		p.src[process].deaf.Store(false)
	case "deliver twice":
		p.src[process].twice.Store(a.For > time.Second)
	}
	pass(a.For)
}

func (p *play) begin(process int) {
	if p.stop[process] != nil {
		return
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	x := executor.New(p.src[process], executor.AtOnce(3), executor.Hosts(step.Script, p.function(process)))
	go func() { done <- x.Run(ctx) }()
	p.stop[process] = func() {
		cancel()
		if err := <-done; err != nil {
			p.failed("Run = %v", err)
		}
	}
}

func (p *play) end(process int) {
	if p.stop[process] != nil {
		p.stop[process]()
		p.stop[process] = nil
	}
}

// once checks that no host was worked on more often than there is a reason for: once an attempt, and
// once more for each end of a process.
func (p *play) once(ends int) {
	total := map[call]int{}
	for c, n := range p.calls {
		c.process = 0
		total[c] += n
	}
	for c, n := range total {
		if n > 1+ends {
			p.failed("job %d, step %d, attempt %d, %s was worked on %d times, with %d ends of processes", c.job, c.step, c.attempt, c.host, n, ends)
		}
	}
}

// over checks that every job has ended, that no effect is left, and that the functions were called for
// each succeeded target.
func (p *play) over() {
	ctx := p.t.Context()
	for _, job := range p.jobs {
		header, err := p.eng.Job(ctx, job)
		if err != nil || !header.State.Finished() {
			p.failed("job %d is %v, %v", job, header.State, err)
			continue
		}
		left, err := p.eng.Effects(ctx, job, 0, 0)
		if err != nil || len(left) > 0 {
			p.failed("job %d has effects left: %+v, %v", job, left, err)
		}
		targets, err := p.eng.Targets(ctx, job, header.Current, engine.TargetQuery{})
		if err != nil {
			p.failed("Targets = %v", err)
		}
		for _, target := range targets {
			worked := p.calls[call{0, job, header.Current, target.Attempt, target.Name}] + p.calls[call{1, job, header.Current, target.Attempt, target.Name}]
			if target.Status.Success() && worked == 0 {
				p.failed("job %d: %s succeeded in attempt %d, in which no function worked on it", job, target.Name, target.Attempt)
			}
		}
	}
}

// playActs plays acts in a bubble, then repairs all connections, waits until all jobs rest, and returns
// the broken promises.
func playActs(t *testing.T, all []act, cuts bool) (wrong []string) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * 365 * 24 * time.Hour)
		eng := engine.New(memstore.New())
		p := &play{t: t, cuts: cuts, eng: eng, calls: map[call]int{}, atWork: map[string]int{}}
		for i := range p.src {
			p.src[i] = &source{Engine: eng}
		}
		ends := 0
		for _, a := range all {
			if a.What == "stop process" {
				ends++
			}
			p.act(a)
		}
		for i := range p.src {
			p.src[i].cutAll(nil)
			p.src[i].deaf.Store(false)
			p.src[i].twice.Store(false)
			p.begin(i)
		}
		pass(10 * time.Minute)
		p.over()
		if !cuts {
			p.once(ends)
		}
		p.end(0)
		p.end(1)
		wrong = p.wrong
	})
	return wrong
}

// After any acts on jobs and processes, no host was worked on twice at once in a process, every job ends,
// and no effect is left. If no connection was cut, no host was worked on twice at once anywhere, and each
// only once per attempt, and again only after the end of a process.
func TestRandomSequences(t *testing.T) {
	for name, kinds := range map[string][]string{"of operations": acts, "with cuts": actsOfCuts} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				all := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) act {
					return act{
						rapid.SampledFrom(kinds).Draw(rt, "what"), rapid.IntRange(0, 3).Draw(rt, "n"),
						rapid.SampledFrom(times).Draw(rt, "for"),
					}
				}), 1, 30).Draw(rt, "acts")
				if wrong := playActs(t, all, name == "with cuts"); len(wrong) > 0 {
					rt.Fatalf("%d things are wrong, the first: %s", len(wrong), wrong[0])
				}
			})
		})
	}
}
