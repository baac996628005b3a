package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Play plays so many commands on a store that is fresh and empty, and writes down at the end
// all that is stored. The error is an invariant of enginetest that a job does not hold in the
// end, or one of reading it.
func Play(ctx context.Context, st store.Store, seed uint64, commands int) (*History, error) {
	return play(ctx, st, seed, commands, 64)
}

// play is Play with so many handlers at once, which no history tells. With one handler the store
// gets one call at a time: the handlers of a delivery are all that ever runs at once, and of reports
// that meet one is in the store.
func play(ctx context.Context, st store.Store, seed uint64, commands, handlers int) (*History, error) {
	stage := &crowd.Store{Store: st} // no store.Clock and no store.Waker
	p := newPerformer(stage, seed, handlers)
	p.stage, p.together = stage, true
	return p.perform(crowd.Calling(ctx), commands)
}

// playOneByOne is Play with reports that meet sent one after the other, to an engine that keeps
// nothing of a job: what it is answered, all others should be.
func playOneByOne(ctx context.Context, st store.Store, seed uint64, commands int) (*History, error) {
	return newPerformer(local{st}, seed, 64).perform(ctx, commands)
}

// local is a store of which nothing is kept, and on which reports do not meet.
type local struct{ store.Store }

// Local implements [store.Local].
func (local) Local() {}

func newPerformer(st store.Store, seed uint64, handlers int) *performer {
	p := &performer{
		Rand:     player.Rand{Rand: rand.New(rand.NewPCG(seed, 0))},
		History:  &History{Seed: seed, Tally: map[string]int{}},
		store:    st,
		handlers: handlers,
		now:      start,
	}
	for _, e := range []**engine.Engine{&p.engine, &p.rivals} {
		*e = engine.New(st, engine.WithRules(rules),
			engine.WithClock(func() time.Time { return p.now }),
			engine.WithRandom(func() uint64 { return p.number }),
			engine.WithJobIDs(func(step.Time) store.JobID { return p.newJobID() }),
			engine.WithObserver(engine.Observer{
				Failed:   p.failed,
				Accepted: func(context.Context, store.Record, time.Duration) {}, // a call has the time of its beginning
			}),
		)
	}
	return p
}

// perform plays the commands.
func (p *performer) perform(ctx context.Context, commands int) (*History, error) {
	for p.turn = 1; p.turn <= commands; p.turn++ {
		p.play(ctx)
		p.tellFailures()
	}
	p.turn = 0
	return p.History, p.dump(ctx)
}

// start is long past, so that a store which reads a clock of its own is found out.
var start = time.UnixMilli(1_500_000_000_000)

// A performer does to one store what a seed and the store's answers say.
type performer struct {
	player.Rand
	*History
	store    store.Store
	stage    *crowd.Store // the store, if reports meet on it
	together bool         // they do; else they come one by one
	engine   *engine.Engine
	rivals   *engine.Engine // another one on the store
	handlers int            // that run at once
	now      time.Time
	jobs     []*job
	held     []store.Delivery // claimed at some time

	// number is what the engine's random source gives: one number for the whole of a command.
	// A sweep makes a request id for each job that it expires, and would give them to the
	// jobs in the order of the deadlines, which is open where two are the same.
	number uint64

	mu       sync.Mutex // guards all below
	failures []string   // that the observer was told of in this command
}

// A job is one that was created, and what the player remembers of it.
type job struct {
	id       store.JobID
	spec     engine.JobSpec
	created  player.Ask
	endless  bool // its people never go on from a step, and never end it
	stubborn bool // its people rather try again than go on
	over     bool // nothing can happen to it any more
	done     []player.Ask
	reports  []engine.Report
	views    []store.View // where it stood when it was looked at, the latest last
}

// A move is a command about a job that stands where at shows it.
type move func(p *performer, ctx context.Context, j *job, at *store.View)

// moves are what a player does now and then, in percent. Otherwise it acts.
var moves = []struct {
	weight int
	do     move
}{
	{4, (*performer).actAnyhow},
	{4, (*performer).repeat},
	{2, (*performer).repeatCreation},
	{3, (*performer).commitLate},
	{2, (*performer).commitTwo},
	{2, (*performer).commitMalformed},
	{4, (*performer).sweep},
	{3, (*performer).deliver},
	{5, (*performer).claim},
	{4, (*performer).release},
	{3, (*performer).attend},
	{16, (*performer).read},
	{2, (*performer).callTooLate},
	{2, (*performer).meet},
}

