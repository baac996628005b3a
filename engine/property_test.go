package engine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The promises of the library as properties of random sequences of commands. After each
// command the jobs that it touched are read back and every promise is checked on them.
// Promise 8, the shortfalls of the reference system, has scenario files instead.

// TestMain has rapid run a thousand sequences unless the command line says otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", "1000"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// setFlag sets a flag for the time of a test.
func setFlag(t *testing.T, name, value string) {
	f := flag.Lookup(name)
	before := f.Value.String()
	t.Cleanup(func() {
		if err := f.Value.Set(before); err != nil {
			t.Error(err)
		}
	})
	if err := f.Value.Set(value); err != nil {
		t.Fatal(err)
	}
}

// checksBy divides the number of sequences that rapid runs for the time of a test.
func checksBy(t *testing.T, divisor int) {
	n, err := strconv.Atoi(flag.Lookup("rapid.checks").Value.String())
	if err != nil {
		t.Fatal(err)
	}
	setFlag(t, "rapid.checks", strconv.Itoa(max(n/divisor, 1)))
}

// All promises hold for the engine as it is, whoever interferes and whatever the store
// fails to say, and the sequences that show it are neither short nor one-sided.
func TestPromises(t *testing.T) {
	g := game{rules: operation.Standard(), commands: 100, faulty: true, seen: tally{}}
	rapid.Check(t, func(t *rapid.T) { inNoTime(t, g) })

	t.Logf("%v", g.seen)
	var want []string
	for _, code := range operation.AllCodes() {
		want = append(want, "operated: "+code.String())
	}
	for _, code := range operation.AllJobCodes() {
		want = append(want, "job_operated: "+code.String())
	}
	for _, event := range step.AllEvents() {
		switch event {
		case step.Entered: // never has a record of its own
		case step.Expired, step.ExpiredConfirmed:
			want = append(want, "expired: "+event.String())
		default:
			want = append(want, "reported: "+event.String())
		}
	}
	for _, first := range kinds {
		for _, second := range kinds {
			want = append(want, fmt.Sprintf("race: %s meets %s", first, second))
		}
	}
	for _, what := range append(want, "race: 1 passed", "race: 2 passed", "unknown outcome", "final job", "job of more than 10 records") {
		if g.seen[what] < g.seen["sequence"]/200 {
			t.Errorf("in %d sequences %q came up %d times", g.seen["sequence"], what, g.seen[what])
		}
	}
	if g.seen["record"] < g.seen["sequence"]*g.commands/2 {
		t.Errorf("%d sequences of %d commands made %d records, not one for every other command", g.seen["sequence"], g.commands, g.seen["record"])
	}
}

// A breakage is an engine or a store that breaks a promise on purpose.
type breakage struct {
	name   string
	caught string // what a property must say of it
	decide func(engine.DecideFunc) engine.DecideFunc
	store  func(store.Store) store.Store
}

var breakages = []breakage{
	{
		name:   "no attempt fence",
		caught: "promise 4",
		decide: func(decide engine.DecideFunc) engine.DecideFunc {
			return func(r *operation.Rules, v *store.View, c engine.Command, now step.Time, d *engine.Decision) *engine.Refusal {
				if report, ok := c.(*engine.Report); ok && v.Step.State.Active() {
					unfenced := *report
					unfenced.Attempt = v.Step.Attempt
					c = &unfenced
				}
				return decide(r, v, c, now, d)
			}
		},
	},
	{
		name:   "no compare-and-swap",
		caught: "promise 6",
		store:  func(s store.Store) store.Store { return overwriting{s} },
	},
	{
		name:   "a retry that runs successes again",
		caught: "promise 5",
		decide: func(decide engine.DecideFunc) engine.DecideFunc {
			return func(r *operation.Rules, v *store.View, c engine.Command, now step.Time, d *engine.Decision) *engine.Refusal {
				refusal := decide(r, v, c, now, d)
				if op, ok := c.(*engine.Operate); ok && op.Code == operation.RetryFailed && refusal == nil && d.Changes() {
					s, rec := &d.Change.Steps[0], &d.Change.Records[0]
					s.Full, s.Succeeded, s.Unfinished = s.Attempt, 0, s.Total
					rec.All, rec.Succeeded, rec.Unfinished = true, 0, s.Total
				}
				return refusal
			}
		},
	},
	{
		name:   "a terminate that is lost",
		caught: "promise 7",
		decide: func(decide engine.DecideFunc) engine.DecideFunc {
			return func(r *operation.Rules, v *store.View, c engine.Command, now step.Time, d *engine.Decision) *engine.Refusal {
				refusal := decide(r, v, c, now, d)
				if op, ok := c.(*engine.OperateJob); ok && op.Code == operation.TerminateJob && refusal == nil && d.Changes() {
					rec := &d.Change.Records[0]
					rec.To, rec.JobTo, rec.Effect = rec.From, rec.JobFrom, store.NoEffect
					d.Change.Steps[0] = v.Step
					version := d.Change.Job.Version
					d.Change.Job = v.Job
					d.Change.Job.Version = version
				}
				return refusal
			}
		},
	},
}

// overwriting is a store that commits whatever the version is.
type overwriting struct{ store.Store }

func (s overwriting) Commit(ctx context.Context, c store.Change) error {
	err := s.Store.Commit(ctx, c)
	if !errors.Is(err, store.ErrConflict) || c.Base() == 0 {
		return err
	}
	current, err := s.View(ctx, store.Query{Job: c.Job.ID})
	if err != nil {
		return err
	}
	c.Records = slices.Clone(c.Records)
	c.Job.Version = current.Job.Version + store.Seq(len(c.Records))
	for i := range c.Records {
		c.Records[i].Seq = current.Job.Version + store.Seq(i+1)
	}
	return s.Store.Commit(ctx, c)
}

