package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
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

var (
	blue = store.Scope{Type: "biz", ID: "1"}
	red  = store.Scope{Type: "biz", ID: "2"}
)

// A site is a store with a job in every scope and an engine that sees them all. The job of
// a scope has a script on three targets, which runs, and a confirmation.
type site struct {
	store store.Store
	eng   *engine.Engine
	blue  store.JobID
	red   store.JobID
	never store.JobID // an id that was never used
}

func newSite(t *testing.T, opts ...engine.Option) *site {
	t.Helper()
	st, id := memstore.New(), store.JobID(100)
	s := &site{store: st, blue: 101, red: 102, never: 999}
	s.eng = engine.New(st, append([]engine.Option{
		engine.WithClock(func() time.Time { return time.UnixMilli(int64(now)) }),
		engine.WithJobIDs(func(step.Time) store.JobID { id++; return id }),
	}, opts...)...)
	for _, scope := range []store.Scope{blue, red, {}} {
		created, err := s.eng.Create(t.Context(), engine.JobSpec{Name: "release", Scope: scope, Steps: []step.Spec{
			{Type: step.Script, Name: "copy", Targets: []string{"a", "b", "c"}},
			{Type: step.Confirmation, Name: "ask", Confirmers: []string{"ann"}},
		}}, engine.Request{By: "ann"})
		if err == nil {
			_, err = s.eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{By: "ann"})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// everything reads all that the store holds.
func (s *site) everything(t testing.TB) []any {
	t.Helper()
	ctx, all := context.Background(), []any(nil)
	keep := func(rows any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rows)
	}
	jobs, err := s.store.Jobs(ctx, store.JobFilter{Page: store.Page[store.JobID]{Limit: 10_000}})
	keep(jobs, err)
	for _, j := range jobs {
		steps, err := s.store.Steps(ctx, store.Scope{}, j.ID, store.Page[step.ID]{Limit: 10_000})
		keep(steps, err)
		for _, st := range steps {
			targets, err := s.store.Targets(ctx, store.TargetFilter{Job: j.ID, Step: st.ID, Page: store.Page[int32]{After: -1, Limit: 10_000}})
			keep(targets, err)
		}
		history, err := s.store.History(ctx, store.Scope{}, j.ID, store.Page[store.Seq]{Limit: 10_000})
		keep(history, err)
		effects, err := s.store.Effects(ctx, store.Scope{}, j.ID, store.Page[store.Seq]{Limit: 10_000})
		keep(effects, err)
	}
	return all
}

// A method is one of the engine's, on the step of a job where it takes one.
type method struct {
	name string
	call func(ctx context.Context, e *engine.Engine, job store.JobID, id step.ID) error
}

var methodsOfSteps = []method{
	{"Operate", func(ctx context.Context, e *engine.Engine, job store.JobID, id step.ID) error {
		_, err := e.Operate(ctx, job, id, operation.RetryAll, engine.Request{})
		return err
	}},
	{"Operate dry", func(ctx context.Context, e *engine.Engine, job store.JobID, id step.ID) error {
		_, err := e.Operate(ctx, job, id, operation.RetryAll, engine.Request{DryRun: true})
		return err
	}},
	{"Report", func(ctx context.Context, e *engine.Engine, job store.JobID, id step.ID) error {
		_, err := e.Report(ctx, engine.Report{Job: job, Step: id, Attempt: 1, Outcome: step.Broke})
		return err
	}},
	{"Step", func(ctx context.Context, e *engine.Engine, job store.JobID, id step.ID) error {
		_, err := e.Step(ctx, job, id)
		return err
	}},
	{"Batches", func(ctx context.Context, e *engine.Engine, job store.JobID, id step.ID) error {
		_, err := e.Batches(ctx, job, id)
		return err
	}},
	{"Targets", func(ctx context.Context, e *engine.Engine, job store.JobID, id step.ID) error {
		_, err := e.Targets(ctx, job, id, engine.TargetQuery{})
		return err
	}},
	{"Explain", func(ctx context.Context, e *engine.Engine, job store.JobID, id step.ID) error {
		_, err := e.Explain(ctx, job, id, engine.Request{})
		return err
	}},
	{"Allowed", func(ctx context.Context, e *engine.Engine, job store.JobID, id step.ID) error {
		_, err := e.Allowed(ctx, job, id, engine.Request{})
		return err
	}},
}

var methodsOfJobs = append([]method{
	{"Bulk", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		answers, err := e.Bulk(ctx, engine.Bulk{ID: store.RequestID{1}, Cause: operation.StartJob.Cause(), DryRun: true}, []store.JobID{job})
		if err != nil {
			return err
		}
		for a := range answers {
			err = a.Err
		}
		return err
	}},
	{"Diagnose", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		_, err := e.Diagnose(ctx, job)
		return err
	}},
	{"Redo", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		_, err := e.Redo(ctx, job, engine.Redo{}, engine.Request{DryRun: true})
		return err
	}},
	{"Spec", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		_, err := e.Spec(ctx, job)
		return err
	}},
	{"OperateJob", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		_, err := e.OperateJob(ctx, job, operation.TerminateJob, engine.Request{})
		return err
	}},
	{"Job", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		_, err := e.Job(ctx, job)
		return err
	}},
	{"Steps", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		_, err := e.Steps(ctx, job, 0, 0)
		return err
	}},
	{"History", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		_, err := e.History(ctx, job, 0, 0)
		return err
	}},
	{"Effects", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		_, err := e.Effects(ctx, job, 0, 0)
		return err
	}},
	{"Settle", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		return e.Settle(ctx, engine.Claimed{Job: job, Seq: 2, Count: 1})
	}},
	{"Renew", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		return e.Renew(ctx, engine.Claimed{Job: job, Seq: 2, Count: 1}, time.Minute)
	}},
	{"Fail", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		return e.Fail(ctx, engine.Claimed{Job: job, Seq: 2, Count: 1}, errBroken)
	}},
	{"Release", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		return e.Release(ctx, engine.Claimed{Job: job, Seq: 2, Count: 1})
	}},
	{"GiveUp", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		_, err := e.GiveUp(ctx, job, 2, engine.Request{})
		return err
	}},
	{"Hurry", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		_, err := e.Hurry(ctx, job, 2, engine.Request{})
		return err
	}},
	{"Watch", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		for _, err := range e.Watch(ctx, job, 0) {
			return err
		}
		return errors.New("Watch ended without an error")
	}},
	{"Snapshot", func(ctx context.Context, e *engine.Engine, job store.JobID, _ step.ID) error {
		_, err := e.Snapshot(ctx, job, 0)
		return err
	}},
}, methodsOfSteps...)

