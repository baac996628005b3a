package engine

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const (
	maxName   = 256 // characters of a name: of a job, step, target, person
	maxDetail = 256 // characters of a result's detail
)

// checkText refuses text that a store cannot keep: too long, not UTF-8, or with a NUL, which
// databases refuse.
func checkText(field, text string, most int) *Refusal {
	if len(text) <= most && isPlain(text) {
		return nil
	}
	switch n := utf8.RuneCountInString(text); {
	case !utf8.ValidString(text):
		return invalid(field, "not UTF-8")
	case n > most:
		return invalid(field, "%d characters: the maximum is %d", n, most)
	case strings.ContainsRune(text, 0):
		return invalid(field, "holds a NUL character")
	}
	return nil
}

// isPlain reports whether text is ASCII without NUL: the quick answer.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c == 0 || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// checkName refuses text that is no name. Names are compared byte for byte, and printed on one
// line among other words: see [step.Spec].
func checkName(field, name string) *Refusal {
	if name == "" {
		return invalid(field, "empty")
	}
	return checkPerson(field, name)
}

// checkPerson is checkName for a name that may be empty.
func checkPerson(field, name string) *Refusal {
	if err := checkText(field, name, maxName); err != nil {
		return err
	}
	if odd := oddity(name); odd != "" {
		return invalid(field, "%s", odd)
	}
	return nil
}

// oddity describes the first part of text that does not belong on a line among other words, or is
// "".
func oddity(text string) string {
	if isWord(text) {
		return ""
	}
	for _, r := range text {
		switch {
		case unicode.IsControl(r):
			return fmt.Sprintf("control character %U", r)
		case unicode.In(r, unicode.Zl, unicode.Zp):
			return fmt.Sprintf("line separator %U", r)
		case unicode.Is(unicode.Bidi_Control, r):
			return fmt.Sprintf("direction character %U", r)
		}
	}
	if strings.TrimSpace(text) != text {
		return "white space at an end"
	}
	if !utf8.ValidString(text) {
		return "not UTF-8"
	}
	return ""
}

// isWord reports whether text is printable ASCII without a blank at an end: the quick answer.
func isWord(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return text == "" || text[0] != ' ' && text[len(text)-1] != ' '
}

// quoted returns text for a message of one line: as it is if it could be a name, and quoted
// as Go does if not.
func quoted(text string) string {
	if text == "" || oddity(text) != "" {
		return strconv.Quote(text)
	}
	return text
}

func checkJob(id store.JobID) *Refusal {
	if id < 1 || id > store.MaxJobID {
		return invalid("job", "%d: ids are 1 to %d", id, store.MaxJobID)
	}
	return nil
}

func checkStep(id step.ID) *Refusal {
	if id < 1 {
		return invalid("step", "%d: steps count from 1", id)
	}
	return nil
}

// checkScope checks the scope of a new job.
func checkScope(s store.Scope) *Refusal {
	if err := checkName("scope.type", s.Type); err != nil {
		return err
	}
	return checkName("scope.id", s.ID)
}

// checkSight checks the scope that an engine is narrowed to. It may be one of older jobs,
// whose names were less strict.
func checkSight(s store.Scope) *Refusal {
	for _, part := range [...]struct{ field, text string }{{"scope.type", s.Type}, {"scope.id", s.ID}} {
		if part.text == "" {
			return invalid(part.field, "empty")
		}
		if err := checkText(part.field, part.text, maxName); err != nil {
			return err
		}
	}
	return nil
}

func noCommand() *Refusal { return invalid("Command", "nil") }

