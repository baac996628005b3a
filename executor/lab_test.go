package executor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A lab is an engine on memory, and executors on it. Its time is that of a bubble of synctest.
type lab struct {
	*testing.T
	eng *engine.Engine
	src *source // of the executors that start begins

	mu     sync.Mutex // guards all below
	calls  []string   // hosts that a function was called with, in order
	atWork map[string]int
	most   int     // functions at work at once
	causes []error // why the contexts of functions ended that saw it
	told   []error // errors that Failed got
}

// inLab calls f with a lab in a bubble.
func inLab(t *testing.T, f func(l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * 365 * 24 * time.Hour) // ids of jobs begin in 2024
		mem := memstore.New()
		eng := engine.New(mem)
		f(&lab{T: t, eng: eng, src: &source{Engine: eng, store: mem}, atWork: map[string]int{}})
	})
}

// start runs an executor on the lab's source until the function that it returns is called, which
// waits for it.
func (l *lab) start(opts ...executor.Option) (stop func()) { return l.startOn(l.src, opts...) }

func (l *lab) startOn(src executor.Source, opts ...executor.Option) (stop func()) {
	l.Helper()
	return l.startTold(src, append(opts, executor.Failed(func(_ context.Context, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.told = append(l.told, err)
	}))...)
}

// startTold is startOn with a Failed among opts.
func (l *lab) startTold(src executor.Source, opts ...executor.Option) (stop func()) {
	l.Helper()
	ctx, cancel := context.WithCancel(l.Context())
	done := make(chan struct{})
	x := executor.New(src, opts...)
	go func() {
		defer close(done)
		if err := x.Run(ctx); err != nil {
			l.Errorf("Run = %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	l.Cleanup(stop)
	return stop
}

// work returns a function that takes d for each host, or until its context ends, and succeeds in
// the first case.
func (l *lab) work(d time.Duration) executor.HostFunc {
	return func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
		defer l.begin(t, h.Name)()
		select {
		case <-time.After(d):
			return success
		case <-ctx.Done():
			l.sawEnd(ctx)
			return store.Result{Status: step.TargetTerminated}
		}
	}
}

// deaf is work for functions that ignore their context.
func (l *lab) deaf(d time.Duration) executor.HostFunc {
	return func(_ context.Context, t *executor.Task, h executor.Host) store.Result {
		defer l.begin(t, h.Name)()
		time.Sleep(d)
		return success
	}
}

var success = store.Result{Status: step.TargetSucceeded}

func (l *lab) begin(t *executor.Task, host string) (end func()) {
	what := fmt.Sprintf("%d/%d/%s", t.Job.ID, t.Step.ID, host)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, host)
	if l.atWork[what]++; l.atWork[what] > 1 {
		l.Errorf("%s is worked on twice at once", what)
	}
	l.most = max(l.most, len(l.atWork))
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.atWork[what]--; l.atWork[what] == 0 {
			delete(l.atWork, what)
		}
	}
}

func (l *lab) sawEnd(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.causes = append(l.causes, context.Cause(ctx))
}

// job creates a job and starts it: one step of scripts on hosts, changed by with.
func (l *lab) job(with func(*step.Spec), hosts ...string) store.JobID {
	l.Helper()
	spec := step.Spec{Type: step.Script, Name: "run", Targets: hosts}
	if with != nil {
		with(&spec)
	}
	created, err := l.eng.Create(l.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{spec}}, engine.Request{})
	l.must(err)
	_, err = l.eng.OperateJob(l.Context(), created.Job, operation.StartJob, engine.Request{})
	l.must(err)
	return created.Job
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *lab) terminate(job store.JobID) {
	l.Helper()
	_, err := l.eng.OperateJob(l.Context(), job, operation.TerminateJob, engine.Request{})
	l.must(err)
}

func (l *lab) operate(job store.JobID, code operation.Code) {
	l.Helper()
	_, err := l.eng.Operate(l.Context(), job, 1, code, engine.Request{})
	l.must(err)
}

// breakDown reports the step abnormal from another process.
func (l *lab) breakDown(job store.JobID, attempt int32) {
	l.Helper()
	_, err := l.eng.Report(l.Context(), engine.Report{Job: job, Step: 1, Attempt: attempt, Outcome: step.Broke})
	l.must(err)
}

