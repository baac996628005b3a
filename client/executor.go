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

// failBody says why an effect could not be carried out.
type failBody struct {
	claimedBody
	Error string `json:"error"`
}

// reportBody is what an executor says of an attempt.
type reportBody struct {
	Attempt int32        `json:"attempt"`
	Results []resultBody `json:"results,omitempty"`
	Outcome step.Cause   `json:"outcome,omitzero"`
	Reason  string       `json:"reason,omitempty"`
}

// resultBody is what came of one target.
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
	Step wireStep `json:"step"`
}

// maxClaim is the most effects of one claim over HTTP.
const maxClaim = 100

// Claim leases due effects to the caller, who must be an executor, as [engine.Engine.Claim] does. A
// Limit of 0 means 10 over HTTP, and one above 100 means 100. The server bounds the bytes of a claim by
// itself: Bytes and Turn do not apply. A claim is not repeated after it may have been carried out:
// what was claimed then is due again when its lease has run out.
//
// A server behind a proxy does not notice that ctx ends, and would go on to claim. So a claim that
// is under way then waits for its answer, until q.Wait and 1 s have passed, for 6 s at most, and
// returns what it has brought, without an error: release it.
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
		d.Delivery.Step = d.Step.stored()
		claimed = append(claimed, d.Delivery)
	}
	return claimed, err
}

// Settle ends a claim: the effect was carried out. See [engine.Engine.Settle] for its errors. A
// repetition after an error that is none of those can find the lease lost, by the first call.
func (c *Client) Settle(ctx context.Context, d engine.Claimed) error {
	return c.do(ctx, of(d, "settle", named(d)))
}

// Renew gives a claimed effect a new lease from now on, as [engine.Engine.Renew] does.
func (c *Client) Renew(ctx context.Context, d engine.Claimed, lease time.Duration) error {
	k := of(d, "renew", &renewBody{named(d), milliseconds(lease)})
	k.repeats = true
	return c.do(ctx, k)
}

// Release ends a claim whose effect is due again at once, and has not failed, as
// [engine.Engine.Release] does. A repetition can find the lease lost, as another worker has the effect.
func (c *Client) Release(ctx context.Context, d engine.Claimed) error {
	k := of(d, "release", named(d))
	k.repeats = true
	return c.do(ctx, k)
}

// maxCause is how many bytes of a failure's cause are sent.
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

// Report reports on an attempt of a step, as [engine.Engine.Report] does. The history names the
// caller as the server knows it, and not r.By. The server takes 4 MiB at most.
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
