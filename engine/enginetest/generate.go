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

// Jobs draws definitions of jobs of one to five steps of any type that r declares. A step has one to
// four targets or, if it asks, no list of confirmers or the list ann. Half of the steps have a
// timeout of ten seconds. Each policy of [step.Policy] and of [engine.JobSpec] but the turn is in one
// of eight steps or jobs, with waits and limits of some seconds; a window is named even or odd. An
// engine with these rules accepts each definition. nil rules mean the documented ones.
func Jobs(r *operation.Rules) *rapid.Generator[engine.JobSpec] {
	r = cmp.Or(r, operation.Standard())
	return rapid.Custom(func(t *rapid.T) engine.JobSpec { return drawJob(dice{t}, r, epoch) })
}

// A Call is a command and its step, which an [engine.Operate] does not name itself.
type Call struct {
	Step    step.ID        // of an operation on the job, the current one
	Command engine.Command // without a request id
}

// Commands draws commands of people, executors and deadlines on the job of s: mostly one that is
// likely in the state of the job, sometimes any. An engine must refuse some of them, but none as
// invalid input. Commands carry no request id.
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
		opens := window("even", max(s.Job.Updated, 1).Std())
		return Call{s.Job.Current, &engine.Expire{Job: s.Job.ID, Step: s.Job.Current, Attempt: s.current().Attempt, Window: step.At(opens)}}
	})
}

// dice are those of rapid, which prefers the first choice.
type dice struct{ *rapid.T }

// Below implements [player.Dice].
func (d dice) Below(n int, what string) int { return rapid.IntRange(0, n-1).Draw(d.T, what) }

var (
	habits = player.Habits{People: []string{"bob", ""}, Anything: 8, Elsewhere: 16, OnJob: 4, Resume: 2, Stops: 24, Closes: 32}
	odds   = map[step.State]player.Odds{
		step.Running:     {Executor: 5, Person: 1, Time: 1},
		step.Terminating: {Executor: 2, Person: 4, Time: 1},
		step.Waiting:     {Person: 5, Time: 2},
		step.Gated:       {Person: 2, Time: 3},
	}

	policies = player.Policies{
		Often:   8,
		Waits:   []time.Duration{4 * time.Second, 2 * time.Second, 8 * time.Second, 1500 * time.Microsecond},
		Limits:  []time.Duration{20 * time.Second, 40 * time.Second, 12 * time.Second},
		Windows: []string{"even", "odd"},
		Batches: []string{"1", "50%", "1 2", "+1", "*2", "1 100%", "3"},
	}
)

// current returns the row of the current step.
func (s *Snapshot) current() *store.Step { return &s.Steps[s.Job.Current-1] }

// sight returns the part of s that a person sees.
func (s *Snapshot) sight() player.Sight {
	return player.Sight{Rules: s.Rules, Job: s.Job, Step: *s.current()}
}

// epoch is the moment at which random stories begin.
const epoch step.Time = 1_800_000_000_000

// window is the function of windows of the engines under test: the window even is open in the even
// periods of eight seconds, and each other window in the odd ones.
func window(name string, t time.Time) time.Time {
	const period = 8000 // ms
	n := t.UnixMilli() / period
	if (n%2 == 0) == (name == "even") {
		return t
	}
	return time.UnixMilli((n + 1) * period)
}

func drawJob(d player.Dice, r *operation.Rules, now step.Time) engine.JobSpec {
	shapes := player.Shapes{
		Rules: r, Targets: []string{"a", "b", "c", "d"}, Timeouts: []time.Duration{0, 10 * time.Second}, Confirmers: []string{"ann"},
		Policies: policies,
	}
	spec := engine.JobSpec{Name: "job", Steps: shapes.Steps(d, 1+d.Below(5, "steps"))}
	spec.StartAt, spec.Timeout = policies.Job(d, now)
	return spec
}
