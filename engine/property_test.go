package engine_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
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

const commandsPerSequence = 100

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

// All promises hold for the engine as it is.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { sequence(t, breakage{}) })
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
	for _, b := range breakages {
		t.Run(b.name, func(t *testing.T) {
			verdict := failureOf(func(t *rapid.T) { sequence(t, b) })
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

// world is a store, two engines on it, and what the test knows of the jobs from the
// answers it got.
type world struct {
	*rapid.T
	store   store.Store
	engines [2]*engine.Engine
	between func() // runs once, between the first engine's next decision and its commit
	now     time.Time
	jobs    []*tracked

	mu        sync.Mutex
	delivered map[store.JobID]map[store.Seq]bool
}

// tracked is a job and what must be true of it.
type tracked struct {
	id        store.JobID
	spec      engine.JobSpec
	stopped   bool                       // told to terminate, and no person has operated since
	succeeded map[step.ID]map[int32]bool // targets whose success was accepted since all had to run
	requests  []request                  // accepted
	reports   []engine.Report            // accepted
	version   store.Seq                  // after the last command
	final     bool                       // nothing can happen to it any more
}

// request is an operation that was accepted.
type request struct {
	step    step.ID
	code    operation.Code
	id      uuid.UUID
	actor   string
	receipt engine.Receipt
}

// hooked is a store that runs a function before the next commit.
type hooked struct {
	store.Store
	world *world
}

func (h hooked) Commit(ctx context.Context, c store.Change) error {
	if f := h.world.between; f != nil {
		h.world.between = nil
		f()
	}
	return h.Store.Commit(ctx, c)
}

// sequence runs one random sequence on an engine that is broken as b says.
func sequence(t *rapid.T, b breakage) {
	w := &world{T: t, store: memstore.New(), now: time.UnixMilli(1_800_000_000_000), delivered: map[store.JobID]map[store.Seq]bool{}}
	if b.store != nil {
		w.store = b.store(w.store)
	}
	random := w.counter()
	for i := range w.engines {
		var st store.Store = w.store
		if i == 0 {
			st = hooked{w.store, w}
		}
		w.engines[i] = engine.New(st, engine.WithClock(func() time.Time { return w.now }), engine.WithRandom(random))
		if b.decide != nil {
			w.engines[i].Break(b.decide)
		}
	}
	w.create()
	for range commandsPerSequence {
		actions[rapid.IntRange(0, len(actions)-1).Draw(t, "action")](w)
	}
}

// counter returns a source of distinct numbers, so that a sequence replays exactly.
func (w *world) counter() func() uint64 {
	n := uint64(rapid.Uint32().Draw(w.T, "seed"))
	return func() uint64 { n++; return n * 0x9e3779b97f4a7c15 }
}

// actions are the commands, each as often as it is likely; rapid prefers the first ones.
var actions = []func(*world){
	(*world).report, (*world).operate, (*world).start, (*world).report, (*world).operate,
	(*world).race, (*world).report, (*world).operate, (*world).start, (*world).report,
	(*world).create, (*world).operate, (*world).reportLate, (*world).reportTwice, (*world).repeat,
	(*world).deliver, (*world).sweep, (*world).terminate, (*world).race,
}

var actors = []string{"", "ann", "bob"}

func (w *world) engine() *engine.Engine {
	return w.engines[rapid.IntRange(0, 1).Draw(w.T, "engine")]
}

// job draws a job, mostly one that is not final.
func (w *world) job() *tracked {
	if open := w.open(); len(open) > 0 && rapid.IntRange(0, 9).Draw(w.T, "any") > 0 {
		return open[rapid.IntRange(0, len(open)-1).Draw(w.T, "open job")]
	}
	return w.jobs[rapid.IntRange(0, len(w.jobs)-1).Draw(w.T, "job")]
}

func (w *world) open() []*tracked {
	return slices.DeleteFunc(slices.Clone(w.jobs), func(j *tracked) bool { return j.final })
}

func (w *world) create() {
	if len(w.open()) == 3 {
		return
	}
	spec := engine.JobSpec{Name: "job"}
	for range rapid.IntRange(1, 3).Draw(w.T, "steps") {
		s := step.Spec{Type: rapid.SampledFrom([]step.Type{step.Script, step.FileTransfer, step.Confirmation, step.SQL}).Draw(w.T, "type"), Name: "step"}
		if rapid.Bool().Draw(w.T, "timeout") {
			s.Timeout = 10 * time.Second
		}
		if s.Type == step.Confirmation {
			s.OnTimeout = rapid.SampledFrom([]step.Decision{step.TerminateOnTimeout, step.ConfirmOnTimeout}).Draw(w.T, "on timeout")
			if rapid.Bool().Draw(w.T, "confirmers") {
				s.Confirmers = []string{"ann"}
			}
		} else {
			s.Targets = []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(w.T, "targets")]
			s.IgnoreErrors = rapid.Bool().Draw(w.T, "ignore errors")
		}
		spec.Steps = append(spec.Steps, s)
	}
	job, err := w.engine().Create(context.Background(), spec)
	if err != nil {
		w.Fatalf("Create(%+v): %v", spec, err)
	}
	j := &tracked{id: job.ID, spec: spec, version: 1, succeeded: map[step.ID]map[int32]bool{}}
	w.jobs = append(w.jobs, j)
	w.check(j)
}

func (w *world) start() {
	j := w.job()
	receipt, err := w.engine().OperateJob(context.Background(), j.id, operation.StartJob, engine.By("ann"))
	w.after(j, receipt.Seq, err)
}

func (w *world) terminate() {
	j := w.job()
	receipt, err := w.engine().OperateJob(context.Background(), j.id, operation.TerminateJob, engine.By("ann"))
	w.after(j, receipt.Seq, err)
}

// draw returns an operation on j: mostly on the current step, often a legal one.
func (w *world) draw(j *tracked) request {
	header := w.header(j)
	op := request{step: header.Current, actor: rapid.SampledFrom(actors).Draw(w.T, "actor")}
	if rapid.IntRange(0, 9).Draw(w.T, "anywhere") == 0 {
		op.step = step.ID(rapid.IntRange(1, int(header.Steps)).Draw(w.T, "step"))
	}
	codes := operation.AllCodes()
	if rapid.Bool().Draw(w.T, "legal") {
		if allowed, err := w.engines[1].Allowed(context.Background(), j.id, op.step, engine.By(op.actor)); err == nil && !allowed.Empty() {
			codes = slices.Collect(allowed.All())
		}
	}
	op.code = rapid.SampledFrom(codes).Draw(w.T, "code")
	op.id = uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(w.T, "request"))
	op.id[0] |= 1 // not the zero id
	return op
}

// do carries out op with an engine and notes that it was accepted.
func (w *world) do(e *engine.Engine, j *tracked, op request) (engine.Receipt, error) {
	receipt, err := e.Operate(context.Background(), j.id, op.step, op.code, engine.By(op.actor), engine.RequestID(op.id))
	if err == nil {
		op.receipt = receipt
		j.requests = append(j.requests, op)
	}
	return receipt, err
}

func (w *world) operate() {
	j := w.job()
	op := w.draw(j)
	receipt, err := w.do(w.engine(), j, op)
	w.after(j, receipt.Seq, err)
}

// Promise 1: a repeated request is answered with the first receipt, and nothing changes.
func (w *world) repeat() {
	j := w.job()
	if len(j.requests) == 0 {
		return
	}
	op := rapid.SampledFrom(j.requests).Draw(w.T, "request")
	receipt, err := w.engine().Operate(context.Background(), j.id, op.step, op.code, engine.By(op.actor), engine.RequestID(op.id))
	if err != nil || receipt != op.receipt {
		w.Fatalf("promise 1: repeated request %v: got %+v, %v, want the receipt %+v", op.id, receipt, err, op.receipt)
	}
	w.after(j, 0, nil)
}

// Promise 6: while one operation is between its decision and its commit, another one
// passes. Then either only one of the two passes, or both do in an order that is legal,
// which the chain of the history shows.
func (w *world) race() {
	j := w.job()
	first, second := w.draw(j), w.draw(j)
	ran := false
	var other engine.Receipt
	var otherErr error
	w.between = func() {
		ran = true
		other, otherErr = w.do(w.engines[1], j, second)
	}
	receipt, err := w.do(w.engines[0], j, first)
	w.between = nil
	passed := 0
	if err == nil {
		passed++
	}
	if ran && otherErr == nil && first.id != second.id {
		passed++
		if err == nil && receipt.Seq != other.Seq+1 {
			w.Fatalf("promise 6: %v and %v raced and both passed, in versions %d and %d", first.code, second.code, receipt.Seq, other.Seq)
		}
	}
	if got := w.header(j).Version - j.version; got != store.Seq(passed) {
		w.Fatalf("promise 6: %v and %v raced: %d passed, %d versions were made", first.code, second.code, passed, got)
	}
	w.check(j)
}

// attempt returns what j's current step is doing, if executors have a part in it.
func (w *world) attempt(j *tracked) (store.Step, bool) {
	s := w.step(j, w.header(j).Current)
	return s, s.Total > 0 && s.Attempt > 0
}

// results draws results of some targets of s.
func (w *world) results(s store.Step) []engine.TargetResult {
	var results []engine.TargetResult
	for range rapid.IntRange(0, 2*int(s.Total)).Draw(w.T, "results") {
		results = append(results, engine.TargetResult{
			Target: int32(rapid.IntRange(0, int(s.Total)-1).Draw(w.T, "target")),
			Result: store.Result{Status: rapid.SampledFrom([]step.Status{
				step.TargetSucceeded, step.TargetSucceeded, step.TargetSucceeded, step.NonZeroExit, step.TargetRunning,
			}).Draw(w.T, "status")},
		})
	}
	return results
}

func (w *world) drawReport(j *tracked, s store.Step) engine.Report {
	r := engine.Report{Job: j.id, Step: s.ID, Attempt: s.Attempt, Results: w.results(s)}
	if len(r.Results) == 0 || rapid.IntRange(0, 5).Draw(w.T, "outcome?") == 0 {
		r.Outcome = rapid.SampledFrom([]step.Event{step.Stopped, step.Stopped, step.Stopped, step.Broke, step.Broke, step.Broke, step.Dropped}).Draw(w.T, "outcome")
	}
	return r
}

func (w *world) report() {
	j := w.job()
	s, ok := w.attempt(j)
	if !ok {
		return
	}
	r := w.drawReport(j, s)
	receipt, err := w.engine().Report(context.Background(), r)
	if err == nil {
		j.reports = append(j.reports, r)
		w.note(j, r, receipt)
	}
	w.after(j, receipt.Seq, err)
}

// note remembers the successes that a report brought.
func (w *world) note(j *tracked, r engine.Report, receipt engine.ReportReceipt) {
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

// Promise 4: a report of an old attempt changes nothing.
func (w *world) reportLate() {
	j := w.job()
	s, ok := w.attempt(j)
	if !ok || s.Attempt < 2 {
		return
	}
	r := w.drawReport(j, s)
	r.Attempt = int32(rapid.IntRange(1, int(s.Attempt)-1).Draw(w.T, "attempt"))
	_, err := w.engine().Report(context.Background(), r)
	if !errors.Is(err, operation.Stale) {
		w.Fatalf("promise 4: a report of attempt %d while it is attempt %d: got %v, want a refusal as stale", r.Attempt, s.Attempt, err)
	}
	w.after(j, 0, err)
}

// Promise 4: a report that is sent again changes nothing.
func (w *world) reportTwice() {
	j := w.job()
	if len(j.reports) == 0 {
		return
	}
	r := j.reports[len(j.reports)-1]
	if s := w.step(j, r.Step); r.Outcome == 0 && s.Attempt == r.Attempt {
		receipt, err := w.engine().Report(context.Background(), r)
		if err == nil && (receipt.Accepted != 0 || receipt.Seq != 0) || err != nil && !errors.Is(err, operation.Stale) {
			// A target that is reported running and then finished in one report is
			// contradicted, not changed, by the repetition.
			w.Fatalf("promise 4: the report %+v again: got %+v, %v, want nothing accepted or a refusal as stale", r, receipt, err)
		}
		w.after(j, 0, err)
	}
}

func (w *world) sweep() {
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 15).Draw(w.T, "seconds")) * time.Second)
	if _, err := w.engine().Sweep(context.Background()); err != nil {
		w.Fatalf("Sweep: %v", err)
	}
	for _, j := range w.jobs {
		w.check(j)
	}
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
		w.check(j)
	}
}

