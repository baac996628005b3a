package enginetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// Sequence plays one random sequence of a hundred commands on the rules, the store and the
// engines of c, and fails t with the number of the promise that is broken. Two engines share
// the store. People, executors and the clock act on a few jobs; others commit between a
// command's decision and its commit; commits fail as far as one engine is told, whether they
// take effect, never do, or do so later; requests and reports are repeated, and come too
// late; effects are delivered, some at the second try.
//
// After each command all of the jobs that it touched is read back. Every [Invariant] must
// hold. The model, to which the same was done, must have had the same verdict, and must
// [Compare]. Where commands raced, each record in its order must be one that the model
// accepts in that place, and each refusal one that the model has in one of the states
// passed: promise 6. What was accepted stands in the history and has made one version, what
// was refused none, a repeated request is answered as it was: promise 1.
//
// What it would catch: whatever breaks a promise or the expected rules by any order of
// commands up to its length, with two at once; the seed that rapid prints replays it
// exactly. What it does not show: true concurrency, of which memory and deadlocks are, as
// one goroutine acts at a time; the rare orders that random ones miss, which a [Walk] of
// small jobs does not; scopes, paging, watching, options like IfVersion; and what model and
// engine have in common, which is the document.
//
//	rapid.Check(t, func(t *rapid.T) {
//		rapid.SyncTest(t, func(t *rapid.T) { enginetest.Sequence(t, config) })
//	})
//
// In a bubble as here, which nothing of a store may outlive, an engine that backs off costs no
// time; without one it waits some milliseconds per race, and all else is the same.
func Sequence(t *rapid.T, c Config) {
	game{Config: c.withDefaults(), commands: 100, modelled: true, seen: tally{}}.play(t)
}

// A game is what sequences are played by.
type game struct {
	Config
	commands int
	modelled bool  // Expect says what the rules are, and the model plays along
	seen     tally // what came up in all sequences so far
}

// tally counts what comes up, so that a test can tell that its sequences are not idle.
type tally map[string]int

func (n tally) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(n)) {
		fmt.Fprintf(&b, "\n%8d %s", n[what], what)
	}
	return b.String()
}

// sequence is a store, two engines on it, and what is known of the jobs from the answers
// that were given.
type sequence struct {
	dice
	game
	store   store.Store
	engines [2]*engine.Engine // the first one on a store that others act around, and that fails
	checker *Checker
	strict  bool // the authorizer admits to what is legal now, and to nothing else
	now     time.Time
	numbers uint64
	jobs    []*tracked

	sent     map[string]engine.Report // by the executor, who sends one only
	givenUp  map[effect]bool          // effects, accepted
	givers   map[store.RequestID]bool // the requests to give one up
	accepted []store.Record           // that an engine has told of since the last command

	between func()        // runs once, around the first engine's next commit to the job raced
	raced   store.JobID   // see between
	racedOn store.Seq     // the version that the commit is decided on; one that rests on an older view is none of the race
	late    *store.Change // a commit that failed as far as the first engine knows, and is still to come
	faults  int           // how many commits failed as far as the first engine knows
	failing bool          // the last of them did

	mu        sync.Mutex // guards delivered
	delivered map[store.JobID]map[store.Seq]bool
}

// tracked is a job and what must be true of it.
type tracked struct {
	id        store.JobID
	spec      engine.JobSpec
	requests  []request                  // accepted, its creation first
	reports   []engine.Report            // accepted
	succeeded map[step.ID]map[int32]bool // targets whose success was accepted since all had to run
	final     bool                       // nothing can happen to it any more
	ended     map[step.ID]attempt        // the last attempt of each step that was seen when it was over

	last   Snapshot     // after the last command
	oracle *model.Job   // after the last command; nil if there is none
	passed []*model.Job // the states since the last command, that one included
}

// attempt is an attempt that is over, and the results that can be read of it.
type attempt struct {
	number  int32
	version store.Seq // of the job then
	targets []store.Target
}

func (j *tracked) version() store.Seq { return j.last.Job.Version }

