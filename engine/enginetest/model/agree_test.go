package model_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

func TestMain(m *testing.M) { testkit.Main(m, 500) }

// The model and the engine say the same of whatever is asked of a job, and are in the same
// state afterwards: under the documented rules, and under odd ones that compile.
func TestTheModelAgreesWithTheEngine(t *testing.T) {
	odd, oddModel := oddRules(t)
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		seen["sequence"]++
		p := pair{T: t, rules: operation.Standard(), seen: seen}
		says := model.Documented()
		if rapid.Bool().Draw(t, "odd rules") {
			p.rules, says = odd, oddModel
		}
		p.create(says)
		for range 60 {
			p.command()
			p.compare()
		}
	})
	t.Logf("%v", seen)
	for _, what := range []string{
		"accepted", "wrong_type", "not_current", "wrong_state", "nothing_to_retry", "not_confirmer", "stale", "invalid_input", "no_such_step",
		"repeated", "rejected", "all_succeeded", "some_failed", "failures_ignored", "stopped", "broke", "dropped", "expired", "expired_confirmed",
		"sealed", "a vote that is not the last",
	} {
		if want := seen["sequence"] / 100; seen[what] < want {
			t.Errorf("in %d sequences %s came up %d times, want %d", seen["sequence"], what, seen[what], want)
		}
	}
}

// oddRules are rules with what the documented ones do not have, said twice: a retry of all that
// needs a target which is due, a person who ends an attempt, votes and skips by operations on a
// job, and a seal.
func oddRules(t *testing.T) (*operation.Rules, *model.Rules) {
	var (
		again, ask, jump, end, vote = step.Cause(32), step.Cause(33), step.Cause(34), step.Cause(35), step.Cause(36)
		seal, leave                 = operation.JobCode(32).Cause(), operation.JobCode(33).Cause()
	)
	table := operation.StandardTable()
	table.Rows = append(table.Rows,
		operation.Row{Cause: again, On: step.TypesOf(step.Script, step.SQL), From: step.StatesOf(step.Failed, step.Abandoned), To: step.Running, Do: step.RunAll, Guard: operation.SomeDue},
		operation.Row{Cause: ask, On: step.TypesOf(step.Confirmation), From: step.StatesOf(step.Terminated), To: step.Waiting, Do: step.Ask},
		operation.Row{Cause: jump, On: step.TypesOf(step.Confirmation), From: step.StatesOf(step.Terminated), To: step.Skipped, Do: step.Pass, Guard: operation.Approver},
		operation.Row{Cause: end, On: step.TypesOf(step.Script), From: step.StatesOf(step.Running), To: step.Failed, Do: step.End},
		operation.Row{Cause: vote, On: step.TypesOf(step.Confirmation), From: step.StatesOf(step.Waiting), To: step.Skipped, Do: step.Vote},
		operation.Row{Cause: leave, On: step.TypesOf(step.Script), From: step.StatesOf(step.Running, step.Failed), To: step.Skipped, Do: step.Pass, Guard: operation.SomeDue},
		operation.Row{Cause: leave, On: step.TypesOf(step.Confirmation), From: step.StatesOf(step.Waiting), To: step.ErrorIgnored, Do: step.Vote, Guard: operation.Approver},
		operation.Row{Cause: leave, On: step.TypesOf(step.SQL), From: step.StatesOf(step.Pending), To: step.Skipped, Do: step.Pass},
		operation.Row{Cause: operation.TerminateJob.Cause(), On: step.TypesOf(step.SQL), From: step.StatesOf(step.Pending), To: step.Terminated, Do: step.End},
		operation.Row{Cause: seal, From: step.StatesOf(step.Failed, step.Terminated, step.ConfirmationTerminated, step.Succeeded), Do: step.Seal},
		operation.Row{Cause: leave, From: step.StatesOf(step.Failed, step.Abandoned), Do: step.Seal}, // where the step has no row
	)
	rules, err := table.Compile()
	if err != nil {
		t.Fatal(err)
	}
	says := model.Documented()
	for _, typ := range []step.Type{step.Script, step.SQL} {
		says.Allow(typ, step.Failed, again, step.Running, step.RunAll, operation.SomeDue)
		says.Allow(typ, step.Abandoned, again, step.Running, step.RunAll, operation.SomeDue)
	}
	says.Allow(step.Confirmation, step.Terminated, ask, step.Waiting, step.Ask, operation.Free)
	says.Allow(step.Confirmation, step.Terminated, jump, step.Skipped, step.Pass, operation.Approver)
	says.Allow(step.Script, step.Running, end, step.Failed, step.End, operation.Free)
	says.Allow(step.Confirmation, step.Waiting, vote, step.Skipped, step.Vote, operation.Free)
	says.Allow(step.Script, step.Running, leave, step.Skipped, step.Pass, operation.SomeDue)
	says.Allow(step.Script, step.Failed, leave, step.Skipped, step.Pass, operation.SomeDue)
	says.Allow(step.Confirmation, step.Waiting, leave, step.ErrorIgnored, step.Vote, operation.Approver)
	says.Allow(step.SQL, step.Pending, leave, step.Skipped, step.Pass, operation.Free)
	says.Allow(step.SQL, step.Pending, operation.TerminateJob.Cause(), step.Terminated, step.End, operation.Free)
	says.AllowWhole(step.Failed, seal, step.Seal)
	says.AllowWhole(step.Terminated, seal, step.Seal)
	says.AllowWhole(step.ConfirmationTerminated, seal, step.Seal)
	says.AllowWhole(step.Succeeded, seal, step.Seal)
	says.AllowWhole(step.Failed, leave, step.Seal)
	says.AllowWhole(step.Abandoned, leave, step.Seal)
	return rules, says
}

