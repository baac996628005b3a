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

// A Timeline is the list of events of a play, in their order. Each request is an entry, and each
// step that was entered in consequence, each deadline that passed, each gate that opened, each effect
// that was delivered, and each change of the store, the windows or the authorizer by the file. Expectations and waits are not.
type Timeline []Entry

// An Entry is one event of a play.
type Entry struct {
	Line    int       // of the action in the file
	At      step.Time // of the event, by the clock of the play
	Who     string    // a person as in the file, the executor, "deadline", "gate", "engine", "dispatcher", "stage"
	What    string    // in the words of the file
	Outcome Outcome   // of the request

	JobName string      // of Job
	Job     store.JobID // 0 for an event that is about no job
	Step    step.ID     // 0 for an event that is about no step
	Type    step.Type   // of Step; 0 if it does not exist
	Attempt int32       // of Step, after

	// The states of Step and of the job before and after, if the event moved them. On a dry
	// run, as if it were carried out.
	From, To       step.State
	JobFrom, JobTo step.State

	Cause step.Cause // of Record, or of the requested operation; 0 without either

	Record  *store.Record         // that was committed, or nil
	Answer  *store.Record         // to an operation that was accepted, repeated or tried
	Report  *engine.ReportReceipt // of a report that was accepted or repeated
	Refusal *engine.Refusal       // of a request that was refused
	Err     error                 // of the engine or the handler

	Unwanted bool // the outcome is not the file's: a Mismatch has its Line
}

// An Outcome is the kind of outcome of an event.
type Outcome string

const (
	Accepted Outcome = "accepted" // committed
	Repeated Outcome = "repeated" // known already, nothing changed
	Tried    Outcome = "tried"    // a dry run that would pass
	Refused  Outcome = "refused"  // nothing changed
	Unknown  Outcome = "unknown"  // the store failed in mid-commit
	Failed   Outcome = "failed"   // for another reason than a refusal
	Told     Outcome = "told"     // an effect was delivered, or the file changed the store, a window or the authorizer
)

// String returns the timeline as a table, one line per entry: time, person and action, the states
// of the step, and the outcome. The job is named if there are several.
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

// printable returns a text with Go escapes instead of control characters, which would end a cell
// or a line.
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

// way returns the states of the step, or else of the job, before and after.
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

// Came returns the outcome in words: the answer, the refusal, or the error.
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

// follows returns the effects in words.
func (e Entry) follows() []string {
	var effect store.Effect
	var targets int32
	var gate store.Gate
	id, attempt := e.Step, e.Attempt
	switch {
	case e.Record != nil && e.Record.Entered != 0 && e.Cause != step.Entered:
		return nil // the entry of the step that was entered says it
	case e.Record != nil:
		effect, targets, gate = e.Record.Effect, e.Record.Targets, e.Record.Gate
	case e.Answer != nil && e.Outcome == Tried:
		effect, targets, gate = e.Answer.Effect, e.Answer.Targets, e.Answer.Gate
		if e.Answer.Entered != 0 {
			id, attempt = e.Answer.Entered, 1
		}
	}
	switch {
	case gate.Reason == step.NoGate:
	case gate.Reason == step.TimeGate:
		return []string{"waits until " + gate.Until.Std().Format(time.RFC3339)}
	case gate.Until != 0:
		return []string{fmt.Sprintf("waits for %v until %s", gate.Reason, gate.Until.Std().Format(time.RFC3339))}
	default:
		return []string{fmt.Sprintf("waits for %v", gate.Reason)}
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
