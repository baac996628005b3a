package enginetest

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// Simulate plays one random story of a whole installation on the rules, the store and the
// engines of c: people, two executors, a clock, and two engines that share a store with faults. It
// is deterministic: one goroutine acts at a time, the time is virtual, and every choice is drawn
// from t, so that the seed that rapid prints replays it.
//
// People create jobs, start and terminate them, use every operation, legal or not, try dry runs,
// set conditions on a version or an attempt, and click twice. Executors receive effects from
// dispatchers, or claim them. They report in parts, all parts at once, twice, late, on the wrong
// attempt, contradict themselves, break, drop the step, stop when asked, later, or not before they
// are asked again, and die and forget. Each call of the store may fail before or after it took
// effect, arrive twice or late, or return an old answer. While one engine commits, the other may
// commit first. At any call an engine may die: its answer is lost, and a new engine takes its place.
//
// The first part checks safety. After every command Simulate reads everything from the store below
// the faults, and checks that
//
//   - every [Invariant] holds of every job;
//   - every answer is true: an accepted request is in the history as in its answer; a refused,
//     dry or failed one has left no record; and a request whose outcome is unknown, or whose
//     engine died, has been carried out once or not at all, and its repetition tells which;
//   - each record is of a request that was made, of a report that was sent on that attempt, or
//     of a deadline that has passed;
//   - a target whose success was accepted is not run again unless a person asked for all;
//   - an effect waits until it has been delivered or is obsolete.
//
// The second part checks liveness. Faults end, executors answer honestly, dispatchers and sweepers
// go on, the clock moves. Within a bounded number of rounds every job must have come to rest: not
// started, ended, or waiting for a person, without an effect in the store; and every request of
// unknown outcome has its answer.
//
// Two of the faults break the promises of [store.Store]: a stale read, and a commit that arrives
// twice and returns the conflict of the second arrival. With these a refusal may be about an old
// state, and may hide that the request has been carried out; all else holds. Dispatchers get no
// stale reads, as an effect may seem obsolete in an old state. Executors that ask for the targets of
// an attempt repeat a stale read, as they run these targets and never ask again.
//
// Simulate finds a change that is lost, doubled or torn by a crash at any moment; a false answer;
// work that is done twice; a lost effect; a job that hangs after the faults have ended. It does not
// find errors of two calls of a store at the same moment (the conformance suite of storetest and the
// race detector do), real delays, an executor that breaks its contract for good, unintended rules
// (see [CheckRules]), and stories longer than a hundred commands.
//
//	rapid.Check(t, func(t *rapid.T) {
//		rapid.SyncTest(t, func(t *rapid.T) { enginetest.Simulate(t, config) })
//	})
//
// In a bubble as here, a back-off of an engine takes no real time, but no goroutine of the store may
// outlive the bubble. Without a bubble each conflict takes some milliseconds, and all else is the
// same.
func Simulate(t *rapid.T, c Config) {
	newStories(c).play(t)
}

// stories has the settings of simulations, and a tally of their events.
type stories struct {
	Config
	commands int
	seen     tally
	troubles []trouble // that come up
}

func newStories(c Config) stories {
	return stories{Config: c.withDefaults(), commands: 100, seen: tally{}, troubles: troubles}
}

// simulation is one story.
type simulation struct {
	dice
	stories
	good      store.Store // without faults
	faults    *storetest.Faults
	store     *crowd.Store      // good, with the faults
	engines   [3]*engine.Engine // the last one only overtakes
	executors [2]*executor
	now       time.Time
	numbers   uint64

	jobs    []*watched
	wishes  []*wish // in the order in which they were first made
	wished  map[store.RequestID]*wish
	sent    map[string]*message // by the name of the executor
	checker *Checker
	handed  map[effect]bool // the effects that a handler has been given

	calm    bool // faults have stopped
	crashed bool // an engine has died in the present command
	muddled bool // a fault has broken a promise of the store in the present request
	nested  bool // a command runs within another one's commit
}

// effect identifies an effect.
type effect struct {
	job store.JobID
	seq store.Seq
}

