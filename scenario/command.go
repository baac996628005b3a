package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A command is the content of an action. String returns it as in a file.
type command interface {
	fmt.Stringer

	// shape returns the clauses that are valid for the command.
	shape() shape
}

// A creation creates a job. The actions after it are about this job, unless it was refused.
type creation struct {
	Name  string
	By    string // a person; "" for the anonymous actor
	Steps []step.Spec
	store.JobPolicy
	conditions
}

// An operate is an operation of a person on a step or on the job.
type operate struct {
	Person string     // "" for the anonymous actor
	Cause  step.Cause // of the operation, from operation.Code.Cause or operation.JobCode.Cause
	Step   step.ID    // 0 for an operation on the job
	conditions
}

// An effectRequest is the request of a person to give up or hurry an effect.
type effectRequest struct {
	Person string
	Cause  step.Cause // step.GivenUp or step.Hurried
	Effect store.Seq  // the record that asked for it
	conditions
}

// Conditions are the options of a request.
type conditions struct {
	In        store.Scope // through an engine that is narrowed to it; zero for none
	Because   string
	IfAttempt int32     // 0 for none
	IfVersion store.Seq // 0 for none
	Request   string    // a word that stands for a request id; "" for none
	DryRun    bool
}

// A report is a report of an executor.
type report struct {
	Step    step.ID
	Attempt int32
	By      string      // the executor; may be empty
	In      store.Scope // as in conditions
	Results []targetResult
	Outcome step.Cause // or 0
	Reason  string
}

// A targetResult is the result of one target in a report.
type targetResult struct {
	Target   string
	Status   step.Status
	ExitCode int32
	Detail   string
}

// A wait moves the clock, backwards as well.
type wait struct{ For time.Duration }

// A window sets the answers of the function of windows about a name.
type window struct {
	Name   string
	Hours  []hours // of every day
	Answer string  // or a wrong answer: one of wrongAnswers
}

// Hours are the minutes of a day, from 00:00 UTC, at which a window opens and shuts.
type hours struct{ Open, Shut int }

// A sweep expires overdue attempts, and opens gates whose moment has come.
type sweep struct{}

// A deliver hands every due effect of all jobs to a handler.
type deliver struct {
	Failing string // the error of the handler; "" for none
	Dies    bool   // the dispatcher claims the effects and never settles them, instead
}

// A crash takes the store down at the next commit.
type crash struct{ After bool } // it took effect, and the answer is lost

// A restart brings the store up again, with new engines on it.
type restart struct{}

// A deny makes the authorizer deny everything to a person.
type deny struct{ Person, Because string }

// An allow takes a deny back.
type allow struct{ Person string }

// A turnTo says which job the actions after it are about.
type turnTo struct{ Job string }

// A look is an expectation about a subject.
type look struct {
	At     subject
	Number int64       // of the step or record; for batches, of their step
	Name   string      // of the target, or of the person
	Full   bool        // of verdicts: every code, with the reason against it
	In     store.Scope // as in conditions
}

// A subject is the thing that a look reads.
type subject string

const (
	theJob     subject = "job"       // its header
	theWait    subject = "diagnosis" // what it waits for
	oneStep    subject = "step"      // one of its steps
	oneTarget  subject = "target"    // a target of a step
	oneRecord  subject = "record"    // a record of its history
	theBatches subject = "batches"   // of a step: those that have begun
	theHistory subject = "history"   // the causes of its records
	theEffects subject = "effects"   // its unsettled effects
	allJobs    subject = "jobs"      // the name and state of every job
	verdicts   subject = "verdicts"  // the legal operations of a person on a step
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
	return "job " + name(c.Name) + by + c.when() + c.options()
}

// when returns the job's own options.
func (c *creation) when() string {
	text := ""
	if c.StartAt != 0 {
		text += ", start_at " + c.StartAt.String()
	}
	if c.Timeout != 0 {
		text += ", timeout " + c.Timeout.String()
	}
	if c.Turn != (store.Turn{}) {
		text += fmt.Sprintf(", turn %s %d", name(c.Turn.Key), c.Turn.Limit)
	}
	return text
}

func (c *operate) String() string { return person(c.Person) + ": " + c.what() }

// what returns the command without its person.
func (c *operate) what() string {
	if c.Cause.OfJob() {
		return c.Cause.String() + c.options()
	}
	return fmt.Sprintf("%v %d%s", c.Cause, c.Step, c.options())
}

func (c *effectRequest) String() string { return person(c.Person) + ": " + c.what() }

// effectWords are the words for requests about an effect.
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
func (c *window) String() string  { return "window " + name(c.Name) + ": " + c.says() }
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

func (c *window) says() string {
	if c.Answer != "" {
		return c.Answer
	}
	all := make([]string, len(c.Hours))
	for i, h := range c.Hours {
		all[i] = fmt.Sprintf("%02d:%02d to %02d:%02d", h.Open/60, h.Open%60, h.Shut/60, h.Shut%60)
	}
	return strings.Join(all, ", ")
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
	case oneStep, oneRecord, theBatches:
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

// specText returns a step as in a file, below its job.
func specText(s step.Spec) string {
	text := s.Type.String() + " " + name(s.Name)
	if s.Targets != nil {
		text += ", targets" + names(s.Targets)
	}
	if s.Confirmers != nil {
		text += ", confirmers" + names(s.Confirmers)
	}
	if s.StopBefore {
		text += ", stop_before"
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
	for _, rule := range rulesOf(s.Policy()) {
		text += ", " + rule
	}
	if s.Payload != "" {
		text += ", payload " + strconv.Quote(s.Payload)
	}
	return text
}

// rulesOf returns the options of a step that are its policy.
func rulesOf(p *step.Policy) []string {
	if p == nil {
		return nil
	}
	var all []string
	add := func(isSet bool, format string, args ...any) {
		if isSet {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(p.TotalTimeout != 0, "total_timeout %v", p.TotalTimeout)
	add(p.Delay != 0, "delay %v", p.Delay)
	add(p.Window != "", "window %s", name(p.Window))
	add(!p.Retry.IsZero(), "retry %s", retryText(&p.Retry))
	add(p.Rolling.Batches != "", "batches %s", bare(p.Rolling.Batches))
	switch b := p.Rolling.Between; {
	case b.Person && b.Delay != 0:
		add(true, "between person %v", b.Delay)
	case b.Person:
		add(true, "between person")
	default:
		add(b.Delay != 0, "between %v", b.Delay)
	}
	add(p.Tolerate.Count != 0, "tolerate %d", p.Tolerate.Count)
	add(p.Tolerate.Percent != 0, "tolerate %d%%", p.Tolerate.Percent)
	return all
}

func retryText(r *step.Retry) string {
	text := fmt.Sprint(r.Attempts)
	if r.After != 0 {
		text += " after " + r.After.String()
	}
	if r.Most != 0 {
		text += " most " + r.Most.String()
	}
	if r.Except != nil {
		text += " except"
	}
	for _, status := range r.Except {
		text += " " + status.String()
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