// The properties bite: each broken engine is caught, and by the promise it breaks.
func TestPromisesCatch(t *testing.T) {
	setFlag(t, "rapid.nofailfile", "true")
	setFlag(t, "rapid.shrinktime", "0s")
	for _, b := range breakages {
		t.Run(b.name, func(t *testing.T) {
			g := game{rules: operation.Standard(), commands: 100, broken: b, seen: tally{}}
			verdict := failureOf(func(t *rapid.T) { sequence(t, g) })
			if !strings.Contains(verdict, b.caught) {
				t.Errorf("an engine with %s: the properties say %q, want a breach of %s", b.name, verdict, b.caught)
			}
		})
	}
}

// failureOf returns what rapid has to say of a property, "" if it holds.
func failureOf(property func(*rapid.T)) string {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rapid.Check(r, property)
	}()
	<-done
	return r.text.String()
}

// recorder is a test that keeps its failures to itself.
type recorder struct {
	text   strings.Builder
	failed bool
}

func (r *recorder) Helper()                          {}
func (r *recorder) Name() string                     { return "broken on purpose" }
func (r *recorder) Logf(format string, args ...any)  {}
func (r *recorder) Log(args ...any)                  {}
func (r *recorder) Skipf(format string, args ...any) {}
func (r *recorder) Skip(args ...any)                 {}
func (r *recorder) SkipNow()                         {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	fmt.Fprintf(&r.text, format, args...)
}
func (r *recorder) Error(args ...any)                 { r.failed = true; fmt.Fprint(&r.text, args...) }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)                 { r.Error(args...); runtime.Goexit() }
func (r *recorder) FailNow()                          { r.failed = true; runtime.Goexit() }
func (r *recorder) Fail()                             { r.failed = true }
func (r *recorder) Failed() bool                      { return r.failed }