// play plays one story.
func (how stories) play(t *rapid.T) {
	s := &simulation{
		dice: dice{t}, stories: how, good: how.Open(openTB{T: t}), now: epoch.Std(),
		wished: map[store.RequestID]*wish{}, sent: map[string]*message{}, handed: map[effect]bool{}, checker: NewChecker(how.Rules),
	}
	s.faults = storetest.NewFaults(s.good)
	s.store = &crowd.Store{Store: s.faults, Shared: s.faults.Commit}
	for i := range s.engines {
		s.engines[i] = s.newEngine()
	}
	for i := range s.executors {
		s.executors[i] = newExecutor(s, fmt.Sprint("executor ", i+1))
	}
	for range how.commands {
		before := s.seen["record"]
		s.turn()
		s.check()
		s.seen["command"]++
		if s.seen["record"] > before {
			s.seen["command that commits"]++
		}
	}
	s.rest()
	s.seen["story"]++
}

func (s *simulation) newEngine() *engine.Engine {
	return s.Engine(s.store, engine.WithRules(s.Rules), engine.WithClock(func() time.Time { return s.now }), engine.WithRandom(s.number), engine.WithWindows(window))
}

// number returns a new number, the same ones in each run.
func (s *simulation) number() uint64 {
	s.numbers++
	return s.numbers * 0x9e3779b97f4a7c15
}

func (s *simulation) newRequest() (id store.RequestID) {
	binary.BigEndian.PutUint64(id[:], s.number())
	return id
}

// turn plays one command, with its faults.
func (s *simulation) turn() {
	kind := player.Of(s, "command", s.kinds())
	s.plan(kind)
	s.command(func(e *engine.Engine) { s.act(kind, e) })
}

// kinds returns the kinds of commands that may have an effect now, the likely ones first and several
// times: rapid prefers the first. Two in five commands commit.
func (s *simulation) kinds() []string {
	if len(s.jobs) == 0 {
		return []string{"create"}
	}
	var kinds []string
	add := func(n int, kind string) { kinds = append(kinds, slices.Repeat([]string{kind}, max(n, 0))...) }
	open, asks, due := 0, 0, false
	for _, j := range s.jobs {
		switch {
		case s.asks(j):
			open, asks = open+1, asks+1
		case j.last.Job.State == step.Running || j.last.Job.State == step.Terminating:
			open++
		}
		due = due || slices.ContainsFunc(j.last.Effects, func(d store.Delivery) bool { return d.NotBefore <= step.At(s.now) })
	}
	if slices.ContainsFunc(s.executors[:], (*executor).hasWork) {
		add(10, "work")
	}
	add(4*asks, "ask")
	if due {
		add(4, "deliver")
	}
	add(2*(3-open), "create")
	return append(kinds, "clock", "ask", "clock", "again")
}

// asks reports whether j waits for a person.
func (s *simulation) asks(j *watched) bool {
	at, sight := j.last.current(), j.last.sight()
	return at.State != step.Running && at.State != step.Terminating && // else it waits for an executor
		!sight.Idle()
}

// act plays a command of a kind on an engine.
func (s *simulation) act(kind string, e *engine.Engine) {
	s.seen["command: "+kind]++
	switch kind {
	case "create":
		s.create(e)
	case "ask":
		s.operate(e)
	case "again":
		s.clickAgain(e)
	case "work":
		s.busy().work(e)
	case "deliver":
		player.Of(s, "executor", s.executors[:]).receive(e, s.drawMoods())
	case "clock":
		s.now = s.now.Add(player.Of(s, "time", []time.Duration{3 * time.Second, 800 * time.Millisecond, 8 * time.Second, 2 * time.Second, 5 * time.Second}))
		s.sweep(e)
	}
}

// command runs f on an engine. If the engine dies, another one takes its place.
func (s *simulation) command(f func(*engine.Engine)) {
	i := s.Below(len(s.engines)-1, "engine")
	f(s.engines[i])
	s.faults.Clear()
	if s.crashed {
		s.crashed = false
		s.engines[i] = s.newEngine()
		s.seen["crash"]++
	}
}

// sweep expires overdue attempts.
func (s *simulation) sweep(e *engine.Engine) {
	s.muddled = false
	n, err := e.Sweep(context.Background())
	if s.calm && err != nil {
		s.Fatalf("Sweep: %v", err)
	}
	s.seen["expired"] += n
}
