package linearizability

import (
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A kind is the kind of a request.
type kind string

const (
	operate     kind = "operate"
	report      kind = "report"
	sweep       kind = "sweep"
	readJob     kind = "job"
	listJobs    kind = "jobs" // in one state
	readStep    kind = "step"
	pageSteps   kind = "steps" // a page of one
	readHistory kind = "history"
	readTargets kind = "targets" // as the store has them, at the end
	explain     kind = "explain"
)

// A request is one call of a client, about one job.
type request struct {
	Kind       kind
	player.Ask      // the operation; reads are of its step, and Explain is for its person
	Again      bool // it repeats an earlier one
	Report     engine.Report
	Now        step.Time  // by the clock of the engine that is asked
	State      step.State // of a list
}

func (r request) String() string {
	switch r.Kind {
	case operate:
		text := r.Ask.String()
		if r.Again {
			text += " again"
		}
		return text
	case report:
		text := fmt.Sprintf("report %d.%d: %+v %v", r.Report.Step, r.Report.Attempt, r.Report.Results, r.Report.Outcome)
		if r.Again {
			text += " again"
		}
		return text
	case sweep:
		return fmt.Sprintf("sweep at %v", r.Now)
	case listJobs:
		return fmt.Sprintf("jobs in %v", r.State)
	}
	return fmt.Sprintf("%s %d to %s", r.Kind, r.Step, r.By)
}

// same reports whether a repetition equals r.
func (r request) same(s request) bool {
	return r.Cause == s.Cause && r.By == s.By && r.Because == s.Because && (r.Cause.OfJob() || r.Step == s.Step)
}

// An answer is an answer as text: two answers are the same if their texts are. The functions below
// write the answers of the engine and those of the sequential job.
type answer string

const (
	// unknown: the request may have been carried out, at any time after its call.
	unknown answer = "the outcome is unknown"

	// failed: the store failed, and the request was certainly not carried out.
	failed answer = "failed"
)

// A change is the effect of an accepted request.
type change struct {
	Seq            store.Seq // 0 for a dry run
	Step           step.ID
	From, To       step.State
	JobFrom, JobTo step.State
	Attempt        int32
	Entered        step.ID
	Targets        int32
	Effect         string
}

func accepted(c change) answer { return answer(fmt.Sprintf("accepted %+v", c)) }

// A standing is the state of a job when it refused a request.
type standing struct {
	Version  store.Seq
	Current  step.ID
	State    step.State // of the step in question
	Attempt  int32
	JobState step.State
}

func refused(reason operation.Reason, s standing) answer {
	switch reason {
	case operation.NoSuchStep, operation.InvalidInput, operation.RequestReused: // come before the state
		return answer(fmt.Sprintf("refused, %v", reason))
	}
	return answer(fmt.Sprintf("refused, %v %+v", reason, s))
}

// A news is the effect of a report.
type news struct {
	Seq                          store.Seq // 0 if it changed nothing
	State, JobState              step.State
	Accepted, Repeated, Rejected int
}

func reported(n news) answer { return answer(fmt.Sprintf("reported %+v", n)) }

func expired(n int) answer { return answer(fmt.Sprintf("%d expired", n)) }

// A header is the answer to a read of a job.
type header struct {
	State             step.State
	Version, Moved    store.Seq
	Current           step.ID
	Skipped, Ignored  int32
	Started, Finished step.Time
}

func shown(h header) answer { return answer(fmt.Sprintf("%+v", h)) }

const notListed answer = "not listed"

// A row is the answer to a read of a step.
type row struct {
	ID                          step.ID
	State                       step.State
	Attempt, Full               int32
	Succeeded, Unfinished       int32
	Started, Finished, Deadline step.Time
}

func shownStep(r row) answer { return answer(fmt.Sprintf("%+v", r)) }

// told is the answer to a read of the history: its length and its last record.
func told(n int, last change, results int32) answer {
	return answer(fmt.Sprintf("%d records, the last %+v with %d results", n, last, results))
}

// A target is a target as the store has it.
type target struct {
	Attempt, Success int32
	Status           step.Status
	ExitCode         int32
}

func listed(targets []target) answer { return answer(fmt.Sprintf("%+v", targets)) }

// explained is the answer to Explain: the reason of each operation's refusal, 0 for a legal one.
func explained(h header, r row, reasons []operation.Reason) answer {
	return answer(fmt.Sprintf("%+v %+v %d", h, r, reasons))
}
