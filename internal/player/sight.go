package player

import (
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Sight is what people and executors see of a job.
type Sight struct {
	Rules *operation.Rules
	Job   store.Job
	Step  store.Step // the current one
}

// Legal returns what a person may do to the job and its current step, guards included.
func (s Sight) Legal(person string) step.Causes {
	at := s.standing()
	legal := s.Rules.Legal(at)
	if s.Step.Succeeded == s.Step.Total {
		legal = legal.Minus(s.Rules.Guarded(at, operation.SomeDue))
	}
	if c := s.Step.Confirmers; c.IsSet() && !c.Has(person) {
		legal = legal.Minus(s.Rules.Guarded(at, operation.Approver))
	}
	return legal
}

func (s Sight) standing() operation.Standing {
	return operation.Standing{Type: s.Step.Type, State: s.Step.State, Job: s.Job.State, Sealed: s.Job.Sealed}
}

// Confirmer returns a person who may confirm the current step.
func (s Sight) Confirmer() string {
	for name := range s.Step.Confirmers.All() {
		return name
	}
	return "ann"
}

// Final reports whether nothing can happen to the job any more.
func (s Sight) Final() bool { return s.Job.State.Finished() && s.Legal(s.Confirmer()).Empty() }

// A Turn is that of who acts next.
type Turn string

const (
	Executor Turn = "report"
	Person   Turn = "operate"
	Time     Turn = "expire"
)

// AllTurns are the turns that there are.
var AllTurns = []Turn{Executor, Person, Time}

// Odds say how likely each turn is, in any unit.
type Odds struct{ Executor, Person, Time int }

// Turn draws who acts next, by the state of the current step: a person if odds have no line for it.
// A person to whom nothing is legal mostly does not. Once in eight times it is anyone's turn.
func (s Sight) Turn(d Dice, odds map[step.State]Odds) Turn {
	o, ok := odds[s.Step.State]
	if !ok {
		o.Person = 1
	}
	if s.Legal(s.Confirmer()).Empty() {
		o.Person = 0
	}
	if o == (Odds{}) || OneIn(d, 8, "anyone") {
		return Of(d, "turn", AllTurns)
	}
	switch n := d.Below(o.Executor+o.Person+o.Time, "turn"); {
	case n < o.Executor:
		return Executor
	case n < o.Executor+o.Person:
		return Person
	}
	return Time
}

// Habits say how people ask. A number is that of the times among which they do so once; 0 is never.
type Habits struct {
	People  []string    // beside one who may confirm, to whom those who may not mostly leave it
	Reasons []string    // none if there are none
	Avoided step.Causes // what they do not ask for

	Anything  int // ask for what need not be legal
	Elsewhere int // ask for it on any step
	OnJob     int // operate the job rather than its step, if both are legal
	WithID    int // give the request an id
	DryRun    int
	IfVersion int // the job is at its version, or one of the two before
	IfAttempt int // the step is in its attempt, or the one before
}

// Ask draws a request for an operation, mostly one that is legal.
func (s Sight) Ask(d Dice, h Habits) Ask {
	a := Ask{Job: s.Job.ID, Step: s.Job.Current}
	confirmer := s.Confirmer()
	a.By = Of(d, "person", append([]string{confirmer}, h.People...))
	if s.Legal(a.By) != s.Legal(confirmer) && !OneIn(d, 4, "all the same") {
		a.By = confirmer
	}
	a.Cause = s.cause(d, h)
	if !a.Cause.OfJob() && OneIn(d, h.Elsewhere, "elsewhere") {
		a.Step = step.ID(1 + d.Below(int(s.Job.Steps), "step"))
	}
	if len(h.Reasons) > 0 {
		a.Because = Of(d, "reason", h.Reasons)
	}
	if OneIn(d, h.WithID, "with an id") {
		a.ID = ID(d)
	}
	a.DryRun = OneIn(d, h.DryRun, "dry")
	if OneIn(d, h.IfVersion, "if version") {
		a.IfVersion = max(s.Job.Version-store.Seq(d.Below(3, "versions ago")), 1)
	}
	if OneIn(d, h.IfAttempt, "if attempt") {
		a.IfAttempt = max(s.Step.Attempt-int32(d.Below(2, "attempts ago")), 1)
	}
	return a
}

// cause draws what people ask for: mostly what is legal, guards aside.
func (s Sight) cause(d Dice, h Habits) step.Cause {
	causes := s.Rules.Causes().With(operation.StartJob.Cause()).Minus(h.Avoided)
	if legal := s.Rules.Legal(s.standing()).Minus(h.Avoided); !legal.Empty() && !OneIn(d, h.Anything, "anything") {
		causes = legal
	}
	all := slices.Collect(causes.All())
	slices.Reverse(all) // an embedder's first
	onJob := OneIn(d, h.OnJob, "on the job")
	some := slices.DeleteFunc(slices.Clone(all), func(c step.Cause) bool { return c.OfJob() != onJob })
	if len(some) > 0 {
		all = some
	}
	return Of(d, "cause", all)
}
