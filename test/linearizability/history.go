package linearizability

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// start is the constant time of the engines that carry out requests: the sequential job knows it.
// The clocks of engines that sweep are ahead of it.
const start step.Time = 1_767_225_600_000 // 2026-01-01

// patience bounds the check of a history. The histories of [Record] are too small to reach it.
const patience = time.Minute

// A History is the concurrent requests about the jobs of one store, with their answers.
type History struct {
	Clients int
	Calls   int
	Changes int // records that they made
	Raced   int // commits that lost a race and were decided again
	Unknown int // calls with an unknown outcome
	Meetings
	jobs []recorded
}

// recorded is a history of one job. Jobs are independent, so each is checked by itself.
type recorded struct {
	id    store.JobID
	scope store.Scope
	specs []step.Spec
	calls []porcupine.Operation
}

// Record makes a history on a fresh store: one or two jobs, 8 to 16 clients in as many
// goroutines, two engines, and about a hundred calls. Then everything is read once more. Now and
// then the reports of one client meet, while no other client calls. The seed decides on the jobs and
// on the preferences of clients. Their requests also depend on what they have read, and so on the
// schedule. The error is one of creating the jobs.
func Record(ctx context.Context, st store.Store, seed uint64) (History, error) {
	dice := rand.New(rand.NewPCG(seed, 0))
	r := recorder{history: History{Clients: 8 + dice.IntN(9)}}
	observer := engine.Observer{Conflicted: func(_ context.Context, _ store.JobID, lost int, _ time.Duration) { r.lost.Add(int64(lost)) }}
	ctx = crowd.Calling(ctx)
	stages := [2]*stage{newStage(pace{st}, observer), newStage(pace{st}, observer)}
	rivals := engine.New(pace{st}, engine.WithClock(start.Std), engine.WithObserver(observer))
	calm := engine.New(storetest.WithoutClock(unwrap(st)), engine.WithClock(start.Std)) // before and after the concurrent calls
	for i := range 1 + dice.IntN(2) {
		spec := engine.JobSpec{
			Name: "job", Scope: store.Scope{Type: "job", ID: fmt.Sprint(i)}, Steps: shapes.Steps(player.Rand{Rand: dice}, 3+dice.IntN(4)),
		}
		created, err := calm.Create(ctx, spec, engine.Request{})
		if err != nil {
			return r.history, fmt.Errorf("create: %w", err)
		}
		r.history.jobs = append(r.history.jobs, recorded{id: created.Job, scope: spec.Scope, specs: spec.Steps})
	}

	var running sync.WaitGroup
	ready := make(chan struct{})
	for who := range r.history.Clients {
		dice := rand.New(rand.NewPCG(seed, uint64(who)+1))
		var clients []*client
		for _, j := range r.history.jobs {
			c := newClient(dice, stages[who%2].engine, pace{st}, j)
			c.stage, c.rivals = stages[who%2], rivals.In(j.scope)
			clients = append(clients, c)
		}
		running.Go(func() {
			<-ready
			for range 92/r.history.Clients + dice.IntN(3) {
				job := dice.IntN(len(clients))
				r.turn(ctx, who, job, clients[job])
			}
		})
	}
	close(ready)
	running.Wait()

	for i, j := range r.history.jobs {
		last := newClient(dice, calm, unwrap(st), j)
		r.ask(ctx, r.history.Clients, i, last, request{Kind: readJob})
		r.ask(ctx, r.history.Clients, i, last, request{Kind: readHistory})
		for id := range j.specs {
			r.ask(ctx, r.history.Clients, i, last, request{Kind: readStep, Ask: player.Ask{Step: step.ID(id + 1)}})
			r.ask(ctx, r.history.Clients, i, last, request{Kind: readTargets, Ask: player.Ask{Step: step.ID(id + 1)}})
		}
		r.history.Changes += int(last.seen.Job.Version) - 1
	}
	r.history.Raced = int(r.lost.Load())
	for _, s := range stages {
		r.history.Meetings.add(s.came)
	}
	return r.history, nil
}

// A recorder makes a history.
type recorder struct {
	ticks atomic.Int64 // one at each call and each return
	lost  atomic.Int64
	alone sync.RWMutex // locked by a meeting, read-locked by any other call of a client

	mu      sync.Mutex // guards all below
	history History
}

