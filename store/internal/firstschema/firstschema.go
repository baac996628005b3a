// Package firstschema has 21 jobs as a program of the first schema, at commit dcad572, read them
// from SQLite and from PostgreSQL, with equal results. It checks that a migrated store has the same
// jobs and continues them. The databases themselves are in the testdata of the stores' packages.
package firstschema

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

//go:embed jobs.json
var recorded []byte

// A job is one job as the old program read it at its end.
type job struct {
	Spec    engine.JobSpec   `json:"spec"`
	Job     store.Job        `json:"job"`
	Steps   []store.Step     `json:"steps"`
	Targets [][]store.Target `json:"targets"` // by step
	History []record         `json:"history"`
	Effects []store.Delivery `json:"effects"`
}

// A record is a record of the first schema: four columns had its cause, and one whether an attempt
// on all targets began. Today a record has one cause, and the targets that the attempt covers.
type record struct {
	store.Record
	Kind    string `json:"kind"`
	Code    string `json:"code"`
	JobCode string `json:"job_code"`
	Event   string `json:"event"`
	All     bool   `json:"all"` // the record started an attempt that covered all targets
}

// cause returns the cause of r, from the names that the old program printed.
func (r record) cause() (step.Cause, error) {
	names := map[string]string{"created": "created", "operated": r.Code, "job_operated": r.JobCode, "reported": r.Event, "expired": r.Event}
	name, ok := names[r.Kind]
	switch {
	case !ok:
		return 0, fmt.Errorf("unknown kind %q", r.Kind)
	case r.Kind == "reported" && name == "":
		name = "results"
	}
	return step.ParseCause(name)
}

// jobs returns the recorded jobs in today's types.
func jobs(t testing.TB) []job {
	t.Helper()
	var all []job
	if err := json.Unmarshal(recorded, &all); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		j := &all[i]
		runs := map[step.ID]store.Run{}
		for k := range j.History {
			r := &j.History[k]
			var err error
			if r.Record.Cause, err = r.cause(); err != nil {
				t.Fatalf("job %d, record %d: %v", j.Job.ID, r.Seq, err)
			}
			j.Job.Updated = max(j.Job.Updated, r.At)
			if _, known := runs[r.Step]; !known {
				runs[r.Step] = store.FirstRun
			}
			if r.All && r.Entered == 0 {
				runs[r.Step] = store.Run{Full: r.Attempt}
			}
			r.Run = runs[r.Step]
		}
		for k := range j.Steps {
			s := &j.Steps[k]
			if s.Attempt == 0 {
				s.Run = store.FirstRun
			}
			if s.State.Attempting() {
				s.Due = s.Deadline
			}
			if slices.ContainsFunc(j.History, func(r record) bool { return r.Step == s.ID && r.Record.Cause == operation.IgnoreError.Cause() }) {
				s.Accepted = s.Total - s.Succeeded
			}
		}
		for k := range j.Effects {
			d := &j.Effects[k]
			r := &j.History[d.Seq-1]
			d.Cause, d.Actor, d.Reason = r.Record.Cause, r.Actor, r.Reason
			d.Held = d.NotBefore != 0 && d.Count > d.Failures
			if d.Type, d.Run = j.Steps[d.Step-1].Type, r.Run; r.Entered != 0 {
				d.Run = store.FirstRun
			}
		}
	}
	return all
}

// A Maker is a combination of the four columns of the first schema, and the cause that it means.
type Maker struct {
	Kind, Code, JobCode, Event int        // the columns; 0 for none
	Cause                      step.Cause // the one cause of today
}

// Makers returns all combinations that the columns could have.
func Makers() []Maker {
	all := []Maker{{Kind: 1, Cause: step.Created}, {Kind: 4, Cause: step.Results}}
	for n := 1; n < 64; n++ {
		all = append(all,
			Maker{Kind: 2, Code: n, Cause: operation.Code(n).Cause()},
			Maker{Kind: 3, JobCode: n, Cause: operation.JobCode(n).Cause()})
	}
	for _, cause := range step.AllCauses() {
		switch {
		case cause == step.Expired, cause == step.ExpiredConfirmed:
			all = append(all, Maker{Kind: 5, Event: int(cause.Code()), Cause: cause})
		case cause.IsEvent():
			all = append(all, Maker{Kind: 4, Event: int(cause.Code()), Cause: cause})
		}
	}
	return all
}