func (c *Operate) check(r *operation.Rules, limits *Limits) *Refusal {
	switch {
	case c == nil:
		return noCommand()
	case c.Cause.OfJob() && !r.Causes().Has(c.Cause) && !isDocumented(c.Cause):
		return unknownCode(r, step.Cause.OfJob, c.Cause.Code())
	case !c.Cause.OfJob() && (!c.Cause.OfStep() || !r.Causes().Has(c.Cause)):
		return unknownCode(r, step.Cause.OfStep, uint8(c.Cause))
	}
	if refusal := c.Request.check(limits); refusal != nil {
		return refusal
	}
	if c.Because == "" && r.Comments(c.Cause) {
		return invalid("reason", "empty: it is the comment")
	}
	return nil
}

// isDocumented reports whether c is a documented operation on the job. Without a row it is never
// legal, but naming it is no invalid input.
func isDocumented(c step.Cause) bool { return documentedOfJob.Has(c) }

var documentedOfJob = operation.CausesOf(operation.AllJobCodes()...) // never changed

// unknownCode refuses an operation that the rules do not know: on a step, or on a job.
func unknownCode(r *operation.Rules, ofKind func(step.Cause) bool, code uint8) *Refusal {
	noun := "operation code"
	if ofKind(operation.StartJob.Cause()) {
		noun = "job operation code"
	}
	var want step.Causes
	for c := range r.Causes().All() {
		if ofKind(c) {
			want = want.With(c)
		}
	}
	return invalid("code", "unknown %s %d: want one of %v", noun, code, want)
}

func (c *Expire) check(*operation.Rules, *Limits) *Refusal {
	if c == nil {
		return noCommand()
	}
	return nil
}

func (c *Create) check(r *operation.Rules, limits *Limits) *Refusal {
	if c == nil {
		return noCommand()
	}
	if err := c.Request.check(limits); err != nil {
		return err
	}
	if err := c.creates(); err != nil {
		return err
	}
	if err := checkName("name", c.Spec.Name); err != nil {
		return err
	}
	if c.Spec.Scope != (store.Scope{}) {
		if err := checkScope(c.Spec.Scope); err != nil {
			return err
		}
	}
	if err := checkJobPolicy(&c.Spec); err != nil {
		return err
	}
	switch n := len(c.Spec.Steps); {
	case n == 0:
		return invalid("steps", "none: a job has at least one")
	case n > limits.Steps:
		return invalid("steps", "%d steps: the maximum is %d", n, limits.Steps)
	}
	for i := range c.Spec.Steps {
		if err := checkSpec(&c.Spec.Steps[i], r, limits); err != nil {
			err.Field = fmt.Sprintf("steps[%d].%s", i, err.Field)
			return err
		}
	}
	return nil
}

func checkSpec(s *step.Spec, r *operation.Rules, limits *Limits) *Refusal {
	if err := checkName("name", s.Name); err != nil {
		return err
	}
	if n := len(s.Payload); n > limits.Payload {
		return invalid("payload", "%d bytes: the maximum is %d", n, limits.Payload)
	}
	if err := checkText("payload", s.Payload, len(s.Payload)); err != nil {
		return err
	}
	if err := checkTimes(s); err != nil {
		return err
	}
	if field := waitsForPerson(s); field != "" && r.Enters(s.Type) != 0 && !canOpen(r, s.Type) {
		return invalid(field, "no operation of these rules opens a gate of a %v step, which would wait for ever", s.Type)
	}
	switch r.Enters(s.Type) {
	case step.Running:
		return checkRunning(s, limits)
	case step.Waiting:
		return checkWaiting(s, limits)
	}
	return invalid("type", "unknown step type %d: want one of %v", s.Type, step.TypesOf(r.Types()...))
}

// checkRunning checks the fields that only a step with targets may set.
func checkRunning(s *step.Spec, limits *Limits) *Refusal {
	switch {
	case s.Confirmers != nil:
		return invalid("confirmers", "a %v step has no confirmers", s.Type)
	case s.OnTimeout != 0:
		return invalid("on_timeout", "a %v step has no decision at its deadline", s.Type)
	case len(s.Targets) == 0:
		return invalid("targets", "none: a %v step has at least one", s.Type)
	}
	if err := checkList("targets", s.Targets, limits.Targets); err != nil {
		return err
	}
	return checkCourse(s)
}

