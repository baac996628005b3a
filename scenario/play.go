package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A Result is the outcome of a play.
type Result struct {
	Scenario *Scenario // that was played
	Timeline Timeline  // of the play, in order

	// Golden is the file with the actual outcomes in place of wrong ones. If none is wrong, it
	// is the file, byte for byte.
	Golden string
}

// A Mismatch is an action whose outcome differs from the file's.
type Mismatch struct {
	File string // the scenario's name
	Line int    // of the action, from 1
	Text string // of that line
	Want string // the expected clauses that failed
	Got  string // the actual outcome
	Err  error  // the engine's, if it returned one
}

func (m *Mismatch) Error() string {
	return fmt.Sprintf("%s:%d: %s: want %s; got %s", m.File, m.Line, m.Text, m.Want, m.Got)
}

// Unwrap returns the engine's error, or nil.
func (m *Mismatch) Unwrap() error { return m.Err }

// Play plays s, which [Parse] returned, to its end, each time in the same way. It returns the
// result also with an error. The error joins a *[Mismatch] for every action with another outcome
// than the file's, in their order, and for every job whose history does not replay to its stored
// state. It is ctx's error if ctx has ended, and another error if s is nil or a function of c fails.
func Play(ctx context.Context, s *Scenario, c Config) (*Result, error) {
	if s == nil {
		return &Result{}, errors.New("no scenario: Play takes one that Parse returned")
	}
	p := &player{Config: c.withDefaults(), Scenario: s, ctx: ctx, denied: map[string]string{}, windows: map[string]*window{}, came: map[int][]clause{}}
	p.now = time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC)
	err := p.open()
	if err == nil {
		err = p.play()
	}
	if ctx.Err() != nil { // it may be the cause of other errors
		err = ctx.Err()
	}
	return &Result{s, p.timeline, p.golden()}, err
}

// A player plays one scenario.
type player struct {
	Config
	*Scenario
	ctx context.Context
	now time.Time

	raw    store.Store       // without faults
	faults *storetest.Faults // raw, with faults
	eng    *engine.Engine
	other  *engine.Engine // on the same store, for what happens in between

	jobs    []*stored
	job     *stored   // that the actions are about
	draft   *creation // that is being created
	denied  map[string]string
	windows map[string]*window
	between []int // the actions that wait to get in the way of the next one
	crash   int   // the action that takes the store down at the next commit, plus 1; 0 for none
	delayed bool  // the crash has not been handed to the faults yet
	astray  bool  // an engine has a clock of its own
	jobless bool  // an action has failed as there was no job

	random   atomic.Uint64
	timeline Timeline
	failures []*Mismatch
	came     map[int][]clause // by action: the actual outcome, if it is not the expected one
}

// A stored job is one that the engine has drawn an id for.
type stored struct {
	*creation
	id   store.JobID
	seen store.Seq // the last of its records that is in the timeline
}

// spread is 2^64 divided by the golden ratio: its multiples are far apart.
const spread = 0x9e3779b97f4a7c15