var methods = append([]method{
	{"Create", func(ctx context.Context, e *engine.Engine, _ store.JobID, _ step.ID) error {
		_, err := e.Create(ctx, engine.JobSpec{Name: "more", Steps: []step.Spec{plain(step.Script, "copy")}}, engine.Request{})
		return err
	}},
	{"Jobs", func(ctx context.Context, e *engine.Engine, _ store.JobID, _ step.ID) error {
		_, err := e.Jobs(ctx, engine.JobQuery{})
		return err
	}},
	{"Counts", func(ctx context.Context, e *engine.Engine, _ store.JobID, _ step.ID) error {
		_, err := e.Counts(ctx, 1)
		return err
	}},
	{"Unfit", func(ctx context.Context, e *engine.Engine, _ store.JobID, _ step.ID) error {
		for _, err := range e.Unfit(ctx, nil) {
			return err
		}
		return errors.New("Unfit ended without an error")
	}},
	{"Sweep", func(ctx context.Context, e *engine.Engine, _ store.JobID, _ step.ID) error {
		_, err := e.Sweep(ctx)
		return err
	}},
	{"Claim", func(ctx context.Context, e *engine.Engine, _ store.JobID, _ step.ID) error {
		_, err := e.Claim(ctx, engine.ClaimQuery{})
		return err
	}},
	{"Dispatch", func(ctx context.Context, e *engine.Engine, _ store.JobID, _ step.ID) error {
		return e.Dispatch(ctx, func(context.Context, engine.Delivery) error { return nil })
	}},
	{"Deliver", func(ctx context.Context, e *engine.Engine, _ store.JobID, _ step.ID) error {
		_, err := e.Deliver(ctx, func(context.Context, engine.Delivery) error { return nil })
		return err
	}},
}, methodsOfJobs...)

// Every exported method of an Engine that can fail is among methods.
func TestMethodsAreAll(t *testing.T) {
	listed := map[string]bool{"In": true, "Rules": true} // return no error
	for _, m := range methods {
		name, _, _ := strings.Cut(m.name, " ")
		listed[name] = true
	}
	for m := range reflect.TypeFor[*engine.Engine]().Methods() {
		if !listed[m.Name] && m.Name != "Break" && m.Name != "Kept" { // of export_test.go
			t.Errorf("methods lacks %s", m.Name)
		}
	}
}

// A field is named as it marshals, or as the program calls it.
var fieldName = regexp.MustCompile(`^([a-z_]+(\[\d+\])?(\.[a-z_]+(\[\d+\])?)*|[A-Z]\w+)$`)

// refusedAs asserts that err is a refusal for this reason that names this field.
func refusedAs(t *testing.T, call string, err error, reason operation.Reason, field string) {
	t.Helper()
	var r *engine.Refusal
	if !errors.As(err, &r) || !errors.Is(err, reason) || r.Reason != reason || r.Field != field {
		t.Errorf("%s: %v; want it refused as %v of %q", call, err, reason, field)
		return
	}
	if reason == operation.InvalidInput && !fieldName.MatchString(field) {
		t.Errorf("%s: %q is no name of a field on the wire, nor one of the program", call, field)
	}
	if reason == operation.InvalidInput && (r.Detail == "" || !strings.Contains(r.Error(), "invalid "+field+": ")) {
		t.Errorf("%s: the text %q does not say what is invalid about %q", call, r, field)
	}
}

// refused asserts that every method in ms is refused so, and that nothing is stored.
func refused(t *testing.T, s *site, e *engine.Engine, ms []method, ctx context.Context, job store.JobID, id step.ID, reason operation.Reason, field string) {
	t.Helper()
	before := s.everything(t)
	for _, m := range ms {
		refusedAs(t, fmt.Sprintf("%s(job %d, step %d)", m.name, job, id), m.call(ctx, e, job, id), reason, field)
	}
	if after := s.everything(t); !reflect.DeepEqual(before, after) {
		t.Errorf("the store changed:\nfrom %+v\nto   %+v", before, after)
	}
}

func TestIdsOutOfRangeAreInvalid(t *testing.T) {
	s := newSite(t)
	for _, job := range []store.JobID{0, -1, math.MinInt64, store.MaxJobID + 1, math.MaxInt64} {
		refused(t, s, s.eng, methodsOfJobs, t.Context(), job, 1, operation.InvalidInput, "job")
	}
	for _, id := range []step.ID{0, -1, math.MinInt64} {
		refused(t, s, s.eng, methodsOfSteps, t.Context(), s.blue, id, operation.InvalidInput, "step")
	}
}

func TestIdsOfNothingDoNotExist(t *testing.T) {
	s := newSite(t)
	for _, job := range []store.JobID{s.never, 1, store.MaxJobID} {
		refused(t, s, s.eng, methodsOfJobs, t.Context(), job, 1, operation.NoSuchJob, "")
	}
	for _, id := range []step.ID{3, math.MaxInt32, math.MaxInt32 + 2, math.MaxInt64} {
		refused(t, s, s.eng, methodsOfSteps, t.Context(), s.blue, id, operation.NoSuchStep, "")
		refused(t, s, s.eng, methodsOfSteps, t.Context(), s.never, id, operation.NoSuchJob, "")
	}
}

// A job of another scope does not exist: no method tells it from an id that was never used,
// not by a byte of the error, whatever the step.
func TestAJobOfAnotherScopeIsAnIDThatWasNeverUsed(t *testing.T) {
	s := newSite(t)
	narrow := s.eng.In(blue)
	for _, m := range methodsOfJobs {
		if err := m.call(t.Context(), narrow, s.blue, 1); errors.Is(err, operation.NoSuchJob) {
			t.Errorf("%s does not find the job of its own scope: %v", m.name, err)
		}
	}
	s = newSite(t) // they may have changed something
	narrow = s.eng.In(blue)
	before := s.everything(t)
	for _, m := range methodsOfJobs {
		for _, id := range []step.ID{1, 2, 3, math.MaxInt64} {
			foreign, never := m.call(t.Context(), narrow, s.red, id), m.call(t.Context(), narrow, s.never, id)
			refusedAs(t, m.name, foreign, operation.NoSuchJob, "")
			if got, want := fmt.Sprint(foreign), strings.ReplaceAll(fmt.Sprint(never), "999", "102"); got != want {
				t.Errorf("%s of a job of another scope: %q; of an id that was never used: %q", m.name, got, want)
			}
			a, _ := foreign.(*engine.Refusal)
			b, _ := never.(*engine.Refusal)
			if a != nil && b != nil {
				if b.Job = a.Job; *a != *b {
					t.Errorf("%s of a job of another scope: %+v; of an id that was never used: %+v", m.name, a, b)
				}
			}
		}
	}
	if after := s.everything(t); !reflect.DeepEqual(before, after) {
		t.Errorf("the store changed:\nfrom %+v\nto   %+v", before, after)
	}
	jobs, err := narrow.Jobs(t.Context(), engine.JobQuery{})
	if err != nil || len(jobs) != 1 || jobs[0].ID != s.blue {
		t.Errorf("Jobs in %v = %+v, %v; want job %d alone", blue, jobs, err, s.blue)
	}
}

func TestAnIncompleteScopeIsInvalidForEveryMethod(t *testing.T) {
	s := newSite(t)
	for scope, field := range map[store.Scope]string{
		{}:                               "scope.type",
		{ID: "1"}:                        "scope.type",
		{Type: "biz"}:                    "scope.id",
		{Type: "b\x00z", ID: "1"}:        "scope.type",
		{Type: "biz", ID: "\xff"}:        "scope.id",
		{Type: strings.Repeat("b", 257)}: "scope.type",
		{Type: "biz", ID: strings.Repeat("é", 257)}: "scope.id",
	} {
		refused(t, s, s.eng.In(scope), methods, t.Context(), s.blue, 1, operation.InvalidInput, field)
	}
}