// A game is what a sequence is played by.
type game struct {
	rules    *operation.Rules
	commands int
	faulty   bool     // the first engine's store fails now and then
	broken   breakage // of the engines, or of their store
	seen     tally    // what came up in all sequences so far
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

// world is a store, two engines on it, and what the test knows of the jobs from the
// answers it got.
type world struct {
	*rapid.T
	game
	table   operation.Table // of the rules
	store   store.Store
	engines [2]*engine.Engine
	strict  bool // the authorizer admits to what is legal now, and to nothing else
	now     time.Time
	numbers uint64
	jobs    []*tracked

	accepted []store.Record // that an engine has told of since the last command

	between func()        // runs once, around the first engine's next commit to the job raced
	raced   store.JobID   // see between
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
	request   store.Request              // of its creation
	created   store.Job                  // as it was then
	requests  []request                  // accepted
	reports   []engine.Report            // accepted
	succeeded map[step.ID]map[int32]bool // targets whose success was accepted since all had to run
	stopped   bool                       // told to stop, and no person has operated since
	began     step.Time                  // its last attempt
	version   store.Seq                  // after the last command
	final     bool                       // nothing can happen to it any more
}

// request is an operation of a person.
type request struct {
	step    step.ID
	code    operation.Code
	jobCode operation.JobCode // if it is one on the job
	id      store.Request
	actor   string
	receipt engine.Receipt // once it was accepted
}

// inNoTime plays a sequence on a clock of its own, which does not wait for an engine that
// backs off.
func inNoTime(t *rapid.T, g game) {
	rapid.SyncTest(t, func(t *rapid.T) { sequence(t, g) })
}

// sequence plays one random sequence of commands.
func sequence(t *rapid.T, g game) {
	w := &world{
		T: t, game: g, table: g.rules.Table(), store: memstore.New(), now: time.UnixMilli(1_800_000_000_000),
		strict: rapid.Bool().Draw(t, "strict"), delivered: map[store.JobID]map[store.Seq]bool{},
	}
	if g.broken.store != nil {
		w.store = g.broken.store(w.store)
	}
	for i := range w.engines {
		st := w.store
		if i == 0 {
			st = hooked{w.store, w}
		}
		w.engines[i] = engine.New(st, engine.WithRules(g.rules), engine.WithAuthorizer(w.admit),
			engine.WithClock(func() time.Time { return w.now }), engine.WithRandom(w.number),
			engine.WithObserver(engine.Observer{Accepted: func(_ context.Context, r store.Record, _ time.Duration) {
				w.accepted = append(w.accepted, r)
			}}))
		if g.broken.decide != nil {
			w.engines[i].Break(g.broken.decide)
		}
	}
	w.create()
	for range g.commands {
		w.turn()
	}
	w.seen["sequence"]++
	for _, j := range w.jobs {
		w.seen["job"]++
		if j.version > 10 {
			w.seen["job of more than 10 records"]++
		}
	}
}

// number returns a new number, the same ones in each run, so that a sequence replays
// exactly.
func (w *world) number() uint64 {
	w.numbers++
	return w.numbers * 0x9e3779b97f4a7c15
}

func (w *world) newRequest() (id store.Request) {
	binary.BigEndian.PutUint64(id[:], w.number())
	return id
}

// admit is an authorizer that looks at the state.
func (w *world) admit(_ context.Context, a engine.Access) error {
	legal := !w.strict || a.Create
	if a.Code != 0 {
		_, ok := w.rules.Legal(a.Step.Type, a.Step.State, a.Code)
		legal = legal || ok
	} else if a.JobCode != 0 {
		_, ok := w.rules.LegalJob(a.Step.Type, a.Step.State, a.JobCode)
		legal = legal || ok
	}
	if !legal {
		return errors.New("not now")
	}
	return nil
}

// hooked is the first engine's store. Others act around its commits; and some commits
// fail as far as the engine is told, whether they take effect, never do, or do so later.
type hooked struct {
	store.Store
	world *world
}

var errLost = errors.New("the connection was lost")

func (h hooked) Commit(ctx context.Context, c store.Change) error {
	w := h.world
	w.land()
	fault := w.fault()
	if fault == "" {
		w.meet(c)
		return h.Store.Commit(ctx, c)
	}
	w.faults++
	w.seen["fault: "+fault]++
	first := rapid.Bool().Draw(w.T, "competitor first")
	if first {
		w.meet(c)
	}
	switch fault {
	case "took effect":
		_ = h.Store.Commit(ctx, c) // or it was a conflict
	case "takes effect later":
		c.Specs, c.Steps, c.Targets, c.Records = slices.Clone(c.Specs), slices.Clone(c.Steps), slices.Clone(c.Targets), slices.Clone(c.Records)
		w.late = &c
	}
	if !first {
		w.meet(c)
	}
	return errLost
}

// fault draws what goes wrong with a commit, "" for nothing; faults come in rows.
func (w *world) fault() string {
	if !w.faulty {
		return ""
	}
	faults := []string{"", "took effect", "no effect", "takes effect later"}
	if !w.failing {
		faults = slices.Concat(make([]string, 16), faults)
	}
	fault := rapid.SampledFrom(faults).Draw(w.T, "fault")
	w.failing = fault != ""
	return fault
}

// meet lets a competitor act on the job of c.
func (w *world) meet(c store.Change) {
	if f := w.between; f != nil && c.Job.ID == w.raced {
		w.between = nil
		f()
	}
}

// land lets a late commit take effect, if it still can.
func (w *world) land() {
	if c := w.late; c != nil {
		w.late = nil
		if err := w.store.Commit(context.Background(), *c); err != nil && !errors.Is(err, store.ErrConflict) {
			w.Fatalf("Commit: %v", err)
		}
	}
}

// insist repeats a request for as long as its outcome is unknown, and says whether it had
// to. Promise 1: that is safe, and the outcome is not unknown after two failures of the
// store. By then everybody is admitted: a denial comes before the answer to a repetition.
func (w *world) insist(request func() error) (again bool, err error) {
	defer func(strict bool) { w.strict = strict }(w.strict)
	for {
		faults := w.faults
		if err = request(); !errors.Is(err, engine.ErrUnknownOutcome) {
			return again, err
		}
		if w.faults-faults < 3 {
			w.Fatalf("promise 1: the store failed %d times, then it answered, and still: %v", w.faults-faults, err)
		}
		w.seen["unknown outcome"]++
		again, w.strict = true, false
	}
}

// turn plays one command, or some at once, or one that tries a promise out.
func (w *world) turn() {
	j := w.job()
	switch n := rapid.IntRange(0, 31).Draw(w.T, "turn"); {
	case len(w.open()) == 0 || len(w.open()) < 3 && n == 31:
		w.create()
	case n == 30:
		w.deliver()
	case n >= 28:
		w.repeat(j)
	case n == 27 && w.step(j, w.header(j).Current).Attempt > 1:
		w.reportLate(j)
	case n == 26 && len(j.reports) > 0:
		w.reportTwice(j)
	case n >= 16:
		w.race(j)
	default:
		w.act(j)
	}
}

func (w *world) engine() *engine.Engine {
	return w.engines[rapid.IntRange(0, 1).Draw(w.T, "engine")]
}

// job draws a job, mostly one that is not final.
func (w *world) job() *tracked {
	if open := w.open(); len(open) > 0 && rapid.IntRange(0, 31).Draw(w.T, "final too") < 31 {
		return open[rapid.IntRange(0, len(open)-1).Draw(w.T, "open job")]
	}
	return w.jobs[rapid.IntRange(0, len(w.jobs)-1).Draw(w.T, "job")]
}

func (w *world) open() []*tracked {
	return slices.DeleteFunc(slices.Clone(w.jobs), func(j *tracked) bool { return j.final })
}

// Promise 1: a creation makes one job, whatever becomes of its commit.
func (w *world) create() {
	spec := engine.JobSpec{Name: "job"}
	for range rapid.IntRange(1, 5).Draw(w.T, "steps") {
		spec.Steps = append(spec.Steps, w.spec())
	}
	j := &tracked{spec: spec, request: w.newRequest(), version: 1, succeeded: map[step.ID]map[int32]bool{}}
	e := w.engine()
	_, err := w.insist(func() (err error) {
		j.created, err = e.Create(context.Background(), spec, engine.By("ann"), engine.RequestID(j.request))
		return err
	})
	if err != nil {
		w.Fatalf("Create(%+v): %v", spec, err)
	}
	w.land()
	j.id = j.created.ID
	w.jobs = append(w.jobs, j)
	if all, err := w.engines[1].Jobs(context.Background(), engine.JobQuery{Limit: 10_000}); err != nil || len(all) != len(w.jobs) {
		w.Fatalf("promise 1: %d creations made %d jobs (%v)", len(w.jobs), len(all), err)
	}
	if header := w.header(j); header != j.created {
		w.Fatalf("promise 1: job %d was said to be\n%+v, it is\n%+v", j.id, j.created, header)
	}
	w.check(j)
}

func (w *world) spec() step.Spec {
	s := step.Spec{Name: "step", Type: rapid.SampledFrom(w.rules.Types()).Draw(w.T, "type")}
	if rapid.Bool().Draw(w.T, "timeout") {
		s.Timeout = 10 * time.Second
	}
	if w.rules.Enters(s.Type) == step.Running {
		s.Targets = []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(w.T, "targets")]
		s.IgnoreErrors = rapid.IntRange(0, 3).Draw(w.T, "ignore errors") == 3
		return s
	}
	if s.Timeout > 0 && rapid.Bool().Draw(w.T, "confirm on timeout") {
		s.OnTimeout = step.ConfirmOnTimeout
	}
	if rapid.Bool().Draw(w.T, "confirmers") {
		s.Confirmers = []string{"ann"}
	}
	return s
}