// A pair is one job as the engine and as the model have it.
type pair struct {
	*rapid.T
	rules  *operation.Rules
	store  *memstore.Store
	model  *model.Job
	record store.Record // the last one
	now    step.Time
	votes  int32   // that a step which asks now needs: no table says it yet, so the store is told
	asks   step.ID // the step that asks now, until the model is told
	seen   map[string]int
}

const id store.JobID = 7

func (p *pair) create(rules *model.Rules) {
	var specs []step.Spec
	for range rapid.IntRange(1, 3).Draw(p.T, "steps") {
		spec := step.Spec{Name: "step", Type: rapid.SampledFrom([]step.Type{step.Script, step.FileTransfer, step.Confirmation, step.SQL}).Draw(p.T, "type")}
		spec.Timeout = rapid.SampledFrom([]time.Duration{0, time.Second, 1500*time.Millisecond + 1}).Draw(p.T, "timeout")
		if spec.Type == step.Confirmation {
			spec.Confirmers = rapid.SampledFrom([][]string{nil, {"ann"}, {"ann", "bob"}}).Draw(p.T, "confirmers")
			if spec.Timeout > 0 {
				spec.OnTimeout = rapid.SampledFrom([]step.Decision{step.ConfirmOnTimeout, step.TerminateOnTimeout}).Draw(p.T, "on timeout")
			}
		} else {
			spec.Targets = []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(p.T, "targets")]
			spec.IgnoreErrors = rapid.Bool().Draw(p.T, "ignore errors")
		}
		specs = append(specs, spec)
	}
	p.store, p.model, p.now = memstore.New(), model.New(rules, specs), 1000
	d, err := engine.Decide(p.rules, store.View{}, &engine.Create{Job: id, Spec: engine.JobSpec{Name: "job", Steps: specs}}, p.now)
	if err != nil {
		p.Fatal(err)
	}
	if err := p.store.Commit(p.Context(), d.Change); err != nil {
		p.Fatal(err)
	}
}

// command has both decide on one command, and compares what they say of it.
func (p *pair) command() {
	p.votes = int32(rapid.IntRange(0, 3).Draw(p.T, "votes"))
	p.now += step.Time(rapid.SampledFrom([]int{0, 1, 400, 1000, 2000}).Draw(p.T, "time"))
	at := rapid.SampledFrom([]step.ID{0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}).Draw(p.T, "step")
	if at == 0 {
		at = p.model.Current
	}
	attempt := int32(1)
	if int(at) <= len(p.model.Steps) {
		attempt = max(1, p.model.Steps[at-1].Attempt()+int32(rapid.SampledFrom([]int{0, 0, 0, 0, 0, -1, 1}).Draw(p.T, "attempt")))
	}
	query := store.Query{Job: id, Step: at}
	kinds := []string{"operate", "operate", "operate", "job", "report", "report", "report", "expire"}
	if p.model.State == step.Pending {
		kinds = append(kinds, "job", "job", "job", "job")
	}
	switch kind := rapid.SampledFrom(kinds).Draw(p.T, "kind"); kind {
	case "operate":
		codes := []operation.Code{1, 2, 3, 6, 8, 9, 10, 11, 12, 13, 32, 33, 34, 35, 36, 64}
		if rapid.IntRange(0, 2).Draw(p.T, "any code") > 0 {
			current, legal := p.model.Steps[p.model.Current-1], []operation.Code{operation.RetryFailed}
			for _, code := range codes {
				if _, ok := p.rules.Move(current.Spec.Type, current.State, code.Cause()); ok {
					legal = append(legal, code)
				}
			}
			codes = legal
		}
		code := rapid.SampledFrom(codes).Draw(p.T, "code")
		person := rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(p.T, "person")
		_, reason := p.decide(query, &engine.Operate{Cause: code.Cause(), Request: engine.Request{By: person}})
		p.verdict(fmt.Sprintf("%v by %q on step %d", code, person, at), reason, p.model.Operate(at, code, person, p.now))
	case "job":
		code := rapid.SampledFrom([]operation.JobCode{1, 2, 2, 3, 32, 33, 33}).Draw(p.T, "job code")
		person := rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(p.T, "person")
		_, reason := p.decide(store.Query{Job: id}, &engine.Operate{Cause: code.Cause(), Request: engine.Request{By: person}})
		p.verdict(fmt.Sprintf("job %v by %q", code, person), reason, p.model.OperateJob(code, person, p.now))
	case "report":
		p.report(query, attempt)
	case "expire":
		_, reason := p.decide(query, &engine.Expire{Job: id, Step: at, Attempt: attempt})
		p.verdict(fmt.Sprintf("expiry of attempt %d of step %d", attempt, at), reason, p.model.Expire(at, attempt, p.now))
	}
}