func TestNoContextIsInvalidForEveryMethod(t *testing.T) {
	s := newSite(t)
	var none context.Context
	refused(t, s, s.eng, methods, none, s.blue, 1, operation.InvalidInput, "Context")
}

func TestACancelledContextEndsEveryMethod(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := s.everything(t)
	for _, m := range methods {
		if err := m.call(ctx, s.eng, s.blue, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v, want context.Canceled", m.name, err)
		}
	}
	if after := s.everything(t); !reflect.DeepEqual(before, after) {
		t.Errorf("the store changed:\nfrom %+v\nto   %+v", before, after)
	}
}

func TestNoStoreIsInvalidForEveryMethod(t *testing.T) {
	for _, m := range methods {
		refusedAs(t, m.name, m.call(t.Context(), engine.New(nil), 1, 1), operation.InvalidInput, "Store")
	}
}

func TestNoHandlerIsInvalid(t *testing.T) {
	s := newSite(t)
	_, err := s.eng.Deliver(t.Context(), nil)
	refusedAs(t, "Deliver", err, operation.InvalidInput, "Handler")
	refusedAs(t, "Dispatch", s.eng.Dispatch(t.Context(), nil), operation.InvalidInput, "Handler")
}

var (
	long    = strings.Repeat("x", 257)
	longest = strings.Repeat("é", 256) // characters count, not bytes
)

// badTexts are no names, and but for the first no texts either.
var badTexts = []string{"", long, strings.Repeat("é", 257), "a\x00b", "\xff\xfe", "a\xc3"}

// oddNames are texts that are no names: a log, a terminal or a page would show them differently, or
// they look like another name.
var oddNames = []string{
	"eve\n2026-01-01 INFO accepted", "a\rb", "a\tb", "\x1b[2J", "a\x7f", "a\u0085b", "a\u009bb", "a\u2028b", "a\u2029b",
	"a\u202eb", "\u2066a\u2069", "a\u200f", "\u061ca", " ", "\u3000", " ann", "ann ", "ann\u00a0", "\u2003ann", "é ",
}

// A mistake is a request that every state of a job refuses.
type mistake struct {
	name  string
	field string
	call  func(ctx context.Context, s *site) error
}

func mistakes() []mistake {
	var all mistakeList
	all.ofCodes()
	all.ofRequests()
	all.ofRequestsThatDoNotApply()
	all.ofDefinitions()
	all.ofReports()
	all.ofReads()
	all.ofClaims()
	all.ofEffects()
	return all
}

// A mistakeList collects mistakes.
type mistakeList []mistake

func (all *mistakeList) add(name, field string, call func(ctx context.Context, s *site) error) {
	*all = append(*all, mistake{name, field, call})
}

func (all *mistakeList) create(name, field string, edit func(spec *engine.JobSpec)) {
	all.add("Create "+name, field, func(ctx context.Context, s *site) error {
		spec := engine.JobSpec{Name: "more", Scope: blue, Steps: []step.Spec{
			{Type: step.Script, Name: "copy", Targets: []string{"a", "b"}}, {Type: step.Confirmation, Name: "ask"},
		}}
		edit(&spec)
		_, err := s.eng.Create(ctx, spec, engine.Request{})
		return err
	})
}

func (all *mistakeList) requestOf(method, name, field string, r engine.Request) {
	all.add(method+" "+name, field, func(ctx context.Context, s *site) (err error) {
		switch method {
		case "Operate":
			_, err = s.eng.Operate(ctx, s.blue, 1, operation.RetryAll, r)
		case "OperateJob":
			_, err = s.eng.OperateJob(ctx, s.blue, operation.TerminateJob, r)
		case "Create":
			_, err = s.eng.Create(ctx, engine.JobSpec{Name: "more", Steps: []step.Spec{plain(step.Script, "copy")}}, r)
		case "GiveUp":
			_, err = s.eng.GiveUp(ctx, s.blue, 2, r)
		case "Hurry":
			_, err = s.eng.Hurry(ctx, s.blue, 2, r)
		case "Explain":
			_, err = s.eng.Explain(ctx, s.blue, 1, r)
		}
		return err
	})
}

func (all *mistakeList) request(name, field string, r engine.Request) {
	for _, method := range []string{"Operate", "OperateJob", "GiveUp", "Hurry", "Create", "Explain"} {
		all.requestOf(method, name, field, r)
	}
}

func (all *mistakeList) report(name, field string, edit func(r *engine.Report)) {
	all.add("Report "+name, field, func(ctx context.Context, s *site) error {
		r := engine.Report{Job: s.blue, Step: 1, Attempt: 1, Results: []engine.TargetResult{
			{Target: 0, Result: store.Result{Status: good}}, {Target: 1, Result: store.Result{Status: wrong}},
		}}
		edit(&r)
		_, err := s.eng.Report(ctx, r)
		return err
	})
}

func (all *mistakeList) claim(name, field string, q engine.ClaimQuery) {
	all.add("Claim with "+name, field, func(ctx context.Context, s *site) error {
		_, err := s.eng.Claim(ctx, q)
		return err
	})
}

func (all *mistakeList) ofCodes() {
	for _, code := range []operation.Code{0, 1, 4, 5, 7, 14, 20, 31, 32, 63, 64, 255} {
		all.add(fmt.Sprintf("Operate code %d", code), "code", func(ctx context.Context, s *site) error {
			_, err := s.eng.Operate(ctx, s.blue, 1, code, engine.Request{})
			return err
		})
	}
	for _, code := range []operation.JobCode{0, 3, 64, 255} {
		all.add(fmt.Sprintf("OperateJob code %d", code), "code", func(ctx context.Context, s *site) error {
			_, err := s.eng.OperateJob(ctx, s.blue, code, engine.Request{})
			return err
		})
	}
}

// ofRequests adds mistakes of every method that takes a request.
func (all *mistakeList) ofRequests() {
	all.request("if attempt -1", "if_attempt", engine.Request{IfAttempt: -1})
	all.request("if version -1", "if_version", engine.Request{IfVersion: -1})
	for _, text := range append(badTexts[1:], oddNames...) {
		all.request(fmt.Sprintf("by %.10q", text), "actor", engine.Request{By: text})
	}
	for _, text := range []string{strings.Repeat("x", 2001), strings.Repeat("é", 2001), "a\x00b", "\xff"} {
		all.request(fmt.Sprintf("because %.10q", text), "reason", engine.Request{Because: text})
	}
}

// ofRequestsThatDoNotApply adds requests with a field that does not apply to a method.
func (all *mistakeList) ofRequestsThatDoNotApply() {
	all.requestOf("Create", "if attempt 1", "if_attempt", engine.Request{IfAttempt: 1})
	all.requestOf("Create", "if version 1", "if_version", engine.Request{IfVersion: 1})
	all.requestOf("Explain", "because it says so", "reason", engine.Request{Because: "it says so"})
	all.requestOf("Explain", "a request id", "request_id", engine.Request{ID: store.RequestID{15: 1}})
	all.requestOf("Explain", "a dry run", "dry_run", engine.Request{DryRun: true})
}

