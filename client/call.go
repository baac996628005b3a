package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A call is one request, with the facts that decide on its repetition.
type call struct {
	what         string // for errors: "claim"
	method, path string
	query        url.Values
	body         any             // as JSON; nil for none
	answer       any             // filled in from JSON; nil for none
	wait         time.Duration   // how long the server may wait before it answers
	outlives     bool            // it waits for its answer for a moment after the end of ctx, so that claimed effects are not lost
	repeats      bool            // idempotent on the server
	request      store.RequestID // of the body; zero for none

	job    store.JobID
	step   step.ID
	cursor store.Seq // the read begins after this record
	effect store.Seq
	count  int32
}

// get returns a read.
func get(what, format string, ids ...any) *call {
	return &call{what: what, method: http.MethodGet, path: fmt.Sprintf(format, ids...), repeats: true}
}

// post returns a write.
func post(what string, body any, format string, ids ...any) *call {
	return &call{what: what, method: http.MethodPost, path: fmt.Sprintf(format, ids...), body: body}
}

// of sets the job and the step of a call, for errors.
func (k *call) of(job store.JobID, id step.ID) *call {
	k.job, k.step = job, id
	return k
}

// A fate is the outcome of a request that failed.
type fate uint8

const (
	final   fate = iota // it was refused, or cannot be sent: the same request fails again
	undone              // nothing was done, and the same request may pass
	unknown             // it may have been carried out, or be carried out later
)

const (
	maxAnswer  = 64 << 20 // bytes
	maxProblem = 64 << 10
	firstPause = 200 * time.Millisecond // before a repetition, doubled with each further one
	lastPause  = 5 * time.Second        // and its maximum
	maxRetry   = 30 * time.Second       // maximum of a Retry-After that is obeyed
	lastWait   = 5 * time.Second        // of the server, after the end of a claim's ctx
	lastAnswer = time.Second            // and of its answer
)

// do carries a call out.
func (c *Client) do(ctx context.Context, k *call) error {
	var body []byte
	if k.body != nil {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(k.body); err != nil {
			return fmt.Errorf("%s: %w", k.what, err)
		}
		body = text.Bytes()
	}
	doubt := false
	for repetition := 1; ; repetition++ {
		fate, err := c.try(ctx, k, body)
		if err == nil {
			return nil
		}
		doubt = doubt || fate == unknown
		again := fate == undone || fate == unknown && k.repeats
		if !again || repetition > c.retries || !pause(ctx, repetition, err) {
			return k.orUnknown(err, doubt)
		}
	}
}

// orUnknown returns err, or an ErrUnknownOutcome if the outcome is in doubt and err does not settle
// it. A refusal does, as the server looks for the request id before it refuses; a denial does not,
// as the server asks the authorizer even earlier.
func (k *call) orUnknown(err error, doubt bool) error {
	var (
		refusal *engine.Refusal
		is      *engine.UnknownOutcomeError
	)
	told := errors.As(err, &refusal) && refusal.Reason != operation.Denied
	if !doubt || told || k.request == (store.RequestID{}) || errors.As(err, &is) {
		return err
	}
	return &engine.UnknownOutcomeError{Job: k.job, Request: k.request, Err: err}
}

// pause waits before a repetition. It reports false if ctx has ended, or if the server asks for a
// pause above the maximum.
func pause(ctx context.Context, repetition int, err error) bool {
	wait := min(firstPause<<min(repetition-1, 10), lastPause)
	wait = wait/2 + rand.N(wait/2+1)
	if status := (*StatusError)(nil); errors.As(err, &status) {
		if status.RetryAfter > maxRetry {
			return false
		}
		wait = max(wait, status.RetryAfter)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// try sends a call once.
func (c *Client) try(ctx context.Context, k *call, body []byte) (fate, error) {
	if err := ctx.Err(); err != nil {
		return final, k.wrap(err)
	}
	bounded, cancel := k.bound(ctx, c.timeout+k.wait)
	defer cancel()
	resp, fate, err := c.send(bounded, k, body)
	if err == nil {
		fate, err = k.read(resp, c.most)
		_, _ = io.CopyN(io.Discard, resp.Body, maxProblem) // to its end, or the connection is not used again
		_ = resp.Body.Close()
	}
	switch is := ctx.Err(); {
	case err == nil || bounded.Err() == nil:
	case is == nil:
		err = fmt.Errorf("the server did not answer within %v: %w", c.timeout+k.wait, err)
	case !errors.Is(err, is):
		err = fmt.Errorf("%w: %w", is, err)
	}
	return fate, k.wrap(err)
}

// bound returns the context of a request, which ends after d at the latest, and with ctx. That of a
// call that outlives ctx ends when the server must have answered.
func (k *call) bound(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if !k.outlives {
		return context.WithTimeout(ctx, d)
	}
	answered := time.Now().Add(k.wait)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	unhook := context.AfterFunc(ctx, func() {
		time.AfterFunc(min(max(time.Until(answered), 0), lastWait)+lastAnswer, cancel)
	})
	return bounded, func() {
		unhook()
		cancel()
	}
}

// wrap adds the name of the call to err, unless err has it.
func (k *call) wrap(err error) error {
	switch {
	case err == nil || namesItself(err):
		return err
	case k.job == 0:
		return fmt.Errorf("%s: %w", k.what, err)
	}
	return fmt.Errorf("job %d: %s: %w", k.job, k.what, err)
}

// send sends a request.
func (c *Client) send(ctx context.Context, k *call, body []byte) (*http.Response, fate, error) {
	target := c.base + k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, final, err
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.header != nil {
		if err := c.header(ctx, req.Header); err != nil {
			return nil, final, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, final, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		dial := (*net.OpError)(nil)
		if errors.As(err, &dial) && dial.Op == "dial" {
			return nil, undone, err
		}
		return nil, unknown, err
	}
	return resp, final, nil
}

// read reads an answer of up to most bytes.
func (k *call) read(resp *http.Response, most int64) (fate, error) {
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return k.problem(resp)
	}
	if k.answer == nil {
		return final, nil
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/json" {
		return unknown, &StatusError{Status: resp.StatusCode, Text: fmt.Sprintf("the answer is %q and not application/json", kind)}
	}
	limited := &io.LimitedReader{R: resp.Body, N: most + 1}
	if err := json.NewDecoder(limited).Decode(k.answer); err != nil {
		if limited.N <= 0 {
			return final, fmt.Errorf("the answer is longer than %d bytes", most)
		}
		return unknown, fmt.Errorf("the answer cannot be read: %w", err)
	}
	return final, nil
}