// A command is what a person, an executor or the clock does to a job.
type command struct {
	kind string
	run  func(*engine.Engine) (store.Seq, error) // returns the version that it made, 0 if none or not known
}

var kinds = []string{"operate", "start", "terminate", "report", "sweep"}

// command draws a command for j: one of any kind, or mostly one that is likely in its state.
func (w *world) command(j *tracked, likely bool) command {
	draws := kinds
	if likely && rapid.IntRange(0, 7).Draw(w.T, "unlikely") < 7 {
		draws = w.likely(j)
	}
	c := command{kind: rapid.SampledFrom(draws).Draw(w.T, "command")}
	switch c.kind {
	case "start":
		c.run = w.operation(j, request{jobCode: operation.StartJob, actor: w.actor(), id: w.newRequest()})
	case "terminate":
		c.run = w.operation(j, request{jobCode: operation.TerminateJob, actor: w.actor(), id: w.newRequest()})
	case "operate":
		c.run = w.operation(j, w.drawOperation(j))
	case "report":
		c.run = w.report(j, w.drawReport(j))
	case "sweep":
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 15).Draw(w.T, "seconds")) * time.Second)
		c.run = w.sweep
	}
	return c
}

// likely returns the kinds of commands that something may come of in j's state.
func (w *world) likely(j *tracked) (draws []string) {
	header := w.header(j)
	t, state := j.spec.Steps[header.Current-1].Type, w.step(j, header.Current).State
	switch state {
	case step.Pending:
		draws = append(draws, "start", "start", "start")
	case step.Running:
		draws = append(draws, "report", "report", "report", "report", "report", "sweep")
	case step.Terminating:
		draws = append(draws, "report", "report", "sweep")
	case step.Waiting:
		draws = append(draws, "sweep", "sweep")
	}
	if !w.rules.Codes(t, state).Empty() {
		draws = append(draws, "operate", "operate", "operate", "operate")
	}
	if _, ok := w.rules.LegalJob(t, state, operation.TerminateJob); ok {
		draws = append(draws, "terminate")
	}
	if len(draws) == 0 {
		return kinds
	}
	return draws
}

func (w *world) actor() string {
	return rapid.SampledFrom([]string{"ann", "bob", ""}).Draw(w.T, "actor")
}

// drawOperation draws an operation: mostly on the current step, mostly a legal one.
func (w *world) drawOperation(j *tracked) request {
	r := request{step: w.header(j).Current, actor: w.actor(), id: w.newRequest()}
	if rapid.IntRange(0, 15).Draw(w.T, "anywhere") == 15 {
		r.step = step.ID(rapid.IntRange(1, len(j.spec.Steps)).Draw(w.T, "step"))
	}
	codes := w.rules.AllCodes()
	if rapid.IntRange(0, 7).Draw(w.T, "any code") < 7 {
		if allowed, err := w.engines[1].Allowed(context.Background(), j.id, r.step, engine.By(r.actor)); err == nil && !allowed.Empty() {
			codes = allowed
		}
	}
	if !codes.Empty() {
		all := slices.Collect(codes.All())
		slices.Reverse(all) // an embedder's first
		r.code = rapid.SampledFrom(all).Draw(w.T, "code")
	}
	return r
}

// operation carries out r and notes that it was accepted.
func (w *world) operation(j *tracked, r request) func(*engine.Engine) (store.Seq, error) {
	return func(e *engine.Engine) (seq store.Seq, err error) {
		_, err = w.insist(func() (err error) {
			r.receipt, err = w.ask(e, j, r)
			return err
		})
		if err == nil {
			j.requests = append(j.requests, r)
		}
		return r.receipt.Seq, err
	}
}

func (w *world) ask(e *engine.Engine, j *tracked, r request) (engine.Receipt, error) {
	if r.jobCode != 0 {
		return e.OperateJob(context.Background(), j.id, r.jobCode, engine.By(r.actor), engine.RequestID(r.id))
	}
	return e.Operate(context.Background(), j.id, r.step, r.code, engine.By(r.actor), engine.RequestID(r.id))
}

// report sends r and notes what it brought.
func (w *world) report(j *tracked, r engine.Report) func(*engine.Engine) (store.Seq, error) {
	return func(e *engine.Engine) (store.Seq, error) {
		var receipt engine.ReportReceipt
		faults := w.faults
		again, err := w.insist(func() (err error) {
			receipt, err = e.Report(context.Background(), r)
			return err
		})
		if err == nil {
			j.reports = append(j.reports, r)
			if w.faults == faults { // an answer that had to be found out does not list what was rejected
				w.note(j, r, receipt)
			}
		}
		if again { // the answer is about the repetition, which may have come too late
			w.land()
			if rec, ok := w.recordOf(j, func(rec store.Record) bool { return rec.Actor == r.By }); ok {
				return rec.Seq, nil
			}
		}
		return receipt.Seq, err
	}
}

