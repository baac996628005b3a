package enginetest

import (
	"fmt"
	"iter"
	"time"

	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A situation is a job of one or two steps whose step 1 is put into some state: a job of the model,
// and a view of the engine.
type situation struct {
	step.Type
	step.State
	text string // the rest of its description
	job  *model.Job
	view store.View
	now  step.Time
	all  bool // try every operation, known or not: in one situation of each state

	special bool // in circumstances: fewer commands are tried
	reports bool // which reports depend on
	late    bool // commands come after the deadline as well
}

// A circumstance is what a step in a state meets beside its targets.
type circumstance struct {
	text  string
	in    step.States
	runs  bool             // of steps that run only, and of their reports
	fresh bool             // before the first attempt
	late  bool             // of a deadline: commands come after it as well
	spec  func(*step.Spec) // of step 1
	next  func(*step.Spec) // of step 2, which has the same type; without it step 1 is the last
	job   func(j *model.Job)
}

// The circumstances of gates, batches, retries and deadlines, each in the states where it matters.
var circumstances = []circumstance{
	{text: "on hold", in: anyState, job: hold},
	{text: "on hold, before another step", in: anyState, next: func(*step.Spec) {}, job: hold},
	{text: "a stop is set before it", in: unbegun, fresh: true, spec: stopped, job: marked},
	{text: "a stop was set before it", in: anyState, job: marked},
	{text: "a stop is set before it, not the current step", in: step.StatesOf(step.Pending), next: func(*step.Spec) {}, job: func(j *model.Job) {
		marked(j)
		j.Current = 2
	}},
	{text: "after a delay", in: starting, fresh: true, spec: func(s *step.Spec) { s.Delay = time.Minute }},
	{text: "from a later time on, and after a delay", in: starting, fresh: true, spec: func(s *step.Spec) { s.Delay = time.Millisecond }, job: func(j *model.Job) {
		j.Policy.StartAt = inTime + 5
	}},
	{text: "in a window", in: anyState, spec: func(s *step.Spec) { s.Window = "night" }},
	{text: "before a step with a stop", in: anyState, next: func(s *step.Spec) { s.StopBefore, s.Delay = true, time.Second }},
	{text: "before a step after a delay", in: anyState, next: func(s *step.Spec) { s.Delay = time.Second }},
	{text: "before a step in a window", in: anyState, next: func(s *step.Spec) { s.Window = "night" }},

	{text: "its gate is of a time", in: gated, fresh: true, job: gate(step.TimeGate, 0, inTime+10)},
	{text: "its gate is of a time, on hold", in: gated, fresh: true, job: func(j *model.Job) { gate(step.TimeGate, 0, inTime+10)(j); hold(j) }},
	{text: "its gate is of a time that has come", in: gated, job: gate(step.TimeGate, 0, inTime)},
	{text: "its gate is of a time, before a window", in: gated, spec: func(s *step.Spec) { s.Window = "night" }, job: gate(step.TimeGate, 0, inTime+10)},
	{text: "its gate is of a person, before a delay", in: gated, fresh: true, spec: func(s *step.Spec) { s.Delay = time.Second }},
	{text: "its gate is of the hold", in: gated, job: func(j *model.Job) { gate(step.HoldGate, 0, 0)(j); hold(j) }},
	{text: "its gate is of the hold, before a window", in: gated, spec: func(s *step.Spec) { s.Window = "night" }, job: func(j *model.Job) {
		gate(step.HoldGate, 0, 0)(j)
		hold(j)
	}},
	{text: "its gate is of a window", in: gated, spec: func(s *step.Spec) { s.Window = "night" }, job: gate(step.WindowGate, 0, inTime)},
	{text: "its gate is of a window, on hold", in: gated, spec: func(s *step.Spec) { s.Window = "night" }, job: func(j *model.Job) {
		gate(step.WindowGate, 0, inTime+10)(j)
		hold(j)
	}},
	{text: "its gate is of a turn", in: gated, job: gate(step.TurnGate, 0, 0)},
	{text: "its gate is before all targets", in: gated, runs: true, job: gate(step.PersonGate, step.RunAll, 0)},

	{text: "in batches", in: anyState, runs: true, spec: batches(step.Between{})},
	{text: "in batches, not begun", in: unbegun, runs: true, fresh: true, spec: batches(step.Between{})},
	{text: "in batches, a person between them", in: anyState, runs: true, spec: batches(step.Between{Delay: time.Second, Person: true})},
	{text: "in batches, a time between them", in: anyState, runs: true, spec: batches(step.Between{Delay: time.Second})},
	{text: "in batches, on hold", in: anyState, runs: true, spec: batches(step.Between{}), job: hold},
	{text: "before the second batch", in: gated, runs: true, spec: batches(step.Between{}), job: gate(step.TimeGate, step.RunNext, inTime+10)},
	{text: "in batches, two failures borne", in: anyState, runs: true, spec: func(s *step.Spec) {
		batches(step.Between{})(s)
		s.Tolerate.Count = 2
	}},

	{text: "to be retried", in: underWay, runs: true, spec: func(s *step.Spec) { s.Retry = step.Retry{Attempts: 2} }},
	{text: "to be retried after a time", in: underWay, runs: true, spec: func(s *step.Spec) {
		s.Retry = step.Retry{Attempts: 3, After: time.Second, Most: 5 * time.Second}
	}, job: func(j *model.Job) { j.Steps[0].Automatic = 2 }},
	{text: "retried enough", in: anyState, runs: true, spec: func(s *step.Spec) { s.Retry = step.Retry{Attempts: 2} }, job: func(j *model.Job) {
		j.Steps[0].Automatic = 2
	}},
	{text: "to be retried but for one status", in: underWay, runs: true, spec: func(s *step.Spec) {
		s.Retry = step.Retry{Attempts: 2, Except: []step.Status{step.NonZeroExit}}
	}},
	{text: "to be retried in batches", in: underWay, runs: true, spec: func(s *step.Spec) {
		batches(step.Between{})(s)
		s.Retry = step.Retry{Attempts: 1, After: time.Second}
	}},
	{text: "one failure borne", in: underWay, runs: true, spec: func(s *step.Spec) { s.Tolerate.Count = 1 }},
	{text: "half of the targets borne", in: underWay, runs: true, spec: func(s *step.Spec) { s.Tolerate.Percent = 50 }},
	{text: "a third of the targets borne", in: underWay, runs: true, spec: func(s *step.Spec) { s.Tolerate.Percent = 33 }},

	{text: "with a time for all attempts", in: anyState, spec: func(s *step.Spec) { s.TotalTimeout = time.Minute }},
	{text: "its time for all attempts is over first", in: underWay, late: true, spec: func(s *step.Spec) { s.TotalTimeout = time.Minute }, job: func(j *model.Job) {
		j.Steps[0].Expires = inTime + 20
	}},
	{text: "the time of the job is over first", in: underWay, late: true, next: func(*step.Spec) {}, job: func(j *model.Job) {
		j.Policy.Timeout, j.Deadline = time.Minute, inTime+20
	}},
	{text: "the time of the job begins", in: starting, fresh: true, job: func(j *model.Job) { j.Policy.Timeout, j.Started = time.Minute, 0 }},
	{text: "the time of the job is over", in: anyState.Minus(underWay), job: func(j *model.Job) { j.Policy.Timeout, j.Deadline = time.Minute, inTime-20 }},
}

var (
	anyState = step.StatesOf(step.AllStates()...)
	starting = step.StatesOf(step.Pending, step.Gated)
	unbegun  = step.StatesOf(step.Pending, step.Gated, step.Terminated)
	gated    = step.StatesOf(step.Gated)
	underWay = step.StatesOf(step.Running, step.Waiting, step.Terminating, step.Gated)
)

func hold(j *model.Job)    { j.Held = true }
func stopped(s *step.Spec) { s.StopBefore = true }
func marked(j *model.Job)  { j.Steps[0].StopBefore = true }

// gate gives the gate of step 1 a reason and a moment, and what opening does unless that is 0.
func gate(reason step.GateReason, then step.Do, until step.Time) func(*model.Job) {
	return func(j *model.Job) {
		g := &j.Steps[0].Gate
		g.Reason, g.Until = reason, until
		if then != 0 {
			g.Then = then
		}
	}
}

// batches makes the targets of a step run one by one.
func batches(between step.Between) func(*step.Spec) {
	return func(s *step.Spec) { s.Rolling = step.Rolling{Batches: "1", Between: between} }
}

// The progress of a step in a situation: the status of each target in each attempt. The
// second attempt is the current or last one.
var progresses = []struct {
	text         string
	ignoreErrors bool
	runs         [][]step.Status
}{
	{", 1 of 2 targets has succeeded", false, [][]step.Status{{step.TargetSucceeded, step.TargetFailed}, {step.SucceededEarlier, step.TargetWaiting}}},
	{", 1 of 2 targets has succeeded, errors are ignored", true, [][]step.Status{{step.TargetSucceeded, step.TargetFailed}, {step.SucceededEarlier, step.TargetWaiting}}},
	{", run again on all targets", false, [][]step.Status{{step.TargetSucceeded, step.TargetFailed}, {step.TargetRunning, step.TargetWaiting}}},
	{", 1 of 2 targets has failed", false, [][]step.Status{{step.TargetSucceeded, step.TargetFailed}, {step.NonZeroExit, step.TargetRunning}}},
	{", all targets have succeeded", false, [][]step.Status{{step.TargetSucceeded, step.TargetFailed}, {step.SucceededEarlier, step.TargetSucceeded}}},
}

// The definitions of a step that asks.
var questions = []struct {
	text       string
	confirmers []string
	onTimeout  step.Decision
}{
	{", ann confirms", []string{"ann"}, step.TerminateOnTimeout},
	{", every person confirms, and so does the deadline", nil, step.ConfirmOnTimeout},
}

// situations yields all situations of a step of type t in state s.
func (c *rulesCheck) situations(t step.Type, s step.State) iter.Seq[*situation] {
	return func(yield func(*situation) bool) {
		if c.expect.Enters(t) == step.Waiting {
			for i, q := range questions {
				spec := step.Spec{Name: "step", Type: t, Timeout: 10 * time.Second, Confirmers: q.confirmers, OnTimeout: q.onTimeout}
				if !c.followed(t, s, q.text, spec, [][]step.Status{{}, {}}, i == 0, yield) {
					return
				}
			}
			return
		}
		for i, p := range progresses {
			spec := step.Spec{Name: "step", Type: t, Timeout: 10 * time.Second, Targets: []string{"a", "b"}, IgnoreErrors: p.ignoreErrors}
			if !c.followed(t, s, p.text, spec, p.runs, i == 0, yield) {
				return
			}
		}
	}
}

// followed yields a situation with each type of step after the one in question, the first
// one also without, and with the step after it being the current one.
func (c *rulesCheck) followed(t step.Type, s step.State, text string, spec step.Spec, runs [][]step.Status, first bool, yield func(*situation) bool) bool {
	if s == step.Pending {
		text, runs = "", nil
	}
	forge := func(text string, specs ...step.Spec) *situation {
		return &situation{Type: t, State: s, text: text, now: inTime, job: model.Forge(c.expect, specs, 1, s, runs...)}
	}
	last := forge(text+", the last step", spec)
	last.all = first
	if !yield(last.show()) {
		return false
	}
	for missing := 1; first && s == step.Waiting && missing <= 2; missing++ {
		votes := forge(fmt.Sprintf("%s, votes missing: %d", text, missing), spec)
		votes.job.Steps[0].Votes = missing
		if !yield(votes.show()) {
			return false
		}
	}
	if first && last.job.Finished != 0 {
		sealed := forge(text+", sealed", spec)
		sealed.job.Sealed = true
		if !yield(sealed.show()) {
			return false
		}
	}
	for _, k := range circumstances {
		if !first || !k.in.Has(s) || c.expect.Enters(t) == step.Waiting && k.runs {
			continue
		}
		at := c.special(&k, t, s, spec, runs)
		if !yield(at.show()) {
			return false
		}
	}
	for i, next := range c.nexts() {
		if !first && i > 1 {
			break // where a step leads does not depend on both
		}
		after := step.Spec{Name: "next", Type: next, Targets: []string{"a", "b", "c"}, Timeout: time.Second}
		if c.expect.Enters(next) == step.Waiting {
			after.Targets = nil
		}
		if !yield(forge(fmt.Sprintf("%s, before a %v step", text, next), spec, after).show()) {
			return false
		}
		if first && i == 0 {
			other := forge(text+", not the current step", spec, after)
			other.job.Current = 2
			sealed := forge(text+", sealed, not the current step", spec, after)
			sealed.job.Current, sealed.job.Sealed = 2, true
			if !yield(other.show()) || !yield(sealed.show()) {
				return false
			}
		}
	}
	return true
}

// special is the situation of a step in a circumstance.
func (c *rulesCheck) special(k *circumstance, t step.Type, s step.State, spec step.Spec, runs [][]step.Status) *situation {
	special, after := spec, step.Spec{Name: "next", Type: t, Targets: spec.Targets, Timeout: time.Second}
	if k.spec != nil {
		k.spec(&special)
	}
	specs := []step.Spec{special}
	if k.next != nil {
		k.next(&after)
		specs = append(specs, after)
	}
	now := runs
	switch {
	case k.fresh:
		now = nil
	case special.Rolling.Batches != "" && underWay.Minus(gated).Has(s):
		now = [][]step.Status{{step.TargetWaiting, step.TargetWaiting}}
	case special.Rolling.Batches != "":
		now = [][]step.Status{{step.TargetFailed, step.TargetWaiting}}
	}
	at := &situation{Type: t, State: s, text: ", " + k.text, now: inTime, special: true, reports: k.runs, late: k.late, job: model.Forge(c.expect, specs, 1, s, now...)}
	if k.job != nil {
		k.job(at.job)
	}
	return at
}

// nexts returns the types of steps that may follow: first one that runs and one that asks, if
// declared, then the other declared types, then an undeclared one.
func (c *rulesCheck) nexts() []step.Type {
	var runs, asks, others []step.Type
	for _, t := range c.types {
		switch enters := c.expect.Enters(t); {
		case c.rules.Enters(t) != enters:
		case enters == step.Running && len(runs) == 0:
			runs = append(runs, t)
		case enters == step.Waiting && len(asks) == 0:
			asks = append(asks, t)
		default:
			others = append(others, t)
		}
	}
	return append(append(append(runs, asks...), others...), c.undeclared()...)
}

// undeclared returns a type that neither side declares, if one is left.
func (c *rulesCheck) undeclared() []step.Type {
	for t := step.Type(63); t >= 32; t-- {
		if c.rules.Enters(t) == 0 && c.expect.Enters(t) == 0 {
			return []step.Type{t}
		}
	}
	return nil
}

// show completes s with the view of its job.
func (s *situation) show() *situation {
	s.view.Job = store.Job{ID: 7, Name: "job", Version: 9, Moved: 9, Created: 1, Steps: int32(len(s.job.Steps))}
	if p := s.job.Policy; p != (model.Policy{}) {
		s.view.Job.Policy = &store.JobPolicy{StartAt: p.StartAt, Timeout: p.Timeout}
	}
	if s.job.Steps[s.job.Current-1].Gate.Reason == step.TurnGate {
		s.view.Job.Policy = &store.JobPolicy{Turn: store.Turn{Key: "production", Limit: 1}}
	}
	s.view.Step = store.NewStep(1, s.job.Steps[0].Spec)
	if len(s.job.Steps) > 1 {
		s.view.Next = store.NewStep(2, s.job.Steps[1].Spec)
	}
	s.view = s.viewOf(s.job)
	return s
}

// expires reports whether step 1 is under way and has a moment to come, after which commands are tried.
func (s *situation) expires() bool {
	return s.view.Step.Due != 0 && s.job.Current == 1 && (s.late || !s.special)
}

// expiry returns the event of the deadline of step 1.
func (s *situation) expiry() step.Cause {
	switch {
	case s.job.Deadline != 0 && s.State != step.Terminating:
		return step.JobExpired
	case s.view.Step.OnTimeout == step.ConfirmOnTimeout && s.State != step.Terminating:
		return step.ExpiredConfirmed
	}
	return step.Expired
}

// viewOf returns the view of a job that began as that of s.
func (s *situation) viewOf(job *model.Job) store.View {
	v := s.view
	v.Job.State, v.Job.Current = job.State, job.Current
	v.Job.Sealed, v.Job.Held = job.Sealed, job.Held
	v.Job.Gate, v.Job.Deadline = job.Steps[job.Current-1].Gate.Reason, job.Deadline
	v.Job.Skipped, v.Job.Ignored, v.Job.Tolerated = int32(job.Skipped), int32(job.Ignored), int32(job.Tolerated)
	v.Job.Started, v.Job.Finished = job.Started, job.Finished
	row(&v.Step, &job.Steps[0])
	if len(job.Steps) > 1 {
		row(&v.Next, &job.Steps[1])
	}
	if v.Step.Due = 0; job.Current == 1 {
		v.Step.Due = job.Due()
	}
	if v.Next.Due = 0; job.Current == 2 {
		v.Next.Due = job.Due()
	}
	v.Targets = nil
	for i := range job.Steps[0].Spec.Targets {
		latest := job.Steps[0].Latest(i)
		v.Targets = append(v.Targets, store.Target{
			Index: int32(i), Attempt: latest.Ran, Success: job.Steps[0].LatestSuccess(i),
			Result: store.Result{Status: latest.Status, ExitCode: latest.ExitCode},
		})
	}
	return v
}

// row sets a step's row to the model's state.
func row(r *store.Step, s *model.Step) {
	r.State, r.Attempt, r.Run = s.State, s.Attempt(), windowOf(s)
	r.Succeeded, r.Unfinished = int32(s.Succeeded()), int32(s.Unfinished())
	r.StopBefore, r.Gate, r.Expires = s.StopBefore, gateOf(s.Gate), s.Expires
	r.Batch, r.Before, r.Accepted = int32(s.Batch()), int32(s.Before()), int32(s.Accepted())
	r.Automatic, r.Mendable = int32(s.Automatic), s.Mendable()
	if len(s.Runs) > 0 {
		run := s.Runs[len(s.Runs)-1]
		r.Started, r.Finished, r.Deadline = run.Started, run.Finished, run.Deadline
	}
}