// play plays one command.
func (p *performer) play(ctx context.Context) {
	p.tick()
	open := slices.DeleteFunc(slices.Clone(p.jobs), func(j *job) bool { return j.over })
	if len(open) < 2 || len(open) < 6 && p.oneIn(100) {
		p.create(ctx)
		return
	}
	j := one(p, open)
	switch p.IntN(12) {
	case 0:
		j = one(p, p.jobs)
	case 1, 2, 3:
		j = p.jobs[0] // which is endless
	}
	at, ok := p.look(ctx, j)
	if !ok {
		return
	}
	p.move()(p, ctx, j, at)
}

// move draws what to do.
func (p *performer) move() move {
	n := p.IntN(100)
	for _, m := range moves {
		if n -= m.weight; n < 0 {
			return m.do
		}
	}
	return (*performer).act
}

// tick moves the clock on: by seconds mostly, now and then past most deadlines; and now and
// then back.
func (p *performer) tick() {
	p.number = p.Uint64()
	p.now = p.now.Add(time.Duration(1+p.IntN(4000)) * time.Millisecond)
	switch p.IntN(100) {
	case 0, 1:
		p.now = p.now.Add(time.Duration(p.IntN(7200)) * time.Second)
	case 2:
		p.now = p.now.Add(time.Duration(-p.IntN(60)) * time.Second)
	}
}

// look reads where a job stands, which is what the next command is drawn by.
func (p *performer) look(ctx context.Context, j *job) (*store.View, bool) {
	p.ask("look at job %d", j.id)
	view, err := p.store.View(ctx, store.Query{Job: j.id})
	if err != nil {
		p.fail(err)
		return nil, false
	}
	p.rowsOf(&view)
	j.over = sight(&view).Final()
	if j.views = append(j.views, view); len(j.views) > 4 {
		j.views = j.views[1:]
	}
	return &view, true
}

// final is an operation of the players' own: it makes a job that has ended final.
const final operation.JobCode = 32

// rules are the standard ones, and final.
var rules = func() *operation.Rules {
	final.Cause().Register("finalize")
	table := operation.StandardTable()
	table.Rows = append(table.Rows, operation.Row{
		Cause: final.Cause(), From: step.StatesOf(step.Succeeded, step.Failed, step.Abnormal, step.Terminated), Do: step.Seal,
	})
	r, err := table.Compile()
	if err != nil {
		panic(err)
	}
	return r
}()

// rowsOf writes a view.
func (p *performer) rowsOf(v *store.View) {
	p.row(v.Job)
	p.row(v.Step)
	p.row(v.Next)
	for _, t := range v.Targets {
		p.row(t)
	}
	if v.Replay != nil {
		p.row(v.Replay)
	}
}

// failed is told of what no caller is told of.
func (p *performer) failed(_ context.Context, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = append(p.failures, kindOf(err))
}

// tellFailures writes what the observer was told of, in an order of its own as handlers run
// at once.
func (p *performer) tellFailures() {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(p.failures)
	for _, text := range p.failures {
		p.row("told to the observer: " + text)
	}
	p.failures = p.failures[:0]
}

func (p *performer) oneIn(n int) bool { return p.IntN(n) == 0 }

// one draws one of some things.
func one[T any](p *performer, of []T) T { return of[p.IntN(len(of))] }

// newJobID draws a job id of any size, and now and then one that is taken.
func (p *performer) newJobID() store.JobID {
	if len(p.jobs) > 0 && p.oneIn(10) {
		return one(p, p.jobs).id
	}
	return 1 + store.JobID(p.Uint64N(1<<uint(8+p.IntN(46))-1))
}

// scopes are those that jobs are in.
var scopes = []store.Scope{{}, {Type: "biz", ID: "1"}, {Type: "biz", ID: "2"}, {Type: "set", ID: "1"}, {Type: "biz ", ID: "1 ünï'\"\\"}}

// A viewpoint is an engine and the scope that it sees.
type viewpoint struct {
	*engine.Engine
	scope store.Scope
}

func (v viewpoint) String() string {
	if v.scope == (store.Scope{}) {
		return "everywhere"
	}
	return fmt.Sprintf("in %q %q", v.scope.Type, v.scope.ID)
}

// from draws who looks at a job: mostly somebody of its own scope, now and then somebody who
// must not see it.
func (p *performer) from(j *job) viewpoint {
	scope := j.spec.Scope
	switch p.IntN(20) {
	case 0:
		scope = one(p, scopes)
	case 1, 2, 3:
		scope = store.Scope{}
	}
	if scope == (store.Scope{}) {
		return viewpoint{p.engine, scope}
	}
	return viewpoint{p.engine.In(scope), scope}
}
