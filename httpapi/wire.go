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

// wireStep is a [store.Step] on the wire: durations are milliseconds there as everywhere else.
type wireStep struct {
	stepSpec
	Confirmers step.Names `json:"confirmers"`
	Payload    *string    `json:"payload,omitempty"` // absent in lists
	stepState
}

// stepSpec and stepState are the short fields of a step: its definition, and where it stands.
type stepSpec struct {
	ID           step.ID   `json:"id"`
	Type         step.Type `json:"type"`
	Name         string    `json:"name"`
	IgnoreErrors bool      `json:"ignore_errors"`
	OnTimeout    string    `json:"on_timeout"` // a step.Decision by its name, the zero one too
	TimeoutMS    int64     `json:"timeout_ms"`
}

type stepState struct {
	Total      int32      `json:"total"`
	State      step.State `json:"state"`
	Attempt    int32      `json:"attempt"`
	Full       int32      `json:"full"`
	Succeeded  int32      `json:"succeeded"`
	Unfinished int32      `json:"unfinished"`
	Started    step.Time  `json:"started"`
	Finished   step.Time  `json:"finished"`
	Deadline   step.Time  `json:"deadline"`
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
			Total: s.Total, State: s.State, Attempt: s.Attempt, Full: s.Run.Full, Succeeded: s.Succeeded, Unfinished: s.Unfinished,
			Started: s.Started, Finished: s.Finished, Deadline: s.Deadline,
		},
	}
}

// wholeStep is stepOf with the payload.
func wholeStep(s *store.Step) *wireStep {
	w := stepOf(s)
	w.Payload = &s.Payload
	return w
}

// bytesOf returns how many bytes of a step are long fields.
func bytesOf(s *store.Step) int64 {
	n := len(s.Payload)
	for name := range s.Confirmers.All() {
		n += len(name) + int(unsafe.Sizeof(name))
	}
	return int64(n)
}

// write writes s as it marshals.
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

// pieces writes an answer piece by piece.
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
	Job    store.Job        `json:"job"`
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

// A word is one of an alphabet as clients write it: a name, or a number.
type word string

// UnmarshalJSON takes any value: what is no name and no number is on no alphabet. Numbers are
// not written as strings.
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

// parse reads w by the Parse function of its alphabet. What the client wrote is not repeated.
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

// parseText makes a Parse function of an UnmarshalText.
func parseText[T any, P interface {
	*T
	UnmarshalText([]byte) error
}](text string) (T, error) {
	var v T
	err := P(&v).UnmarshalText([]byte(text))
	return v, err
}

var classes = map[string]store.Class{
	"all": store.AllTargets, "due": store.DueTargets, "unfinished": store.UnfinishedTargets,
	"failed": store.FailedTargets, "succeeded": store.SucceededTargets,
}

// requestID reads an idempotency key in the one form that such ids have on the wire. The zero id
// is none.
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

// claimToken reads the token of a claim, as the delivery says it.
func claimToken(text string) (store.Token, error) {
	token, err := uuid.Parse(text)
	if err != nil || len(text) != len(token.String()) {
		return token, invalid("token", "must be the token of the delivery, a UUID")
	}
	return token, nil
}

// words reads a list of an alphabet's words that commas separate.
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
