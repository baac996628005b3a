package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// reportBody is an executor's report on an attempt.
type reportBody struct {
	Attempt int32        `json:"attempt"`
	Results []resultBody `json:"results"`
	Outcome *word        `json:"outcome"`
	Reason  string       `json:"reason"`
}

// resultBody is an [engine.TargetResult] on the wire.
type resultBody struct {
	Target   *int32    `json:"target"` // required: 0 is a target
	Status   word      `json:"status"`
	ExitCode int32     `json:"exit_code"`
	Started  step.Time `json:"started"`
	Finished step.Time `json:"finished"`
	Detail   string    `json:"detail"`
}

func (b *resultBody) result(at string) (r engine.TargetResult, err error) {
	if b.Target == nil {
		return r, invalid(at+".target", "missing")
	}
	r.Target = *b.Target
	r.Result = store.Result{ExitCode: b.ExitCode, Started: b.Started, Finished: b.Finished, Detail: b.Detail}
	r.Status, err = parse(at+".status", b.Status, step.ParseStatus)
	return r, err
}

func (c *call) report(b *reportBody) (reply, error) {
	job, id, err := c.step()
	if err != nil {
		return reply{}, err
	}
	r := engine.Report{
		Job: job, Step: id, Attempt: b.Attempt, By: c.caller.reporter(), Reason: b.Reason,
		Results: make([]engine.TargetResult, len(b.Results)),
	}
	for i := range b.Results {
		if r.Results[i], err = b.Results[i].result(fmt.Sprintf("results[%d]", i)); err != nil {
			return reply{}, err
		}
	}
	if b.Outcome != nil {
		if r.Outcome, err = parse("outcome", *b.Outcome, parseOutcome); err != nil {
			return reply{}, err
		}
	}
	if err := c.servesStep(job, id); err != nil {
		return reply{}, err
	}
	receipt, err := c.eng.Report(c.Context(), r)
	if errors.Is(err, engine.ErrUnknownOutcome) { // omits the request id, which the engine made
		return reply{}, newProblem(reasonUnknownOutcome, "repeat the report: reports are idempotent")
	}
	if receipt.Rejected == nil {
		receipt.Rejected = []engine.Rejection{}
	}
	return reply{body: receipt}, err
}

// parseOutcome reads an event by its name or by its code. It accepts every event: the engine
// refuses the events that an executor may not report.
func parseOutcome(text string) (step.Cause, error) {
	_, err := strconv.Atoi(text)
	isNumber := err == nil
	for _, event := range step.AllCauses() {
		if event.IsEvent() && isNumber && text == strconv.Itoa(int(event.Code())) {
			return event, nil
		}
	}
	if event, err := step.ParseCause(text); err == nil && event.IsEvent() && !isNumber {
		return event, nil
	}
	return 0, enum.Unknown("outcome", text, "stopped (5)", "broke (6)", "dropped (7)")
}

// claimBody selects effects to claim.
type claimBody struct {
	Effects []word `json:"effects"`
	Types   []word `json:"types"`
	LeaseMS int64  `json:"lease_ms"`
	Limit   int64  `json:"limit"`
	WaitMS  int64  `json:"wait_ms"`
}

// wireDelivery is an [engine.Delivery] on the wire.
type wireDelivery struct {
	deliveryHead
	Step *wireStep `json:"step"`
	deliveryTail
}

// deliveryHead and deliveryTail are the fields of a delivery before and after its step.
type deliveryHead struct {
	Effect  store.Effect `json:"effect"`
	Seq     store.Seq    `json:"seq"`
	At      step.Time    `json:"at"`
	Cause   step.Cause   `json:"cause"`
	By      string       `json:"by,omitempty"`
	Because string       `json:"because,omitempty"`
	Job     wireJob      `json:"job"`
}

type deliveryTail struct {
	Attempt int32       `json:"attempt"`
	Run     store.Run   `json:"run"`
	All     bool        `json:"all"`
	Ended   step.State  `json:"ended,omitzero"`
	Count   int32       `json:"count"`
	Token   store.Token `json:"token"`
}