// Promise 1: what was accepted made one version, and what was refused none.
func (w *world) after(j *tracked, seq store.Seq, err error) {
	w.Helper()
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

// check reads j back and checks every promise that can be seen in what is stored.
func (w *world) check(j *tracked) {
	ctx := context.Background()
	header := w.header(j)
	steps, err := w.engines[1].Steps(ctx, j.id, 0, 0)
	if err != nil {
		w.Fatalf("Steps(%d): %v", j.id, err)
	}
	history, err := w.engines[1].History(ctx, j.id, 0, 10_000)
	if err != nil {
		w.Fatalf("History(%d): %v", j.id, err)
	}
	for _, r := range history[j.version-1:] {
		w.follow(j, r)
	}
	w.checkEffects(j, history)
	w.checkActive(j, header, steps)
	w.checkHistory(j, header, steps, history)
	w.checkTargets(j, steps)
	if j.stopped && (header.State == step.Running || header.State == step.Waiting || header.State == step.Succeeded) {
		w.Fatalf("promise 7: job %d was told to terminate, nobody has operated on it since, and it is %v", j.id, header.State)
	}
	j.version = header.Version
}

// follow notes what a record means for the promises that look back.
func (w *world) follow(j *tracked, r store.Record) {
	switch {
	case r.Seq == j.version: // seen
		return
	case r.JobCode == operation.TerminateJob:
		j.stopped = true
	case r.Kind == store.Operated:
		j.stopped = false
	}
	if r.Kind == store.Operated && r.Code == operation.RetryAll {
		j.succeeded[r.Step] = nil
	}
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
	final := header.State == step.Succeeded || header.State == step.Abandoned ||
		header.State == step.Terminated && current.Type == step.Confirmation
	if j.final = final; !ended || final {
		return
	}
	allowed, err := w.engines[1].Allowed(context.Background(), j.id, header.Current, engine.By("ann"))
	if err != nil || allowed.Empty() {
		w.Fatalf("promise 2: job %d is %v, not final, and nothing is legal on its step (%v)", j.id, header.State, err)
	}
}

// Promise 3: the history chains, and replaying it yields header and steps.
func (w *world) checkHistory(j *tracked, header store.Job, steps []store.Step, history []store.Record) {
	gotHeader, gotSteps, err := engine.Replay(operation.Standard(), j.spec, history)
	if err != nil {
		w.Fatalf("promise 3: %v", err)
	}
	if gotHeader != header {
		w.Fatalf("promise 3: the history replays to\n%+v, the header is\n%+v", gotHeader, header)
	}
	if !reflect.DeepEqual(gotSteps, steps) {
		w.Fatalf("promise 3: the history replays to steps\n%+v, they are\n%+v", gotSteps, steps)
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