// state returns the stored step.
func (l *lab) state(job store.JobID) store.Step {
	l.Helper()
	s, err := l.eng.Step(l.Context(), job, 1)
	l.must(err)
	return s
}

// is checks the state of the step.
func (l *lab) is(job store.JobID, want step.State) {
	l.Helper()
	if s := l.state(job); s.State != want {
		l.Errorf("the step is %v with %d of %d done and %d unfinished, want %v", s.State, s.Succeeded, s.Total, s.Unfinished, want)
	}
}

// statuses checks what the targets of the step read.
func (l *lab) statuses(job store.JobID, want ...step.Status) {
	l.Helper()
	targets, err := l.eng.Targets(l.Context(), job, 1, engine.TargetQuery{})
	l.must(err)
	var got []step.Status
	for _, t := range targets {
		got = append(got, t.Status)
	}
	if !slices.Equal(got, want) {
		l.Errorf("targets are %v, want %v", got, want)
	}
}

// called checks which hosts the functions were called with, in any order.
func (l *lab) called(want ...string) {
	l.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	got := slices.Sorted(slices.Values(l.calls))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		l.Errorf("functions were called with %v, want %v", got, want)
	}
}

// causesAre checks why the contexts of functions ended.
func (l *lab) causesAre(want ...error) {
	l.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.causes) != len(want) {
		l.Errorf("contexts ended of %v, want %v", l.causes, want)
		return
	}
	for i := range want {
		if !errors.Is(l.causes[i], want[i]) {
			l.Errorf("context %d ended of %v, want %v", i, l.causes[i], want[i])
		}
	}
}

// wasTold checks that Failed got an error with text.
func (l *lab) wasTold(text string) {
	l.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.ContainsFunc(l.told, func(err error) bool { return strings.Contains(err.Error(), text) }) {
		l.Errorf("Failed was told %v, and not %q", l.told, text)
	}
}

// settled checks that no effect of a job is left.
func (l *lab) settled(job store.JobID) {
	l.Helper()
	left, err := l.eng.Effects(l.Context(), job, 0, 0)
	l.must(err)
	if len(left) > 0 {
		l.Errorf("effects are left: %+v", left)
	}
}

// pass lets time pass, and waits until all goroutines are idle.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A source is the connection of an executor to its engine. A hook can fail or delay each method.
type source struct {
	*engine.Engine
	twice atomic.Bool // deliver each effect twice
	deaf  atomic.Bool // answers of calls that were carried out are lost

	mu      sync.Mutex // guards all below
	hooks   map[string]func(ctx context.Context) error
	counts  map[string]int
	reports []engine.Report
	only    []store.Effect // that are claimed; none means all
	late    time.Duration  // that answers of claims with effects take

	after      func() error                              // error of a report that was taken
	claimed    func([]engine.Delivery) []engine.Delivery // changes the claimed effects
	swallow    bool                                      // reports are taken, and forgotten
	anyType    bool                                      // claims do not select by type
	reportHook func(job store.JobID) error               // stands in the way of reports
	store      store.Store
}

// set changes the behaviour of the source.
func (s *source) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// hook calls f before a method, which returns the error of f; nil lets calls pass.
func (s *source) hook(method string, f func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hooks == nil {
		s.hooks = map[string]func(context.Context) error{}
	}
	s.hooks[method] = f
}

// cutAll calls f before all methods.
func (s *source) cutAll(f func(ctx context.Context) error) {
	for _, method := range []string{"Claim", "Renew", "Release", "Settle", "Fail", "Step", "Targets", "Effects", "Report"} {
		s.hook(method, f)
	}
}

func (s *source) before(ctx context.Context, method string) error {
	s.mu.Lock()
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.counts[method]++
	f := s.hooks[method]
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx)
}

func (s *source) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[method]
}

// reported returns how many results each report had.
func (s *source) reported() (sizes []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.reports {
		sizes = append(sizes, len(r.Results))
	}
	return sizes
}

