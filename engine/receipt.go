package engine

import (
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Receipt is the answer to an accepted operation: what it did. There is no
// accepted operation that did nothing. It is rebuilt from the job's history, so a
// repeated request gets the same receipt, however far the job has moved on.
type Receipt struct {
	Request store.RequestID `json:"request"`
	Job     store.JobID     `json:"job"`
	Seq     store.Seq       `json:"seq"` // of the record, and the job's version after it; 0 for a dry run
	At      step.Time       `json:"at"`
	Cause   step.Cause      `json:"cause"`

	Step    step.ID      `json:"step"`          // the step that was operated on
	From    step.State   `json:"from,omitzero"` // of the step
	To      step.State   `json:"to,omitzero"`
	JobFrom step.State   `json:"job_from,omitzero"`
	JobTo   step.State   `json:"job_to,omitzero"`
	Attempt int32        `json:"attempt"` // of the step, after
	Entered step.ID      `json:"entered"` // the step that started in consequence, or 0
	Targets int32        `json:"targets"` // how many targets run in consequence
	Effect  store.Effect `json:"effect"`  // what the outside world must do now
}

// receiptOf returns what r says to the person who caused it.
func receiptOf(r *store.Record) Receipt {
	return Receipt{
		Request: r.Request, Job: r.Job, Seq: r.Seq, At: r.At, Cause: r.Cause,
		Step: r.Step, From: r.From, To: r.To, JobFrom: r.JobFrom, JobTo: r.JobTo,
		Attempt: r.Attempt, Entered: r.Entered, Targets: r.Targets, Effect: r.Effect,
	}
}

// A ReportReceipt is the answer to an accepted report.
type ReportReceipt struct {
	Seq      store.Seq   `json:"seq"`            // of the record; 0 if the report changed nothing
	State    step.State  `json:"state,omitzero"` // of the step, after
	JobState step.State  `json:"job_state,omitzero"`
	Accepted int         `json:"accepted"` // results that changed something
	Repeated int         `json:"repeated"` // results that were known already
	Rejected []Rejection `json:"rejected"`
}

// A Rejection is a result that contradicts what is known of its target. What was
// known first stands.
type Rejection struct {
	Target   int32       `json:"target"`
	Stands   step.Status `json:"stands"`   // what is known
	Rejected step.Status `json:"rejected"` // what the report said
}