// drawReport draws a report on the current attempt.
func (w *world) drawReport(j *tracked) engine.Report {
	s := w.step(j, w.header(j).Current)
	r := engine.Report{Job: j.id, Step: s.ID, Attempt: max(s.Attempt, 1), By: fmt.Sprint("executor ", w.number())}
	for range rapid.IntRange(0, 2*int(s.Total)).Draw(w.T, "results") {
		r.Results = append(r.Results, engine.TargetResult{
			Target: int32(rapid.IntRange(0, int(s.Total)-1).Draw(w.T, "target")),
			Result: store.Result{Status: rapid.SampledFrom([]step.Status{
				step.NonZeroExit, step.TargetSucceeded, step.TargetRunning, step.NonZeroExit, step.TargetSucceeded,
			}).Draw(w.T, "status")},
		})
	}
	if len(r.Results) == 0 || rapid.IntRange(0, 7).Draw(w.T, "outcome?") == 7 {
		r.Outcome = rapid.SampledFrom([]step.Event{
			step.Stopped, step.Broke, step.Broke, step.Stopped, step.Stopped, step.Broke, step.Stopped, step.Broke,
			step.Stopped, step.Broke, step.Stopped, step.Broke, step.Stopped, step.Broke, step.Stopped, step.Dropped,
		}).Draw(w.T, "outcome")
	}
	return r
}

// note remembers the successes that a report brought. Promise 4: they are of the attempt
// that it was about.
func (w *world) note(j *tracked, r engine.Report, receipt engine.ReportReceipt) {
	if rec, ok := w.recordOf(j, func(rec store.Record) bool { return rec.Seq == receipt.Seq }); ok && rec.Attempt != r.Attempt {
		w.Fatalf("promise 4: a report of attempt %d was counted for attempt %d", r.Attempt, rec.Attempt)
	}
	if j.succeeded[r.Step] == nil {
		j.succeeded[r.Step] = map[int32]bool{}
	}
	for _, result := range r.Results {
		rejected := slices.ContainsFunc(receipt.Rejected, func(x engine.Rejection) bool {
			return x.Target == result.Target && x.Rejected == result.Status
		})
		if result.Status.Success() && !rejected {
			j.succeeded[r.Step][result.Target] = true
		}
	}
}

// sweep expires what is overdue. Promise 6: it is none of its business who else does.
func (w *world) sweep(e *engine.Engine) (store.Seq, error) {
	if _, err := w.insist(func() error {
		_, err := e.Sweep(context.Background())
		return err
	}); err != nil {
		w.Fatalf("promise 6: Sweep: %v", err)
	}
	return 0, nil
}

// recordOf returns a record of j that was made since the last command.
func (w *world) recordOf(j *tracked, is func(store.Record) bool) (store.Record, bool) {
	news := w.history(j, j.version)
	if i := slices.IndexFunc(news, is); i >= 0 {
		return news[i], true
	}
	return store.Record{}, false
}

// Promise 1: what was accepted made one version, and what was refused none.
func (w *world) act(j *tracked) {
	c := w.command(j, true)
	seq, err := c.run(w.engine())
	w.land()
	if c.kind == "sweep" {
		rec, _ := w.recordOf(j, func(rec store.Record) bool { return rec.Kind == store.Expired })
		seq = rec.Seq
	}
	w.after(j, seq, err)
}

// Promise 6: while one command is between its decision and its commit, others pass. Then
// either it does not pass, or it does after them, or before them if its commit took
// effect although the store failed to say so; each as the rules have it in the state that
// the one before has left.
func (w *world) race(j *tracked) {
	first, second := w.command(j, true), w.command(j, rapid.Bool().Draw(w.T, "likely"))
	var versions []store.Seq
	passed := func(seq store.Seq, err error) {
		w.expect(err)
		if seq != 0 {
			versions = append(versions, seq)
		}
	}
	met := false
	w.raced = j.id
	w.between = func() {
		met = true
		passed(second.run(w.engines[1]))
		if rapid.Bool().Draw(w.T, "and another") {
			passed(w.command(j, true).run(w.engines[1]))
		}
	}
	passed(first.run(w.engines[0]))
	w.between = nil
	w.land()

	w.checkAccepted()
	for _, r := range w.history(j, j.version) {
		if r.Kind == store.Expired { // a sweep does not say what it did
			versions = append(versions, r.Seq)
		}
	}
	slices.Sort(versions)
	for i, version := range versions {
		if version != j.version+store.Seq(i+1) {
			w.Fatalf("promise 6: commands raced on version %d and passed as %v", j.version, versions)
		}
	}
	if made := int(w.header(j).Version - j.version); made != len(versions) || met && made == 0 {
		w.Fatalf("promise 6: commands raced, %d passed, and %d versions were made", len(versions), made)
	}
	if met {
		w.seen[fmt.Sprintf("race: %s meets %s", first.kind, second.kind)]++
		w.seen[fmt.Sprintf("race: %d passed", len(versions))]++
	}
	w.check(j)
	w.checkOthers(j)
}