// play plays one sequence and returns how it ended.
func (g game) play(t *rapid.T) *sequence {
	w := &sequence{
		dice: dice{t}, game: g, store: storetest.WithoutClock(g.Open(openTB{T: t})), checker: NewChecker(g.Rules), now: time.UnixMilli(1_800_000_000_000),
		strict: rapid.Bool().Draw(t, "strict"), sent: map[string]engine.Report{},
		givenUp: map[effect]bool{}, givers: map[store.RequestID]bool{}, delivered: map[store.JobID]map[store.Seq]bool{},
	}
	for i := range w.engines {
		st := w.store
		if i == 0 {
			st = hooked{w.store, w}
		}
		w.engines[i] = g.Engine(st, engine.WithRules(g.Rules), engine.WithAuthorizer(w.admit),
			engine.WithClock(func() time.Time { return w.now }), engine.WithRandom(w.number),
			engine.WithObserver(engine.Observer{Accepted: func(_ context.Context, r store.Record, _ time.Duration) {
				w.accepted = append(w.accepted, r)
			}}))
	}
	w.create()
	for range g.commands {
		w.turn()
	}
	w.seen["sequence"]++
	for _, j := range w.jobs {
		w.seen["job"]++
		if j.version() > 10 {
			w.seen["job of more than 10 records"]++
		}
	}
	return w
}

// turn plays one command, or some at once, or one that tries a promise out.
func (w *sequence) turn() {
	j := w.job()
	switch n := w.Below(32, "turn"); {
	case len(w.open()) == 0 || len(w.open()) < 3 && n == 31:
		w.create()
	case n == 30:
		w.deliver()
	case n >= 28:
		w.repeat(j)
	case n == 27 && j.last.current().Attempt > 1:
		w.reportLate(j)
	case n == 26 && len(j.reports) > 0:
		w.reportTwice(j)
	case n >= 16:
		w.race(j)
	default:
		w.act(j)
	}
}

// number returns a new number, the same ones in each run, so that a sequence replays
// exactly.
func (w *sequence) number() uint64 {
	w.numbers++
	return w.numbers * 0x9e3779b97f4a7c15
}

func (w *sequence) newRequest() (id store.RequestID) {
	binary.BigEndian.PutUint64(id[:], w.number())
	return id
}

func (w *sequence) engine() *engine.Engine {
	return player.Of(w, "engine", w.engines[:])
}

// job draws a job, mostly one that is not final.
func (w *sequence) job() *tracked {
	if open := w.open(); len(open) > 0 && !player.OneIn(w, 32, "final too") {
		return player.Of(w, "open job", open)
	}
	return player.Of(w, "job", w.jobs)
}

func (w *sequence) open() []*tracked {
	return slices.DeleteFunc(slices.Clone(w.jobs), func(j *tracked) bool { return j.final })
}

// admit is an authorizer that looks at the state.
func (w *sequence) admit(_ context.Context, a engine.Access) error {
	legal := !w.strict || a.Cause == step.Created || a.Cause.OfEffect()
	if !legal {
		_, reason := w.Rules.Judge(operation.Standing{Type: a.Step.Type, State: a.Step.State, Job: a.Job.State, Sealed: a.Job.Sealed}, a.Cause)
		legal = legal || reason == 0
	}
	if !legal {
		return errors.New("not now")
	}
	return nil
}

// denied returns the reason that an engine gives while the authorizer is strict, which
// comes before those that the rules have.
func denied(reason operation.Reason, strict bool) operation.Reason {
	if strict && (reason == operation.WrongType || reason == operation.NotCurrent || reason == operation.WrongState || reason == operation.Sealed) {
		return operation.Denied
	}
	return reason
}

// load reads a job whole.
func (w *sequence) load(j *tracked) Snapshot {
	s, err := Load(context.Background(), w.store, w.Rules, j.id, j.spec)
	if err != nil {
		w.Fatalf("%v", err)
	}
	return s
}

// fresh returns the job as it is stored now: in the middle of a race it may have moved on.
func (w *sequence) fresh(j *tracked) *Snapshot {
	s := w.load(j)
	return &s
}
