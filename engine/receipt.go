package engine

import (
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A ReportReceipt is the answer to an accepted report. Each result of the report is accepted,
// repeated or rejected: a rejected result does not refuse the others.
type ReportReceipt struct {
	Seq      store.Seq   `json:"seq"`                // of the record; 0 if the report changed nothing
	State    step.State  `json:"state,omitzero"`     // of the step, after
	JobState step.State  `json:"job_state,omitzero"` // of the job, after
	Accepted int         `json:"accepted"`           // number of results that changed something
	Repeated int         `json:"repeated"`           // number of results that were known already
	Rejected []Rejection `json:"rejected"`           // in the order of the report's results
}

// A Rejection is a result that changes nothing: it contradicts an earlier one of its target, which
// stands, or the attempt does not cover the target, as one of a batch that has not begun.
type Rejection struct {
	Target   int32       `json:"target"`   // index in the step's definition
	Stands   step.Status `json:"stands"`   // status that the target keeps; 0 if it never had one
	Rejected step.Status `json:"rejected"` // of the report's result
}