// Promise 1: a repeated request is answered as it was the first time, nobody else is, and
// nothing changes.
func (w *world) repeat(j *tracked) {
	defer func(strict bool) { w.strict = strict }(w.strict)
	w.strict = false
	e := w.engine()
	if n := rapid.IntRange(0, len(j.requests)).Draw(w.T, "request"); n < len(j.requests) {
		r := j.requests[n]
		if receipt, err := w.ask(e, j, r); err != nil || receipt != r.receipt {
			w.Fatalf("promise 1: repeated request %v: got %+v, %v, want the receipt %+v", r.id, receipt, err, r.receipt)
		}
		r.actor = "eve"
		if receipt, err := w.ask(e, j, r); !errors.Is(err, operation.RequestReused) {
			w.Fatalf("promise 1: request %v of somebody else: got %+v, %v, want a refusal as reused", r.id, receipt, err)
		}
	} else {
		job, err := e.Create(context.Background(), j.spec, engine.By("ann"), engine.RequestID(j.request))
		if err != nil || job != j.created {
			w.Fatalf("promise 1: repeated creation: got %+v, %v, want %+v", job, err, j.created)
		}
		if job, err = e.Create(context.Background(), j.spec, engine.By("eve"), engine.RequestID(j.request)); !errors.Is(err, operation.RequestReused) {
			w.Fatalf("promise 1: creation by somebody else: got %+v, %v, want a refusal as reused", job, err)
		}
	}
	w.after(j, 0, nil)
}

// Promise 4: a report of an old attempt changes nothing.
func (w *world) reportLate(j *tracked) {
	r := w.drawReport(j)
	current := r.Attempt
	r.Attempt = int32(rapid.IntRange(1, int(current)-1).Draw(w.T, "attempt"))
	_, err := w.engine().Report(context.Background(), r)
	if !errors.Is(err, operation.Stale) {
		w.Fatalf("promise 4: a report of attempt %d while it is attempt %d: got %v, want a refusal as stale", r.Attempt, current, err)
	}
	w.after(j, 0, err)
}

// Promise 4: a report that is sent again changes nothing.
func (w *world) reportTwice(j *tracked) {
	r := j.reports[len(j.reports)-1]
	if s := w.step(j, r.Step); r.Outcome != 0 || s.Attempt != r.Attempt {
		return
	}
	receipt, err := w.engine().Report(context.Background(), r)
	if err == nil && (receipt.Accepted != 0 || receipt.Seq != 0) || err != nil && !errors.Is(err, operation.Stale) {
		// A target that is reported running and then finished in one report is
		// contradicted, not changed, by the repetition.
		w.Fatalf("promise 4: the report %+v again: got %+v, %v, want nothing accepted or a refusal as stale", r, receipt, err)
	}
	w.after(j, 0, err)
}

