package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unsafe"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// wireJob is a [store.Job] on the wire, with durations in milliseconds.
type wireJob struct {
	store.Job
	Policy *wireJobPolicy `json:"policy,omitempty"`
}

// wireJobPolicy is a [store.JobPolicy] on the wire.
type wireJobPolicy struct {
	StartAt   step.Time   `json:"start_at,omitzero"`
	TimeoutMS int64       `json:"timeout_ms,omitzero"`
	Turn      *store.Turn `json:"turn,omitempty"`
}

func jobOf(j *store.Job) wireJob {
	w := wireJob{Job: *j}
	if p := j.Policy; p != nil {
		w.Policy = &wireJobPolicy{StartAt: p.StartAt, TimeoutMS: milliseconds(p.Timeout), Turn: orNil(p.Turn)}
	}
	return w
}

// orNil returns a pointer to v, or nil if v is zero.
func orNil[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// wireStep is a [store.Step] on the wire, with durations in milliseconds.
type wireStep struct {
	stepSpec
	Confirmers step.Names `json:"confirmers"`
	Payload    *string    `json:"payload,omitempty"` // absent in lists
	stepState
}

// wirePolicy is a [step.Policy] on the wire.
type wirePolicy struct {
	DelayMS        int64           `json:"delay_ms,omitzero"`
	Window         string          `json:"window,omitempty"`
	TotalTimeoutMS int64           `json:"total_timeout_ms,omitzero"`
	Retry          *wireRetry      `json:"retry,omitempty"`
	Rolling        *wireRolling    `json:"rolling,omitempty"`
	Tolerate       *step.Tolerance `json:"tolerate,omitempty"`
}

// wireRetry is a [step.Retry] on the wire.
type wireRetry struct {
	Attempts int32         `json:"attempts"`
	AfterMS  int64         `json:"after_ms,omitzero"`
	MostMS   int64         `json:"most_ms,omitzero"`
	Except   []step.Status `json:"except,omitempty"`
}

// wireRolling is a [step.Rolling] on the wire, of requests and of answers.
type wireRolling struct {
	Batches string      `json:"batches"`
	Between wireBetween `json:"between,omitzero"`
}

type wireBetween struct {
	DelayMS int64 `json:"delay_ms,omitzero"`
	Person  bool  `json:"person,omitzero"`
}

func policyOf(p *step.Policy) *wirePolicy {
	if p == nil {
		return nil
	}
	w := &wirePolicy{
		DelayMS: milliseconds(p.Delay), Window: p.Window, TotalTimeoutMS: milliseconds(p.TotalTimeout), Tolerate: orNil(p.Tolerate),
	}
	if r := &p.Retry; !r.IsZero() {
		w.Retry = &wireRetry{Attempts: r.Attempts, AfterMS: milliseconds(r.After), MostMS: milliseconds(r.Most), Except: r.Except}
	}
	if r := p.Rolling; r != (step.Rolling{}) {
		w.Rolling = &wireRolling{Batches: r.Batches, Between: wireBetween{DelayMS: milliseconds(r.Between.Delay), Person: r.Between.Person}}
	}
	return w
}

// stepSpec and stepState are the short fields of a step: its definition and its progress.
type stepSpec struct {
	ID           step.ID   `json:"id"`
	Type         step.Type `json:"type"`
	Name         string    `json:"name"`
	IgnoreErrors bool      `json:"ignore_errors"`
	OnTimeout    string    `json:"on_timeout"` // a step.Decision by its name, the zero one too
	TimeoutMS    int64     `json:"timeout_ms"`
}

type stepState struct {
	Total      int32       `json:"total"`
	Policy     *wirePolicy `json:"policy,omitempty"`
	State      step.State  `json:"state"`
	StopBefore bool        `json:"stop_before,omitzero"`
	Attempt    int32       `json:"attempt"`
	store.Run
	Succeeded  int32      `json:"succeeded"`
	Unfinished int32      `json:"unfinished"`
	Started    step.Time  `json:"started"`
	Finished   step.Time  `json:"finished"`
	Deadline   step.Time  `json:"deadline"`
	Expires    step.Time  `json:"expires,omitzero"`
	Due        step.Time  `json:"due,omitzero"`
	Gate       store.Gate `json:"gate,omitzero"`
	Batch      int32      `json:"batch,omitzero"`
	Before     int32      `json:"before,omitzero"`
	Accepted   int32      `json:"accepted,omitzero"`
	Automatic  int32      `json:"automatic,omitzero"`
	Mendable   bool       `json:"mendable,omitzero"`
}

// stepOf returns s for the wire, without its payload.
func stepOf(s *store.Step) *wireStep {
	return &wireStep{
		stepSpec: stepSpec{
			ID: s.ID, Type: s.Type, Name: s.Name, IgnoreErrors: s.IgnoreErrors, OnTimeout: s.OnTimeout.String(),
			TimeoutMS: milliseconds(s.Timeout),
		},
		Confirmers: s.Confirmers,
		stepState: stepState{
			Total: s.Total, Policy: policyOf(s.Policy), State: s.State, StopBefore: s.StopBefore, Attempt: s.Attempt, Run: s.Run,
			Succeeded: s.Succeeded, Unfinished: s.Unfinished, Started: s.Started, Finished: s.Finished, Deadline: s.Deadline,
			Expires: s.Expires, Due: s.Due, Gate: s.Gate, Batch: s.Batch, Before: s.Before, Accepted: s.Accepted,
			Automatic: s.Automatic, Mendable: s.Mendable,
		},
	}
}

// wholeStep is stepOf with the payload.
func wholeStep(s *store.Step) *wireStep {
	w := stepOf(s)
	w.Payload = &s.Payload
	return w
}

// bytesOf returns the size of a step's long fields in bytes.
func bytesOf(s *store.Step) int64 {
	n := len(s.Payload)
	for name := range s.Confirmers.All() {
		n += len(name) + int(unsafe.Sizeof(name))
	}
	return int64(n)
}

// write writes s as encoding/json would.
func (s *wireStep) write(w *jsonWriter) {
	w.raw("{")
	w.fields(s.stepSpec)
	w.raw(`,"confirmers":`)
	w.names(s.Confirmers)
	if s.Payload != nil {
		w.raw(`,"payload":`)
		w.long(*s.Payload)
	}
	w.raw(",")
	w.fields(s.stepState)
	w.raw("}")
}

func (s *wireStep) encode(to io.Writer) { pieces(to, s.write) }

// pieces writes an answer in pieces, without holding the whole text.
func pieces(to io.Writer, write func(*jsonWriter)) {
	w := newJSONWriter(to)
	write(w)
	w.raw("\n")
	w.flush(0)
}

// milliseconds returns d in whole milliseconds, rounded up as deadlines are.
func milliseconds(d time.Duration) int64 {
	ms := d.Milliseconds()
	if time.Duration(ms)*time.Millisecond < d {
		ms++
	}
	return ms
}

// duration reads a number of milliseconds.
func duration(field string, ms int64) (time.Duration, error) {
	const most = int64(math.MaxInt64 / time.Millisecond)
	if ms < 0 || ms > most {
		return 0, invalid(field, fmt.Sprintf("must be 0 to %d", most))
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// wireExplanation is an [engine.Explanation] on the wire.
type wireExplanation struct {
	Job    wireJob          `json:"job"`
	Step   *wireStep        `json:"step"`
	Causes []engine.Verdict `json:"causes"`
}

func (x *wireExplanation) encode(to io.Writer) {
	pieces(to, func(w *jsonWriter) {
		w.raw(`{"job":`)
		w.value(x.Job)
		w.raw(`,"step":`)
		x.Step.write(w)
		w.raw(`,"causes":`)
		w.value(x.Causes)
		w.raw("}")
	})
}

// A word is a state, a type, an operation or the like as clients write it: its name or its number.
type word string

// UnmarshalJSON accepts every value. A value that is neither a name nor a number, and a number in
// a string, becomes "?", which is on no alphabet: parse then refuses it, with the name of the
// field.
func (w *word) UnmarshalJSON(data []byte) error {
	var name string
	isName := data[0] == '"' && json.Unmarshal(data, &name) == nil && strings.Trim(name, "0123456789") != ""
	switch {
	case isName:
		*w = word(name)
	case '0' <= data[0] && data[0] <= '9' && len(data) <= 5:
		*w = word(data)
	default:
		*w = "?"
	}
	return nil
}

// parse reads w with the Parse function of its alphabet. The error does not quote w, which may
// hold a secret.
func parse[T any](field string, w word, read func(string) (T, error)) (T, error) {
	v, err := read(string(w))
	if unknown := (*enum.UnknownError)(nil); errors.As(err, &unknown) {
		wrong := "unknown " + unknown.Noun
		if w == "" {
			wrong = "no " + unknown.Noun
		}
		err = invalid(field, fmt.Sprintf("%s: want one of %s", wrong, unknown.Want))
	}
	return v, err
}

// parseText is the Parse function of a type with UnmarshalText.
func parseText[T any, P interface {
	*T
	UnmarshalText([]byte) error
}](text string) (T, error) {
	var v T
	err := P(&v).UnmarshalText([]byte(text))
	return v, err
}

// classes has each class of targets by its name on the wire.
var classes = map[string]store.Class{
	"all": store.AllTargets, "due": store.DueTargets, "unfinished": store.UnfinishedTargets,
	"failed": store.FailedTargets, "succeeded": store.SucceededTargets,
}

// requestID reads an idempotency key: a UUID in the form with hyphens. It refuses the zero id.
func requestID(text string, id *store.RequestID) (err error) {
	*id, err = uuid.Parse(text)
	switch {
	case err != nil || len(text) != len(id.String()):
		return invalid("request_id", "must be a UUID, as in 0190f5b4-7d3c-7a52-9d0f-3f6f5d6c8e1a")
	case *id == store.RequestID{}:
		return invalid("request_id", "the zero id stands for no request")
	}
	return nil
}

// claimToken reads the token of a claim, in the form in which the delivery has it.
func claimToken(text string) (store.Token, error) {
	token, err := uuid.Parse(text)
	if err != nil || len(text) != len(token.String()) {
		return token, invalid("token", "must be the token of the delivery, a UUID")
	}
	return token, nil
}

// words reads a comma-separated list of words of one alphabet.
func words[T any](field, text string, read func(string) (T, error)) ([]T, error) {
	var all []T
	for one := range strings.SplitSeq(text, ",") {
		v, err := parse(field, word(one), read)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
