package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A command is what an action says. Its String is how it reads in a file.
type command interface {
	fmt.Stringer

	// shape says what can be expected of the command.
	shape() shape
}

// A creation has a job created. The actions after it are about this job, unless it was refused.
type creation struct {
	Name  string
	By    string // a person; "" for the anonymous actor
	Steps []step.Spec
	conditions
}

// An operate has a person operate on a step or on the job.
type operate struct {
	Person string     // "" for the anonymous actor
	Cause  step.Cause // the operation's: operation.Code and operation.JobCode have it
	Step   step.ID    // 0 for an operation on the job
	conditions
}

// An effectRequest has a person give up or hurry an effect.
type effectRequest struct {
	Person string
	Cause  step.Cause // step.GivenUp or step.Hurried
	Effect store.Seq  // the record that asked for it
	conditions
}

// Conditions are what a person can add to a request.
type conditions struct {
	In        store.Scope // through an engine that is narrowed to it; zero for none
	Because   string
	IfAttempt int32     // 0 for none
	IfVersion store.Seq // 0 for none
	Request   string    // a word that stands for a request id; "" for none
	DryRun    bool
}

// A report has an executor report.
type report struct {
	Step    step.ID
	Attempt int32
	By      string      // the executor; may be empty
	In      store.Scope // as in conditions
	Results []targetResult
	Outcome step.Cause // or 0
	Reason  string
}

// A targetResult is what a report says of one target.
type targetResult struct {
	Target   string
	Status   step.Status
	ExitCode int32
	Detail   string
}

// A wait moves the clock.
type wait struct{ For time.Duration }

// A sweep expires what is overdue.
type sweep struct{}

// A deliver hands every effect that is due, of whatever job, to a handler.
type deliver struct {
	Failing string // what the handler answers; "" if it carries them out
	Dies    bool   // the dispatcher is never heard of again, instead
}

// A crash takes the store down at the next commit.
type crash struct{ After bool } // it took effect, and the answer is lost

// A restart has the store up again, with new engines on it.
type restart struct{}

// A deny has the authorizer deny everything to a person.
type deny struct{ Person, Because string }

// An allow takes a deny back.
type allow struct{ Person string }

// A turnTo says which job the actions after it are about.
type turnTo struct{ Job string }

// A look looks at something and says how it must be.
type look struct {
	At     subject
	Number int64       // of the step or record
	Name   string      // of the target, or of the person
	Full   bool        // of verdicts: every code, and why not
	In     store.Scope // as in conditions
}

// A subject is what a look looks at.
type subject string

const (
	theJob     subject = "job"      // its header
	oneStep    subject = "step"     // one of its steps
	oneTarget  subject = "target"   // a target of a step
	oneRecord  subject = "record"   // a record of its history
	theHistory subject = "history"  // what the records say was done
	theEffects subject = "effects"  // what waits for delivery
	allJobs    subject = "jobs"     // the name and state of every job
	verdicts   subject = "verdicts" // what is legal for a person on a step
)

const nobody = "nobody"

func person(who string) string {
	if who == "" {
		return nobody
	}
	return name(who)
}

func (c *creation) String() string {
	by := ""
	if c.By != "" {
		by = ", by " + name(c.By)
	}
	return "job " + name(c.Name) + by + c.options()
}

func (c *operate) String() string { return person(c.Person) + ": " + c.what() }

// what is the command without who gives it.
func (c *operate) what() string {
	if c.Cause.OfJob() {
		return c.Cause.String() + c.options()
	}
	return fmt.Sprintf("%v %d%s", c.Cause, c.Step, c.options())
}

func (c *effectRequest) String() string { return person(c.Person) + ": " + c.what() }

// effectWords are what a person says of an effect.
var effectWords = map[string]step.Cause{"give_up": step.GivenUp, "hurry": step.Hurried}

func (c *effectRequest) what() string {
	word := "give_up"
	if c.Cause == step.Hurried {
		word = "hurry"
	}
	return fmt.Sprintf("%s effect %d%s", word, c.Effect, c.options())
}

func (o conditions) options() string {
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

func (c *report) String() string {
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

func (c *wait) String() string    { return "wait " + c.For.String() }
func (*sweep) String() string     { return "sweep" }
func (*restart) String() string   { return "restart" }
func (c *allow) String() string   { return "allow " + person(c.Person) }
func (c *turnTo) String() string  { return "turn to " + name(c.Job) }
func (c *deliver) String() string { return "deliver" + c.how() }

func (c *deliver) how() string {
	switch {
	case c.Dies:
		return " and die"
	case c.Failing != "":
		return " failing " + strconv.Quote(c.Failing)
	}
	return ""
}

func (c *crash) String() string {
	if c.After {
		return "crash after"
	}
	return "crash before"
}

func (c *deny) String() string {
	text := "deny " + person(c.Person)
	if c.Because != "" {
		text += ", because " + strconv.Quote(c.Because)
	}
	return text
}

func (c *look) String() string {
	text := "expect " + string(c.At)
	switch c.At {
	case oneStep, oneRecord:
		text = fmt.Sprintf("%s %d", text, c.Number)
	case oneTarget:
		text = fmt.Sprintf("%s %d.%s", text, c.Number, name(c.Name))
	case verdicts:
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
