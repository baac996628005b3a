package engine_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The jobs of a journal. Together they use every value that a store can keep.
var journalJobs = []struct {
	name string
	spec engine.JobSpec
	play func(p *player)
}{
	{"job-1-never-started", engine.JobSpec{Name: "never started", Steps: []step.Spec{
		{Type: step.FileTransfer, Name: "copy", Targets: []string{"web-1"}, Payload: `{"files":["a <b> & c"]}`},
	}}, func(*player) {}},

	{"job-2-retried-to-the-end", engine.JobSpec{
		Name: "release 1.4 \u2013 größer", Scope: store.Scope{Type: "biz", ID: "2"},
		Steps: []step.Spec{
			{Type: step.Script, Name: "restart", Targets: []string{"web-1", "web-2", "web 3"}, Timeout: 90*time.Second + 1},
			{Type: step.Confirmation, Name: "approve", Confirmers: []string{"ann", "bob"}},
			{Type: step.FileTransfer, Name: "copy", Targets: []string{"web-1", "web-2"}, IgnoreErrors: true},
			{Type: step.SQL, Name: "migrate", Targets: []string{"db"}},
			{Type: step.Confirmation, Name: "anyone"},
		},
	}, func(p *player) {
		p.operateJob(operation.StartJob, "bob", "")
		p.report(1, 1, 0, step.TargetRunning, step.TargetRunning, step.TargetSucceeded)
		p.report(1, 1, 0, step.TargetSucceeded, step.NonZeroExit)
		p.operate(1, operation.RetryFailed, "bob", "web-2 is repaired \u2713")
		p.report(1, 2, 0, 0, step.TargetSucceeded)
		p.operate(2, operation.TerminateConfirmation, "ann", "not now")
		p.operate(2, operation.RestartConfirmation, "eve", "")
		p.operate(2, operation.Confirm, "ann", "")
		p.report(3, 1, 0, step.TargetSucceeded, step.CopyFailed)
		p.report(4, 1, step.Broke)
		p.operate(4, operation.IgnoreError, "bob", "seen to by hand")
		p.operate(5, operation.Confirm, "", "")
	}},

	{"job-3-stopped-and-skipped", engine.JobSpec{Name: "stopped and skipped", Steps: []step.Spec{
		{Type: step.Script, Name: "one", Targets: []string{"a", "b"}},
		{Type: step.SQL, Name: "two", Targets: []string{"a"}},
		{Type: step.Confirmation, Name: "three", Timeout: time.Hour, OnTimeout: step.ConfirmOnTimeout},
		{Type: step.Script, Name: "four", Targets: []string{"a", "b"}, Timeout: time.Minute},
		{Type: step.Script, Name: "never", Targets: []string{"a"}},
	}}, func(p *player) {
		p.operateJob(operation.StartJob, "bob", "")
		p.operateJob(operation.TerminateJob, "bob", "wrong release")
		p.operate(1, operation.ForcedSkip, "bob", "nobody answers")
		p.report(2, 1, step.Stopped)
		p.operate(2, operation.RetryAll, "bob", "")
		p.operateJob(operation.TerminateJob, "bob", "")
		p.report(2, 2, step.Stopped, step.ScriptTerminated)
		p.operate(2, operation.NextStep, "bob", "")
		p.sweep(time.Hour)
		p.sweep(time.Minute)
		p.operate(4, operation.RetryAll, "bob", "")
		p.report(4, 2, step.Dropped, step.TargetSucceeded)
	}},

	{"job-4-refused-by-its-deadline", engine.JobSpec{Name: "refused by its deadline", Steps: []step.Spec{
		{Type: step.Confirmation, Name: "ask", Timeout: time.Minute, Confirmers: []string{"ann"}},
	}}, func(p *player) {
		p.operateJob(operation.StartJob, "bob", "")
		p.sweep(time.Minute)
		p.operate(1, operation.RestartConfirmation, "bob", "")
		p.operateJob(operation.TerminateJob, "bob", "")
	}},

	{"job-5-every-status", engine.JobSpec{Name: "every status", Steps: []step.Spec{
		{Type: step.Script, Name: "run", Targets: everyHost(), Timeout: math.MaxInt64},
	}}, func(p *player) {
		p.operateJob(operation.StartJob, "bob", "")
		p.report(1, 1, 0, append([]step.Status{0}, step.AllStatuses()...)...)
	}},

	{"job-6-being-stopped", engine.JobSpec{Name: "being stopped", Steps: []step.Spec{
		{Type: step.Script, Name: "run", Targets: []string{"a", "b"}, Timeout: time.Minute},
	}}, func(p *player) {
		p.operateJob(operation.StartJob, "bob", "")
		p.report(1, 1, 0, step.TargetFailed)
		p.operateJob(operation.TerminateJob, "bob", "")
		p.report(1, 1, 0, 0, step.TargetRunning)
	}},

	{"job-7-given-up", engine.JobSpec{Name: "given up", Steps: []step.Spec{
		{Type: step.Script, Name: "run", Targets: []string{"a", "b"}},
	}}, func(p *player) {
		p.operateJob(operation.StartJob, "bob", "")
		p.onEffect(p.eng.Hurry, 2, "ann", "")
		p.onEffect(p.eng.GiveUp, 2, "ann", "host <a> is gone")
		p.onEffect(p.eng.GiveUp, 4, "bob", "nobody listens")
	}},

	{"job-8-every-gate", engine.JobSpec{
		Name: "every gate", StartAt: 1_767_225_700_000, Timeout: time.Hour, Turn: store.Turn{Key: "production", Limit: 1},
		Steps: []step.Spec{
			{Type: step.Script, Name: "one", Targets: []string{"a"}, Window: "night", TotalTimeout: time.Hour},
			{Type: step.Confirmation, Name: "two", StopBefore: true, Delay: time.Minute},
			{Type: step.Script, Name: "three", Targets: []string{"a"}},
			{Type: step.SQL, Name: "four", Targets: []string{"a"}, Delay: time.Hour},
		},
	}, func(p *player) {
		p.operateJob(operation.StartJob, "bob", "")
		p.sweep(150 * time.Second) // to the window, which is closed
		p.sweep(40 * time.Second)  // and opens
		p.operate(3, operation.StopBefore, "bob", "wait for me")
		p.report(1, 1, 0, step.TargetSucceeded)
		p.operate(2, operation.Continue, "bob", "")
		p.operateJob(operation.HoldJob, "ann", "freeze")
		p.sweep(time.Minute) // to the hold
		p.operateJob(operation.ResumeJob, "ann", "")
		p.operate(3, operation.ClearStop, "bob", "")
		p.operate(2, operation.Confirm, "bob", "")
		p.operateJob(operation.HoldJob, "ann", "")
		p.report(3, 1, 0, step.TargetSucceeded)
		p.sweep(2 * time.Hour) // past the deadline of the job
	}},

	{"job-9-retries-and-batches", engine.JobSpec{Name: "retries and batches", Steps: []step.Spec{
		{
			Type: step.Script, Name: "roll", Targets: []string{"a", "b", "c", "d", "e", "f"}, Tolerate: step.Tolerance{Percent: 20},
			Rolling: step.Rolling{Batches: "1 50%", Between: step.Between{Delay: time.Minute, Person: true}},
			Retry:   step.Retry{Attempts: 1, After: time.Minute, Except: []step.Status{step.NoSuchUser}},
		},
	}}, func(p *player) {
		p.operateJob(operation.StartJob, "bob", "")
		p.report(1, 1, 0, step.NonZeroExit)
		p.sweep(time.Minute) // the further attempt
		p.report(1, 2, 0, step.TargetSucceeded)
		p.operate(1, operation.Continue, "bob", "")
		p.sweep(time.Minute) // the second batch
		p.report(1, 3, 0, 0, step.TargetSucceeded, step.NoSuchUser, step.TargetSucceeded)
		p.operateJob(operation.TerminateJob, "bob", "")
		p.operate(1, operation.Continue, "bob", "go on")
		p.report(1, 4, 0, 0, 0, 0, 0, step.NoSuchUser, step.NoSuchUser)
		p.operate(1, operation.RetryAll, "bob", "")
		p.report(1, 5, 0, 0, 0, 0, 0, step.TargetSucceeded, step.NoSuchUser)
	}},

	{"job-10-cancelled-and-sealed", engine.JobSpec{Name: "cancelled and sealed", Steps: []step.Spec{
		{Type: step.Script, Name: "run", Targets: []string{"a"}},
	}}, func(p *player) {
		p.operateJob(operation.CommentJob, "ann", "wait for <bob>")
		p.operateJob(operation.TerminateJob, "ann", "cancelled")
		p.operate(1, operation.RetryAll, "bob", "")
		p.report(1, 1, 0, step.NonZeroExit)
		p.operateJob(operation.SealJob, "bob", "")
		p.operateJob(operation.CommentJob, "ann", "closed \u2713")
	}},
}