func (all *mistakeList) ofDefinitions() {
	for _, text := range append(badTexts, oddNames...) {
		all.create(fmt.Sprintf("name %.10q", text), "name", func(j *engine.JobSpec) { j.Name = text })
		all.create(fmt.Sprintf("step name %.10q", text), "steps[1].name", func(j *engine.JobSpec) { j.Steps[1].Name = text })
		all.create(fmt.Sprintf("target %.10q", text), "steps[0].targets[1]", func(j *engine.JobSpec) { j.Steps[0].Targets[1] = text })
		all.create(fmt.Sprintf("confirmer %.10q", text), "steps[1].confirmers[1]", func(j *engine.JobSpec) { j.Steps[1].Confirmers = []string{"ann", text} })
		all.create(fmt.Sprintf("scope type %.10q", text), "scope.type", func(j *engine.JobSpec) { j.Scope.Type = text })
		all.create(fmt.Sprintf("scope id %.10q", text), "scope.id", func(j *engine.JobSpec) { j.Scope.ID = text })
	}
	all.create("a payload of 1 MiB and a byte", "steps[1].payload", func(j *engine.JobSpec) { j.Steps[1].Payload = strings.Repeat("x", 1<<20+1) })
	all.create("no steps", "steps", func(j *engine.JobSpec) { j.Steps = nil })
	all.create("1,001 steps", "steps", func(j *engine.JobSpec) { j.Steps = make([]step.Spec, 1_001) })
	for _, typ := range []step.Type{0, 5, 32, 63, 64, 255} {
		all.create(fmt.Sprintf("type %d", typ), "steps[0].type", func(j *engine.JobSpec) { j.Steps[0].Type = typ })
	}
	all.create("no targets", "steps[0].targets", func(j *engine.JobSpec) { j.Steps[0].Targets = nil })
	all.create("empty targets", "steps[0].targets", func(j *engine.JobSpec) { j.Steps[0].Targets = []string{} })
	all.create("1,000,001 targets", "steps[0].targets", func(j *engine.JobSpec) { j.Steps[0].Targets = make([]string, 1_000_001) })
	all.create("the same target twice", "steps[0].targets[2]", func(j *engine.JobSpec) { j.Steps[0].Targets = []string{"a", "b", "a"} })
	all.create("targets of a confirmation", "steps[1].targets", func(j *engine.JobSpec) { j.Steps[1].Targets = []string{"a"} })
	all.create("ignored errors of a confirmation", "steps[1].ignore_errors", func(j *engine.JobSpec) { j.Steps[1].IgnoreErrors = true })
	all.create("confirmers of a script", "steps[0].confirmers", func(j *engine.JobSpec) { j.Steps[0].Confirmers = []string{"ann"} })
	all.create("an empty list of confirmers of a script", "steps[0].confirmers", func(j *engine.JobSpec) { j.Steps[0].Confirmers = []string{} })
	all.create("a timeout decision of a script", "steps[0].on_timeout", func(j *engine.JobSpec) { j.Steps[0].OnTimeout = step.ConfirmOnTimeout })
	all.create("an unknown timeout decision", "steps[1].on_timeout", func(j *engine.JobSpec) { j.Steps[1].OnTimeout = 2 })
	all.create("a timeout decision without a timeout", "steps[1].on_timeout", func(j *engine.JobSpec) { j.Steps[1].OnTimeout, j.Steps[1].Timeout = step.ConfirmOnTimeout, 0 })
	all.create("an empty list of confirmers", "steps[1].confirmers", func(j *engine.JobSpec) { j.Steps[1].Confirmers = []string{} })
	all.create("the same confirmer twice", "steps[1].confirmers[1]", func(j *engine.JobSpec) { j.Steps[1].Confirmers = []string{"ann", "ann"} })
	all.create("a negative timeout", "steps[0].timeout_ns", func(j *engine.JobSpec) { j.Steps[0].Timeout = -1 })
	all.create("the least timeout of a confirmation", "steps[1].timeout_ns", func(j *engine.JobSpec) { j.Steps[1].Timeout = math.MinInt64 })
	all.add("Create in another scope than the engine's", "scope", func(ctx context.Context, s *site) error {
		_, err := s.eng.In(red).Create(ctx, engine.JobSpec{Name: "more", Scope: blue, Steps: []step.Spec{plain(step.Script, "copy")}}, engine.Request{})
		return err
	})
}

func (all *mistakeList) ofReports() {
	for _, n := range []int32{0, -1, math.MinInt32} {
		all.report(fmt.Sprintf("attempt %d", n), "attempt", func(r *engine.Report) { r.Attempt = n })
	}
	all.report("nothing", "results", func(r *engine.Report) { r.Results = nil })
	all.report("10,001 results", "results", func(r *engine.Report) { r.Results = make([]engine.TargetResult, 10_001) })
	for _, status := range []step.Status{0, 4, 6, 8, 10, 499, 501, math.MaxUint16} {
		all.report(fmt.Sprintf("status %d", status), "results[1].status", func(r *engine.Report) { r.Results[1].Status = status })
	}
	for _, target := range []int32{-1, math.MinInt32, 3, math.MaxInt32} {
		all.report(fmt.Sprintf("target %d", target), "results[1].target", func(r *engine.Report) { r.Results[1].Target = target })
		all.report(fmt.Sprintf("target %d and an outcome", target), "results[0].target", func(r *engine.Report) { r.Results[0].Target, r.Outcome = target, step.Broke })
	}
	for _, outcome := range []step.Cause{step.Entered, step.AllSucceeded, step.SomeFailed, step.FailuresIgnored, step.Expired, step.ExpiredConfirmed, 10, 74, 129, step.Created, step.Results, 255} {
		all.report(fmt.Sprintf("outcome %d", outcome), "outcome", func(r *engine.Report) { r.Outcome = outcome })
	}
	for _, at := range []step.Time{-1, math.MinInt64, step.MaxTime + 1, 1_764_500_000_000_000_000, math.MaxInt64} {
		all.report(fmt.Sprintf("started %d", at), "results[1].started", func(r *engine.Report) { r.Results[1].Started = at })
		all.report(fmt.Sprintf("finished %d", at), "results[1].finished", func(r *engine.Report) { r.Results[1].Finished = at })
	}
	all.report("a finish before the start", "results[1].finished", func(r *engine.Report) { r.Results[1].Started, r.Results[1].Finished = 9, 8 })
	for _, text := range oddNames {
		all.report(fmt.Sprintf("by %.10q", text), "actor", func(r *engine.Report) { r.By = text })
	}
	for _, text := range badTexts[1:] {
		all.report(fmt.Sprintf("by %.10q", text), "actor", func(r *engine.Report) { r.By = text })
		all.report(fmt.Sprintf("detail %.10q", text), "results[1].detail", func(r *engine.Report) { r.Results[1].Detail = text })
	}
	for _, text := range []string{strings.Repeat("x", 2001), "a\x00b", "\xff"} {
		all.report(fmt.Sprintf("reason %.10q", text), "reason", func(r *engine.Report) { r.Reason = text })
	}
}

