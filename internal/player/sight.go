package player

import (
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Sight is the part of a job that people and executors see.
type Sight struct {
	Rules *operation.Rules
	Job   store.Job
	Step  store.Step // the current one
}

// Legal returns the legal operations of a person on the job and its current step, guards included.
func (s Sight) Legal(person string) step.Causes {
	return engine.Legal(s.Rules, s.Job, s.Step, person)
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

// Final reports whether no command can change the job any more. Comments change nothing.
func (s Sight) Final() bool { return s.Job.State.Finished() && s.Idle() }

// Idle reports whether a confirmer has no legal operation but a comment.
func (s Sight) Idle() bool { return s.Legal(s.Confirmer()).Without(comment).Empty() }

// A Turn is the kind of actor that acts next.
type Turn string

const (
	Executor Turn = "report"
	Person   Turn = "operate"
	Time     Turn = "expire"
)

// AllTurns has every Turn.
var AllTurns = []Turn{Executor, Person, Time}

// Odds are the weights of the turns, in any unit.
type Odds struct{ Executor, Person, Time int }

// Turn draws the next actor by the odds for the state of the current step; without odds, a person.
// People do not act while a confirmer has no legal operation but a comment. Once in eight times, and if no actor is
// left, every turn is as likely.
func (s Sight) Turn(d Dice, odds map[step.State]Odds) Turn {
	o, ok := odds[s.Step.State]
	if !ok {
		o.Person = 1
	}
	if s.Idle() {
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

// Habits are the habits of people. A number n means once in n times; 0 is never.
type Habits struct {
	People  []string    // beside a confirmer; a person who may not confirm mostly leaves that to the confirmer
	Reasons []string    // empty for no reasons
	Avoided step.Causes // operations that they do not ask for

	Anything  int // ask for any operation, legal or not
	Elsewhere int // ask for it on any step
	OnJob     int // operate the job rather than its step, if both are legal
	Resume    int // resume a job on hold
	Stops     int // set or clear a stop before a step that comes; with 0, as often as another operation
	Closes    int // seal the job, or comment
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
	if h.Stops > 0 && stops.Has(a.Cause) {
		a.Step += step.ID(d.Below(int(s.Job.Steps)-int(s.Job.Current)+1, "step that comes"))
	}
	if !a.Cause.OfJob() && OneIn(d, h.Elsewhere, "elsewhere") {
		a.Step = step.ID(1 + d.Below(int(s.Job.Steps), "step"))
	}
	if len(h.Reasons) > 0 {
		a.Because = Of(d, "reason", h.Reasons)
	}
	if s.Rules.Comments(a.Cause) && a.Because == "" {
		a.Because = "a comment"
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

// cause draws the operation of a request: mostly a legal one, guards aside.
func (s Sight) cause(d Dice, h Habits) step.Cause {
	if closing := s.Rules.Causes().Intersect(closing); !closing.Empty() && OneIn(d, h.Closes, "close") {
		return Of(d, "closing", slices.Collect(closing.All()))
	}
	h.Avoided = h.Avoided.Union(closing)
	causes := s.Rules.Causes().With(operation.StartJob.Cause()).Minus(h.Avoided)
	if legal := s.Rules.Legal(s.standing()).Minus(h.Avoided); !legal.Empty() && !OneIn(d, h.Anything, "anything") {
		causes = legal
	}
	switch {
	case s.Job.Held && causes.Has(resume) && OneIn(d, h.Resume, "resume"):
		return resume
	case s.Rules.Causes().Has(stopBefore) && s.Rules.Causes().Has(clearStop) && OneIn(d, h.Stops, "a stop"):
		return Of(d, "stop", []step.Cause{stopBefore, clearStop})
	case h.Stops > 0 && !causes.Minus(stops).Empty():
		causes = causes.Minus(stops)
	}
	if started := causes.Without(terminate); s.Job.State == step.Pending && !started.Empty() && !OneIn(d, 8, "cancel") {
		causes = started
	}
	all := slices.Collect(causes.All())
	slices.Reverse(all) // an embedder's first
	onJob := OneIn(d, h.OnJob, "on the job")
	some := slices.DeleteFunc(slices.Clone(all), func(c step.Cause) bool { return c.OfJob() != onJob })
	if len(some) > 0 {
		all = some
	}
	if own := all[0]; own.Code() >= embedders && !OneIn(d, 4, "another") { // rare among so many
		return own
	}
	return Of(d, "cause", all)
}

const embedders = 32 // the first code that belongs to embedders

var (
	terminate  = operation.TerminateJob.Cause()
	resume     = operation.ResumeJob.Cause()
	comment    = operation.CommentJob.Cause()
	closing    = step.CausesOf(operation.SealJob.Cause(), comment)
	stopBefore = operation.StopBefore.Cause()
	clearStop  = operation.ClearStop.Cause()
	stops      = step.CausesOf(stopBefore, clearStop)
)