// rules are the rules of the old program: the standard rules, a step type that runs as scripts do,
// and an operation that runs the failed targets again.
func rules(t testing.TB) *operation.Rules {
	t.Helper()
	table := operation.StandardTable()
	kind := step.Kinds()[0]
	kind.Type, kind.Title = 33, "an embedder's"
	table.Kinds = append(table.Kinds, kind)
	table.Like(33, step.Script)
	table.Rows = append(table.Rows, operation.Row{
		Cause: 40, On: step.TypesOf(step.Script), From: step.StatesOf(step.Failed), To: step.Running, Do: step.RunDue, Guard: operation.SomeDue,
	})
	r, err := table.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// everything is a limit above every count.
const everything = 10_000

// Check fails t unless the migrated store has the recorded jobs, replays to them, and continues
// them. It changes the jobs.
func Check(t *testing.T, s store.Store) {
	t.Run("has what was recorded", func(t *testing.T) {
		for _, j := range jobs(t) {
			has(t, s, j)
		}
	})
	t.Run("finds each request", func(t *testing.T) {
		for _, j := range jobs(t) {
			finds(t, s, j)
		}
	})
	t.Run("replays to the same states", func(t *testing.T) { replays(t, s) })
	t.Run("plays on", func(t *testing.T) { playOn(t, s) })
	t.Run("replays what was played on", func(t *testing.T) { replays(t, s) })
}

// same fails t unless got is want.
func same[T any](t testing.TB, job store.JobID, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("job %d, %s:\n got %+v\nwant %+v", job, what, got, want)
	}
}

// must returns v, and fails t if there is an error.
func must[T any](t testing.TB, what string) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return v
	}
}

func has(t *testing.T, s store.Store, j job) {
	ctx, id := t.Context(), j.Job.ID
	whole := must[store.Snapshot](t, "Snapshot")(s.Snapshot(ctx, store.SnapshotQuery{Job: id, Targets: everything}))
	for _, r := range j.History { // as the migration does
		if r.To == step.ErrorIgnored && r.Record.Cause.IsEvent() {
			j.Job.Tolerated++
		}
	}
	same(t, id, "header", whole.Job, j.Job)
	steps := must[[]store.Step](t, "Steps")(s.Steps(ctx, store.Scope{}, id, store.Page[step.ID]{Limit: everything}))
	for i := range steps {
		steps[i].Payload = must[store.Details](t, "Details")(s.Details(ctx, store.DetailQuery{Job: id, Step: steps[i].ID})).Payload
	}
	same(t, id, "steps", steps, j.Steps)
	var targets []store.Target
	for _, of := range j.Targets {
		targets = append(targets, of...)
	}
	same(t, id, "targets", whole.Targets, targets)
	same(t, id, "history", history(t, s, id), j.records())
	effects := must[[]store.Delivery](t, "Effects")(s.Effects(ctx, store.Scope{}, id, store.Page[store.Seq]{Limit: everything}))
	if len(effects) > 0 || len(j.Effects) > 0 {
		same(t, id, "effects", effects, j.Effects)
	}
}

func (j job) records() []store.Record {
	var all []store.Record
	for _, r := range j.History {
		all = append(all, r.Record)
	}
	return all
}

func history(t testing.TB, s store.Store, id store.JobID) []store.Record {
	t.Helper()
	return must[[]store.Record](t, "History")(s.History(t.Context(), store.Scope{}, id, store.Page[store.Seq]{Limit: everything}))
}

// finds looks for the record of each request.
func finds(t *testing.T, s store.Store, j job) {
	for i, want := range j.records() {
		v := must[store.View](t, "View")(s.View(t.Context(), store.Query{Job: j.Job.ID, Request: want.Request}))
		same(t, j.Job.ID, fmt.Sprint("replay of request ", i), v.Replay, &want)
	}
	first := must[store.Record](t, "Created")(s.Created(t.Context(), j.Job.Scope, j.History[0].Request))
	same(t, j.Job.ID, "creation", first, j.History[0].Record)
}

