package engine

import (
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

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
