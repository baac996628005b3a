package enginetest

import (
	"cmp"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Steps draws definitions of steps of any type that r declares, with one to four targets
// or, for a step that asks, with a confirmer, who is called ann, or without. Half of them
// have a deadline of ten seconds. An engine with these rules accepts every one. nil rules
// mean the documented ones.
func Steps(r *operation.Rules) *rapid.Generator[step.Spec] {
	r = cmp.Or(r, operation.Standard())
	return rapid.Custom(func(t *rapid.T) step.Spec { return drawStep(t, r) })
}

// Jobs draws definitions of jobs of one to five [Steps]. nil rules mean the documented ones.
func Jobs(r *operation.Rules) *rapid.Generator[engine.JobSpec] {
	r = cmp.Or(r, operation.Standard())
	return rapid.Custom(func(t *rapid.T) engine.JobSpec { return drawJob(t, r) })
}

// Results draws what an executor may say of the targets of the current step of s, which
// must have some: one result or more, in any order, some of which contradict each other.
func Results(s Snapshot) *rapid.Generator[[]engine.TargetResult] {
	return rapid.Custom(func(t *rapid.T) []engine.TargetResult { return drawResults(t, &s, 1) })
}

// Reports draws what an executor may say of the current attempt of s: results, an outcome,
// or both. On a step that asks, or is not under way, it is a report that must be refused.
func Reports(s Snapshot) *rapid.Generator[*engine.Report] {
	return rapid.Custom(func(t *rapid.T) *engine.Report { r := drawReport(t, &s); return &r })
}

// A Call is a command and the step that it is about, which an [engine.Operate] does not
// name itself.
type Call struct {
	Step    step.ID
	Command engine.Command
}

// Commands draws what a person, an executor or the clock may do to the job of s: mostly
// something that is likely where the job stands, now and then anything. Some of it must be
// refused; nothing of it is invalid by itself. Commands carry no request id.
func Commands(s Snapshot) *rapid.Generator[Call] {
	s.Rules = cmp.Or(s.Rules, operation.Standard())
	return rapid.Custom(func(t *rapid.T) Call {
		c := Call{Step: s.Job.Current}
		switch drawKind(t, &s, true) {
		case starting:
			c.Command = &engine.Operate{Cause: operation.StartJob.Cause(), Request: engine.Request{By: drawActor(t, &s)}}
		case terminating:
			c.Command = &engine.Operate{Cause: operation.TerminateJob.Cause(), Request: engine.Request{By: drawActor(t, &s)}}
		case operating:
			op := &engine.Operate{Request: engine.Request{By: drawActor(t, &s)}}
			c.Step, op.Cause = drawOperation(t, &s, op.By)
			c.Command = op
		case reporting:
			r := drawReport(t, &s)
			c.Command = &r
		case expiring:
			c.Command = &engine.Expire{Job: s.Job.ID, Step: c.Step, Attempt: s.current().Attempt}
		}
		return c
	})
}

// A kind is what sort of command it is.
type kind string

const (
	operating   kind = "operate"
	starting    kind = "start"
	terminating kind = "terminate"
	reporting   kind = "report"
	expiring    kind = "expire"
)

var kinds = []kind{operating, starting, terminating, reporting, expiring}

// current returns the row of the current step.
func (s *Snapshot) current() *store.Step { return &s.Steps[s.Job.Current-1] }

func drawJob(t *rapid.T, r *operation.Rules) engine.JobSpec {
	spec := engine.JobSpec{Name: "job"}
	for range rapid.IntRange(1, 5).Draw(t, "steps") {
		spec.Steps = append(spec.Steps, drawStep(t, r))
	}
	return spec
}

func drawStep(t *rapid.T, r *operation.Rules) step.Spec {
	s := step.Spec{Name: "step", Type: rapid.SampledFrom(r.Types()).Draw(t, "type")}
	if rapid.Bool().Draw(t, "timeout") {
		s.Timeout = 10 * time.Second
	}
	if r.Enters(s.Type) == step.Running {
		s.Targets = []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(t, "targets")]
		s.IgnoreErrors = rapid.IntRange(0, 3).Draw(t, "ignore errors") == 3
		return s
	}
	if s.Timeout > 0 && rapid.Bool().Draw(t, "confirm on timeout") {
		s.OnTimeout = step.ConfirmOnTimeout
	}
	if rapid.Bool().Draw(t, "confirmers") {
		s.Confirmers = []string{"ann"}
	}
	return s
}

// drawKind draws any kind of command or, if it is to be likely, mostly one of which
// something may come where the job stands.
func drawKind(t *rapid.T, s *Snapshot, likely bool) kind {
	draws := kinds
	if likely && rapid.IntRange(0, 7).Draw(t, "unlikely") < 7 {
		draws = likelyKinds(s)
	}
	return rapid.SampledFrom(draws).Draw(t, "command")
}