func (all *mistakeList) ofReads() {
	for _, limit := range []int{-1, math.MinInt, 10_001, math.MaxInt} {
		for name, call := range map[string]func(ctx context.Context, s *site) error{
			"Steps":   func(ctx context.Context, s *site) error { _, err := s.eng.Steps(ctx, s.blue, 0, limit); return err },
			"History": func(ctx context.Context, s *site) error { _, err := s.eng.History(ctx, s.blue, 0, limit); return err },
			"Effects": func(ctx context.Context, s *site) error { _, err := s.eng.Effects(ctx, s.blue, 0, limit); return err },
			"Jobs": func(ctx context.Context, s *site) error {
				_, err := s.eng.Jobs(ctx, engine.JobQuery{Limit: limit})
				return err
			},
			"Claim": func(ctx context.Context, s *site) error {
				_, err := s.eng.Claim(ctx, engine.ClaimQuery{Limit: limit})
				return err
			},
			"Targets": func(ctx context.Context, s *site) error {
				_, err := s.eng.Targets(ctx, s.blue, 1, engine.TargetQuery{Limit: limit})
				return err
			},
		} {
			all.add(fmt.Sprintf("%s limit %d", name, limit), "limit", call)
		}
	}
	for field, q := range map[string]engine.TargetQuery{"class": {Class: 5}, "attempt": {Attempt: -1}, "from": {From: -1}} {
		all.add("Targets "+field, field, func(ctx context.Context, s *site) error {
			_, err := s.eng.Targets(ctx, s.blue, 1, q)
			return err
		})
	}
	for _, state := range []step.State{0, 8, 12, 16, 60} {
		all.add(fmt.Sprintf("Jobs in state %d", state), "states", func(ctx context.Context, s *site) error {
			_, err := s.eng.Jobs(ctx, engine.JobQuery{States: step.StatesOf(step.Running, state)})
			return err
		})
	}
}

func (all *mistakeList) ofClaims() {
	for _, effect := range []store.Effect{store.NoEffect, 5, 255} {
		all.claim(fmt.Sprintf("effect %d", effect), "effects[1]", engine.ClaimQuery{Effects: []store.Effect{store.RunTargets, effect}})
	}
	for _, wait := range []time.Duration{-1, math.MinInt64, time.Minute + 1, math.MaxInt64} {
		all.claim(fmt.Sprintf("wait %d", wait), "wait", engine.ClaimQuery{Wait: wait})
	}
	for _, lease := range []time.Duration{-1, 1, time.Second - 1, time.Hour + 1, math.MinInt64, math.MaxInt64} {
		all.claim(fmt.Sprintf("lease %d", lease), "lease", engine.ClaimQuery{Lease: lease})
		all.add(fmt.Sprintf("Renew with lease %d", lease), "lease", func(ctx context.Context, s *site) error {
			return s.eng.Renew(ctx, engine.Claimed{Job: s.blue, Seq: 2, Count: 1}, lease)
		})
	}
	for _, c := range []struct {
		field   string
		claimed func(s *site) engine.Claimed
	}{
		{"job", func(*site) engine.Claimed { return engine.Claimed{Seq: 2, Count: 1} }},
		{"seq", func(s *site) engine.Claimed { return engine.Claimed{Job: s.blue, Count: 1} }},
		{"seq", func(s *site) engine.Claimed { return engine.Claimed{Job: s.blue, Seq: math.MinInt64, Count: 1} }},
		{"count", func(s *site) engine.Claimed { return engine.Claimed{Job: s.blue, Seq: 2} }},
		{"count", func(s *site) engine.Claimed { return engine.Claimed{Job: s.blue, Seq: 2, Count: -1} }},
	} {
		all.add("Settle", c.field, func(ctx context.Context, s *site) error { return s.eng.Settle(ctx, c.claimed(s)) })
		all.add("Renew", c.field, func(ctx context.Context, s *site) error { return s.eng.Renew(ctx, c.claimed(s), 0) })
		all.add("Fail", c.field, func(ctx context.Context, s *site) error { return s.eng.Fail(ctx, c.claimed(s), errBroken) })
		all.add("Release", c.field, func(ctx context.Context, s *site) error { return s.eng.Release(ctx, c.claimed(s)) })
	}
	all.add("Fail without a cause", "Cause", func(ctx context.Context, s *site) error {
		return s.eng.Fail(ctx, engine.Claimed{Job: s.blue, Seq: 2, Count: 1}, nil)
	})
}

func (all *mistakeList) ofEffects() {
	for cause, do := range onEffects {
		for _, seq := range []store.Seq{0, -1, math.MinInt64, 1, 1 << 40, math.MaxInt64} {
			all.add(fmt.Sprintf("%v of %d", cause, seq), "seq", func(ctx context.Context, s *site) error {
				_, err := do(s.eng, ctx, s.blue, seq, engine.Request{})
				return err
			})
		}
	}
}

func TestEveryMistakeIsRefusedByTheNameOfItsFieldAndStoresNothing(t *testing.T) {
	s := newSite(t)
	before := s.everything(t)
	for _, m := range mistakes() {
		refusedAs(t, m.name, m.call(t.Context(), s), operation.InvalidInput, m.field)
	}
	if after := s.everything(t); !reflect.DeepEqual(before, after) {
		t.Errorf("the store changed:\nfrom %+v\nto   %+v", before, after)
	}
}

// A field of a definition leads by its names and positions through the definition's JSON.
func TestFieldsOfDefinitionsAreNamedAsTheyMarshal(t *testing.T) {
	looked := 0
	for _, m := range mistakes() {
		if !strings.HasPrefix(m.name, "Create ") || !strings.HasPrefix(m.field, "steps[") && !strings.HasPrefix(m.field, "scope") {
			continue
		}
		looked++
		at := reflect.TypeFor[engine.JobSpec]()
		for part := range strings.SplitSeq(m.field, ".") {
			name, _, indexed := strings.Cut(part, "[")
			if at = fieldOf(at, name); at != nil && indexed {
				at = at.Elem()
			}
			if at == nil {
				t.Errorf("%s: %s is no field of a definition's JSON: it has no %s", m.name, m.field, name)
				break
			}
		}
	}
	if looked < 30 {
		t.Errorf("looked at %d mistakes of definitions, and there are more", looked)
	}
}

// fieldOf returns the type of the field of a struct that marshals under this name, or nil.
func fieldOf(t reflect.Type, name string) reflect.Type {
	for i := range t.NumField() {
		if tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); tag == name {
			return t.Field(i).Type
		}
	}
	return nil
}