func deliveryOf(d *engine.Delivery) wireDelivery {
	return wireDelivery{
		deliveryHead{Effect: d.Effect, Seq: d.Seq, At: d.At, Cause: d.Cause, By: d.By, Because: d.Because, Job: jobOf(&d.Job)},
		wholeStep(&d.Step),
		deliveryTail{Attempt: d.Attempt, Run: d.Run, All: d.Run.All(d.Attempt), Ended: d.Ended, Count: d.Count, Token: d.Token},
	}
}

// wireDeliveries are the answer to a claim.
type wireDeliveries struct {
	Items []wireDelivery `json:"items"`
}

func (d *wireDeliveries) encode(to io.Writer) {
	pieces(to, func(w *jsonWriter) {
		w.raw(`{"items":`)
		list(w, slices.Values(d.Items), func(d wireDelivery) {
			w.raw("{")
			w.fields(d.deliveryHead)
			w.raw(`,"step":`)
			d.Step.write(w)
			w.raw(",")
			w.fields(d.deliveryTail)
			w.raw("}")
		})
		w.raw("}")
	})
}

// The limits of one claim. Its payloads exceed claimBytes by one payload at most, and then still
// fit into maxAnswer.
const (
	claimLimit    = 10      // effects, by default
	maxClaimLimit = 100     // effects
	claimBytes    = 1 << 20 // bytes of payloads
)

func (c *call) claim(b *claimBody) (reply, error) {
	q, err := b.query()
	if err != nil {
		return reply{}, err
	}
	if err := c.limit(&q); err != nil {
		return reply{}, err
	}
	var held *share
	q.Bytes = claimBytes
	q.Turn = func(ctx context.Context) (func(), error) {
		held, err = c.room().claims.take(ctx, c.caller.client(), maxAnswer, c.api.c.WriteTimeout)
		return held.release, err
	}
	claimed, err := c.claimed(q)
	items := make([]wireDelivery, len(claimed))
	bytes := int64(0)
	for i := range claimed {
		items[i] = deliveryOf(&claimed[i])
		bytes += bytesOf(&claimed[i].Step)
	}
	if bytes <= maxOperation {
		bytes = 0
	}
	held.shrink(bytes)
	return reply{body: &wireDeliveries{items}, held: held}, err
}

// query returns the selection of b.
func (b *claimBody) query() (q engine.ClaimQuery, err error) {
	q.Limit = claimLimit
	for i, name := range b.Effects {
		effect, err := parse(fmt.Sprintf("effects[%d]", i), name, parseText[store.Effect])
		if err != nil {
			return q, err
		}
		q.Effects = append(q.Effects, effect)
	}
	for i, name := range b.Types {
		t, err := parse(fmt.Sprintf("types[%d]", i), name, step.ParseType)
		if err != nil {
			return q, err
		}
		q.Types = q.Types.With(t)
	}
	if q.Lease, err = duration("lease_ms", b.LeaseMS); err != nil {
		return q, err
	}
	if q.Wait, err = duration("wait_ms", b.WaitMS); err != nil {
		return q, err
	}
	if b.Limit < 0 || b.Limit > maxClaimLimit {
		return q, invalid("limit", fmt.Sprintf("must be 1 to %d, or 0 for %d", maxClaimLimit, claimLimit))
	}
	if b.Limit > 0 {
		q.Limit = int(b.Limit)
	}
	return q, nil
}

// limit narrows q to the effects that the executor serves. It refuses q if none is left.
func (c *call) limit(q *engine.ClaimQuery) error {
	served := c.caller.Types
	if served.Empty() {
		return nil
	}
	asked := q.Types
	if asked.Empty() {
		asked = step.TypesOf(c.eng.Rules().Types()...)
	}
	served = asked.Minus(asked.Minus(served))
	kinds := servedEffects
	if len(q.Effects) > 0 {
		kinds = slices.DeleteFunc(slices.Clone(q.Effects), func(e store.Effect) bool { return !e.ByType() })
	}
	if q.Types = served; served.Empty() || len(kinds) == 0 {
		return c.notServed()
	}
	q.Effects = kinds
	return nil
}

// servedEffects are the kinds of effects that belong to a step type.
var servedEffects = []store.Effect{store.RunTargets, store.StopAttempt}