func (s *source) Claim(ctx context.Context, q engine.ClaimQuery) ([]engine.Delivery, error) {
	if err := s.before(ctx, "Claim"); err != nil {
		return nil, err
	}
	if len(s.only) > 0 {
		q.Effects = slices.DeleteFunc(slices.Clone(q.Effects), func(e store.Effect) bool { return !slices.Contains(s.only, e) })
	}
	if len(q.Effects) == 0 {
		return nil, pauseFor(ctx, q.Wait)
	}
	if s.anyType {
		q.Types = step.Types{}
	}
	due, err := s.Engine.Claim(ctx, q)
	if len(due) > 0 {
		time.Sleep(s.late)
	}
	if s.claimed != nil {
		due = s.claimed(due)
	}
	if s.deaf.Load() {
		return nil, errCut
	}
	if s.twice.Load() {
		due = append(due, due...)
	}
	return due, err
}

func (s *source) Renew(ctx context.Context, c engine.Claimed, lease time.Duration) error {
	if err := s.before(ctx, "Renew"); err != nil {
		return err
	}
	return unlessDeaf(s, s.Engine.Renew(ctx, c, lease))
}

func (s *source) Release(ctx context.Context, c engine.Claimed) error {
	if err := s.before(ctx, "Release"); err != nil {
		return err
	}
	return unlessDeaf(s, s.Engine.Release(ctx, c))
}

func (s *source) Settle(ctx context.Context, c engine.Claimed) error {
	if err := s.before(ctx, "Settle"); err != nil {
		return err
	}
	return unlessDeaf(s, s.Engine.Settle(ctx, c))
}

func (s *source) Fail(ctx context.Context, c engine.Claimed, cause error) error {
	if err := s.before(ctx, "Fail"); err != nil {
		return err
	}
	return unlessDeaf(s, s.Engine.Fail(ctx, c, cause))
}

func (s *source) Step(ctx context.Context, job store.JobID, id step.ID) (store.Step, error) {
	if err := s.before(ctx, "Step"); err != nil {
		return store.Step{}, err
	}
	got, err := s.Engine.Step(ctx, job, id)
	return got, unlessDeaf(s, err)
}

func (s *source) Targets(ctx context.Context, job store.JobID, id step.ID, q engine.TargetQuery) ([]store.Target, error) {
	if err := s.before(ctx, "Targets"); err != nil {
		return nil, err
	}
	got, err := s.Engine.Targets(ctx, job, id, q)
	return got, unlessDeaf(s, err)
}

func (s *source) Effects(ctx context.Context, job store.JobID, after store.Seq, limit int) ([]store.Delivery, error) {
	if err := s.before(ctx, "Effects"); err != nil {
		return nil, err
	}
	got, err := s.Engine.Effects(ctx, job, after, limit)
	return got, unlessDeaf(s, err)
}

func (s *source) Sweep(ctx context.Context) (int, error) {
	if err := s.before(ctx, "Sweep"); err != nil {
		return 0, err
	}
	return s.Engine.Sweep(ctx)
}

func (s *source) Report(ctx context.Context, r engine.Report) (engine.ReportReceipt, error) {
	if err := s.before(ctx, "Report"); err != nil {
		return engine.ReportReceipt{}, err
	}
	s.mu.Lock()
	before, after, swallow := s.reportHook, s.after, s.swallow
	s.mu.Unlock()
	if before != nil {
		if err := before(r.Job); err != nil {
			return engine.ReportReceipt{}, err
		}
	}
	s.mu.Lock()
	s.reports = append(s.reports, r)
	s.mu.Unlock()
	if swallow {
		return engine.ReportReceipt{State: step.Running}, nil
	}
	receipt, err := s.Engine.Report(ctx, r)
	if s.deaf.Load() {
		return engine.ReportReceipt{}, errCut
	}
	if after != nil && err == nil {
		return engine.ReportReceipt{}, after()
	}
	return receipt, err
}

// unlessDeaf returns err, or another one if the answer is lost.
func unlessDeaf(s *source, err error) error {
	if s.deaf.Load() {
		return errCut
	}
	return err
}

// numbered returns n names of hosts.
func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("h%d", i)
	}
	return names
}
