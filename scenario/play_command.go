package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An outcome is the result of a command: facts, a list, or an error.
type outcome struct {
	facts facts
	list  []string
	err   error

	record     store.Record // the answer to an operation
	report     engine.ReportReceipt
	deliveries []store.Delivery
}

// do carries out an action through eng.
func (p *player) do(a *action, eng *engine.Engine) outcome {
	switch c := a.Command.(type) {
	case *creation:
		return p.create(c, eng)
	case *operate:
		return p.operate(c, in(eng, c.In))
	case *effectRequest:
		return p.onEffect(c, in(eng, c.In))
	case *report:
		return p.report(c, eng)
	case *look:
		return p.look(c, eng)
	case *sweep:
		n, err := eng.Sweep(p.ctx)
		return outcome{list: p.swept(n), err: err}
	case *deliver:
		return p.deliver(c, eng)
	case *wait:
		p.now = p.now.Add(c.For)
	case *window:
		p.windows[c.Name] = c
	case *restart:
		p.missed()
		return outcome{err: p.restart()}
	case *deny:
		p.denied[c.Person] = c.Because
	case *allow:
		delete(p.denied, c.Person)
	case *turnTo:
		return outcome{err: p.turn(c.Job)}
	}
	return outcome{}
}

// in returns eng narrowed to a scope, or eng itself for the zero Scope.
func in(eng *engine.Engine, s store.Scope) *engine.Engine {
	if s == (store.Scope{}) {
		return eng
	}
	return eng.In(s)
}

func requestOf(person string, o conditions) engine.Request {
	r := engine.Request{By: person, Because: o.Because, IfAttempt: o.IfAttempt, IfVersion: o.IfVersion, DryRun: o.DryRun}
	if o.Request != "" {
		r.ID = uuid.NewSHA1(uuid.UUID{}, []byte(o.Request))
	}
	return r
}

func (p *player) create(c *creation, eng *engine.Engine) outcome {
	p.draft = c
	created, err := in(eng, c.In).Create(p.ctx, c.spec(), requestOf(c.By, c.conditions))
	if err == nil && created.Job != 0 {
		p.job = p.find(created.Job)
		if p.job == nil {
			return outcome{err: fmt.Errorf("the engine gave the job the id %d, and not one of Config.Engine's options", created.Job)}
		}
		if p.astray {
			return outcome{err: errors.New("the engine has a clock of its own, and not that of Config.Engine's options")}
		}
	}
	return outcome{facts: factsOf(created), err: err}
}

// spec returns the definition of the job, without a scope.
func (c *creation) spec() engine.JobSpec {
	return engine.JobSpec{Name: c.Name, Steps: c.Steps, StartAt: c.StartAt, Timeout: c.Timeout, Turn: c.Turn}
}

func (p *player) find(id store.JobID) *stored {
	i := slices.IndexFunc(p.jobs, func(j *stored) bool { return j.id == id })
	if i < 0 {
		return nil
	}
	return p.jobs[i]
}

func (p *player) turn(name string) error {
	for _, job := range slices.Backward(p.jobs) {
		if job.Name == name && job.seen > 0 {
			p.job = job
			return nil
		}
	}
	return fmt.Errorf("there is no job %q", name)
}

func (p *player) operate(c *operate, eng *engine.Engine) outcome {
	job, err := p.current()
	if err != nil {
		return outcome{err: err}
	}
	asked, record := requestOf(c.Person, c.conditions), store.Record{}
	if c.Cause.OfJob() {
		record, err = eng.OperateJob(p.ctx, job.id, operation.JobCode(c.Cause.Code()), asked)
	} else {
		record, err = eng.Operate(p.ctx, job.id, c.Step, operation.Code(c.Cause.Code()), asked)
	}
	return outcome{facts: factsOf(record), record: record, err: err}
}

func (p *player) onEffect(c *effectRequest, eng *engine.Engine) outcome {
	job, err := p.current()
	if err != nil {
		return outcome{err: err}
	}
	do := eng.GiveUp
	if c.Cause == step.Hurried {
		do = eng.Hurry
	}
	record, err := do(p.ctx, job.id, c.Effect, requestOf(c.Person, c.conditions))
	return outcome{facts: factsOf(record), record: record, err: err}
}

func (p *player) report(c *report, eng *engine.Engine) outcome {
	job, err := p.current()
	if err != nil {
		return outcome{err: err}
	}
	r := engine.Report{Job: job.id, Step: c.Step, Attempt: c.Attempt, By: c.By, Outcome: c.Outcome, Reason: c.Reason}
	for _, said := range c.Results {
		target, err := job.target(c.Step, said.Target)
		if err != nil {
			return outcome{err: err}
		}
		r.Results = append(r.Results, engine.TargetResult{Target: target, Result: store.Result{
			Status: said.Status, ExitCode: said.ExitCode, Detail: said.Detail,
		}})
	}
	receipt, err := in(eng, c.In).Report(p.ctx, r)
	return outcome{facts: factsOf(receipt), report: receipt, err: err}
}

// target returns the index of a target of a step.
func (j *stored) target(id step.ID, target string) (int32, error) {
	if id < 1 || int64(id) > int64(len(j.Steps)) {
		return 0, fmt.Errorf("job %s has no step %d", name(j.Name), id)
	}
	targets := j.Steps[id-1].Targets
	i := slices.Index(targets, target)
	if i < 0 {
		return 0, fmt.Errorf("step %d of job %s has no target %s, its targets are %s", id, name(j.Name), name(target), listed(targets))
	}
	return int32(i), nil
}

