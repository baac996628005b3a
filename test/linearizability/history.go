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

// start is the time by the clocks of the engines that carry out requests: it stands still,
// so that the sequential job knows it. Engines that sweep are ahead of it.
const start step.Time = 1_767_225_600_000 // 2026-01-01

// patience is how long a history is judged before it is given up, which does not happen to
// one of the size that [Record] makes.
const patience = time.Minute

// A History is what clients asked of the jobs of one store at the same time, and what they
// were told.
type History struct {
	Clients int
	Calls   int
	Changes int // records that came of them
	Raced   int // commits that lost a race and were decided anew
	Unknown int // calls whose outcome nobody was told
	Meetings
	jobs []recorded
}

// recorded is a history of one job. Jobs have nothing to do with each other, so each is
// judged by itself.
type recorded struct {
	id    store.JobID
	scope store.Scope
	specs []step.Spec
	calls []porcupine.Operation
}

// Record makes a history on a fresh store: one or two jobs, 8 to 16 clients in as many
// goroutines, two engines, and about a hundred calls, after which everything is read once
// more. Now and then the reports of one client meet, while no other client calls. The seed decides on the jobs and on what clients would like to ask; what they see,
// and so what they do ask, is up to the schedule. The error is one of creating the jobs.
func Record(ctx context.Context, st store.Store, seed uint64) (History, error) {
	dice := rand.New(rand.NewPCG(seed, 0))
	r := recorder{history: History{Clients: 8 + dice.IntN(9)}}
	observer := engine.Observer{Conflicted: func(_ context.Context, _ store.JobID, lost int, _ time.Duration) { r.lost.Add(int64(lost)) }}
	ctx = crowd.Calling(ctx)
	stages := [2]*stage{newStage(pace{st}, observer), newStage(pace{st}, observer)}
	rivals := engine.New(pace{st}, engine.WithClock(start.Std), engine.WithObserver(observer))
	calm := engine.New(storetest.WithoutClock(unwrap(st)), engine.WithClock(start.Std)) // before and after, when nobody interferes
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

// turn has a client ask for something, or has its reports meet.
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

// ask has a client call, notes the call in the history of its job, and returns the answer. A call
// that failed changed nothing and says nothing, so it is left out.
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

// shapes are those of the steps of a job.
var shapes = player.Shapes{
	Rules: operation.Standard(), Targets: []string{"a", "b", "c"}, Confirmers: []string{"ann", "bob"},
	Timeouts: []time.Duration{0, 0, 0, time.Minute, 4 * time.Minute, 10 * time.Minute},
}

// Check judges h. The error is a *[Violation] if h is not linearizable.
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

// A Violation is a history that no job which takes one request at a time can have.
type Violation struct {
	recorded
	spec porcupine.Model
	info func() porcupine.LinearizationInfo // takes its time
}

// Draw writes an HTML page that shows the history and how far it can be explained.
func (v *Violation) Draw(path string) error { return porcupine.VisualizePath(v.spec, v.info(), path) }

// Error shows the end of the longest part of the history that can be explained, where the
// job stands then, and the calls that must come next, of which none can.
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
	first := int64(math.MaxInt64) // none can come after the first of them that has returned
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

// longest returns the longest part that can be explained.
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