func (p *pair) report(query store.Query, attempt int32) {
	r := &engine.Report{Job: id, Step: query.Step, Attempt: attempt}
	var results []model.Result
	targets := 3
	if n := int(query.Step); n <= len(p.model.Steps) && rapid.IntRange(0, 29).Draw(p.T, "beyond") < 29 {
		targets = len(p.model.Steps[n-1].Spec.Targets)
	}
	for range rapid.IntRange(0, min(targets, 1)*4).Draw(p.T, "results") {
		result := model.Result{
			Target: int32(rapid.IntRange(0, targets-1).Draw(p.T, "target")),
			Status: rapid.SampledFrom([]step.Status{
				step.TargetSucceeded, step.TargetSucceeded, step.SucceededEarlier, step.TargetFailed, step.NonZeroExit, step.TargetRunning, step.TargetWaiting,
			}).Draw(p.T, "status"),
			ExitCode: int32(rapid.IntRange(0, 1).Draw(p.T, "exit code")),
		}
		results = append(results, result)
		r.Results = append(r.Results, engine.TargetResult{Target: result.Target, Result: store.Result{Status: result.Status, ExitCode: result.ExitCode}})
		query.Targets = append(query.Targets, result.Target)
	}
	slices.Sort(query.Targets)
	query.Targets = slices.Compact(query.Targets)
	r.Outcome = rapid.SampledFrom([]step.Cause{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, step.Stopped, step.Stopped, step.Broke, step.Broke, step.Dropped, step.Expired}).Draw(p.T, "outcome")

	call := fmt.Sprintf("report %v, %v of attempt %d of step %d", results, r.Outcome, attempt, r.Step)
	d, reason := p.decide(query, r)
	said, would := p.model.Answer(r.Step, attempt, results, r.Outcome, p.now)
	changed, refused := p.model.Report(r.Step, attempt, results, r.Outcome, p.now)
	if said.Changed != changed || would != refused {
		p.Fatalf("%s: the model would answer %+v, %v, and reports %v, %v", call, said, would, changed, refused)
	}
	p.verdict(call, reason, refused)
	if reason != 0 {
		return
	}
	if got := (model.Answer{Changed: d.Changes(), Accepted: d.Report.Accepted, Repeated: d.Report.Repeated, Rejected: len(d.Report.Rejected)}); got != said {
		p.Fatalf("%s: the engine says %+v, the model %+v", call, got, said)
	}
	p.seen["repeated"] += said.Repeated
	p.seen["rejected"] += said.Rejected
}

// sweep has both apply a deadline that has passed before a command whose view does not show what
// the expiry leaves: one on the job, or on a step that is not the current one.
func (p *pair) sweep(q store.Query, c engine.Command) {
	current := p.model.Steps[p.model.Current-1]
	if _, expires := c.(*engine.Expire); expires || q.Step == p.model.Current {
		return
	}
	if n := current.Attempt(); n > 0 {
		if deadline := current.Runs[n-1].Deadline; deadline != 0 && deadline <= p.now {
			expiry := &engine.Expire{Job: id, Step: p.model.Current, Attempt: n}
			_, reason := p.decide(store.Query{Job: id}, expiry)
			p.verdict("a sweep", reason, p.model.Expire(expiry.Step, n, p.now))
			p.tell()
		}
	}
}

