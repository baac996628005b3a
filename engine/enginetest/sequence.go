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
// engines of c, and fails t with the number of the broken promise. Two engines share the store.
// People, executors and the clock act on a few jobs. Others commit between a command's decision
// and its commit. Some commits return an error to one engine, whether they take effect, never do,
// or do so later. Requests and reports are repeated, and come too late. Effects are delivered,
// some at the second try.
//
// After each command Sequence reads back the jobs that it touched. Every [Invariant] must hold.
// The model, with the same commands, must have the same verdict, and must [Compare]. After a race,
// the model must accept each record in its place, and each refusal must be the model's in one of
// the states of the race: promise 6. An accepted request is in the history and has made one
// version, a refused one none, and a repeated request has its first answer: promise 1.
//
// Sequence finds orders of up to a hundred commands, with two at once, that break a promise or the
// expected rules; the seed that rapid prints replays them exactly. It does not find data races and
// deadlocks, as one goroutine acts at a time; rare orders, which a [Walk] of small jobs finds;
// errors in scopes, paging, watching and conditions such as IfVersion; and errors that model and
// engine share.
//
//	rapid.Check(t, func(t *rapid.T) {
//		rapid.SyncTest(t, func(t *rapid.T) { enginetest.Sequence(t, config) })
//	})
//
// In a bubble as here, a back-off of an engine takes no real time, but no goroutine of the store may
// outlive the bubble. Without a bubble each race takes some milliseconds, and all else is the same.
func Sequence(t *rapid.T, c Config) {
	game{Config: c.withDefaults(), commands: 100, modelled: true, seen: tally{}}.play(t)
}

// A game has the rules of sequences.
type game struct {
	Config
	commands int
	modelled bool  // the model plays along, by the rules of Expect
	seen     tally // of all sequences so far
}

// tally counts the events of sequences, so that a test can check that they are not idle.
type tally map[string]int

func (n tally) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(n)) {
		fmt.Fprintf(&b, "\n%8d %s", n[what], what)
	}
	return b.String()
}

// sequence has a store, two engines on it, and the facts about the jobs that follow from answers.
type sequence struct {
	dice
	game
	store   store.Store
	engines [2]*engine.Engine // the first one on a store that others act around, and that fails
	checker *Checker
	strict  bool // the authorizer permits only operations that are legal now
	now     time.Time
	numbers uint64
	jobs    []*tracked

	sent     map[string]engine.Report // by the executor, who sends one only
	givenUp  map[effect]bool          // effects, accepted
	givers   map[store.RequestID]bool // the requests to give one up
	accepted []store.Record           // that an engine has told of since the last command

	between func()        // runs once, around the first engine's next commit to the job raced
	raced   store.JobID   // see between
	racedOn store.Seq     // the version that the commit is decided on; a commit on an older view does not take part in the race
	late    *store.Change // a commit that failed for the first engine, and takes effect later
	faults  int           // number of commits that failed for the first engine
	failing bool          // the last of them failed

	mu        sync.Mutex // guards delivered
	delivered map[store.JobID]map[store.Seq]bool
}

// tracked is a job with the facts that must be true of it.
type tracked struct {
	id        store.JobID
	spec      engine.JobSpec
	requests  []request                  // accepted, its creation first
	reports   []engine.Report            // accepted
	succeeded map[step.ID]map[int32]bool // targets whose success was accepted since all had to run
	final     bool                       // no command can change it any more
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
		dice: dice{t}, game: g, store: storetest.WithoutClock(g.Open(openTB{T: t})), checker: NewChecker(g.Rules), now: epoch.Std(),
		strict: rapid.Bool().Draw(t, "strict"), sent: map[string]engine.Report{},
		givenUp: map[effect]bool{}, givers: map[store.RequestID]bool{}, delivered: map[store.JobID]map[store.Seq]bool{},
	}
	for i := range w.engines {
		st := w.store
		if i == 0 {
			st = hooked{w.store, w}
		}
		w.engines[i] = g.Engine(st, engine.WithRules(g.Rules), engine.WithAuthorizer(w.admit),
			engine.WithClock(func() time.Time { return w.now }), engine.WithRandom(w.number), engine.WithWindows(window),
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

// turn plays one command, or some at once, or one that tests a promise.
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

// admit is an authorizer that decides by the state.
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

// denied returns the reason that an engine gives while the authorizer is strict: Denied comes before
// the reasons of the rules.
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