// everyHost returns a host for each status, and one before them that never reports.
func everyHost() []string {
	hosts := []string{"silent"}
	for _, s := range step.AllStatuses() {
		hosts = append(hosts, s.String())
	}
	return hosts
}

// A player plays one job, with a clock and ids of its own.
type player struct {
	*testing.T
	eng  *engine.Engine
	job  store.JobID
	now  time.Time
	made uint64 // numbers that were drawn
}

// playJournal plays all jobs and returns all that the store has of them.
func playJournal(t *testing.T) map[string]journaled {
	t.Helper()
	jobs := map[string]journaled{}
	for i, j := range journalJobs {
		st := memstore.New()
		p := &player{T: t, job: store.JobID(i + 1), now: time.UnixMilli(1_767_225_600_000)}
		if i == 1 {
			p.job = store.MaxJobID
		}
		p.eng = engine.New(st,
			engine.WithClock(func() time.Time { p.now = p.now.Add(time.Second); return p.now }),
			engine.WithJobIDs(func(step.Time) store.JobID { return p.job }),
			engine.WithRandom(func() uint64 { p.made++; return p.made }),
			engine.WithWindows(func(_ string, t time.Time) time.Time { // open for the first half of each minute
				if t.Second() < 30 {
					return t
				}
				return t.Truncate(time.Minute).Add(time.Minute)
			}))
		if _, err := p.eng.Create(t.Context(), j.spec, engine.Request{By: "bob", Because: "journal"}); err != nil {
			t.Fatal(err)
		}
		j.play(p)
		jobs[j.name] = remembered(t, st, p.job, j.spec)
	}
	return jobs
}