// claimed claims effects. A shutdown of the server ends a waiting claim without effects and
// without an error.
func (c *call) claimed(q engine.ClaimQuery) ([]engine.Delivery, error) {
	if q.Wait == 0 {
		return c.eng.Claim(c.Context(), q)
	}
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	defer untilShutdown(ctx, cancel)()
	claimed, err := c.eng.Claim(ctx, q)
	if err != nil && ctx.Err() != nil && c.Context().Err() == nil {
		return nil, nil
	}
	return claimed, err
}

// settleBody names one delivery of the effect in the path, and proves that the caller claimed it.
type settleBody struct {
	Count int32  `json:"count"`
	Token string `json:"token"`
}

// renewBody asks for a new lease.
type renewBody struct {
	Count   int32  `json:"count"`
	Token   string `json:"token"`
	LeaseMS int64  `json:"lease_ms"`
}

// failBody says why an effect could not be carried out.
type failBody struct {
	Count int32  `json:"count"`
	Token string `json:"token"`
	Error string `json:"error"`
}

func (c *call) settle(b *settleBody) (reply, error) {
	return c.answerFor(b.Count, b.Token, func(claimed engine.Claimed) error {
		return c.eng.Settle(c.Context(), claimed)
	})
}

func (c *call) renew(b *renewBody) (reply, error) {
	lease, err := duration("lease_ms", b.LeaseMS)
	if err != nil {
		return reply{}, err
	}
	return c.answerFor(b.Count, b.Token, func(claimed engine.Claimed) error {
		return c.eng.Renew(c.Context(), claimed, lease)
	})
}

func (c *call) failed(b *failBody) (reply, error) {
	if b.Error == "" {
		return reply{}, invalid("error", "missing: must be the reason of the failure")
	}
	return c.answerFor(b.Count, b.Token, func(claimed engine.Claimed) error {
		return c.eng.Fail(c.Context(), claimed, errors.New(b.Error))
	})
}

func (c *call) release(b *settleBody) (reply, error) {
	return c.answerFor(b.Count, b.Token, func(claimed engine.Claimed) error {
		return c.eng.Release(c.Context(), claimed)
	})
}

// effect returns the effect in the path.
func (c *call) effect() (job store.JobID, seq store.Seq, err error) {
	if job, err = c.job(); err != nil {
		return 0, 0, err
	}
	n, err := number("seq", c.PathValue("seq"))
	return job, store.Seq(n), err
}

// answerFor calls do on a delivery of the effect in the path, if the executor serves that effect.
func (c *call) answerFor(count int32, text string, do func(engine.Claimed) error) (reply, error) {
	job, seq, err := c.effect()
	if err != nil {
		return reply{}, err
	}
	token, err := claimToken(text)
	if err != nil {
		return reply{}, err
	}
	claimed := engine.Claimed{Job: job, Seq: seq, Count: count, Token: token}
	if err := c.servesEffect(claimed); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusNoContent}, do(claimed)
}

// servesEffect refuses an effect that the executor does not serve. It passes an effect that does
// not exist, which the engine refuses in the same words for all executors.
func (c *call) servesEffect(claimed engine.Claimed) error {
	if c.caller.Types.Empty() || claimed.Seq < 1 {
		return nil
	}
	found, err := c.eng.Effects(c.Context(), claimed.Job, claimed.Seq-1, 1)
	if err == nil && len(found) == 1 && found[0].Seq == claimed.Seq && !c.caller.serves(found[0].Effect, found[0].Type) {
		err = c.notServed()
	}
	return err
}

// servesStep is servesEffect for a step.
func (c *call) servesStep(job store.JobID, id step.ID) error {
	if c.caller.Types.Empty() || id < 1 {
		return nil
	}
	found, err := c.eng.Steps(c.Context(), job, id-1, 1)
	if err == nil && len(found) == 1 && found[0].ID == id && !c.caller.Types.Has(found[0].Type) {
		err = c.notServed()
	}
	return err
}

// notServed is the refusal of an effect or a step of a type outside the caller's Types.
func (c *call) notServed() *problem {
	return newProblem(reasonTypeNotServed, fmt.Sprintf("it serves runs and stops of: %v", c.caller.Types))
}
