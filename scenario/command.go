package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Command is what an action says: a *[Job], *[Operate], *[Report], *[Wait],
// *[Sweep], *[Deliver], *[Crash], *[Restart], *[Deny], *[Allow], *[TurnTo] or
// *[Look], and nothing else. Its String is how it reads in a file.
type Command interface {
	fmt.Stringer

	// shape says what can be expected of the command.
	shape() shape
}

// Job has a job created. The actions after it are about this job, unless it was refused.
type Job struct {
	Name  string
	By    string // a person; "" for the anonymous actor
	Steps []step.Spec
	Options
}

// Operate has a person operate on a step or on the job.
type Operate struct {
	Person string     // "" for the anonymous actor
	Cause  step.Cause // the operation's: operation.Code and operation.JobCode have it
	Step   step.ID    // 0 for an operation on the job
	Options
}

// Options are what a person can add to a request.
type Options struct {
	In        store.Scope // through an engine that is narrowed to it; zero for none
	Because   string
	IfAttempt int32     // 0 for none
	IfVersion store.Seq // 0 for none
	Request   string    // a word that stands for a request id; "" for none
	DryRun    bool
}

// Report has an executor report.
type Report struct {
	Step    step.ID
	Attempt int32
	By      string      // the executor; may be empty
	In      store.Scope // as in Options
	Results []TargetResult
	Outcome step.Cause // or 0
	Reason  string
}

// A TargetResult is what a report says of one target.
type TargetResult struct {
	Target   string
	Status   step.Status
	ExitCode int32
	Detail   string
}

// Wait moves the clock.
type Wait struct{ For time.Duration }

// Sweep expires what is overdue.
type Sweep struct{}

// Deliver hands every effect that is due, of whatever job, to a handler.
type Deliver struct {
	Failing string // what the handler answers; "" if it carries them out
	Dies    bool   // the dispatcher is never heard of again, instead
}

// Crash takes the store down at the next commit.
type Crash struct{ After bool } // it took effect, and the answer is lost

// Restart has the store up again, with new engines on it.
type Restart struct{}

// Deny has the authorizer deny everything to a person.
type Deny struct{ Person, Because string }

// Allow takes a Deny back.
type Allow struct{ Person string }

// TurnTo says which job the actions after it are about.
type TurnTo struct{ Job string }

// Look looks at something and says how it must be.
type Look struct {
	At     Subject
	Number int64       // of the step or record
	Name   string      // of the target, or of the person
	Full   bool        // of Verdicts: every code, and why not
	In     store.Scope // as in Options
}

// A Subject is what a Look looks at.
type Subject string

const (
	TheJob     Subject = "job"      // its header
	OneStep    Subject = "step"     // one of its steps
	OneTarget  Subject = "target"   // a target of a step
	OneRecord  Subject = "record"   // a record of its history
	TheHistory Subject = "history"  // what the records say was done
	TheEffects Subject = "effects"  // what waits for delivery
	AllJobs    Subject = "jobs"     // the name and state of every job
	Verdicts   Subject = "verdicts" // what is legal for a person on a step
)

const nobody = "nobody"

func person(who string) string {
	if who == "" {
		return nobody
	}
	return name(who)
}

func (c *Job) String() string {
	by := ""
	if c.By != "" {
		by = ", by " + name(c.By)
	}
	return "job " + name(c.Name) + by + c.options()
}

func (c *Operate) String() string { return person(c.Person) + ": " + c.what() }

// what is the command without who gives it.
func (c *Operate) what() string {
	if c.Cause.OfJob() {
		return c.Cause.String() + c.options()
	}
	return fmt.Sprintf("%v %d%s", c.Cause, c.Step, c.options())
}

func (o Options) options() string {
	var b strings.Builder
	if o.In != (store.Scope{}) {
		b.WriteString(", in " + scopeText(o.In))
	}
	if o.Because != "" {
		b.WriteString(", because " + strconv.Quote(o.Because))
	}
	if o.IfAttempt != 0 {
		fmt.Fprintf(&b, ", if_attempt %d", o.IfAttempt)
	}
	if o.IfVersion != 0 {
		fmt.Fprintf(&b, ", if_version %d", o.IfVersion)
	}
	if o.Request != "" {
		b.WriteString(", request " + name(o.Request))
	}
	if o.DryRun {
		b.WriteString(", dry_run")
	}
	return b.String()
}

func scopeText(s store.Scope) string { return name(s.Type + "/" + s.ID) }

func (c *Report) String() string {
	head := fmt.Sprintf("report %d.%d", c.Step, c.Attempt)
	if c.By != "" {
		head += " by " + name(c.By)
	}
	if c.In != (store.Scope{}) {
		head += " in " + scopeText(c.In)
	}
	var says []string
	for _, r := range c.Results {
		text := name(r.Target) + " " + r.Status.String()
		if r.ExitCode != 0 {
			text += fmt.Sprintf(" exit %d", r.ExitCode)
		}
		if r.Detail != "" {
			text += " detail " + strconv.Quote(r.Detail)
		}
		says = append(says, text)
	}
	if c.Outcome != 0 {
		text := c.Outcome.String()
		if c.Reason != "" {
			text += " " + strconv.Quote(c.Reason)
		}
		says = append(says, text)
	}
	return head + ": " + strings.Join(says, ", ")
}

func (c *Wait) String() string    { return "wait " + c.For.String() }
func (*Sweep) String() string     { return "sweep" }
func (*Restart) String() string   { return "restart" }
func (c *Allow) String() string   { return "allow " + person(c.Person) }
func (c *TurnTo) String() string  { return "turn to " + name(c.Job) }
func (c *Deliver) String() string { return "deliver" + c.how() }

func (c *Deliver) how() string {
	switch {
	case c.Dies:
		return " and die"
	case c.Failing != "":
		return " failing " + strconv.Quote(c.Failing)
	}
	return ""
}

func (c *Crash) String() string {
	if c.After {
		return "crash after"
	}
	return "crash before"
}

func (c *Deny) String() string {
	text := "deny " + person(c.Person)
	if c.Because != "" {
		text += ", because " + strconv.Quote(c.Because)
	}
	return text
}

func (c *Look) String() string {
	text := "expect " + string(c.At)
	switch c.At {
	case OneStep, OneRecord:
		text = fmt.Sprintf("%s %d", text, c.Number)
	case OneTarget:
		text = fmt.Sprintf("%s %d.%s", text, c.Number, name(c.Name))
	case Verdicts:
		text = fmt.Sprintf("expect %s on %d", person(c.Name), c.Number)
		if c.Full {
			text += " in full"
		}
	}
	if c.In != (store.Scope{}) {
		text += " in " + scopeText(c.In)
	}
	return text
}

// specText is how a step reads below its job.
func specText(s step.Spec) string {
	text := s.Type.String() + " " + name(s.Name)
	if s.Targets != nil {
		text += ", targets" + names(s.Targets)
	}
	if s.Confirmers != nil {
		text += ", confirmers" + names(s.Confirmers)
	}
	if s.Timeout != 0 {
		text += ", timeout " + s.Timeout.String()
	}
	if s.OnTimeout == step.ConfirmOnTimeout {
		text += ", confirm_on_timeout"
	}
	if s.IgnoreErrors {
		text += ", ignore_errors"
	}
	if s.Payload != "" {
		text += ", payload " + strconv.Quote(s.Payload)
	}
	return text
}

func names(list []string) string {
	text := ""
	for _, n := range list {
		text += " " + name(n)
	}
	return text
}
