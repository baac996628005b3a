package client

import (
	"context"
	"fmt"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// claimBody selects effects to claim.
type claimBody struct {
	Effects []store.Effect `json:"effects,omitempty"`
	Types   step.Types     `json:"types,omitzero"`
	LeaseMS int64          `json:"lease_ms,omitzero"`
	Limit   int            `json:"limit,omitzero"`
	WaitMS  int64          `json:"wait_ms,omitzero"`
}

// claimedBody names a delivery.
type claimedBody struct {
	Count int32       `json:"count"`
	Token store.Token `json:"token"`
}

// renewBody asks for a new lease.
type renewBody struct {
	claimedBody
	LeaseMS int64 `json:"lease_ms,omitzero"`
}

// failBody has the cause of a failed delivery.
type failBody struct {
	claimedBody
	Error string `json:"error"`
}

// reportBody is an executor's report on an attempt.
type reportBody struct {
	Attempt int32        `json:"attempt"`
	Results []resultBody `json:"results,omitempty"`
	Outcome step.Cause   `json:"outcome,omitzero"`
	Reason  string       `json:"reason,omitempty"`
}

// resultBody is the result of one target.
type resultBody struct {
	Target   int32       `json:"target"`
	Status   step.Status `json:"status"`
	ExitCode int32       `json:"exit_code,omitzero"`
	Started  step.Time   `json:"started,omitzero"`
	Finished step.Time   `json:"finished,omitzero"`
	Detail   string      `json:"detail,omitempty"`
}

// A wireDelivery is a delivery as it is sent.
type wireDelivery struct {
	engine.Delivery
	Job  wireJob  `json:"job"`
	Step wireStep `json:"step"`
}

// maxClaim is the maximum of effects of one claim over HTTP.
const maxClaim = 100

// Claim leases due effects to the caller, who must be an executor, as [engine.Engine.Claim] does. A
// Limit of 0 means 10 over HTTP, and a Limit above 100 means 100. q.Bytes and q.Turn are ignored:
// the server limits the bytes of a claim. A claim that may have been carried out is not repeated:
// its effects are due again when its lease has run out.
//
// A server behind a proxy does not notice that ctx ends, and would go on to claim. So a claim that
// is under way when ctx ends waits for its answer, for up to q.Wait and 1 s more, 6 s at most, and
// returns the claimed effects without an error: the caller releases them.
func (c *Client) Claim(ctx context.Context, q engine.ClaimQuery) ([]engine.Delivery, error) {
	switch {
	case q.Bytes != 0:
		return nil, invalid("bytes", "does not apply over HTTP")
	case q.Turn != nil:
		return nil, invalid("Turn", "does not apply over HTTP")
	}
	k := post("claim", &claimBody{
		Effects: q.Effects, Types: q.Types, LeaseMS: milliseconds(q.Lease), Limit: min(q.Limit, maxClaim), WaitMS: milliseconds(q.Wait),
	}, "/v1/effects/claim")
	k.wait, k.outlives = min(max(q.Wait, 0), time.Minute), true
	var answer page[wireDelivery]
	k.answer = &answer
	err := c.do(ctx, k)
	var claimed []engine.Delivery
	for i := range answer.Items {
		d := &answer.Items[i]
		d.Delivery.Job, d.Delivery.Step = d.Job.stored(), d.Step.stored()
		claimed = append(claimed, d.Delivery)
	}
	return claimed, err
}

// Settle ends a claim whose effect was carried out, as [engine.Engine.Settle] does. If the caller
// repeats it after another error than the engine's, the repetition can fail with
// [store.ErrLeaseLost], because the first call has settled the effect.
func (c *Client) Settle(ctx context.Context, d engine.Claimed) error {
	return c.do(ctx, of(d, "settle", named(d)))
}

// Renew gives a claimed effect a new lease that begins now, as [engine.Engine.Renew] does.
func (c *Client) Renew(ctx context.Context, d engine.Claimed, lease time.Duration) error {
	k := of(d, "renew", &renewBody{named(d), milliseconds(lease)})
	k.repeats = true
	return c.do(ctx, k)
}

// Release ends a claim and makes its effect due again at once, without a failure, as
// [engine.Engine.Release] does. The error can be a [store.ErrLeaseLost] although the release has
// passed: the Client repeats it, and another worker may hold the effect by then.
func (c *Client) Release(ctx context.Context, d engine.Claimed) error {
	k := of(d, "release", named(d))
	k.repeats = true
	return c.do(ctx, k)
}

// maxCause is the maximum of bytes of a failure's cause that are sent.
const maxCause = 8 << 10

// Fail ends a claim whose effect could not be carried out, as [engine.Engine.Fail] does. The server
// gets the first 8 KiB of cause.
func (c *Client) Fail(ctx context.Context, d engine.Claimed, cause error) error {
	if cause == nil {
		return invalid("Cause", "nil")
	}
	text := cause.Error()
	if text == "" {
		text = fmt.Sprintf("%T", cause)
	}
	return c.do(ctx, of(d, "fail", &failBody{named(d), text[:min(len(text), maxCause)]}))
}

func named(d engine.Claimed) claimedBody { return claimedBody{Count: d.Count, Token: d.Token} }

// of returns a call about a claim.
func of(d engine.Claimed, what string, body any) *call {
	k := post(what, body, "/v1/jobs/%d/effects/%d/"+what, d.Job, d.Seq).of(d.Job, 0)
	k.effect, k.count = d.Seq, d.Count
	return k
}

// Report reports on an attempt of a step, as [engine.Engine.Report] does. r.By is ignored: the
// history has the caller's name from the server. The maximum size of a report is 4 MiB.
func (c *Client) Report(ctx context.Context, r engine.Report) (engine.ReportReceipt, error) {
	body := &reportBody{Attempt: r.Attempt, Results: make([]resultBody, len(r.Results)), Outcome: r.Outcome, Reason: r.Reason}
	for i, x := range r.Results {
		body.Results[i] = resultBody{
			Target: x.Target, Status: x.Status, ExitCode: x.ExitCode, Started: x.Started, Finished: x.Finished, Detail: x.Detail,
		}
	}
	k := post("report", body, "/v1/jobs/%d/steps/%d/report", r.Job, r.Step).of(r.Job, r.Step)
	k.repeats = true // reports are idempotent
	var receipt engine.ReportReceipt
	k.answer = &receipt
	err := c.do(ctx, k)
	return receipt, err
}
