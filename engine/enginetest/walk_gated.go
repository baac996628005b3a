package enginetest

import (
	"fmt"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
)

// GatedJobs returns jobs of one and of two steps with gates, batches, retries, tolerances and deadlines,
// under the documented rules. Their times are multiples of a second, so that a [Walk] tells few moments
// apart.
func GatedJobs() []engine.JobSpec {
	run := func(change func(*step.Spec)) step.Spec {
		s := step.Spec{Name: "step", Type: step.Script, Targets: []string{"a", "b"}, Timeout: 10 * time.Second}
		change(&s)
		return s
	}
	ask := func(change func(*step.Spec)) step.Spec {
		s := step.Spec{Name: "step", Type: step.Confirmation, Confirmers: []string{"ann"}, Timeout: 10 * time.Second}
		change(&s)
		return s
	}
	rolling := func(s *step.Spec, between step.Between) { s.Rolling = step.Rolling{Batches: "1", Between: between} }
	job := func(steps ...step.Spec) engine.JobSpec { return engine.JobSpec{Name: "job", Steps: steps} }
	limited := func(j engine.JobSpec, startAt step.Time, timeout time.Duration) engine.JobSpec {
		j.StartAt, j.Timeout = startAt, timeout
		return j
	}
	plain := func(*step.Spec) {}
	batches := func(s *step.Spec) { rolling(s, step.Between{}); s.Timeout = 0 }
	return []engine.JobSpec{
		job(run(func(s *step.Spec) { s.Retry = step.Retry{Attempts: 2, After: time.Second, Most: 4 * time.Second} })),
		job(run(func(s *step.Spec) { s.Retry = step.Retry{Attempts: 1}; s.Tolerate.Count = 1 })),
		job(run(func(s *step.Spec) {
			s.Retry = step.Retry{Attempts: 1, Except: []step.Status{step.NonZeroExit}}
			s.Tolerate.Percent = 50
		})),
		job(run(func(s *step.Spec) { rolling(s, step.Between{}); s.Retry = step.Retry{Attempts: 1, After: time.Second} })),
		job(run(func(s *step.Spec) { rolling(s, step.Between{Person: true}); s.IgnoreErrors = true })),
		job(run(func(s *step.Spec) { rolling(s, step.Between{Delay: 5 * time.Second}); s.Tolerate.Count = 1 })),
		job(run(func(s *step.Spec) { rolling(s, step.Between{Person: true, Delay: 5 * time.Second}); s.Window = "night" })),
		job(run(func(s *step.Spec) { s.StopBefore, s.Delay, s.Window = true, 5*time.Second, "night" })),
		job(ask(func(s *step.Spec) { s.StopBefore, s.Delay, s.Window = true, 5*time.Second, "night" })),
		job(run(func(s *step.Spec) {
			s.TotalTimeout, s.Retry = 15*time.Second, step.Retry{Attempts: 1, After: 2 * time.Second}
		})),
		job(ask(func(s *step.Spec) { s.TotalTimeout, s.Timeout, s.OnTimeout = 15*time.Second, 0, step.ConfirmOnTimeout })),
		limited(job(run(func(s *step.Spec) { s.Delay = time.Second })), walkStart+5000, 15*time.Second),
		limited(job(run(plain), ask(func(s *step.Spec) { s.Delay = 5 * time.Second })), 0, 25*time.Second),
		job(run(batches), run(batches)),
		job(run(func(s *step.Spec) { batches(s); s.Retry = step.Retry{Attempts: 1, After: time.Second} }),
			run(func(s *step.Spec) { rolling(s, step.Between{Person: true}); s.Timeout = 0 })),
		job(ask(plain), run(func(s *step.Spec) { rolling(s, step.Between{Delay: time.Second}); s.StopBefore = true })),
	}
}

// waits returns what the step that is under way waits for: a report, a person, or a moment. It is empty if
// the job is not under way.
func (s *state) waits() (string, error) {
	switch c := s.current(); {
	case !s.job.State.Active():
		return "", nil
	case c.State == step.Running || c.State == step.Terminating:
		return "report", nil
	case c.State == step.Waiting, c.Gate.Reason.OfPerson():
		return "person", nil
	case c.Gate.Reason != step.TurnGate && c.Gate.Until != 0:
		return "moment", nil
	default:
		return "", fmt.Errorf("promise 2: step %d is %v at %+v, and awaits no report, person or moment", c.ID, c.State, c.Gate)
	}
}

// opensOnce checks promise 9: what begins an attempt begins one, after its gate's moment and not under a
// hold; and the same moment begins no second one.
func (g *walker) opensOnce(s, next *state, m move) error {
	before, after := s.current(), next.current()
	if after.ID == before.ID && after.Attempt == before.Attempt || after.Attempt == 0 {
		return nil
	}
	opened := next.made[len(next.made)-1].Cause == step.Opened
	switch {
	case next.job.Held:
		return fmt.Errorf("promise 9: attempt %d.%d begins, and the job is on hold", after.ID, after.Attempt)
	case opened && before.Gate.Until > s.now:
		return fmt.Errorf("promise 9: attempt %d.%d begins at %v, and its gate opens at %v", after.ID, after.Attempt, s.now, before.Gate.Until)
	case after.ID == before.ID && after.Attempt != before.Attempt+1:
		return fmt.Errorf("promise 9: attempt %d.%d follows attempt %d", after.ID, after.Attempt, before.Attempt)
	}
	if _, ok := m.command.(*engine.Expire); !ok || !opened {
		return nil
	}
	if d, err := g.Decide(g.Rules, next.view(before.ID), m.command, next.now); err == nil && d.Changes() {
		return fmt.Errorf("promise 9: the gate before attempt %d.%d opens a second time", after.ID, after.Attempt)
	}
	return nil
}

// gatedJob reports whether a definition has gates or deadlines beyond those of attempts.
func gatedJob(spec *engine.JobSpec) bool {
	for i := range spec.Steps {
		if s := &spec.Steps[i]; s.StopBefore || s.Policy() != nil {
			return true
		}
	}
	return spec.StartAt != 0 || spec.Timeout != 0
}