// deliver delivers what is due; every third effect fails the first time.
func (w *world) deliver() {
	_, err := w.engine().Deliver(context.Background(), func(_ context.Context, d engine.Delivery) error {
		if d.Seq%3 == 0 && d.Count == 1 {
			return errors.New("failed on purpose")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.delivered[d.Job.ID] == nil {
			w.delivered[d.Job.ID] = map[store.Seq]bool{}
		}
		w.delivered[d.Job.ID][d.Seq] = true
		return nil
	})
	if err != nil {
		w.Fatalf("Deliver: %v", err)
	}
	for _, j := range w.jobs {
		w.after(j, 0, nil)
	}
}

// expect wants an answer to be a success or a refusal.
func (w *world) expect(err error) {
	if refusal := new(engine.Refusal); err != nil && !errors.As(err, &refusal) {
		w.Fatalf("promise 1: %v is neither a success nor a refusal", err)
	}
}

// after checks the version that a command has left. Promise 1: what was accepted made one
// version, and what was refused none.
func (w *world) after(j *tracked, seq store.Seq, err error) {
	w.Helper()
	w.land()
	w.expect(err)
	w.checkAccepted()
	version := w.header(j).Version
	switch {
	case err != nil && version != j.version:
		w.Fatalf("promise 1: %v, but the job went from version %d to %d", err, j.version, version)
	case err == nil && seq != 0 && (seq != version || version != j.version+1):
		w.Fatalf("promise 1: accepted as version %d, but the job went from version %d to %d", seq, j.version, version)
	case err == nil && seq == 0 && version != j.version:
		w.Fatalf("promise 1: nothing was to change, but the job went from version %d to %d", j.version, version)
	}
	w.check(j)
	w.checkOthers(j)
}

// checkOthers checks the jobs beside j, which have changed only if time has ended an
// attempt of theirs.
func (w *world) checkOthers(j *tracked) {
	for _, other := range w.jobs {
		if other == j || w.header(other).Version == other.version {
			continue
		}
		for _, r := range w.history(other, other.version) {
			if r.Kind != store.Expired {
				w.Fatalf("promise 1: a command to job %d did this to job %d: %+v", j.id, other.id, r)
			}
		}
		w.check(other)
	}
}

// Promise 6: what was accepted stands in the history, under its own number.
func (w *world) checkAccepted() {
	for _, r := range w.accepted {
		history, err := w.engines[1].History(context.Background(), r.Job, r.Seq-1, 1)
		if err != nil || len(history) != 1 || history[0] != r {
			w.Fatalf("promise 6: accepted was\n%+v, the history has\n%+v, %v", r, history, err)
		}
	}
	w.accepted = w.accepted[:0]
}

func (w *world) header(j *tracked) store.Job {
	header, err := w.engines[1].Job(context.Background(), j.id)
	if err != nil {
		w.Fatalf("Job(%d): %v", j.id, err)
	}
	return header
}

func (w *world) step(j *tracked, id step.ID) store.Step {
	s, err := w.engines[1].Step(context.Background(), j.id, id)
	if err != nil {
		w.Fatalf("Step(%d, %d): %v", j.id, id, err)
	}
	return s
}

func (w *world) history(j *tracked, after store.Seq) []store.Record {
	history, err := w.engines[1].History(context.Background(), j.id, after, 10_000)
	if err != nil {
		w.Fatalf("History(%d): %v", j.id, err)
	}
	return history
}

// check reads j back and checks every promise that can be seen in what is stored.
func (w *world) check(j *tracked) {
	header, history := w.header(j), w.history(j, 0)
	steps, err := w.engines[1].Steps(context.Background(), j.id, 0, 0)
	if err != nil {
		w.Fatalf("Steps(%d): %v", j.id, err)
	}
	if j.final && header.Version != j.version {
		w.Fatalf("promise 2: nothing was to happen to job %d any more, and it went from version %d to %d", j.id, j.version, header.Version)
	}
	for _, r := range history[j.version-1:] {
		if r.Seq > j.version {
			w.follow(j, r)
		}
	}
	j.version = header.Version
	w.checkEffects(j, history)
	w.checkActive(j, header, steps)
	w.checkHistory(j, header, steps, history)
	w.checkTargets(j, steps)
}

// follow checks a new record and notes what it means for the promises that look back.
func (w *world) follow(j *tracked, r store.Record) {
	what := fmt.Sprint(r.Kind, ": ", r.Event)
	switch r.Kind {
	case store.Operated:
		what = fmt.Sprint(r.Kind, ": ", r.Code)
	case store.JobOperated:
		what = fmt.Sprint(r.Kind, ": ", r.JobCode)
	}
	w.seen["record"]++
	w.seen[what]++
	w.seen[fmt.Sprint("step type: ", j.spec.Steps[r.Step-1].Type)]++

	// Promise 7: who was told to stop runs again only for a person.
	switch {
	case r.JobCode == operation.TerminateJob || r.To == step.Terminating:
		j.stopped = true
	case r.Kind == store.Operated:
		j.stopped = false
	}
	if j.stopped && (r.JobTo == step.Running || r.JobTo == step.Waiting || r.JobTo == step.Succeeded) {
		w.Fatalf("promise 7: job %d was told to stop, nobody has operated on it since, and record %d leaves it %v", j.id, r.Seq, r.JobTo)
	}

	to, guard := w.ruled(j, r)

	// Promise 5: targets that have succeeded run again only for an operation that says so.
	if r.Kind == store.Operated && r.Effect == store.RunTargets && r.All && r.Entered == 0 {
		if standard := w.rules == operation.Standard(); guard == operation.DueOnly || standard && r.Code != operation.RetryAll {
			w.Fatalf("promise 5: %v is for what is due, and record %d has every target run", r.Code, r.Seq)
		}
		j.succeeded[r.Step] = nil
	}

	// Promise 6: whoever came in between, each change is one that is legal where it starts.
	spec := j.spec.Steps[r.Step-1]
	asksToConfirm := r.From == step.Waiting && spec.OnTimeout == step.ConfirmOnTimeout
	switch {
	case r.To != to:
		w.Fatalf("promise 6: record %d, %s, leads from %v to %v, by the rules to %v", r.Seq, what, r.From, r.To, to)
	case guard == operation.ConfirmerOnly && spec.Confirmers != nil && !slices.Contains(spec.Confirmers, r.Actor):
		w.Fatalf("promise 6: record %d, %s, is by %q, who is none of %v", r.Seq, what, r.Actor, spec.Confirmers)
	case r.Kind == store.Expired && (spec.Timeout == 0 || r.At < j.began.Add(spec.Timeout)):
		w.Fatalf("promise 6: record %d expires at %v what began at %v and has %v", r.Seq, r.At, j.began, spec.Timeout)
	case r.Kind == store.Expired && asksToConfirm != (r.Event == step.ExpiredConfirmed):
		w.Fatalf("promise 6: record %d, %s, of a step that is to %v", r.Seq, what, spec.OnTimeout)
	}
	if r.Effect == store.RunTargets || r.Effect == store.AskConfirmers {
		j.began = r.At
	}
}

// ruled returns where the rows of the rules have r lead, 0 if nowhere, and its guard.
func (w *world) ruled(j *tracked, r store.Record) (step.State, operation.Guard) {
	t := j.spec.Steps[r.Step-1].Type
	switch {
	case r.Kind == store.Operated:
		for _, row := range w.table.Rows {
			if row.Code == r.Code && row.On.Has(t) && row.From.Has(r.From) {
				return row.To, row.Guard
			}
		}
	case r.Kind == store.JobOperated:
		for _, row := range w.table.Job {
			if row.Code == r.JobCode && row.On.Has(t) && row.From.Has(r.From) {
				return row.To, 0
			}
		}
	case r.Event == 0:
		return r.From, 0
	default:
		for _, kind := range w.table.Kinds {
			for _, row := range kind.Lifecycle {
				if kind.Type == t && row.On == r.Event && row.From.Has(r.From) {
					return row.To, 0
				}
			}
		}
	}
	return 0, 0
}

// Promise 1: an effect waits until it is delivered, or until nobody needs it.
func (w *world) checkEffects(j *tracked, history []store.Record) {
	waiting, err := w.engines[1].Effects(context.Background(), j.id, 0, 10_000)
	if err != nil {
		w.Fatalf("Effects(%d): %v", j.id, err)
	}
	for _, r := range history {
		d, ok := r.Delivery(store.Scope{})
		if !ok || w.delivered[j.id][r.Seq] || slices.ContainsFunc(waiting, func(x store.Delivery) bool { return x.Seq == r.Seq }) {
			continue
		}
		s := w.step(j, d.Step)
		needed := d.Effect == store.StopAttempt || d.Effect == store.JobEnded || s.Attempt == d.Attempt && (s.State == step.Running || s.State == step.Waiting)
		if needed {
			w.Fatalf("promise 1: effect %v of record %d does not wait and was never delivered", d.Effect, r.Seq)
		}
	}
}

// Promise 2: at most one step is active, none of a job that has ended, and a job that is
// not final has something to wait for.
func (w *world) checkActive(j *tracked, header store.Job, steps []store.Step) {
	active := 0
	for _, s := range steps {
		if s.State.Active() {
			active++
		}
	}
	current := steps[header.Current-1]
	ended := header.State.Finished()
	if active > 1 || ended == (active == 1) && header.State != step.Pending {
		w.Fatalf("promise 2: job %d is %v and %d of its steps are active", j.id, header.State, active)
	}
	last := header.Current == step.ID(header.Steps)
	if want := current.State.OfJob(last); header.State != want {
		w.Fatalf("promise 2: job %d is %v while its current step is %v, want %v", j.id, header.State, current.State, want)
	}
	if waitsFor := w.waitsFor(j, header, current); waitsFor == "" {
		w.Fatalf("promise 2: job %d is %v, not final, and waits for nobody; its current step is\n%+v", j.id, header.State, current)
	} else if final := waitsFor == "nothing"; final != j.final {
		j.final = final
		w.seen["final job"]++
	}
}

// waitsFor says what can happen to a job: "nothing" if it is final, "" if it is stuck.
func (w *world) waitsFor(j *tracked, header store.Job, current store.Step) string {
	ctx, ann := context.Background(), engine.By("ann")
	codes, err := w.engines[1].Allowed(ctx, j.id, current.ID, ann)
	if err != nil {
		w.Fatalf("Allowed(%d, %d): %v", j.id, current.ID, err)
	}
	switch header.State {
	case step.Pending:
		if _, err := w.engines[1].OperateJob(ctx, j.id, operation.StartJob, ann, engine.DryRun()); err == nil {
			return "start"
		}
		return ""
	case step.Waiting:
		if !codes.Empty() || !w.rules.JobCodes(current.Type, current.State).Empty() || current.Deadline != 0 {
			return "decision"
		}
		return ""
	case step.Running, step.Terminating:
		if current.Unfinished > 0 {
			return "report"
		}
		return ""
	}
	legal, legalJob := w.rules.Codes(current.Type, current.State), w.rules.JobCodes(current.Type, current.State)
	if current.Succeeded == current.Total { // rules may leave nothing but a retry of what is due, and nothing be due
		legal = legal.Minus(w.rules.Guarded(current.Type, current.State, operation.DueOnly))
	}
	final := legal.Empty() && legalJob.Empty()
	if w.rules == operation.Standard() {
		want := header.State == step.Succeeded || header.State == step.Abandoned ||
			header.State == step.Terminated && current.Type == step.Confirmation
		if final != want {
			w.Fatalf("promise 2: job %d is %v, its step a %v, and final is %v, want %v", j.id, header.State, current.Type, final, want)
		}
	}
	switch {
	case final:
		return "nothing"
	case codes.Empty() && legalJob.Empty():
		return ""
	}
	return "operation"
}

// Promise 3: the history chains, replaying it yields header and steps, and counts equal a
// recount.
func (w *world) checkHistory(j *tracked, header store.Job, steps []store.Step, history []store.Record) {
	gotHeader, gotSteps, err := engine.Replay(w.rules, j.spec, history)
	if err != nil {
		w.Fatalf("promise 3: %v", err)
	}
	if gotHeader != header {
		w.Fatalf("promise 3: the history replays to\n%+v, the header is\n%+v", gotHeader, header)
	}
	if !reflect.DeepEqual(gotSteps, steps) {
		w.Fatalf("promise 3: the history replays to steps\n%+v, they are\n%+v", gotSteps, steps)
	}
	var skipped, ignored int32
	for _, s := range steps {
		switch s.State {
		case step.Skipped:
			skipped++
		case step.ErrorIgnored:
			ignored++
		}
	}
	if skipped != header.Skipped || ignored != header.Ignored {
		w.Fatalf("promise 3: job %d counts %d steps skipped and %d ignored, there are %d and %d", j.id, header.Skipped, header.Ignored, skipped, ignored)
	}
}

// Promises 3 and 5: counts equal a recount, and no target whose success was accepted is
// due again.
func (w *world) checkTargets(j *tracked, steps []store.Step) {
	for _, s := range steps {
		if s.Attempt == 0 || s.Total == 0 {
			continue
		}
		targets, err := w.store.Targets(context.Background(), store.TargetFilter{Job: j.id, Step: s.ID, Page: store.Page[int32]{After: -1, Limit: 100}})
		if err != nil {
			w.Fatalf("Targets(%d, %d): %v", j.id, s.ID, err)
		}
		var succeeded, unfinished int32
		for _, t := range targets {
			if t.Due(s) && j.succeeded[s.ID][t.Index] {
				w.Fatalf("promise 5: target %d of step %d has succeeded, and attempt %d runs it again", t.Index, s.ID, s.Attempt)
			}
			switch {
			case store.SucceededTargets.Holds(s, t):
				succeeded++
			case store.UnfinishedTargets.Holds(s, t):
				unfinished++
			}
		}
		if succeeded != s.Succeeded || unfinished != s.Unfinished {
			w.Fatalf("promise 3: step %d counts %d succeeded and %d unfinished, its targets are %d and %d",
				s.ID, s.Succeeded, s.Unfinished, succeeded, unfinished)
		}
	}
}