// remembered returns the whole stored state of a job.
func remembered(t *testing.T, st store.Store, id store.JobID, spec engine.JobSpec) journaled {
	t.Helper()
	const all = 1000
	ctx := t.Context()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	view, err := st.View(ctx, store.Query{Job: id})
	must(err)
	j := journaled{Spec: spec, Job: view.Job}
	j.Steps, err = st.Steps(ctx, store.Scope{}, id, store.Page[step.ID]{Limit: all})
	must(err)
	for i, s := range j.Steps {
		details, err := st.Details(ctx, store.DetailQuery{Job: id, Step: s.ID})
		must(err)
		j.Steps[i].Payload = details.Payload
		j.Batches = append(j.Batches, details.Batches...)
		targets, err := st.Targets(ctx, store.TargetFilter{Job: id, Step: s.ID, Page: store.Page[int32]{After: -1, Limit: all}})
		must(err)
		j.Targets = append(j.Targets, targets)
	}
	j.History, err = st.History(ctx, store.Scope{}, id, store.Page[store.Seq]{Limit: all})
	must(err)
	j.Effects, err = st.Effects(ctx, store.Scope{}, id, store.Page[store.Seq]{Limit: all})
	must(err)
	return j
}

func (p *player) operate(id step.ID, code operation.Code, by, reason string) {
	p.Helper()
	_, err := p.eng.Operate(p.ctx(), p.job, id, code, engine.Request{By: by, Because: reason, ID: p.request()})
	p.must(err, code)
}

func (p *player) operateJob(code operation.JobCode, by, reason string) {
	p.Helper()
	_, err := p.eng.OperateJob(p.ctx(), p.job, code, engine.Request{By: by, Because: reason})
	p.must(err, code)
}

// report reports a status of each target from the first on, but for those that are 0, and an
// outcome if it is not 0.
func (p *player) report(id step.ID, attempt int32, outcome step.Cause, statuses ...step.Status) {
	p.Helper()
	r := engine.Report{Job: p.job, Step: id, Attempt: attempt, By: "executor-1", Outcome: outcome}
	if outcome != 0 {
		r.Reason = "because of " + outcome.String()
	}
	for target, status := range statuses {
		if status == 0 {
			continue
		}
		result := store.Result{Status: status, Started: step.At(p.now)}
		if status.Finished() {
			result.Finished = step.At(p.now) + 500
		}
		if !status.Success() && status.Finished() {
			result.ExitCode, result.Detail = -int32(status), fmt.Sprintf("<%v>", status)
		}
		r.Results = append(r.Results, engine.TargetResult{Target: int32(target), Result: result})
	}
	_, err := p.eng.Report(p.ctx(), r)
	p.must(err, id)
}

// onEffect calls f on an effect.
func (p *player) onEffect(do func(context.Context, store.JobID, store.Seq, engine.Request) (store.Record, error), seq store.Seq, by, reason string) {
	p.Helper()
	_, err := do(p.ctx(), p.job, seq, engine.Request{By: by, Because: reason, ID: p.request()})
	p.must(err, seq)
}

// sweep lets time pass, after which there must be something to expire.
func (p *player) sweep(after time.Duration) {
	p.Helper()
	p.now = p.now.Add(after)
	if n, err := p.eng.Sweep(p.ctx()); n != 1 || err != nil {
		p.Fatalf("job %d: Sweep() = %d, %v, want 1", p.job, n, err)
	}
}

func (p *player) ctx() context.Context { return p.Context() }

// request returns the next request id that is not of the engine's making.
func (p *player) request() store.RequestID {
	p.made++
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%d %d", p.job, p.made))
}

func (p *player) must(err error, what any) {
	p.Helper()
	if err != nil {
		p.Fatalf("job %d: %v: %v", p.job, what, err)
	}
}