// failing is the error of a handler in "deliver failing".
type failing string

func (f failing) Error() string { return string(f) }

func (p *player) deliver(c *deliver, eng *engine.Engine) outcome {
	var o outcome
	if c.Dies {
		now := step.At(p.now)
		o.deliveries, o.err = p.faults.Claim(p.ctx, store.Claim{
			Effects: []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded},
			Now:     now, Until: now.Add(30 * time.Second), Limit: 1_000,
		})
	} else {
		var mu sync.Mutex // guards o.deliveries
		_, o.err = eng.Deliver(p.ctx, func(_ context.Context, d engine.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			o.deliveries = append(o.deliveries, store.Delivery{
				Job: d.Job.ID, Seq: d.Seq, Effect: d.Effect, Step: d.Step.ID, Attempt: d.Attempt, Run: d.Run, JobTo: d.Ended, At: d.At,
			})
			if c.Failing != "" {
				return failing(c.Failing)
			}
			return nil
		})
		if errors.Is(o.err, failing(c.Failing)) {
			o.err = nil // as it should
		}
	}
	slices.SortStableFunc(o.deliveries, func(a, b store.Delivery) int { // which come in no order
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Seq, b.Seq))
	})
	for _, d := range o.deliveries {
		o.list = append(o.list, p.delivery(d)+p.of(d.Job))
	}
	return o
}

// swept returns what a sweep did to n steps: how many gates it opened, and how many it expired.
func (p *player) swept(n int) []string {
	expired := 0
	for _, job := range p.jobs {
		records, _ := p.raw.History(context.WithoutCancel(p.ctx), store.Scope{}, job.id, store.Page[store.Seq]{After: job.seen, Limit: mostRows})
		for _, r := range records {
			if r.Cause == step.Expired || r.Cause == step.ExpiredConfirmed || r.Cause == step.JobExpired {
				expired++
			}
		}
	}
	opened := max(n-expired, 0)
	switch {
	case opened == 0:
		return []string{fmt.Sprintf("%d expired", n)}
	case opened == n:
		return []string{fmt.Sprintf("%d opened", n)}
	}
	return []string{fmt.Sprintf("%d opened", opened), fmt.Sprintf("%d expired", n-opened)}
}

// of names a job that is not the one that the actions are about.
func (p *player) of(id store.JobID) string {
	if job := p.find(id); job != nil && job != p.job {
		return " of " + job.Name
	}
	return ""
}

// mostRows is how many rows a look reads, as many as an engine gives at once.
const mostRows = 10_000

// seen returns the facts of what a read returns, or its error.
func seen[T any](of func(T) facts) func(T, error) (facts, error) {
	return func(v T, err error) (facts, error) { return of(v), err }
}

func (p *player) look(c *look, eng *engine.Engine) (o outcome) {
	job, err := p.current()
	if err != nil {
		return outcome{err: err}
	}
	eng = in(eng, c.In)
	switch c.At {
	case theJob:
		var header store.Job
		header, o.err = eng.Job(p.ctx, job.id)
		o.facts = factsOf(header)
	case theWait:
		o.facts, o.err = seen(waitFacts)(eng.Diagnose(p.ctx, job.id))
	case oneStep:
		o.facts, o.err = seen(stepFacts)(eng.Step(p.ctx, job.id, step.ID(c.Number)))
	case oneTarget:
		return p.lookAtTarget(c, eng, job)
	case oneRecord:
		var history []store.Record
		history, o.err = eng.History(p.ctx, job.id, store.Seq(c.Number-1), 1)
		if errors.Is(o.err, engine.ErrAhead) || o.err == nil && (len(history) == 0 || history[0].Seq != store.Seq(c.Number)) {
			o.err = errors.New("there is no such record")
		}
		if o.err == nil {
			o.facts = recordFacts(history[0])
		}
	case theHistory:
		var history []store.Record
		history, o.err = eng.History(p.ctx, job.id, 0, mostRows)
		for _, r := range history {
			o.list = append(o.list, r.Cause.String())
		}
	case theEffects:
		var effects []store.Delivery
		effects, o.err = eng.Effects(p.ctx, job.id, 0, mostRows)
		for _, d := range effects {
			o.list = append(o.list, p.waiting(d))
		}
	case theBatches:
		var batches []store.Batch
		batches, o.err = eng.Batches(p.ctx, job.id, step.ID(c.Number))
		for _, b := range batches {
			if b.State != step.Pending { // it has begun
				o.list = append(o.list, batchText(b))
			}
		}
	case allJobs:
		var jobs []store.Job
		jobs, o.err = eng.Jobs(p.ctx, engine.JobQuery{Limit: mostRows})
		for _, j := range jobs {
			o.list = append(o.list, fmt.Sprintf("%s %v", j.Name, j.State))
		}
	case verdicts:
		var x engine.Explanation
		x, o.err = eng.Explain(p.ctx, job.id, step.ID(c.Number), engine.Request{By: c.Name})
		o.list = verdictsOf(x, c.Full)
	}
	return o
}

func (p *player) lookAtTarget(c *look, eng *engine.Engine, job *stored) outcome {
	target, err := job.target(step.ID(c.Number), c.Name)
	if err != nil {
		return outcome{err: err}
	}
	targets, err := eng.Targets(p.ctx, job.id, step.ID(c.Number), engine.TargetQuery{From: target, Limit: 1})
	if err == nil && len(targets) == 0 {
		err = errors.New("there is no such target")
	}
	if err != nil {
		return outcome{err: err}
	}
	return outcome{facts: targetFacts(targets[0])}
}