// Input just inside the limits is accepted.
func TestTheLimitsThemselvesAreAccepted(t *testing.T) {
	s := newSite(t)
	steps := make([]step.Spec, 1_000)
	for i := range steps {
		steps[i] = plain(step.Script, longest)
	}
	steps[0].Timeout = math.MaxInt64
	steps[1].Payload = strings.Repeat("x", 1<<20)
	created, err := s.eng.Create(t.Context(), engine.JobSpec{Name: longest, Steps: steps}, engine.Request{By: longest, Because: strings.Repeat("é", 2_000)})
	if err != nil {
		t.Fatalf("Create of 1,000 steps with names of 256 characters: %v", err)
	}
	if _, err := s.eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{IfVersion: math.MaxInt64}); !errors.Is(err, operation.Stale) {
		t.Errorf("IfVersion(the largest) = %v, want stale", err)
	}
	if _, err := s.eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{IfVersion: 1}); err != nil {
		t.Errorf("start of a job with the longest timeout: %v", err)
	}
	if _, err := s.eng.Report(t.Context(), engine.Report{
		Job: created.Job, Step: 1, Attempt: 1, By: longest, Reason: strings.Repeat("é", 2_000),
		Results: []engine.TargetResult{{Result: store.Result{Status: good, Detail: longest}}},
	}); err != nil {
		t.Errorf("Report with a detail of 256 characters: %v", err)
	}
	for _, times := range [][2]step.Time{{0, 0}, {1, 1}, {0, 5}, {5, 0}, {1, step.MaxTime}, {step.MaxTime, step.MaxTime}} {
		if _, err := s.eng.Report(t.Context(), engine.Report{Job: s.blue, Step: 1, Attempt: 1, Results: []engine.TargetResult{
			{Target: 0, Result: store.Result{Status: good, Started: times[0], Finished: times[1]}},
		}}); err != nil {
			t.Errorf("Report with the times %v: %v", times, err)
		}
	}
	if _, err := s.eng.Steps(t.Context(), created.Job, 0, 10_000); err != nil {
		t.Errorf("Steps with a limit of 10,000: %v", err)
	}
	for _, lease := range []time.Duration{time.Second, time.Hour} {
		run := engine.ClaimQuery{Effects: []store.Effect{store.RunTargets}, Lease: lease, Limit: 1, Wait: time.Minute}
		claimed, err := s.eng.Claim(t.Context(), run)
		if err != nil || len(claimed) != 1 {
			t.Fatalf("Claim(%+v): %v, %v, want one run", run, claimed, err)
		}
		if err := s.eng.Renew(t.Context(), claimed[0].Claimed(), lease); err != nil {
			t.Errorf("Renew for %v: %v", lease, err)
		}
	}
	if _, err := s.eng.Claim(t.Context(), engine.ClaimQuery{Limit: 10_000}); err != nil {
		t.Errorf("Claim with a limit of 10,000: %v", err)
	}
}

func TestLimitsOfTheEmbedderHold(t *testing.T) {
	s := newSite(t, engine.WithLimits(engine.Limits{Steps: 2, Targets: 3, Reason: 7, Payload: 5}))
	before := s.everything(t)
	create := func(spec ...step.Spec) error {
		_, err := s.eng.Create(t.Context(), engine.JobSpec{Name: "more", Steps: spec}, engine.Request{Because: "reasons"})
		return err
	}
	script := plain(step.Script, "copy")
	more := step.Spec{Type: step.Script, Name: "copy", Targets: []string{"a", "b", "c", "d"}}
	asks := step.Spec{Type: step.Confirmation, Name: "ask", Confirmers: []string{"a", "b", "c", "d"}}
	refusedAs(t, "Create of 3 steps", create(script, script, script), operation.InvalidInput, "steps")
	refusedAs(t, "Create of 4 targets", create(script, more), operation.InvalidInput, "steps[1].targets")
	refusedAs(t, "Create of 4 confirmers", create(asks), operation.InvalidInput, "steps[0].confirmers")
	heavy := script
	heavy.Payload = "ééé" // bytes count
	refusedAs(t, "Create of a payload of 6 bytes", create(heavy), operation.InvalidInput, "steps[0].payload")
	_, err := s.eng.Operate(t.Context(), s.blue, 1, operation.RetryAll, engine.Request{Because: "eight ch"})
	refusedAs(t, "Operate because of 8 characters", err, operation.InvalidInput, "reason")
	_, err = s.eng.Report(t.Context(), engine.Report{Job: s.blue, Step: 1, Attempt: 1, Outcome: step.Broke, Reason: "eight ch"})
	refusedAs(t, "Report with a reason of 8 characters", err, operation.InvalidInput, "reason")
	if after := s.everything(t); !reflect.DeepEqual(before, after) {
		t.Errorf("the store changed:\nfrom %+v\nto   %+v", before, after)
	}
	if err := create(script, script); err != nil {
		t.Errorf("Create of 2 steps of 3 targets: %v", err)
	}
}

// Decide checks the fields of a command as the engine does, against the default limits.
func TestDecideRefusesMistakesToo(t *testing.T) {
	running := situation{typ: step.Script, state: step.Running, current: true, left: true}
	failed := situation{typ: step.Script, state: step.Failed, current: true, left: true}
	results := func(n int, status step.Status) []engine.TargetResult {
		all := make([]engine.TargetResult, n)
		for i := range all {
			all[i].Status = status
		}
		return all
	}
	report := func(edit func(*engine.Report)) engine.Command {
		r := &engine.Report{Job: 7, Step: 2, Attempt: atAttempt, Results: results(1, good)}
		edit(r)
		return r
	}
	steps := []step.Spec{plain(step.Script, "copy")}
	create := func(id store.JobID, name string, r engine.Request) engine.Command {
		return &engine.Create{Job: id, Spec: engine.JobSpec{Name: name, Steps: steps}, Request: r}
	}
	reason := strings.Repeat("x", 2001)
	for _, c := range []struct {
		name  string
		on    situation
		cmd   engine.Command
		field string
	}{
		{"no command", failed, nil, "Command"},
		{"operate code 0", failed, &engine.Operate{}, "code"},
		{"operate code 99", failed, &engine.Operate{Cause: 99}, "code"},
		{"operate by \\xff", failed, &engine.Operate{Cause: operation.RetryAll.Cause(), Request: engine.Request{By: "\xff"}}, "actor"},
		{"operate because too much", failed, &engine.Operate{Cause: operation.RetryAll.Cause(), Request: engine.Request{Because: reason}}, "reason"},
		{"operate if attempt -1", failed, &engine.Operate{Cause: operation.RetryAll.Cause(), Request: engine.Request{IfAttempt: -1}}, "if_attempt"},
		{"operate if version -1", failed, &engine.Operate{Cause: operation.RetryAll.Cause(), Request: engine.Request{IfVersion: -1}}, "if_version"},
		{"operate dry", failed, &engine.Operate{Cause: operation.RetryAll.Cause(), Request: engine.Request{DryRun: true}}, "dry_run"},
		{"operate as an executor", failed, &engine.Operate{Cause: operation.RetryAll.Cause(), Request: engine.Request{Executor: true}}, "executor"},
		{"create dry", failed, create(1, "more", engine.Request{DryRun: true}), "dry_run"},
		{"create if attempt 1", failed, create(1, "more", engine.Request{IfAttempt: 1}), "if_attempt"},
		{"create if version 1", failed, create(1, "more", engine.Request{IfVersion: 1}), "if_version"},
		{"operate job code 0", running, &engine.Operate{Cause: step.JobCause(0)}, "code"},
		{"operate job code 9", running, &engine.Operate{Cause: step.JobCause(9)}, "code"},
		{"operate job by NUL", running, &engine.Operate{Cause: operation.TerminateJob.Cause(), Request: engine.Request{By: "\x00"}}, "actor"},
		{"give up nothing", running, &engine.OperateEffect{Cause: step.GivenUp}, "seq"},
		{"effect broke", running, &engine.OperateEffect{Cause: step.Broke, Effect: store.Delivery{Seq: 2}}, "cause"},
		{"give up because too much", running, &engine.OperateEffect{Cause: step.GivenUp, Effect: store.Delivery{Seq: 2}, Request: engine.Request{Because: reason}}, "reason"},
		{"hurry dry", running, &engine.OperateEffect{Cause: step.Hurried, Effect: store.Delivery{Seq: 2}, Request: engine.Request{DryRun: true}}, "dry_run"},
		{"report attempt 0", running, report(func(r *engine.Report) { r.Attempt = 0 }), "attempt"},
		{"report nothing", running, report(func(r *engine.Report) { r.Results = nil }), "results"},
		{"report too much", running, report(func(r *engine.Report) { r.Results = results(10_001, good) }), "results"},
		{"report status 4", running, report(func(r *engine.Report) { r.Results[0].Status = 4 }), "results[0].status"},
		{"report target -1", running, report(func(r *engine.Report) { r.Results[0].Target = -1 }), "results[0].target"},
		{"report target 9", running, report(func(r *engine.Report) { r.Results[0].Target = 9 }), "results[0].target"},
		{"report all_succeeded", running, report(func(r *engine.Report) { r.Outcome = step.AllSucceeded }), "outcome"},
		{"report entered", running, report(func(r *engine.Report) { r.Outcome = step.Entered }), "outcome"},
		{"report by too long a name", running, report(func(r *engine.Report) { r.By = long }), "actor"},
		{"create job 0", failed, create(0, "more", engine.Request{}), "job"},
		{"create too large a job id", failed, create(store.MaxJobID+1, "more", engine.Request{}), "job"},
		{"create without a name", failed, create(1, "", engine.Request{}), "name"},
	} {
		v := c.on.view()
		v.Targets = []store.Target{{Index: 0}}
		d, err := engine.Decide(operation.Standard(), v, c.cmd, now)
		refusedAs(t, "Decide "+c.name, err, operation.InvalidInput, c.field)
		if !reflect.DeepEqual(d, engine.Decision{}) {
			t.Errorf("Decide %s gives a decision: %+v", c.name, d.Record())
		}
	}
}