// replays compares each job with the replay of its history.
func replays(t *testing.T, s store.Store) {
	r := rules(t)
	for _, j := range jobs(t) {
		id := j.Job.ID
		header, steps, err := engine.Replay(r, j.Spec, history(t, s, id))
		if err != nil {
			t.Errorf("job %d: %v", id, err)
			continue
		}
		now := must[store.View](t, "View")(s.View(t.Context(), store.Query{Job: id}))
		same(t, id, "header that the history replays to", header, now.Job)
		same(t, id, "steps that the history replays to", steps,
			must[[]store.Step](t, "Steps")(s.Steps(t.Context(), store.Scope{}, id, store.Page[step.ID]{Limit: everything})))
	}
}

// A player continues one of the jobs.
type player struct {
	*testing.T
	eng   *engine.Engine
	store store.Store
	job   store.JobID
}

func (p player) operate(id step.ID, code operation.Code, want step.State, asked engine.Request) {
	p.Helper()
	what := fmt.Sprintf("job %d: %v of step %d", p.job, code, id)
	r := must[store.Record](p, what)(p.eng.Operate(p.Context(), p.job, id, code, asked))
	if r.To != want {
		p.Errorf("%s: got %v, want %v", what, r.To, want)
	}
}

func (p player) operateJob(code operation.JobCode, want step.State) {
	p.Helper()
	what := fmt.Sprintf("job %d: %v", p.job, code)
	if r := must[store.Record](p, what)(p.eng.OperateJob(p.Context(), p.job, code, engine.Request{})); r.JobTo != want {
		p.Errorf("%s: got %v, want %v", what, r.JobTo, want)
	}
}

// report reports a status of targets of the step's attempt, or an outcome.
func (p player) report(id step.ID, status step.Status, want step.State, outcome step.Cause, targets ...int32) {
	p.Helper()
	what := fmt.Sprintf("job %d: report on step %d", p.job, id)
	v := must[store.View](p, what)(p.store.View(p.Context(), store.Query{Job: p.job, Step: id}))
	r := engine.Report{Job: p.job, Step: id, Attempt: v.Step.Attempt, Outcome: outcome}
	for _, index := range targets {
		r.Results = append(r.Results, engine.TargetResult{Target: index, Result: store.Result{Status: status}})
	}
	if answer := must[engine.ReportReceipt](p, what)(p.eng.Report(p.Context(), r)); answer.State != want {
		p.Errorf("%s: got %v, want %v", what, answer.State, want)
	}
}

// upTo returns the targets from first to last.
func upTo(first, last int32) (targets []int32) {
	for i := first; i <= last; i++ {
		targets = append(targets, i)
	}
	return targets
}

const ok, failed = step.TargetSucceeded, step.TargetFailed

// plays has the next actions of people and executors, by the name of the job.
var plays = map[string]func(p player, j job){
	"pending": func(p player, _ job) {
		p.operateJob(operation.StartJob, step.Running)
		p.report(1, ok, step.Succeeded, 0, 0, 1)
		p.operate(2, operation.Confirm, step.Succeeded, engine.Request{By: "bob"})
	},
	"unnamed steps of every type":        func(p player, _ job) { p.operate(5, operation.Confirm, step.Succeeded, engine.Request{}) },
	"expired script":                     func(p player, _ job) { p.report(2, ok, step.Succeeded, 0, 0) },
	"expired question":                   func(p player, _ job) { p.operate(1, operation.RestartConfirmation, step.Waiting, engine.Request{}) },
	"question confirmed by its deadline": func(p player, _ job) { p.operateJob(operation.TerminateJob, step.Terminating) },
	"stop that expired":                  func(p player, _ job) { p.operate(1, operation.RetryAll, step.Running, engine.Request{}) },
	"many targets": func(p player, _ job) {
		p.report(1, ok, step.Failed, 0, upTo(0, 239)...)
		p.operate(1, operation.RetryFailed, step.Running, engine.Request{})
		p.report(1, ok, step.Succeeded, 0, 240, 247, 254, 261, 268)
	},
	"retried": func(p player, j job) {
		again := j.History[3] // the first retry: a client that missed the answer repeats it
		p.operate(1, operation.RetryFailed, step.Running, engine.Request{By: again.Actor, Because: again.Reason, ID: again.Request})
		p.report(1, ok, step.Succeeded, 0, 2)
		p.operate(2, operation.Confirm, step.Succeeded, engine.Request{By: "ann"})
	},
	"all again": func(p player, _ job) { p.operateJob(operation.TerminateJob, step.Terminated) },
	"refused": func(p player, _ job) {
		p.operate(1, operation.RestartConfirmation, step.Waiting, engine.Request{})
		p.operate(1, operation.Confirm, step.Succeeded, engine.Request{})
	},
	"terminating": func(p player, _ job) {
		p.report(1, 0, step.Terminated, step.Stopped)
		p.operate(1, operation.NextStep, step.Skipped, engine.Request{})
	},
	"terminated and left": func(p player, _ job) { p.operate(3, operation.ForcedSkip, step.Skipped, engine.Request{}) },
	"broke": func(p player, _ job) {
		p.operate(1, operation.RetryFailed, step.Running, engine.Request{})
		p.report(1, ok, step.Succeeded, 0, 1)
	},
	"stopped after all had succeeded": func(p player, _ job) { p.operate(2, operation.IgnoreError, step.ErrorIgnored, engine.Request{}) },
	"operations of an embedder": func(p player, _ job) {
		p.report(1, failed, step.Failed, 0, 1)
		p.operate(1, 40, step.Running, engine.Request{})
		p.report(1, 0, step.Abandoned, step.Dropped)
	},
}