func likelyKinds(s *Snapshot) (draws []kind) {
	c := s.current()
	switch c.State {
	case step.Pending:
		draws = append(draws, starting, starting, starting)
	case step.Running:
		draws = append(draws, reporting, reporting, reporting, reporting, reporting, expiring)
	case step.Terminating:
		draws = append(draws, reporting, reporting, expiring)
	case step.Waiting:
		draws = append(draws, expiring, expiring)
	}
	legal := s.Rules.Legal(s.standing(c))
	if !legal.Minus(starts).Empty() {
		draws = append(draws, operating, operating, operating, operating)
	}
	if legal.Has(operation.TerminateJob.Cause()) {
		draws = append(draws, terminating)
	}
	if len(draws) == 0 {
		return kinds
	}
	return draws
}

// drawActor draws somebody who may confirm the current step, somebody who may not unless
// everybody may, or the anonymous actor.
func drawActor(t *rapid.T, s *Snapshot) string {
	return rapid.SampledFrom([]string{s.confirmer(), "bob", ""}).Draw(t, "actor")
}

// confirmer returns somebody who may confirm the current step.
func (s *Snapshot) confirmer() string {
	for name := range s.current().Confirmers.All() {
		return name
	}
	return "ann"
}

// starts are the operations that are drawn as starting and terminating.
var starts = operation.CausesOf(operation.StartJob, operation.TerminateJob)

// standing returns where an operation meets a step.
func (s *Snapshot) standing(at *store.Step) operation.Standing {
	return operation.Standing{Type: at.Type, State: at.State, Job: s.Job.State, Behind: at.ID != s.Job.Current, Sealed: s.Job.Sealed}
}

// drawOperation draws an operation: mostly on the current step or on the job, mostly a legal one.
func drawOperation(t *rapid.T, s *Snapshot, actor string) (step.ID, step.Cause) {
	id := s.Job.Current
	if rapid.IntRange(0, 15).Draw(t, "anywhere") == 15 {
		id = step.ID(rapid.IntRange(1, len(s.Steps)).Draw(t, "step"))
	}
	codes := s.Rules.Causes().Minus(starts)
	if rapid.IntRange(0, 7).Draw(t, "any code") < 7 {
		if legal := s.legal(&s.Steps[id-1], actor).Minus(starts); !legal.Empty() {
			codes = legal
		}
	}
	if codes.Empty() {
		return id, 0
	}
	all := slices.Collect(codes.All())
	slices.Reverse(all) // an embedder's first
	cause := rapid.SampledFrom(all).Draw(t, "code")
	if cause.OfJob() {
		id = s.Job.Current
	}
	return id, cause
}

// legal returns what the rules let a person do to a step, and to the job if it is the current
// one, guards included.
func (s *Snapshot) legal(at *store.Step, actor string) step.Causes {
	standing := s.standing(at)
	codes := s.Rules.Legal(standing)
	if at.Succeeded == at.Total {
		codes = codes.Minus(s.Rules.Guarded(standing, operation.SomeDue))
	}
	if at.Confirmers.IsSet() && !at.Confirmers.Has(actor) {
		codes = codes.Minus(s.Rules.Guarded(standing, operation.Approver))
	}
	return codes
}

func drawReport(t *rapid.T, s *Snapshot) engine.Report {
	at := s.current()
	r := engine.Report{Job: s.Job.ID, Step: at.ID, Attempt: max(at.Attempt, 1)}
	if at.Total > 0 {
		r.Results = drawResults(t, s, 0)
	}
	if len(r.Results) == 0 || rapid.IntRange(0, 7).Draw(t, "outcome?") == 7 {
		r.Outcome = rapid.SampledFrom([]step.Cause{
			step.Stopped, step.Broke, step.Broke, step.Stopped, step.Stopped, step.Broke, step.Stopped, step.Broke,
			step.Stopped, step.Broke, step.Stopped, step.Broke, step.Stopped, step.Broke, step.Stopped, step.Dropped,
		}).Draw(t, "outcome")
	}
	return r
}

func drawResults(t *rapid.T, s *Snapshot, least int) []engine.TargetResult {
	total := int(s.current().Total)
	var results []engine.TargetResult
	for range rapid.IntRange(least, 2*total).Draw(t, "results") {
		r := engine.TargetResult{Target: int32(rapid.IntRange(0, total-1).Draw(t, "target"))}
		r.Status = rapid.SampledFrom([]step.Status{
			step.NonZeroExit, step.TargetSucceeded, step.TargetRunning, step.NonZeroExit, step.TargetSucceeded,
			step.NonZeroExit, step.TargetSucceeded, step.TargetRunning, step.NonZeroExit, step.TargetSucceeded,
			step.TargetTimedOut, step.SucceededEarlier, step.TargetWaiting,
		}).Draw(t, "status")
		if r.Status == step.NonZeroExit {
			r.ExitCode = rapid.Int32Range(1, 2).Draw(t, "exit code")
		}
		results = append(results, r)
	}
	return results
}
