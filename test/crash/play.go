package crash

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const (
	people  = 8  // goroutines that operate
	atATime = 12 // jobs that they operate on; a new one replaces a finished one
)

var scope = store.Scope{Type: "crash", ID: "1"} // of every job

// shapes are the jobs that people create.
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

// The choices of people and executors, chosen so that jobs come to their end.
var (
	habits = player.Habits{Anything: 8, OnJob: 6, Closes: 40}
	odds   = map[step.State]player.Odds{step.Running: {Executor: 5, Person: 1}}
	words  = player.Words{Statuses: append(slices.Repeat([]step.Status{step.TargetSucceeded}, 4), step.NonZeroExit), Outcomes: []step.Cause{step.Broke}, Both: 20}
)

// A crew operates jobs as people, executors and a dispatcher do, and keeps the ledger.
type crew struct {
	engine *engine.Engine
	ledger *ledger

	mu   sync.Mutex // guards all below
	jobs []store.JobID
}

// play repeats the open requests, to which the ledger has no answer. Then it operates jobs and settles
// effects, until each of its goroutines has had its turns or ctx ends. The moment, if it is not nil,
// decides on the changes that reports share.
func play(ctx context.Context, st store.Store, l *ledger, open []*asked, seed uint64, turns int, m *moment) {
	p := &crew{engine: engine.New(witnessed(st, l, m)), ledger: l}
	ctx = crowd.Calling(ctx)
	for _, a := range open {
		_ = p.ask(ctx, a.line) // the ledger has the outcome
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
		dice := dice(seed, uint64(who))
		playing.Go(func() {
			for n := 0; n < turns && ctx.Err() == nil; n++ {
				if err := p.turn(ctx, dice); err != nil && !player.Refused(err) {
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
func (p *crew) find(ctx context.Context) {
	jobs, err := p.engine.Jobs(ctx, engine.JobQuery{States: step.StatesOf(step.Pending, step.Running, step.Waiting, step.Terminating), Limit: atATime})
	if err != nil {
		return // there will be others
	}
	for _, j := range jobs {
		p.jobs = append(p.jobs, j.ID)
	}
}

func dice(seed, stream uint64) player.Rand {
	return player.Rand{Rand: rand.New(rand.NewPCG(seed, stream))}
}

// turn creates a job if there are too few, or operates on one of them.
func (p *crew) turn(ctx context.Context, dice player.Rand) error {
	id := p.pick(dice)
	if id == 0 {
		return p.operate(ctx, player.Ask{Cause: step.Created, Spec: &engine.JobSpec{Scope: scope, Steps: player.Of(dice, "shape", shapes)}})
	}
	job, err := p.engine.Job(ctx, id)
	if err != nil {
		return err
	}
	at, err := p.engine.Step(ctx, id, job.Current)
	if err != nil {
		return err
	}
	sight := player.Sight{Rules: p.engine.Rules(), Job: job, Step: at}
	if sight.Final() {
		p.drop(id)
		return nil
	}
	switch sight.Turn(dice, odds) {
	case player.Person:
		return p.operate(ctx, sight.Ask(dice, habits))
	case player.Executor:
		said := sight.Report(dice, words)
		if len(said.Results) > 2 && said.Outcome == 0 {
			return p.meet(ctx, said, said.Results)
		}
		return p.report(ctx, said)
	}
	return nil
}

// pick draws a job, 0 if there are too few.
func (p *crew) pick(dice player.Rand) store.JobID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.jobs) < atATime {
		return 0
	}
	return player.Of(dice, "job", p.jobs)
}

func (p *crew) drop(id store.JobID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jobs = slices.DeleteFunc(p.jobs, func(j store.JobID) bool { return j == id })
}

// carryOut is the executor.
func (p *crew) carryOut(ctx context.Context, d engine.Delivery) error {
	said := engine.Report{Job: d.Job.ID, Step: d.Step.ID, Attempt: d.Attempt}
	var err error
	switch d.Effect {
	case store.RunTargets:
		err = p.run(ctx, d, said)
	case store.StopAttempt:
		said.Outcome = step.Stopped
		err = p.report(ctx, said)
	}
	if err != nil && !player.Refused(err) {
		return err
	}
	p.ledger.note(line{Word: handled, Job: d.Job.ID, Seq: d.Seq})
	return nil
}

// run reports the remaining targets of an attempt, two at a time or in reports that meet. Now and
// then the run breaks.
func (p *crew) run(ctx context.Context, d engine.Delivery, said engine.Report) error {
	targets, err := p.engine.Targets(ctx, d.Job.ID, d.Step.ID, engine.TargetQuery{
		Class: store.UnfinishedTargets, IfAttempt: d.Attempt, Limit: int(d.Step.Total),
	})
	if err != nil {
		return err
	}
	dice := dice(uint64(d.Job.ID), uint64(d.Seq))
	if len(targets) > 2 && !player.OneIn(dice, 4, "in turn") {
		return p.meet(ctx, said, player.Results(dice, indexesOf(targets), words.Statuses))
	}
	for some := range slices.Chunk(targets, 2) {
		said.Results = player.Results(dice, indexesOf(some), words.Statuses)
		if player.OneIn(dice, words.Both, "breaks") {
			said.Outcome = step.Broke
		}
		if err := p.report(ctx, said); err != nil {
			return err
		}
	}
	return nil
}

func indexesOf(targets []store.Target) []int32 {
	indexes := make([]int32, len(targets))
	for i, t := range targets {
		indexes[i] = t.Index
	}
	return indexes
}

// meet reports each result by itself, and the first one again, in reports that meet: all but the
// first are committed together.
func (p *crew) meet(ctx context.Context, said engine.Report, results []engine.TargetResult) error {
	results = append(results, results[0])
	errs := make([]error, len(results))
	report := func(i int) func(context.Context) {
		said := said
		said.Results = results[i : i+1]
		return func(ctx context.Context) { errs[i] = p.report(ctx, said) }
	}
	meeting := crowd.Meeting{First: report(0)}
	for i := 1; i < len(results); i++ {
		meeting.Others = append(meeting.Others, report(i))
	}
	meeting.Hold(ctx)
	for _, err := range errs {
		if err != nil && !player.Refused(err) {
			return err
		}
	}
	return nil
}

// operate asks for an operation or a creation. The name of a job is the request that created it: it
// identifies a job whose creator got no answer.
func (p *crew) operate(ctx context.Context, a player.Ask) error {
	a.By, a.ID = person, uuid.New()
	if a.Spec != nil {
		a.Spec.Name = a.ID.String()
	}
	return p.ask(ctx, line{Request: a.ID, Job: a.Job, Ask: &a})
}

// report reports under a name of its own, because a report has no request id.
func (p *crew) report(ctx context.Context, said engine.Report) error {
	id := uuid.New()
	said.By = id.String()
	return p.ask(ctx, line{Request: id, Job: said.Job, Report: &said})
}

// ask makes a request and notes its outcome, and nothing if that is unknown.
func (p *crew) ask(ctx context.Context, a line) error {
	a.Word = ask
	p.ledger.note(a)
	job, seq, err := p.request(ctx, a)
	switch {
	case err == nil:
		p.ledger.note(line{Word: yes, Request: a.Request, Job: job, Seq: seq})
	case errors.Is(err, engine.ErrUnknownOutcome):
	case player.Refused(err), ctx.Err() != nil: // an executor may lose its lease on a busy machine, and with it its context
		p.ledger.note(line{Word: no, Request: a.Request})
	default:
		p.ledger.note(line{Word: no, Request: a.Request, Why: err.Error()})
	}
	return err
}

// request makes a request of the engine and returns the job and the record, 0 for none.
func (p *crew) request(ctx context.Context, a line) (store.JobID, store.Seq, error) {
	if a.Report != nil {
		receipt, err := p.engine.Report(ctx, *a.Report)
		return a.Job, receipt.Seq, err
	}
	record, err := a.Ask.Send(ctx, p.engine)
	if err == nil && a.Ask.Spec != nil {
		p.mu.Lock()
		p.jobs = append(p.jobs, record.Job)
		p.mu.Unlock()
	}
	return record.Job, record.Seq, err
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
func witnessed(st store.Store, l *ledger, m *moment) store.Store {
	stage := &crowd.Store{Store: st}
	stage.Shared = func(ctx context.Context, c store.Change) error {
		if len(c.Records) == 1 {
			return st.Commit(ctx, c)
		}
		first := line{Word: share, Job: c.Job.ID, Seq: c.Records[0].Seq}
		l.note(first)
		m.reach(before)
		err := st.Commit(ctx, c)
		m.reach(after)
		first.Word = shared
		l.note(first)
		return err
	}
	w := witness{stage, l}
	if waker, ok := st.(store.Waker); ok {
		return struct {
			witness
			store.Waker
		}{w, waker}
	}
	return w
}
