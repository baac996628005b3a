package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepgate/stepgate/client"
	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var scope = store.Scope{Type: "biz", ID: "2"}

// newEngine returns an engine with the same ids, times and random numbers as every other one.
func newEngine() *engine.Engine {
	var jobs, random atomic.Int64
	return engine.New(memstore.New(),
		engine.WithJobIDs(func(step.Time) store.JobID { return store.JobID(jobs.Add(1)) }),
		engine.WithClock(func() time.Time { return time.Unix(1_700_000_000, 0) }),
		engine.WithRandom(func() uint64 { return uint64(random.Add(1)) }),
		engine.WithAuthorizer(func(_ context.Context, a engine.Access) error {
			if a.Actor == "eve" {
				return engine.Public("eve is on leave")
			}
			return nil
		}),
	)
}

// identify knows people by the X-Person header. "worker" is an executor.
func identify(r *http.Request, _ httpapi.Credentials) (httpapi.Caller, error) {
	person := r.Header.Get("X-Person")
	if person == "" {
		return httpapi.Caller{}, errors.New("unknown")
	}
	return httpapi.Caller{Person: person, Scope: scope, Executor: person == "worker"}, nil
}

// serve serves an engine, and returns its URL.
func serve(t *testing.T, eng *engine.Engine, c httpapi.Config) string {
	t.Helper()
	c.Identify = identify
	server := httptest.NewServer(httpapi.New(eng, c))
	t.Cleanup(server.Close)
	return server.URL
}

