package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// What a page of a list is on the wire. Next is absent if the page is not full; with it, the
// next page may still be empty.
type wirePage[T any] struct {
	Items []T    `json:"items"`
	Next  *int64 `json:"next,omitempty"`
}

// encode writes p as JSON, a few items at a time: of all of it there is no text, however long it
// is, while a slow client takes it. It stops at the first error of to.
func (p wirePage[T]) encode(to io.Writer) {
	const enough = 16 << 10
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	before := `{"items":[`
	for i := range p.Items {
		text.WriteString(before)
		before = ","
		if err := encoder.Encode(&p.Items[i]); err != nil { // of what is sent, all marshals: a mistake here
			panic(err)
		}
		text.Truncate(text.Len() - 1) // the end of the line
		if text.Len() >= enough {
			if _, err := text.WriteTo(to); err != nil {
				return
			}
		}
	}
	if len(p.Items) == 0 {
		text.WriteString(before)
	}
	text.WriteByte(']')
	if p.Next != nil {
		fmt.Fprintf(&text, `,"next":%d`, *p.Next)
	}
	text.WriteString("}\n")
	_, _ = text.WriteTo(to)
}

// pageOf returns a page of rows, of which at most limit were asked for, 0 meaning 100; next
// says what to ask for after a row.
func pageOf[T any, K ~int32 | ~int64](rows []T, limit int, next func(T) K) wirePage[T] {
	if limit == 0 {
		limit = 100
	}
	p := wirePage[T]{Items: rows}
	if rows == nil {
		p.Items = []T{}
	}
	if n := len(rows); n >= limit {
		after := int64(next(rows[n-1]))
		p.Next = &after
	}
	return p
}

// wireStep is a [store.Step] on the wire: durations are milliseconds there as everywhere else.
type wireStep struct {
	ID           step.ID       `json:"id"`
	Type         step.Type     `json:"type"`
	Name         string        `json:"name"`
	IgnoreErrors bool          `json:"ignore_errors"`
	OnTimeout    step.Decision `json:"on_timeout"`
	TimeoutMS    int64         `json:"timeout_ms"`
	Confirmers   step.Names    `json:"confirmers"`
	Payload      *string       `json:"payload,omitempty"` // absent in lists
	Total        int32         `json:"total"`

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
func stepOf(s store.Step) wireStep {
	return wireStep{
		ID: s.ID, Type: s.Type, Name: s.Name, IgnoreErrors: s.IgnoreErrors, OnTimeout: s.OnTimeout,
		TimeoutMS: milliseconds(s.Timeout), Confirmers: s.Confirmers, Total: s.Total,
		State: s.State, Attempt: s.Attempt, Full: s.Full, Succeeded: s.Succeeded, Unfinished: s.Unfinished,
		Started: s.Started, Finished: s.Finished, Deadline: s.Deadline,
	}
}

// wholeStep is stepOf with the payload.
func wholeStep(s store.Step) wireStep {
	w := stepOf(s)
	w.Payload = &s.Payload
	return w
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
		return 0, invalid(field, fmt.Sprintf("it is 0 to %d", most))
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// wireExplanation is an [engine.Explanation] on the wire.
type wireExplanation struct {
	Job      store.Job           `json:"job"`
	Step     wireStep            `json:"step"`
	Codes    []engine.Verdict    `json:"codes"`
	JobCodes []engine.JobVerdict `json:"job_codes"`
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

// requestID reads an idempotency key in the one form that such ids have on the wire.
func requestID(text string) (store.Request, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != len(id.String()) {
		return id, invalid("request_id", "a UUID is asked for, as in 0190f5b4-7d3c-7a52-9d0f-3f6f5d6c8e1a")
	}
	return id, nil
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