// turn makes a request of a client, or makes its reports meet.
func (r *recorder) turn(ctx context.Context, who, job int, c *client) {
	if c.meets() {
		r.alone.Lock()
		defer r.alone.Unlock()
		r.meet(ctx, who, job, c)
		return
	}
	r.alone.RLock()
	defer r.alone.RUnlock()
	r.ask(ctx, who, job, c, c.next())
}

// ask makes a call of a client, notes it in the history of its job, and returns the answer. A failed
// call changed nothing and is left out.
func (r *recorder) ask(ctx context.Context, who, job int, c *client, req request) answer {
	call := porcupine.Operation{ClientId: who, Input: &req, Call: r.ticks.Add(1)}
	got := c.call(ctx, req)
	call.Output, call.Return = got, r.ticks.Add(1)

	r.mu.Lock()
	defer r.mu.Unlock()
	switch got {
	case failed:
		return got
	case unknown:
		call.Return = math.MaxInt64
		r.history.Unknown++
	}
	r.history.Calls++
	r.history.jobs[job].calls = append(r.history.jobs[job].calls, call)
	return got
}

// shapes are the lists of steps of jobs.
var shapes = player.Shapes{
	Rules: operation.Standard(), Targets: []string{"a", "b", "c"}, Confirmers: []string{"ann", "bob"},
	Timeouts: []time.Duration{0, 0, 0, time.Minute, 4 * time.Minute, 10 * time.Minute},
}

// Check returns a *[Violation] if h is not linearizable.
func (h History) Check() error {
	rules := model.Documented()
	for _, j := range h.jobs {
		spec := sequential(rules, j.specs)
		switch porcupine.CheckOperationsTimeout(spec, j.calls, patience) {
		case porcupine.Ok:
		case porcupine.Unknown:
			return fmt.Errorf("a history of %d calls was not judged within %v", len(j.calls), patience)
		default:
			return &Violation{j, spec, sync.OnceValue(func() porcupine.LinearizationInfo {
				_, info := porcupine.CheckOperationsVerbose(spec, j.calls, patience)
				return info
			})}
		}
	}
	return nil
}

// A Violation is a history that no sequential job can have.
type Violation struct {
	recorded
	spec porcupine.Model
	info func() porcupine.LinearizationInfo // slow
}

// Draw writes an HTML page of the history and of its longest linearizable part.
func (v *Violation) Draw(path string) error { return porcupine.VisualizePath(v.spec, v.info(), path) }

// Error shows the end of the longest linearizable part of the history, the job's state there, and the
// calls of which one must come next and none can.
func (v *Violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "not linearizable: %d calls on a job of", len(v.calls))
	for _, s := range v.specs {
		fmt.Fprintf(&b, " %v %v", s.Type, s.Targets)
	}
	b.WriteString("\n")
	longest := v.longest()
	state := v.spec.Init()
	for i, call := range longest {
		_, state = v.spec.Step(state, call.Input, call.Output)
		if i >= len(longest)-8 {
			fmt.Fprintf(&b, "%4d. client %d, %d to %d: %s\n      %v\n", i+1, call.ClientId, call.Call, call.Return, v.spec.DescribeOperation(call.Input, call.Output), state)
		}
	}
	left := slices.DeleteFunc(slices.Clone(v.calls), func(c porcupine.Operation) bool {
		return slices.ContainsFunc(longest, func(l porcupine.Operation) bool { return l.Call == c.Call })
	})
	slices.SortFunc(left, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	first := int64(math.MaxInt64) // the next call begins before the first of these returns
	for _, call := range left {
		first = min(first, call.Return)
	}
	b.WriteString("and then none of these:\n")
	for _, call := range left {
		if call.Call > first {
			break
		}
		_, want := state.(*job).take(*call.Input.(*request))
		fmt.Fprintf(&b, "      client %d, %d to %d: %s\n      but it should be: %v\n", call.ClientId, call.Call, call.Return, v.spec.DescribeOperation(call.Input, call.Output), want)
	}
	return b.String()
}

// longest returns the longest linearizable part.
func (v *Violation) longest() []porcupine.Operation {
	var longest []porcupine.Operation
	info := v.info()
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, part := range partition {
			if len(part) > len(longest) {
				longest = part
			}
		}
	}
	return longest
}