// decide has the engine decide and the store commit.
func (p *pair) decide(q store.Query, c engine.Command) (engine.Decision, operation.Reason) {
	p.sweep(q, c)
	view, err := p.store.View(p.Context(), q)
	if errors.Is(err, store.ErrNotFound) {
		if r, ok := c.(*engine.Report); ok && (len(r.Results) == 0 && r.Outcome == 0 || r.Outcome == step.Expired) {
			return engine.Decision{}, operation.InvalidInput // which comes first
		}
		if o, ok := c.(*engine.Operate); ok && !p.rules.Causes().Has(o.Cause) {
			return engine.Decision{}, operation.InvalidInput
		}
		return engine.Decision{}, operation.NoSuchStep
	}
	if err != nil {
		p.Fatal(err)
	}
	d, err := engine.Decide(p.rules, view, c, p.now)
	if err != nil {
		var refusal *engine.Refusal
		if !errors.As(err, &refusal) {
			p.Fatal(err)
		}
		return engine.Decision{}, refusal.Reason
	}
	if d.Changes() {
		if d.Change.Records[len(d.Change.Records)-1].Effect == store.AskConfirmers {
			p.asks = d.Change.Job.Current
			for i := range d.Change.Steps {
				if d.Change.Steps[i].ID == p.asks {
					d.Change.Steps[i].Unfinished = p.votes
				}
			}
		}
		if err := p.store.Commit(p.Context(), d.Change); err != nil {
			p.Fatal(err)
		}
		for _, p.record = range d.Change.Records {
			p.seen[p.record.Cause.String()]++
			if p.record.From == step.Waiting && p.record.To == step.Waiting {
				p.seen["a vote that is not the last"]++
			}
		}
	}
	return d, 0
}

func (p *pair) verdict(call string, engine, model operation.Reason) {
	p.Log(call, engine)
	if engine != model {
		p.Fatalf("%s: the engine says %v, the model %v", call, engine, model)
	}
	if engine == 0 {
		p.seen["accepted"]++
	} else {
		p.seen[engine.String()]++
	}
}

// tell tells the model of the votes that are needed.
func (p *pair) tell() {
	if p.asks != 0 {
		p.model.Steps[p.asks-1].Votes, p.asks = int(p.votes), 0
	}
}

// compare reads the job from the store and compares everything that the model knows of.
func (p *pair) compare() {
	p.tell()
	ctx := p.Context()
	view, err := p.store.View(ctx, store.Query{Job: id})
	if err != nil {
		p.Fatal(err)
	}
	job, m := view.Job, p.model
	p.same("job", job.State, m.State)
	p.same("current step", job.Current, m.Current)
	p.same("skipped", int(job.Skipped), m.Skipped)
	p.same("ignored", int(job.Ignored), m.Ignored)
	p.same("sealed", job.Sealed, m.Sealed)
	p.same("job started", job.Started, m.Started)
	p.same("job finished", job.Finished, m.Finished)
	steps, err := p.store.Steps(ctx, store.Scope{}, id, store.Page[step.ID]{Limit: 10})
	if err != nil {
		p.Fatal(err)
	}
	for i, s := range steps {
		want := &m.Steps[i]
		at := fmt.Sprintf("step %d: ", s.ID)
		p.same(at+"state", s.State, want.State)
		p.same(at+"attempt", s.Attempt, want.Attempt())
		p.same(at+"full", s.Run.Full, want.Full())
		p.same(at+"succeeded", int(s.Succeeded), want.Succeeded())
		p.same(at+"unfinished", int(s.Unfinished), want.Unfinished())
		run := model.Run{Finished: want.Ended} // if there was none
		if len(want.Runs) > 0 {
			run = want.Runs[len(want.Runs)-1]
		}
		p.same(at+"started", s.Started, run.Started)
		p.same(at+"finished", s.Finished, run.Finished)
		p.same(at+"deadline", s.Deadline, run.Deadline)
		targets, err := p.store.Targets(ctx, store.TargetFilter{Job: id, Step: s.ID, Page: store.Page[int32]{After: -1, Limit: 10}})
		if err != nil {
			p.Fatal(err)
		}
		for k, got := range targets {
			latest := want.Latest(k)
			p.same(fmt.Sprintf("%starget %d", at, k), got,
				store.Target{Index: int32(k), Name: got.Name, Attempt: latest.Ran, Success: want.LatestSuccess(k), Result: store.Result{Status: latest.Status, ExitCode: latest.ExitCode}})
		}
	}
	if p.record.Seq != 0 {
		r := p.record
		p.same("the last change", model.Change{
			Step: r.Step, Cause: r.Cause, From: r.From, To: r.To, JobFrom: r.JobFrom, JobTo: r.JobTo, Attempt: r.Attempt, Entered: r.Entered,
			Results: int(r.Results), All: (r.Effect == store.RunTargets || r.Effect == store.AskConfirmers) && (r.Entered != 0 || r.Run.All(r.Attempt)), Targets: int(r.Targets), Effect: model.Effect(r.Effect.String()),
		}, m.Last)
	}
}

func (p *pair) same(what string, engine, model any) {
	if engine != model {
		p.Fatalf("%s: the engine has %+v, the model %+v", what, engine, model)
	}
}
