package enginetest

import (
	"cmp"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Jobs draws definitions of jobs of one to five steps of any type that r declares, with one to
// four targets or, for a step that asks, with a confirmer, who is called ann, or without. Half
// of them have a deadline of ten seconds. An engine with these rules accepts every one. nil rules
// mean the documented ones.
func Jobs(r *operation.Rules) *rapid.Generator[engine.JobSpec] {
	r = cmp.Or(r, operation.Standard())
	return rapid.Custom(func(t *rapid.T) engine.JobSpec { return drawJob(dice{t}, r) })
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
		switch d, sight := (dice{t}), s.sight(); sight.Turn(d, odds) {
		case player.Person:
			a := sight.Ask(d, habits)
			return Call{a.Step, &engine.Operate{Cause: a.Cause, Request: a.Request}}
		case player.Executor:
			r := sight.Report(d, player.Usual)
			return Call{r.Step, &r}
		}
		return Call{s.Job.Current, &engine.Expire{Job: s.Job.ID, Step: s.Job.Current, Attempt: s.current().Attempt}}
	})
}

// dice are those of rapid, which prefers what stands first.
type dice struct{ *rapid.T }

// Below implements [player.Dice].
func (d dice) Below(n int, what string) int { return rapid.IntRange(0, n-1).Draw(d.T, what) }

var (
	habits = player.Habits{People: []string{"bob", ""}, Anything: 8, Elsewhere: 16, OnJob: 4}
	odds   = map[step.State]player.Odds{
		step.Running:     {Executor: 5, Person: 1, Time: 1},
		step.Terminating: {Executor: 2, Person: 4, Time: 1},
		step.Waiting:     {Person: 5, Time: 2},
	}
)

// current returns the row of the current step.
func (s *Snapshot) current() *store.Step { return &s.Steps[s.Job.Current-1] }

// sight returns what a person sees of s.
func (s *Snapshot) sight() player.Sight {
	return player.Sight{Rules: s.Rules, Job: s.Job, Step: *s.current()}
}

func drawJob(d player.Dice, r *operation.Rules) engine.JobSpec {
	shapes := player.Shapes{
		Rules: r, Targets: []string{"a", "b", "c", "d"}, Timeouts: []time.Duration{0, 10 * time.Second}, Confirmers: []string{"ann"},
	}
	return engine.JobSpec{Name: "job", Steps: shapes.Steps(d, 1+d.Below(5, "steps"))}
}