// open opens the store and makes the engines.
func (p *player) open() error {
	p.raw = p.Open()
	if p.raw == nil {
		return fmt.Errorf("%s: Config.Open returned no store", p.Name)
	}
	jobs, err := p.raw.Jobs(p.ctx, store.JobFilter{Page: store.Page[store.JobID]{Limit: 1}})
	if err != nil {
		return fmt.Errorf("%s: Config.Open returned a store that fails: %w", p.Name, err)
	}
	if len(jobs) > 0 {
		return fmt.Errorf("%s: Config.Open returned a store that holds jobs, want an empty one", p.Name)
	}
	p.faults = storetest.NewFaults(p.raw)
	if err := p.restart(); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// restart makes new engines on the store, which is up.
func (p *player) restart() error {
	p.faults.Clear()
	opts := []engine.Option{
		engine.WithRules(p.Rules), engine.WithClock(func() time.Time { return p.now }),
		engine.WithJobIDs(p.draw), engine.WithAuthorizer(p.authorize), engine.WithWindows(p.opens),
		engine.WithRandom(func() uint64 { return p.random.Add(spread) }),
	}
	eng, other := p.Engine(p.faults, opts...), p.Engine(p.faults, opts...)
	switch {
	case eng == nil || other == nil:
		return errors.New("Config.Engine returned no engine")
	case eng.Rules() != p.Rules || other.Rules() != p.Rules:
		return errors.New("Config.Engine returned an engine with rules of its own, want those of its options")
	}
	p.eng, p.other = eng, other
	return nil
}

// draw gives the job that is being created the next id. at is when the engine believes it is.
func (p *player) draw(at step.Time) store.JobID {
	p.astray = p.astray || at != step.At(p.now)
	id := store.JobID(len(p.jobs) + 1)
	p.jobs = append(p.jobs, &stored{creation: p.draft, id: id})
	return id
}

func (p *player) authorize(_ context.Context, a engine.Access) error {
	if why, denied := p.denied[a.Actor]; denied {
		return errors.New(cmp.Or(why, "the scenario denies it"))
	}
	return nil
}

// play plays all actions and returns the mismatches, joined.
func (p *player) play() error {
	for i := range p.actions {
		if p.ctx.Err() != nil {
			break
		}
		p.perform(i)
	}
	p.end()
	slices.SortStableFunc(p.failures, func(a, b *Mismatch) int { return a.Line - b.Line })
	failures := make([]error, len(p.failures))
	lines := map[int]bool{}
	for i, f := range p.failures {
		failures[i] = f
		lines[f.Line] = true
	}
	for i := range p.timeline {
		p.timeline[i].Unwanted = lines[p.timeline[i].Line]
	}
	return errors.Join(failures...)
}

// perform runs an action, with the "in between" actions that wait for it.
func (p *player) perform(i int) {
	a := &p.actions[i]
	if a.Between {
		p.between = append(p.between, i)
		return
	}
	if _, ok := a.Command.(*crash); ok {
		p.missed()
		p.crash, p.delayed = i+1, true
		p.tell(a)
		return
	}
	waiting := len(p.between)
	if waiting > 0 {
		p.faults.Add(storetest.Fault{Method: storetest.Commit, Do: p.getInTheWay})
	}
	if p.delayed {
		p.delayed = false
		after := p.actions[p.crash-1].Command.(*crash).After
		p.faults.Add(storetest.Fault{Method: storetest.Commit, After: after, Do: p.goDown, Err: errDown})
	}
	p.act(i, p.eng)
	if waiting > 0 && len(p.between) > 0 {
		p.fail(&p.actions[p.between[0]], "it to happen before a commit", "no commit", nil)
		p.between = nil
	}
}

// getInTheWay runs the "in between" actions before the commit that is about to be made.
func (p *player) getInTheWay() {
	waiting := p.between
	p.between = nil
	for _, i := range waiting {
		p.act(i, p.other)
	}
}

var errDown = errors.New("the store is down")

func (p *player) goDown() {
	p.crash = 0
	for _, m := range storetest.Methods() {
		p.faults.Add(storetest.Fault{Method: m, Forever: true, Err: errDown})
	}
}

// missed notes a mismatch for a crash that still waits for a commit when it is too late for one.
func (p *player) missed() {
	if p.crash > 0 {
		p.fail(&p.actions[p.crash-1], "a commit after it", "none", nil)
	}
	p.crash, p.delayed = 0, false
}

// act carries out an action and compares its outcome with the expected one.
func (p *player) act(i int, eng *engine.Engine) {
	a := &p.actions[i]
	o := p.do(a, eng)
	p.note(a, o)
	p.check(i, o)
}

var errNoJob = errors.New("there is no job")

// current returns the job that actions are about, or errNoJob.
func (p *player) current() (*stored, error) {
	if p.job == nil {
		return nil, errNoJob
	}
	return p.job, nil
}

func (p *player) fail(a *action, want, got string, err error) {
	p.failures = append(p.failures, &Mismatch{File: p.Name, Line: a.Line, Text: cut(p.line(a.Line)), Want: want, Got: got, Err: err})
}

// end checks what only the end of a play can show: crashes that were missed, and the histories.
func (p *player) end() {
	p.missed()
	for i := range p.actions {
		job, ok := p.actions[i].Command.(*creation)
		if !ok {
			continue
		}
		for _, st := range p.jobs {
			if st.creation == job && st.seen > 0 {
				if err := p.audit(st); err != nil {
					p.fail(&p.actions[i], "a history that replays to what is stored", err.Error(), err)
				}
			}
		}
	}
}

// audit replays the history of a job: the result must equal the stored header and steps.
func (p *player) audit(job *stored) error {
	view, err := p.raw.View(p.ctx, store.Query{Job: job.id})
	steps, err2 := p.raw.Steps(p.ctx, store.Scope{}, job.id, store.Page[step.ID]{Limit: len(job.Steps) + 1})
	history, err3 := p.raw.History(p.ctx, store.Scope{}, job.id, store.Page[store.Seq]{Limit: int(job.seen) + 1})
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	spec := job.spec()
	spec.Scope = view.Job.Scope
	replayed, replayedSteps, err := engine.Replay(p.eng.Rules(), spec, history)
	switch {
	case err != nil:
		return err
	case !reflect.DeepEqual(replayed, view.Job):
		return fmt.Errorf("%+v by the history, and %+v stored", replayed, view.Job)
	case !reflect.DeepEqual(replayedSteps, steps):
		return fmt.Errorf("%+v by the history, and %+v stored", replayedSteps, steps)
	}
	for i, s := range steps {
		details, err := p.raw.Details(p.ctx, store.DetailQuery{Job: job.id, Step: s.ID})
		if err != nil || details.Payload != job.Steps[i].Payload {
			return errors.Join(err, fmt.Errorf("step %d was defined with the payload %q, and %q is stored", s.ID, job.Steps[i].Payload, details.Payload))
		}
	}
	return nil
}