// as returns a client of the server at base.
func as(t *testing.T, base, person string, opts ...client.Option) *client.Client {
	t.Helper()
	opts = append(opts, client.WithHeader(func(_ context.Context, h http.Header) error {
		h.Set("X-Person", person)
		return nil
	}))
	c, err := client.New(base, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An api is what an engine and a client have in common.
type api interface {
	Job(ctx context.Context, job store.JobID) (store.Job, error)
	Jobs(ctx context.Context, q engine.JobQuery) ([]store.Job, error)
	Counts(ctx context.Context, most int) (map[step.State]int, error)
	Steps(ctx context.Context, job store.JobID, after step.ID, limit int) ([]store.Step, error)
	Step(ctx context.Context, job store.JobID, id step.ID) (store.Step, error)
	History(ctx context.Context, job store.JobID, after store.Seq, limit int) ([]store.Record, error)
	Effects(ctx context.Context, job store.JobID, after store.Seq, limit int) ([]store.Delivery, error)
	Targets(ctx context.Context, job store.JobID, id step.ID, q engine.TargetQuery) ([]store.Target, error)
	Batches(ctx context.Context, job store.JobID, id step.ID) ([]store.Batch, error)
	Claim(ctx context.Context, q engine.ClaimQuery) ([]engine.Delivery, error)
	Renew(ctx context.Context, c engine.Claimed, lease time.Duration) error
	Settle(ctx context.Context, c engine.Claimed) error
	Release(ctx context.Context, c engine.Claimed) error
	Fail(ctx context.Context, c engine.Claimed, cause error) error
	Report(ctx context.Context, r engine.Report) (engine.ReportReceipt, error)
}

// A teller tells a story to an engine, or to a server through clients.
type teller struct {
	*testing.T
	as         func(person string) api
	create     func(person string, spec engine.JobSpec) (store.Job, error)
	operate    func(person string, job store.JobID, id step.ID, code operation.Code, r engine.Request) (store.Record, error)
	operateJob func(person string, job store.JobID, code operation.JobCode, r engine.Request) (store.Record, error)
	giveUp     func(person string, job store.JobID, seq store.Seq, r engine.Request) (store.Record, error)
	hurry      func(person string, job store.JobID, seq store.Seq, r engine.Request) (store.Record, error)
	explain    func(person string, job store.JobID, id step.ID) (engine.Explanation, error)

	told []string // the result of each call
	ids  byte
}

// id returns a request id of its own.
func (s *teller) id() store.RequestID {
	s.ids++
	return store.RequestID{15: s.ids}
}

func toEngine(t *testing.T) *teller {
	eng := newEngine().In(scope)
	s := &teller{T: t, as: func(string) api { return eng }}
	s.create = func(person string, spec engine.JobSpec) (store.Job, error) {
		record, err := eng.Create(t.Context(), spec, engine.Request{By: person, ID: s.id()})
		if err != nil {
			return store.Job{}, err
		}
		return eng.Job(t.Context(), record.Job)
	}
	s.operate = func(person string, job store.JobID, id step.ID, code operation.Code, r engine.Request) (store.Record, error) {
		r.By, r.ID = person, s.id()
		return eng.Operate(t.Context(), job, id, code, r)
	}
	s.operateJob = func(person string, job store.JobID, code operation.JobCode, r engine.Request) (store.Record, error) {
		r.By, r.ID = person, s.id()
		return eng.OperateJob(t.Context(), job, code, r)
	}
	s.giveUp = func(person string, job store.JobID, seq store.Seq, r engine.Request) (store.Record, error) {
		r.By, r.ID = person, s.id()
		return eng.GiveUp(t.Context(), job, seq, r)
	}
	s.hurry = func(person string, job store.JobID, seq store.Seq, r engine.Request) (store.Record, error) {
		r.By, r.ID = person, s.id()
		return eng.Hurry(t.Context(), job, seq, r)
	}
	s.explain = func(person string, job store.JobID, id step.ID) (engine.Explanation, error) {
		return eng.Explain(t.Context(), job, id, engine.Request{By: person})
	}
	return s
}

func toServer(t *testing.T) *teller {
	base := serve(t, newEngine(), httpapi.Config{})
	clients := map[string]*client.Client{}
	one := func(person string) *client.Client {
		if clients[person] == nil {
			clients[person] = as(t, base, person)
		}
		return clients[person]
	}
	s := &teller{T: t, as: func(person string) api { return one(person) }}
	s.create = func(person string, spec engine.JobSpec) (store.Job, error) {
		return one(person).Create(t.Context(), spec, engine.Request{ID: s.id()})
	}
	s.operate = func(person string, job store.JobID, id step.ID, code operation.Code, r engine.Request) (store.Record, error) {
		r.ID = s.id()
		return one(person).Operate(t.Context(), job, id, code, r)
	}
	s.operateJob = func(person string, job store.JobID, code operation.JobCode, r engine.Request) (store.Record, error) {
		r.ID = s.id()
		return one(person).OperateJob(t.Context(), job, code, r)
	}
	s.giveUp = func(person string, job store.JobID, seq store.Seq, r engine.Request) (store.Record, error) {
		r.ID = s.id()
		return one(person).GiveUp(t.Context(), job, seq, r)
	}
	s.hurry = func(person string, job store.JobID, seq store.Seq, r engine.Request) (store.Record, error) {
		r.ID = s.id()
		return one(person).Hurry(t.Context(), job, seq, r)
	}
	s.explain = func(person string, job store.JobID, id step.ID) (engine.Explanation, error) {
		return one(person).Explain(t.Context(), job, id)
	}
	return s
}

// tell notes the result of a call: a value without times and random numbers of an engine, and an error
// with its type, its text and the sentinels that errors.Is finds.
func (s *teller) tell(what string, v any, err error) {
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice && list.Len() == 0 {
		v = "none"
	}
	text := fmt.Sprintf("%s: %s", what, pointers.ReplaceAllString(fmt.Sprintf("%+v", v), "Policy:pointer"))
	if err != nil {
		text = fmt.Sprintf("%s: %v", what, err)
		if r := (*engine.Refusal)(nil); errors.As(err, &r) {
			text = what + ": " + refused(*r)
		}
		for _, is := range []error{store.ErrLeaseLost, engine.ErrConflict, engine.ErrUnknownOutcome, engine.ErrAhead, operation.Stale} {
			text += fmt.Sprint(" ", errors.Is(err, is))
		}
	}
	s.told = append(s.told, text)
}

var pointers = regexp.MustCompile("Policy:0x[0-9a-f]+")

// refused notes all of a refusal. The server's own words describe malformed input, and only denials and
// refusals of confirmers name the caller there.
func refused(r engine.Refusal) string {
	switch r.Reason {
	case operation.InvalidInput:
		r.Detail, r.Job, r.Step = "", 0, 0
	case operation.Denied, operation.NotConfirmer:
	default:
		r.Actor = ""
	}
	return fmt.Sprintf("%v; actor %s, field %s, legal %v, legal from %v, %v %v %v %v %v %v %v %v %v",
		&r, r.Actor, r.Field, r.Legal, r.LegalFrom, r.Reason, r.Cause, r.Job, r.Step, r.Current, r.Version, r.Attempt, r.State, r.JobState)
}

// look notes the results of all reads.
func (s *teller) look(person string, jobs ...store.JobID) {
	ctx, a := s.Context(), s.as(person)
	all, err := a.Jobs(ctx, engine.JobQuery{})
	s.tell("jobs", all, err)
	for _, q := range []engine.JobQuery{
		{States: step.StatesOf(step.Pending, step.Failed)}, {Name: "REL"}, {Newest: true, Limit: 1}, {After: 1}, {Limit: -1}, {Limit: 10_001},
	} {
		all, err = a.Jobs(ctx, q)
		s.tell(fmt.Sprintf("jobs %+v", q), all, err)
	}
	counts, err := a.Counts(ctx, 10)
	s.tell("counts", counts, err)
	for _, job := range jobs {
		header, err := a.Job(ctx, job)
		s.tell("job", header, err)
		history, err := a.History(ctx, job, 1, 3)
		s.tell("history", history, err)
		history, err = a.History(ctx, job, 99, 0)
		s.tell("history after the last record", history, err)
		effects, err := a.Effects(ctx, job, 0, 0)
		s.tell("effects", effects, err)
		steps, err := a.Steps(ctx, job, 0, 0)
		s.tell("steps", steps, err)
		for id := step.ID(1); id < 5; id++ {
			one, err := a.Step(ctx, job, id)
			s.tell("step", one, err)
			batches, err := a.Batches(ctx, job, id)
			s.tell("batches", batches, err)
			x, err := s.explain(person, job, id)
			s.tell("explain", explained(x), err)
			for _, q := range []engine.TargetQuery{
				{}, {Class: store.DueTargets}, {Class: store.UnfinishedTargets}, {Class: store.FailedTargets}, {Class: store.SucceededTargets},
				{Class: 9}, {Attempt: 1}, {From: 1, Limit: 1}, {IfAttempt: 1}, {IfAttempt: 2}, {Attempt: -1},
			} {
				targets, err := a.Targets(ctx, job, id, q)
				s.tell(fmt.Sprintf("targets %+v", q), targets, err)
			}
		}
	}
}

func explained(x engine.Explanation) string {
	text := fmt.Sprintf("%+v %+v", x.Job, x.Step)
	if x.Job.Policy != nil {
		text += fmt.Sprintf(" %+v", *x.Job.Policy)
	}
	if x.Step.Policy != nil {
		text += fmt.Sprintf(" %+v", *x.Step.Policy)
	}
	for _, v := range x.Causes {
		text += fmt.Sprintf("\n%v %v %+v %v", v.Cause, v.Legal, v.Record, v.Refusal)
	}
	return text
}

// claim claims, and notes all of the delivery but the token.
func (s *teller) claim(q engine.ClaimQuery) []engine.Delivery {
	claimed, err := s.as("worker").Claim(s.Context(), q)
	shown := append([]engine.Delivery(nil), claimed...)
	for i := range shown {
		shown[i].Token = store.Token{}
	}
	s.tell("claim", shown, err)
	return claimed
}

// story makes every call, with accepted and with refused requests.
func (s *teller) story() {
	ctx, worker := s.Context(), s.as("worker")
	spec := engine.JobSpec{Name: "release", Steps: []step.Spec{
		{Type: step.Script, Name: "install", Targets: []string{"a", "b", "c"}, Payload: "<&>\u2028 ü", Timeout: 1500 * time.Millisecond},
		{Type: step.Confirmation, Name: "go?", Confirmers: []string{"ann"}, Timeout: time.Hour, OnTimeout: step.ConfirmOnTimeout},
		{Type: step.FileTransfer, Name: "copy", Targets: []string{"a"}, IgnoreErrors: true},
	}}
	job, err := s.create("ann", spec)
	s.tell("create", job, err)
	_, err = s.create("eve", spec)
	s.tell("create by one who may not", "", err)
	for _, wrong := range []engine.JobSpec{{}, {Name: "n", Steps: []step.Spec{{Type: step.Script, Name: "s"}}}, {Name: "n", Scope: store.Scope{Type: "x", ID: "y"}, Steps: spec.Steps}} {
		_, err = s.create("ann", wrong)
		s.tell("create what is wrong", "", err)
	}
	s.look("ann", job.ID, 77)
	record, err := s.operateJob("ann", job.ID, operation.StartJob, engine.Request{Because: "as planned", IfVersion: 1})
	s.tell("start", record, err)
	record, err = s.operateJob("ann", job.ID, operation.StartJob, engine.Request{})
	s.tell("start again", record, err)

	claimed := s.claim(engine.ClaimQuery{Effects: []store.Effect{store.RunTargets, store.StopAttempt}, Lease: time.Minute})
	s.claim(engine.ClaimQuery{})
	s.claim(engine.ClaimQuery{Lease: time.Millisecond})
	s.claim(engine.ClaimQuery{Wait: time.Hour})
	s.claim(engine.ClaimQuery{Limit: -1})
	run := claimed[0].Claimed()
	s.tell("renew", "", worker.Renew(ctx, run, time.Minute))
	s.tell("renew for too long", "", worker.Renew(ctx, run, 2*time.Hour))
	other := run
	other.Count++
	s.tell("renew another's", "", worker.Renew(ctx, other, 0))
	result := func(target int32, status step.Status) engine.TargetResult {
		return engine.TargetResult{Target: target, Result: store.Result{Status: status, ExitCode: 1, Started: 1, Finished: 2, Detail: "<d>"}}
	}
	for _, r := range []engine.Report{
		{Attempt: 1, Results: []engine.TargetResult{result(0, step.TargetSucceeded), result(1, step.NonZeroExit)}},
		{Attempt: 1, Results: []engine.TargetResult{result(0, step.TargetSucceeded), result(1, step.TargetTimedOut)}},
		{Attempt: 1, Results: []engine.TargetResult{result(7, step.TargetSucceeded)}},
		{Attempt: 2, Results: []engine.TargetResult{result(0, step.TargetSucceeded)}},
		{Attempt: 1},
		{Attempt: 1, Outcome: step.Broke, Reason: "no agent"},
	} {
		r.Job, r.Step, r.By = job.ID, 1, "worker"
		receipt, err := worker.Report(ctx, r)
		if len(receipt.Rejected) == 0 {
			receipt.Rejected = nil
		}
		s.tell("report", receipt, err)
		s.look("ann", job.ID)
	}
	s.tell("settle", "", worker.Settle(ctx, run))
	s.tell("settle again", "", worker.Settle(ctx, run))
	s.tell("fail what is settled", "", worker.Fail(ctx, run, errors.New("e")))

	for _, code := range operation.AllCodes() {
		record, err = s.operate("ann", job.ID, 1, code, engine.Request{DryRun: true, IfAttempt: 1})
		s.tell(fmt.Sprint("dry run of ", code), record, err)
	}
	record, err = s.operate("ann", job.ID, 1, operation.RetryFailed, engine.Request{IfVersion: 1})
	s.tell("retry on an old version", record, err)
	record, err = s.operate("ann", job.ID, 1, operation.RetryFailed, engine.Request{})
	s.tell("retry", record, err)
	failing := s.claim(engine.ClaimQuery{Effects: []store.Effect{store.RunTargets}})[0].Claimed()
	s.tell("release what another has", "", worker.Release(ctx, engine.Claimed{Job: job.ID, Seq: failing.Seq, Count: 9}))
	record, err = s.hurry("ann", job.ID, failing.Seq, engine.Request{})
	s.tell("hurry what is claimed", record, err)
	s.tell("fail", "", worker.Fail(ctx, failing, errors.New("no agent answers")))
	record, err = s.hurry("ann", job.ID, failing.Seq, engine.Request{Because: "the agent is back"})
	s.tell("hurry", record, err)
	again := s.claim(engine.ClaimQuery{Effects: []store.Effect{store.RunTargets}})[0].Claimed()
	s.tell("release", "", worker.Release(ctx, again))
	record, err = s.giveUp("ann", job.ID, again.Seq, engine.Request{DryRun: true})
	s.tell("dry run of giving up", record, err)
	record, err = s.giveUp("eve", job.ID, again.Seq, engine.Request{})
	s.tell("give up by one who may not", record, err)
	record, err = s.giveUp("ann", job.ID, 99, engine.Request{})
	s.tell("give up what is not there", record, err)
	s.look("ann", job.ID)
	_, err = worker.Report(ctx, engine.Report{Job: job.ID, Step: 1, Attempt: 2, By: "worker", Results: []engine.TargetResult{result(1, step.TargetSucceeded), result(2, step.TargetSucceeded)}})
	s.tell("report the rest", "", err)
	record, err = s.operate("bob", job.ID, 2, operation.Confirm, engine.Request{})
	s.tell("confirm by one who is no confirmer", record, err)
	record, err = s.operate("eve", job.ID, 2, operation.Confirm, engine.Request{})
	s.tell("confirm by one who may not", record, err)
	record, err = s.operate("ann", job.ID, 2, operation.Confirm, engine.Request{})
	s.tell("confirm", record, err)
	record, err = s.operateJob("ann", job.ID, operation.TerminateJob, engine.Request{Because: "enough"})
	s.tell("terminate", record, err)
	s.claim(engine.ClaimQuery{Limit: 1000, Effects: []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}})
	s.look("worker", job.ID)
	s.rolling()
}

// rolling makes the calls about gates, batches, holds and turns.
func (s *teller) rolling() {
	ctx, worker := s.Context(), s.as("worker")
	spec := engine.JobSpec{
		Name: "rolling", StartAt: 1, Timeout: time.Hour, Turn: store.Turn{Key: "production", Limit: 1}, Steps: []step.Spec{
			{Type: step.Script, Name: "install", Targets: []string{"a", "b", "c"}, TotalTimeout: time.Minute, StopBefore: true,
				Retry:    step.Retry{Attempts: 2, After: time.Second, Most: time.Minute, Except: []step.Status{step.NonZeroExit}},
				Rolling:  step.Rolling{Batches: "1 2", Between: step.Between{Delay: 1500 * time.Millisecond, Person: true}},
				Tolerate: step.Tolerance{Percent: 40}},
			{Type: step.Script, Name: "check", Targets: []string{"a"}, Delay: time.Minute, Window: "night", Tolerate: step.Tolerance{Count: 1}},
		},
	}
	job, err := s.create("ann", spec)
	s.tell("create", job, err)
	for _, wrong := range []func(*engine.JobSpec, *step.Spec){
		func(j *engine.JobSpec, _ *step.Spec) { j.StartAt = -1 },
		func(j *engine.JobSpec, _ *step.Spec) { j.Turn.Limit = 0 },
		func(_ *engine.JobSpec, s *step.Spec) { s.Rolling.Batches = "1  2" },
		func(_ *engine.JobSpec, s *step.Spec) { s.Retry.Attempts = 1001 },
		func(_ *engine.JobSpec, s *step.Spec) { s.Retry.Most = time.Millisecond },
		func(_ *engine.JobSpec, s *step.Spec) { s.Tolerate.Percent = 101 },
		func(_ *engine.JobSpec, s *step.Spec) { s.Retry.Except = []step.Status{step.TargetSucceeded} },
	} {
		bad := spec
		bad.Steps = slices.Clone(spec.Steps)
		wrong(&bad, &bad.Steps[0])
		_, err = s.create("ann", bad)
		s.tell("create what is wrong", "", err)
	}
	second, err := s.create("ann", spec)
	s.tell("create another", second, err)
	ofJob := func(job store.JobID, code operation.JobCode) {
		record, err := s.operateJob("ann", job, code, engine.Request{})
		s.tell(code.String(), record, err)
	}
	ofStep := func(id step.ID, code operation.Code) {
		record, err := s.operate("ann", job.ID, id, code, engine.Request{})
		s.tell(code.String(), record, err)
	}
	s.look("ann", job.ID)
	ofStep(2, operation.StopBefore)
	ofStep(2, operation.StopBefore)
	ofStep(2, operation.ClearStop)
	ofStep(2, operation.ClearStop)
	ofJob(job.ID, operation.ResumeJob)
	ofJob(job.ID, operation.HoldJob)
	ofJob(job.ID, operation.HoldJob)
	ofJob(job.ID, operation.StartJob)
	s.look("ann", job.ID)
	ofStep(1, operation.Continue)
	ofStep(1, operation.Continue)
	ofJob(job.ID, operation.ResumeJob)
	ofJob(second.ID, operation.StartJob)
	record, err := s.operate("ann", second.ID, 1, operation.Continue, engine.Request{})
	s.tell("wait for a turn", record, err)
	record, err = s.operate("ann", second.ID, 1, operation.Continue, engine.Request{})
	s.tell("continue without a turn", record, err)
	s.look("ann", job.ID, second.ID)
	s.claim(engine.ClaimQuery{Effects: []store.Effect{store.RunTargets}, Lease: time.Minute})
	for target, status := range []step.Status{step.NonZeroExit, step.TargetSucceeded} {
		receipt, err := worker.Report(ctx, engine.Report{Job: job.ID, Step: 1, Attempt: 1, By: "worker", Results: []engine.TargetResult{
			{Target: int32(target), Result: store.Result{Status: status}},
		}})
		s.tell("report", len(receipt.Rejected), err)
	}
	s.look("ann", job.ID)
	ofStep(1, operation.Continue)
	ofStep(1, operation.Continue)
	s.look("ann", job.ID)
	receipt, err := worker.Report(ctx, engine.Report{Job: job.ID, Step: 1, Attempt: 2, By: "worker", Results: []engine.TargetResult{
		{Target: 0, Result: store.Result{Status: step.TargetSucceeded}}, {Target: 1, Result: store.Result{Status: step.TargetFailed}},
		{Target: 2, Result: store.Result{Status: step.TargetSucceeded}},
	}})
	s.tell("report a target of another batch", receipt, err)
	s.look("ann", job.ID)
	ofStep(1, operation.ForcedSkip)
	s.look("ann", job.ID)
	ofJob(job.ID, operation.TerminateJob)
	s.look("ann", job.ID, second.ID)
}

// A story has the same results on an engine and through clients on a server of one: values, refusals
// with their words, and sentinels that errors.Is finds.
func TestClientAnswersAsTheEngineDoes(t *testing.T) {
	engine, server := toEngine(t), toServer(t)
	engine.story()
	server.story()
	if len(engine.told) < 200 {
		t.Errorf("the story has %d lines", len(engine.told))
	}
	for i := range min(len(engine.told), len(server.told)) {
		if a, b := engine.told[i], server.told[i]; a != b {
			t.Errorf("call %d:\nengine %s\nclient %s", i, strings.ReplaceAll(a, "\n", "\n  "), strings.ReplaceAll(b, "\n", "\n  "))
		}
	}
	if len(engine.told) != len(server.told) {
		t.Errorf("the engine told %d lines, the server %d", len(engine.told), len(server.told))
	}
}

var _ executor.Source = (*client.Client)(nil)
