package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Timeline is what happened in a play, in its order: one entry for each request, with one
// more for a step that was entered in consequence, one for each deadline that passed, one for
// each effect that was delivered, and one for whatever befell the store or the authorizer. To
// look at something is no entry, nor is to wait.
type Timeline []Entry

// An Entry is one thing that happened.
type Entry struct {
	Line    int       // of the action in the file
	At      step.Time // when
	Who     string    // a person or "nobody", the executor, "deadline", "engine", "dispatcher", "stage"
	What    string    // in the words of the file
	Outcome Outcome

	JobName string
	Job     store.JobID // 0 for what is about no job
	Step    step.ID     // 0 for what is about no step
	Type    step.Type   // of Step; 0 if it does not exist
	Attempt int32       // of Step, after

	// What happened to Step and to the job, if anything did. On a dry run, what would.
	From, To       step.State
	JobFrom, JobTo step.State

	Cause step.Cause // what was written, or else the operation that was asked for; 0 if it was none

	Record  *store.Record         // what was written; nil if nothing was
	Answer  *store.Record         // to an operation that was accepted, repeated or tried
	Report  *engine.ReportReceipt // of a report that was accepted or repeated
	Refusal *engine.Refusal       // of a request that was refused
	Err     error                 // what the engine answered, or the handler, if it was one

	Unwanted bool // the action is not what the file wants: a Mismatch tells of its Line
}

// An Outcome says how something ended.
type Outcome string

const (
	Accepted Outcome = "accepted" // it changed the job, and was recorded
	Repeated Outcome = "repeated" // it was known already, and changed nothing
	Tried    Outcome = "tried"    // a dry run: it would pass
	Refused  Outcome = "refused"  // nothing has changed
	Unknown  Outcome = "unknown"  // the store failed in mid-commit
	Failed   Outcome = "failed"   // for another reason than a refusal
	Told     Outcome = "told"     // an effect was delivered, or the stage was set
)

// String returns the timeline as a table, a line for each entry: when, who and what, where
// the step went, and the outcome. The job is named if there are several.
func (t Timeline) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	clock, several := t.clock(), t.several()
	for _, e := range t {
		cells := []string{e.At.Std().Format(clock), e.Who, e.What, e.way(), e.Came()}
		if e.Unwanted {
			cells[4] = strings.TrimSuffix("not as wanted: "+cells[4], ": ")
		}
		if several {
			job := ""
			if e.Job != 0 {
				job = name(e.JobName)
			}
			cells = slices.Insert(cells, 1, job)
		}
		for i, text := range cells {
			cells[i] = printable(text)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // a Builder takes everything
	return trimLines(b.String())
}

// printable returns a text with escapes, as in Go, in the place of control characters, which
// would end a cell or a line.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsControl(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// clock returns a layout that tells the entries' times apart.
func (t Timeline) clock() string {
	layout := "15:04:05"
	for _, e := range t {
		if e.At%1000 != 0 {
			layout = "15:04:05.000"
			break
		}
	}
	if len(t) > 0 && t[len(t)-1].At.Std().Format(time.DateOnly) != t[0].At.Std().Format(time.DateOnly) {
		layout = "2006-01-02 " + layout
	}
	return layout
}

func (t Timeline) several() bool {
	var first store.JobID
	for _, e := range t {
		switch {
		case e.Job == 0:
		case first == 0:
			first = e.Job
		case e.Job != first:
			return true
		}
	}
	return false
}

// way says where the step, or else the job, went.
func (e Entry) way() string {
	switch {
	case e.From != 0 && e.From != e.To:
		return fmt.Sprintf("%v -> %v", e.From, e.To)
	case e.From != 0:
		return e.From.String()
	case e.JobTo != 0 && e.Outcome != Told:
		return e.JobTo.String()
	}
	return ""
}

// Came says the outcome in words: the answer, the refusal, or the error.
func (e Entry) Came() string {
	switch {
	case e.Refusal != nil:
		return fmt.Sprintf("refused, %v: %v", e.Refusal.Reason, e.Refusal)
	case e.Outcome == Unknown:
		return "the outcome is unknown"
	case e.Err != nil:
		return fmt.Sprintf("%s: %v", e.Outcome, e.Err)
	case e.Outcome == Told:
		return ""
	}
	var says []string
	if e.Outcome != Accepted {
		says = append(says, string(e.Outcome))
	}
	if e.JobTo != 0 && e.JobTo != e.JobFrom && e.JobFrom != 0 {
		says = append(says, fmt.Sprintf("job %v", e.JobTo))
	}
	if e.Report != nil && len(e.Report.Rejected) > 0 {
		says = append(says, fmt.Sprintf("%d rejected", len(e.Report.Rejected)))
	}
	return strings.Join(append(says, e.follows()...), ", ")
}

// follows says what the outside world must do.
func (e Entry) follows() []string {
	var effect store.Effect
	var targets int32
	id, attempt := e.Step, e.Attempt
	switch {
	case e.Record != nil && e.Record.Entered != 0 && e.Cause != step.Entered:
		return nil // the entry of the step that was entered says it
	case e.Record != nil:
		effect, targets = e.Record.Effect, e.Record.Targets
	case e.Answer != nil && e.Outcome == Tried:
		effect, targets = e.Answer.Effect, e.Answer.Targets
		if e.Answer.Entered != 0 {
			id, attempt = e.Answer.Entered, 1
		}
	}
	switch effect {
	case store.RunTargets:
		return []string{fmt.Sprintf("run %d.%d on %s", id, attempt, number(int64(targets), "target"))}
	case store.StopAttempt, store.AskConfirmers:
		return []string{fmt.Sprintf("%v %d.%d", effect, id, attempt)}
	case store.JobEnded:
		return []string{"the job has ended"}
	}
	return nil
}

func number(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
