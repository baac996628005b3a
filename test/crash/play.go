package crash

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const (
	people  = 8  // goroutines that operate
	atATime = 12 // jobs that they operate on; when one is done with, somebody creates another
)

var scope = store.Scope{Type: "crash", ID: "1"} // of every job

// shapes are the jobs that there are.
var shapes = [][]step.Spec{
	{
		{Type: step.Script, Name: "stop", Targets: []string{"a", "b", "c"}},
		{Type: step.Confirmation, Name: "go on?"},
		{Type: step.Script, Name: "start", Targets: []string{"a", "b", "c"}},
	},
	{
		{Type: step.FileTransfer, Name: "copy", Targets: []string{"a", "b", "c", "d", "e"}, IgnoreErrors: true},
		{Type: step.SQL, Name: "migrate", Targets: []string{"db"}},
	},
	{
		{Type: step.Confirmation, Name: "now?", Confirmers: []string{person}},
		{Type: step.Script, Name: "reboot", Targets: []string{"a", "b"}},
	},
}

const person = "ann"

// spec returns the definition of the job that a request asks for. The job's name is the
// request, so that it can be found whoever was told its id.
func spec(a line) engine.JobSpec {
	return engine.JobSpec{Name: a.Request.String(), Scope: scope, Steps: shapes[a.Shape-1]}
}

// A player operates jobs as people, executors and a dispatcher do, and keeps the ledger.
type player struct {
	engine *engine.Engine
	ledger *ledger

	mu   sync.Mutex // guards all below
	dice *rand.Rand // of request ids
	jobs []store.JobID
}

// play repeats the requests that the ledger has no answer to, given as open, and then operates
// jobs until each of its goroutines has had so many turns, or until ctx ends. It settles the
// effects meanwhile.
func play(ctx context.Context, st store.Store, l *ledger, open []*asked, seed uint64, turns int) {
	p := &player{engine: engine.New(witnessed(st, l)), ledger: l, dice: rand.New(rand.NewPCG(seed, 0))}
	for _, a := range open {
		_ = p.ask(ctx, a.line) // whatever comes of it stands in the ledger
	}
	p.find(ctx)

	ctx, end := context.WithCancel(ctx)
	var dispatch, playing sync.WaitGroup
	dispatch.Go(func() {
		_ = p.engine.Dispatch(ctx, p.carryOut,
			engine.Lease(500*time.Millisecond), engine.Poll(20*time.Millisecond),
			engine.Backoff(20*time.Millisecond, 100*time.Millisecond), engine.StopEvery(50*time.Millisecond))
	})
	for who := range people {
		dice := rand.New(rand.NewPCG(seed, uint64(who)+1))
		playing.Go(func() {
			for n := 0; n < turns && ctx.Err() == nil; n++ {
				if err := p.turn(ctx, dice); err != nil && !refused(err) {
					rest(ctx) // the store is away
				}
			}
		})
	}
	playing.Wait()
	end()
	dispatch.Wait()
}

// find takes over jobs that earlier children have left.
func (p *player) find(ctx context.Context) {
	jobs, err := p.engine.Jobs(ctx, engine.JobQuery{States: step.StatesOf(step.Pending, step.Running, step.Waiting, step.Terminating), Limit: atATime})
	if err != nil {
		return // there will be others
	}
	for _, j := range jobs {
		p.jobs = append(p.jobs, j.ID)
	}
}

// turn creates a job if there are too few, or does something to one of them.
func (p *player) turn(ctx context.Context, dice *rand.Rand) error {
	id := p.pick(dice)
	if id == 0 {
		return p.ask(ctx, line{Request: p.newRequest(), Shape: 1 + dice.IntN(len(shapes))})
	}
	job, err := p.engine.Job(ctx, id)
	if err != nil {
		return err
	}
	x, err := p.engine.Explain(ctx, id, job.Current, engine.Request{By: person})
	if err != nil {
		return err
	}
	var legal []line
	for _, v := range x.Causes {
		if v.Legal && (v.Cause != operation.TerminateJob.Cause() || dice.IntN(6) == 0) {
			legal = append(legal, line{Job: id, Step: x.Step.ID, Cause: v.Cause})
		}
	}
	switch {
	case len(legal) > 0:
		a := legal[dice.IntN(len(legal))]
		a.Request = p.newRequest()
		return p.ask(ctx, a)
	case x.Job.State.Finished():
		p.drop(id)
		return nil
	case x.Step.State == step.Running:
		return p.report(ctx, line{
			Job: id, Step: x.Step.ID, Attempt: x.Step.Attempt, Results: results(dice, int32(dice.IntN(int(x.Step.Total)))),
		})
	}
	return nil
}

// pick draws a job, 0 if there are too few.
func (p *player) pick(dice *rand.Rand) store.JobID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.jobs) < atATime {
		return 0
	}
	return p.jobs[dice.IntN(len(p.jobs))]
}

func (p *player) drop(id store.JobID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jobs = slices.DeleteFunc(p.jobs, func(j store.JobID) bool { return j == id })
}