// checkWaiting checks the fields that only a step that asks a person may set.
func checkWaiting(s *step.Spec, limits *Limits) *Refusal {
	switch {
	case len(s.Targets) > 0:
		return invalid("targets", "a %v step has no targets", s.Type)
	case s.IgnoreErrors:
		return invalid("ignore_errors", "a %v step has no errors to ignore", s.Type)
	case runsOnly(s) != "":
		return invalid(runsOnly(s), "a %v step runs on no targets", s.Type)
	case !s.OnTimeout.Valid():
		return invalid("on_timeout", "unknown decision %d: want %v (%d) or %v (%d)", s.OnTimeout,
			step.TerminateOnTimeout, step.TerminateOnTimeout, step.ConfirmOnTimeout, step.ConfirmOnTimeout)
	case s.OnTimeout != 0 && s.Timeout == 0 && s.TotalTimeout == 0:
		return invalid("on_timeout", "%v needs a timeout", s.OnTimeout)
	case s.Confirmers != nil && len(s.Confirmers) == 0:
		return invalid("confirmers", "empty: name at least one person, or leave the list out to let the authorizer decide alone")
	}
	return checkList("confirmers", s.Confirmers, limits.Targets)
}

// checkList refuses a list that is too long, and an invalid or repeated name.
func checkList(field string, names []string, most int) *Refusal {
	if len(names) > most {
		return invalid(field, "%d names: the maximum is %d", len(names), most)
	}
	seen := make(map[string]int, len(names))
	for i, name := range names {
		if err := checkName("", name); err != nil {
			err.Field = fmt.Sprintf("%s[%d]", field, i)
			return err
		}
		if first, dup := seen[name]; dup {
			return invalid(fmt.Sprintf("%s[%d]", field, i), "the same name as %s[%d]", field, first)
		}
		seen[name] = i
	}
	return nil
}

func (c *Report) check(_ *operation.Rules, limits *Limits) *Refusal {
	if c == nil {
		return noCommand()
	}
	if err := checkJob(c.Job); err != nil {
		return err
	}
	if err := checkStep(c.Step); err != nil {
		return err
	}
	switch {
	case c.Attempt < 1:
		return invalid("attempt", "%d: attempts count from 1", c.Attempt)
	case len(c.Results) > MaxResults:
		return invalid("results", "%d results: the maximum is %d", len(c.Results), MaxResults)
	case len(c.Results) == 0 && c.Outcome == 0:
		return invalid("results", "no results and no outcome: the report is empty")
	}
	switch c.Outcome {
	case 0, step.Stopped, step.Broke, step.Dropped:
	default:
		return invalid("outcome", "%v: an executor reports %v, %v or %v", c.Outcome, step.Stopped, step.Broke, step.Dropped)
	}
	for i := range c.Results {
		if err := c.Results[i].check(); err != nil {
			err.Field = fmt.Sprintf("results[%d].%s", i, err.Field)
			return err
		}
	}
	if err := checkPerson("actor", c.By); err != nil {
		return err
	}
	return checkText("reason", c.Reason, limits.Reason)
}

func (r *TargetResult) check() *Refusal {
	switch {
	case r.Target < 0:
		return invalid("target", "%d: targets count from 0", r.Target)
	case !r.Status.Valid():
		return invalid("status", "unknown target status %d", r.Status)
	case r.Started < 0 || r.Started > step.MaxTime:
		return invalid("started", "%d: want Unix milliseconds, 0 to %d", r.Started, step.MaxTime)
	case r.Finished < 0 || r.Finished > step.MaxTime:
		return invalid("finished", "%d: want Unix milliseconds, 0 to %d", r.Finished, step.MaxTime)
	case r.Finished != 0 && r.Finished < r.Started:
		return invalid("finished", "%d: before the start at %d", r.Finished, r.Started)
	}
	return checkText("detail", r.Detail, maxDetail)
}