func TestDecideRefusesACommandThatPointsNowhere(t *testing.T) {
	for _, cmd := range []engine.Command{
		(*engine.Create)(nil), (*engine.Operate)(nil), (*engine.Report)(nil), (*engine.Expire)(nil),
	} {
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("Decide(%T(nil)) panics: %v", cmd, p)
				}
			}()
			v := situation{typ: step.Script, state: step.Failed, current: true}.view()
			_, err := engine.Decide(operation.Standard(), v, cmd, now)
			refusedAs(t, fmt.Sprintf("Decide(%T(nil))", cmd), err, operation.InvalidInput, "Command")
		}()
	}
}

// No input, however absurd, makes a method panic, and an error is a refusal or the
// context's.
func TestNoInputPanics(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSite(t)
		e := s.eng
		switch rapid.IntRange(0, 3).Draw(rt, "narrowed") {
		case 0:
			e = e.In(store.Scope{Type: garbageText(rt, "scope type"), ID: garbageText(rt, "scope id")})
		case 1:
			e = e.In(blue)
		}
		for range 8 {
			if err := absurd(rt, s, e); err != nil && !errors.As(err, new(*engine.Refusal)) && !errors.Is(err, context.Canceled) {
				rt.Fatalf("an error of another kind: %v", err)
			}
		}
		s.everything(t)
	})
}

// absurd calls one method with random arguments.
func absurd(rt *rapid.T, s *site, e *engine.Engine) error {
	ctx := garbageContext(rt)
	job := store.JobID(garbageNumber(rt, "job", int64(s.blue), int64(s.red)))
	id := step.ID(garbageNumber(rt, "step", 1, 2))
	after, limit := garbageNumber(rt, "after"), int(garbageNumber(rt, "limit", 1, 100))
	var err error
	switch rapid.IntRange(0, 17).Draw(rt, "method") {
	case 0:
		_, err = e.Operate(ctx, job, id, operation.Code(rapid.Uint8().Draw(rt, "code")), garbageRequest(rt))
	case 1:
		_, err = e.OperateJob(ctx, job, operation.JobCode(rapid.Uint8Range(0, 4).Draw(rt, "code")), garbageRequest(rt))
	case 2:
		_, err = e.Create(ctx, garbageSpec(rt), garbageRequest(rt))
	case 3:
		_, err = e.Report(ctx, garbageReport(rt, job, id))
	case 4:
		_, err = e.Explain(ctx, job, id, garbageRequest(rt))
	case 5:
		_, err = e.Allowed(ctx, job, id, garbageRequest(rt))
	case 6:
		_, err = e.Steps(ctx, job, step.ID(after), limit)
	case 7:
		_, err = e.History(ctx, job, store.Seq(after), limit)
	case 8:
		_, err = e.Effects(ctx, job, store.Seq(after), limit)
	case 9:
		_, err = e.Targets(ctx, job, id, engine.TargetQuery{
			Class: store.Class(rapid.Uint8().Draw(rt, "class")), Attempt: int32(garbageNumber(rt, "attempt", 1)),
			From: int32(garbageNumber(rt, "from", 1)), Limit: limit,
		})
	case 10:
		_, err = e.Jobs(ctx, engine.JobQuery{
			States: step.StatesOf(step.State(rapid.Uint8().Draw(rt, "state"))), Newest: rapid.Bool().Draw(rt, "newest"), After: store.JobID(after), Limit: limit,
		})
	case 11:
		_, err = e.Sweep(ctx)
	case 12:
		_, err = e.Deliver(ctx, func(context.Context, engine.Delivery) error { panic("a handler's") })
		if err != nil && strings.HasSuffix(err.Error(), "panic: a handler's") {
			err = nil // as it should
		}
	case 13:
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		for _, err = range e.Watch(ended, job, store.Seq(after), engine.WithoutProgress(), engine.WatchPoll(-1)) {
			break
		}
	case 14:
		q := engine.ClaimQuery{Lease: time.Duration(garbageNumber(rt, "lease", int64(time.Second))), Limit: limit}
		for range rapid.IntRange(0, 3).Draw(rt, "effects") {
			q.Effects = append(q.Effects, store.Effect(rapid.Uint8Range(0, 6).Draw(rt, "effect")))
		}
		if q.Wait = time.Duration(garbageNumber(rt, "wait")); q.Wait > 1 && q.Wait <= time.Minute {
			q.Wait = 1 // a wait must end
		}
		_, err = e.Claim(ctx, q)
	default:
		c := engine.Claimed{Job: job, Seq: store.Seq(garbageNumber(rt, "seq", 2)), Count: int32(garbageNumber(rt, "count", 1, 2))}
		switch rapid.IntRange(0, 5).Draw(rt, "answer") {
		case 0:
			err = e.Settle(ctx, c)
		case 1:
			err = e.Renew(ctx, c, time.Duration(garbageNumber(rt, "lease", int64(time.Hour))))
		case 2:
			err = e.Fail(ctx, c, errors.New(garbageText(rt, "cause")))
		case 3:
			err = e.Release(ctx, c)
		case 4:
			_, err = e.GiveUp(ctx, job, c.Seq, garbageRequest(rt))
		case 5:
			_, err = e.Hurry(ctx, job, c.Seq, garbageRequest(rt))
		}
	}
	if errors.Is(err, store.ErrLeaseLost) || errors.Is(err, engine.ErrAhead) {
		err = nil
	}
	return err
}