func (p *player) newRequest() (id store.RequestID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range id {
		id[i] = byte(p.dice.Uint32())
	}
	return id
}

// carryOut is the executor.
func (p *player) carryOut(ctx context.Context, d engine.Delivery) error {
	said := line{Job: d.Job.ID, Step: d.Step.ID, Attempt: d.Attempt}
	var err error
	switch d.Effect {
	case store.RunTargets:
		err = p.run(ctx, d, said)
	case store.StopAttempt:
		said.Outcome = step.Stopped
		err = p.report(ctx, said)
	}
	if err != nil && !refused(err) {
		return err
	}
	p.ledger.note(line{Word: handled, Job: d.Job.ID, Seq: d.Seq})
	return nil
}

// run reports the targets that an attempt has left, two at a time; now and then it breaks.
func (p *player) run(ctx context.Context, d engine.Delivery, said line) error {
	targets, err := p.engine.Targets(ctx, d.Job.ID, d.Step.ID, engine.TargetQuery{
		Class: store.UnfinishedTargets, IfAttempt: d.Attempt, Limit: int(d.Step.Total),
	})
	if err != nil {
		return err
	}
	dice := rand.New(rand.NewPCG(uint64(d.Job.ID), uint64(d.Seq)))
	for some := range slices.Chunk(targets, 2) {
		said.Results = nil
		for _, t := range some {
			said.Results = append(said.Results, results(dice, t.Index)...)
		}
		if dice.IntN(20) == 0 {
			said.Outcome = step.Broke
		}
		if err := p.report(ctx, said); err != nil {
			return err
		}
	}
	return nil
}

// results draws what came of a target.
func results(dice *rand.Rand, target int32) []engine.TargetResult {
	r := engine.TargetResult{Target: target, Result: store.Result{Status: step.TargetSucceeded}}
	if dice.IntN(5) == 0 {
		r.Status, r.ExitCode = step.NonZeroExit, 1
	}
	return []engine.TargetResult{r}
}

func (p *player) report(ctx context.Context, said line) error {
	said.Request = p.newRequest()
	return p.ask(ctx, said)
}

// ask makes a request and notes what comes of it: nothing, if the outcome is unknown.
func (p *player) ask(ctx context.Context, a line) error {
	a.Word = ask
	p.ledger.note(a)
	job, seq, err := p.request(ctx, a)
	switch {
	case err == nil:
		p.ledger.note(line{Word: yes, Request: a.Request, Job: job, Seq: seq})
	case errors.Is(err, engine.ErrUnknownOutcome):
	case refused(err), ctx.Err() != nil: // an executor may lose its lease on a busy machine, and with it its context
		p.ledger.note(line{Word: no, Request: a.Request})
	default:
		p.ledger.note(line{Word: no, Request: a.Request, Why: err.Error()})
	}
	return err
}

// request has the engine do what is asked for and returns the job and the record, 0 for none.
func (p *player) request(ctx context.Context, a line) (store.JobID, store.Seq, error) {
	asked := engine.Request{By: person, ID: a.Request}
	switch {
	case a.Shape != 0:
		created, err := p.engine.Create(ctx, spec(a), asked)
		if err == nil {
			p.mu.Lock()
			p.jobs = append(p.jobs, created.Job)
			p.mu.Unlock()
		}
		return created.Job, created.Seq, err
	case a.Cause.OfStep():
		record, err := p.engine.Operate(ctx, a.Job, a.Step, operation.Code(a.Cause), asked)
		return a.Job, record.Seq, err
	case a.Cause.OfJob():
		record, err := p.engine.OperateJob(ctx, a.Job, operation.JobCode(a.Cause.Code()), asked)
		return a.Job, record.Seq, err
	}
	// Reports carry no request id: the executor's name tells this one from all others.
	receipt, err := p.engine.Report(ctx, engine.Report{
		Job: a.Job, Step: a.Step, Attempt: a.Attempt, By: a.Request.String(), Results: a.Results, Outcome: a.Outcome,
	})
	return a.Job, receipt.Seq, err
}

func refused(err error) bool {
	var refusal *engine.Refusal
	return errors.As(err, &refusal)
}

// rest waits a moment, or for the end of ctx.
func rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Millisecond):
	}
}

// witness is a store that notes what is settled.
type witness struct {
	store.Store
	ledger *ledger
}

func (w witness) Settle(ctx context.Context, d store.Delivery) error {
	w.ledger.note(line{Word: settle, Job: d.Job, Seq: d.Seq})
	err := w.Store.Settle(ctx, d)
	if err == nil {
		w.ledger.note(line{Word: settled, Job: d.Job, Seq: d.Seq})
	}
	return err
}

// witnessed returns st with a witness, which is a store.Waker if st is.
func witnessed(st store.Store, l *ledger) store.Store {
	w := witness{st, l}
	if waker, ok := st.(store.Waker); ok {
		return struct {
			witness
			store.Waker
		}{w, waker}
	}
	return w
}