// playOn continues the jobs: it does the next actions of people and executors, and lets deadlines
// pass and effects be delivered.
func playOn(t *testing.T, s store.Store) {
	all := jobs(t)
	now := step.Time(0)
	for _, j := range all {
		now = max(now, j.Job.Updated)
	}
	claims(t, s, all, now.Add(time.Hour))
	clock := func() time.Time {
		now += 10
		return time.UnixMilli(int64(now))
	}
	unclocked := struct{ store.Store }{s} // uses the time of the jobs, not the store's
	p := player{T: t, store: s, eng: engine.New(unclocked, engine.WithRules(rules(t)), engine.WithClock(clock))}
	played := 0
	for _, j := range all {
		if play := plays[j.Job.Name]; play != nil {
			p.job = j.Job.ID
			play(p, j)
			played++
		}
	}
	if played != len(plays) {
		t.Errorf("played on with %d jobs, want %d", played, len(plays))
	}
	now = now.Add(2 * time.Hour) // past the deadlines of the old program too
	if n, err := p.eng.Sweep(t.Context()); err != nil || n != 3 {
		t.Errorf("Sweep: got %d and error %v, want the 3 attempts with a deadline expired", n, err)
	}
	settles(t, s, now.Add(2*time.Hour))
}

var allEffects = []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}

// claims claims every effect that the old program left, after its leases and back-offs are over.
func claims(t *testing.T, s store.Store, all []job, now step.Time) {
	t.Helper()
	type key struct {
		job store.JobID
		seq store.Seq
	}
	left := map[key]store.Delivery{}
	for _, j := range all {
		for _, d := range j.Effects {
			left[key{d.Job, d.Seq}] = d
		}
	}
	c := store.Claim{Effects: allEffects, Now: now, Until: now.Add(time.Minute), Token: store.Token{1}, Limit: everything}
	for _, d := range must[[]store.Delivery](t, "Claim")(s.Claim(t.Context(), c)) {
		want := left[key{d.Job, d.Seq}]
		want.Count, want.NotBefore, want.Held, want.Token = want.Count+1, c.Until, true, c.Token
		same(t, d.Job, "claim of what was left", d, want)
		delete(left, key{d.Job, d.Seq})
	}
	if len(left) > 0 {
		t.Errorf("Claim left %d effects: %+v", len(left), left)
	}
}

// settles settles every effect.
func settles(t *testing.T, s store.Store, now step.Time) {
	t.Helper()
	c := store.Claim{Effects: allEffects, Now: now, Until: now.Add(time.Minute), Token: store.Token{2}, Limit: everything}
	for _, d := range must[[]store.Delivery](t, "Claim")(s.Claim(t.Context(), c)) {
		d.NotBefore, d.Failures = now, d.Failures+1
		if err := s.Defer(t.Context(), d); err != nil {
			t.Errorf("Defer(%+v): %v", d, err)
		}
		if err := s.Settle(t.Context(), d); err != nil {
			t.Errorf("Settle(%+v): %v", d, err)
		}
	}
	for _, j := range jobs(t) {
		if left := must[[]store.Delivery](t, "Effects")(s.Effects(t.Context(), store.Scope{}, j.Job.ID, store.Page[store.Seq]{Limit: everything})); len(left) > 0 {
			t.Errorf("job %d: effects are left when all are settled: %+v", j.Job.ID, left)
		}
	}
}