func garbageContext(rt *rapid.T) context.Context {
	switch rapid.IntRange(0, 9).Draw(rt, "context") {
	case 0:
		return nil
	case 1:
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx
	}
	return context.Background()
}

func garbageNumber(rt *rapid.T, label string, real ...int64) int64 {
	return rapid.OneOf(rapid.SampledFrom(append(real, 0, 1, -1, math.MaxInt64, math.MinInt64, 1<<53)), rapid.Int64()).Draw(rt, label)
}

func garbageText(rt *rapid.T, label string) string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "ann", "a", "\x00", "\xff", long, longest, strings.Repeat("x", 3000)}),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
		rapid.String(),
	).Draw(rt, label)
}

func garbageRequest(rt *rapid.T) (r engine.Request) {
	for range rapid.IntRange(0, 4).Draw(rt, "fields") {
		switch rapid.IntRange(0, 7).Draw(rt, "field") {
		case 0:
			r.By = garbageText(rt, "by")
		case 1:
			r.Because = garbageText(rt, "because")
		case 2:
			r.IfAttempt = int32(garbageNumber(rt, "if attempt", 1))
		case 3:
			r.IfVersion = store.Seq(garbageNumber(rt, "if version", 2))
		case 4:
			r.ID = uuid.UUID{15: rapid.Uint8Range(0, 3).Draw(rt, "request")}
		case 5:
			r.DryRun = true
		case 6:
			r.Executor = true
		default:
			r.By = "ann"
		}
	}
	return r
}

func garbageSpec(rt *rapid.T) engine.JobSpec {
	texts := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) string { return garbageText(rt, "name") }), -1, 4)
	return engine.JobSpec{
		Name:  garbageText(rt, "name"),
		Scope: rapid.SampledFrom([]store.Scope{{}, blue, red, {Type: "x"}, {ID: "\xff"}}).Draw(rt, "scope"),
		Steps: rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step.Spec {
			return step.Spec{
				Type: step.Type(rapid.Uint8Range(0, 200).Draw(rt, "type")), Name: garbageText(rt, "step name"),
				Targets: texts.Draw(rt, "targets"), IgnoreErrors: rapid.Bool().Draw(rt, "ignore"),
				Confirmers: texts.Draw(rt, "confirmers"), Timeout: time.Duration(garbageNumber(rt, "timeout")),
				OnTimeout: step.Decision(rapid.Uint8Range(0, 3).Draw(rt, "on timeout")), Payload: garbageText(rt, "payload"),
			}
		}), -1, 3).Draw(rt, "steps"),
	}
}

func garbageReport(rt *rapid.T, job store.JobID, id step.ID) engine.Report {
	return engine.Report{
		Job: job, Step: id, Attempt: int32(garbageNumber(rt, "attempt", 1)), By: garbageText(rt, "by"), Reason: garbageText(rt, "reason"),
		Outcome: rapid.SampledFrom([]step.Cause{0, 0, step.Stopped, step.Broke, step.Dropped, step.Expired, step.Results, 2, 74, 129, 255}).Draw(rt, "outcome"),
		Results: rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) engine.TargetResult {
			return engine.TargetResult{Target: int32(garbageNumber(rt, "target", 0, 1, 2)), Result: store.Result{
				Status: step.Status(rapid.Uint16Range(0, 20).Draw(rt, "status")), ExitCode: int32(garbageNumber(rt, "exit code")),
				Started: step.Time(garbageNumber(rt, "started")), Finished: step.Time(garbageNumber(rt, "finished")), Detail: garbageText(rt, "detail"),
			}}
		}), -1, 6).Draw(rt, "results"),
	}
}

// No view and no command makes Decide panic.
func TestDecideNeverPanics(t *testing.T) {
	small := func(rt *rapid.T, label string) int32 { return rapid.Int32Range(-2, 5).Draw(rt, label) }
	garbageStep := func(rt *rapid.T) store.Step {
		return store.Step{
			ID: step.ID(small(rt, "id")), Type: step.Type(rapid.Uint8().Draw(rt, "type")), State: step.State(rapid.Uint8().Draw(rt, "state")),
			Total: small(rt, "total"), Attempt: small(rt, "attempt"), Run: store.Run{Full: small(rt, "full")}, Succeeded: small(rt, "succeeded"),
			Unfinished: small(rt, "unfinished"), Timeout: time.Duration(garbageNumber(rt, "timeout")), Deadline: step.Time(garbageNumber(rt, "deadline")),
			Confirmers: step.NamesOf(rapid.SliceOfN(rapid.Just("ann"), -1, 1).Draw(rt, "confirmers")), IgnoreErrors: rapid.Bool().Draw(rt, "ignore"),
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		v := store.View{
			Job: store.Job{
				ID: 7, State: step.State(rapid.Uint8().Draw(rt, "job state")), Current: step.ID(small(rt, "current")),
				Version: store.Seq(garbageNumber(rt, "version")), Moved: store.Seq(garbageNumber(rt, "moved")),
			},
			Step: garbageStep(rt), Next: garbageStep(rt),
		}
		for range rapid.IntRange(0, 3).Draw(rt, "targets") {
			v.Targets = append(v.Targets, store.Target{Index: small(rt, "index"), Attempt: small(rt, "attempt"), Success: small(rt, "success")})
		}
		if rapid.Bool().Draw(rt, "replayed") {
			v.Replay = &store.Record{Cause: step.Cause(rapid.Uint8().Draw(rt, "cause")), Step: step.ID(small(rt, "step"))}
		}
		report := garbageReport(rt, 7, 2)
		cmd := rapid.SampledFrom([]engine.Command{
			nil, &engine.Create{Job: 7, Spec: garbageSpec(rt)}, &report, &engine.Expire{Job: 7, Step: 2, Attempt: small(rt, "attempt")},
			&engine.Operate{Cause: step.Cause(rapid.Uint8().Draw(rt, "cause")), Request: engine.Request{By: garbageText(rt, "actor"), IfVersion: store.Seq(garbageNumber(rt, "if version"))}},
			&engine.Operate{Cause: step.JobCause(rapid.Uint8Range(0, 63).Draw(rt, "job code")), Request: engine.Request{IfAttempt: small(rt, "if attempt")}},
			(*engine.OperateEffect)(nil), &engine.OperateEffect{
				Cause: rapid.SampledFrom([]step.Cause{step.GivenUp, step.Hurried, step.Broke}).Draw(rt, "to an effect"), Settled: rapid.Bool().Draw(rt, "settled"),
				Effect:  store.Delivery{Seq: store.Seq(small(rt, "seq")), Effect: store.Effect(rapid.Uint8Range(0, 6).Draw(rt, "effect")), Step: step.ID(small(rt, "step")), Attempt: small(rt, "attempt")},
				Request: engine.Request{Because: garbageText(rt, "because"), IfVersion: store.Seq(garbageNumber(rt, "if version"))},
			},
		}).Draw(rt, "command")
		d, err := engine.Decide(operation.Standard(), v, cmd, step.Time(garbageNumber(rt, "now")))
		if refusal, ok := err.(*engine.Refusal); err != nil && (!ok || refusal.Error() == "" || !reflect.DeepEqual(d, engine.Decision{})) {
			rt.Fatalf("Decide = %+v, %v; want a decision or a refusal", d, err)
		}
	})
}
