package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Play plays a number of commands on a fresh, empty store, and then writes all stored rows. The error
// is a broken invariant of enginetest, or an error of reading the rows.
func Play(ctx context.Context, st store.Store, seed uint64, commands int) (*History, error) {
	return play(ctx, st, seed, commands, 64)
}

// play is Play with a number of concurrent handlers, which no history shows. With one handler the
// store gets one call at a time: only the handlers of a delivery run concurrently, and only one of the
// reports that meet is in the store.
func play(ctx context.Context, st store.Store, seed uint64, commands, handlers int) (*History, error) {
	var last version
	stage := &crowd.Store{Store: viewed{st, &last}} // no store.Clock and no store.Waker
	p := newPerformer(stage, &last, seed, handlers)
	p.stage, p.together = stage, true
	return p.perform(crowd.Calling(ctx), commands)
}

// playOneByOne is Play with reports that meet sent one after the other, to an engine that keeps
// nothing of a job. Its answers are the reference for all others.
func playOneByOne(ctx context.Context, st store.Store, seed uint64, commands int) (*History, error) {
	var last version
	return newPerformer(local{viewed{st, &last}}, &last, seed, 64).perform(ctx, commands)
}

// local is a store whose jobs an engine does not keep, and on which reports do not meet.
type local struct{ store.Store }

// Local implements [store.Local].
func (local) Local() {}

// A version is that of the job that was viewed last, while jobs are viewed one after the other.
type version struct{ atomic.Int64 }

// viewed is a store that notes the version of each job that is viewed.
type viewed struct {
	store.Store
	last *version
}

// View implements [store.Store].
func (s viewed) View(ctx context.Context, q store.Query) (store.View, error) {
	v, err := s.Store.View(ctx, q)
	s.last.Store(int64(v.Job.Version))
	return v, err
}

func newPerformer(st store.Store, last *version, seed uint64, handlers int) *performer {
	p := &performer{
		Rand:     player.Rand{Rand: rand.New(rand.NewPCG(seed, 0))},
		History:  &History{Seed: seed, Tally: map[string]int{}},
		store:    st,
		handlers: handlers,
		last:     last,
		now:      start,
	}
	for _, e := range []**engine.Engine{&p.engine, &p.rivals} {
		*e = engine.New(st, engine.WithRules(rules),
			engine.WithClock(func() time.Time { return p.now }),
			engine.WithRandom(p.random),
			engine.WithJobIDs(func(step.Time) store.JobID { return p.newJobID() }),
			engine.WithObserver(engine.Observer{
				Failed:   p.failed,
				Accepted: func(context.Context, store.Record, time.Duration) {}, // a call has the time at which it began
			}),
		)
	}
	return p
}

func (p *performer) random() uint64 {
	if p.sweeps {
		return p.number + uint64(p.last.Load())
	}
	return p.number
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

// start is long past: a store that reads its own clock gives another history.
var start = time.UnixMilli(1_500_000_000_000)

// A performer plays commands on one store, drawn by a seed and the store's answers.
type performer struct {
	player.Rand
	*History
	store    store.Store
	stage    *crowd.Store // the store, if reports meet on it
	together bool         // reports meet; else they come one by one
	engine   *engine.Engine
	rivals   *engine.Engine // another one on the store
	handlers int            // that run at once
	now      time.Time
	jobs     []*job
	held     []store.Delivery // claimed at some time

	// number is the value of the engine's random source during a whole command. A sweep makes a
	// request id for each job that it expires, in the order of the deadlines, and the order of
	// equal deadlines is open: its ids depend on the version of the job, as it may come twice.
	number uint64
	sweeps bool
	last   *version

	mu       sync.Mutex // guards all below
	failures []string   // of the observer in this command
}

// A job is a created job with the player's memory of it.
type job struct {
	id       store.JobID
	spec     engine.JobSpec
	created  player.Ask
	endless  bool // its people never go on from a step, and never end it
	stubborn bool // its people retry rather than go on
	over     bool // it cannot change any more
	done     []player.Ask
	reports  []engine.Report
	views    []store.View // all that were loaded, the latest last
}

// A move is a command about a job in the state of at.
type move func(p *performer, ctx context.Context, j *job, at *store.View)

// moves are rare commands, in percent. Otherwise the player acts.
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
	if len(open) < 5 || len(open) < 8 && p.oneIn(100) {
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

// move draws a command.
func (p *performer) move() move {
	n := p.IntN(100)
	for _, m := range moves {
		if n -= m.weight; n < 0 {
			return m.do
		}
	}
	return (*performer).act
}

// tick moves the clock forward: mostly by seconds, now and then past most deadlines, and now and
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

// look reads the state of a job. The next command depends on it.
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
	p.row(v.Turn)
	for _, t := range v.Targets {
		p.row(t)
	}
	if v.Replay != nil {
		p.row(v.Replay)
	}
}

// failed observes the errors that no caller gets.
func (p *performer) failed(_ context.Context, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = append(p.failures, kindOf(err))
}

// tellFailures writes the observed errors, sorted, because handlers run concurrently.
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

// newJobID draws a job id of any size, and now and then one in use.
func (p *performer) newJobID() store.JobID {
	if len(p.jobs) > 0 && p.oneIn(10) {
		return one(p, p.jobs).id
	}
	return 1 + store.JobID(p.Uint64N(1<<uint(8+p.IntN(46))-1))
}

// scopes are the scopes of jobs.
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

// from draws the caller that reads a job: mostly a caller of the job's scope, now and then one that
// must not see the job.
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
