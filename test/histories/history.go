package histories

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/store"
)

// A History is the text of the calls of one store and of its answers: a line "#17 ..." for each
// command and each read that belongs to it, and below it one indented line for each row of the
// answer.
type History struct {
	Seed  uint64
	Tally map[string]int // number of answers of each kind

	text bytes.Buffer
	turn int // of the command under way, from 1; 0 after the last one
}

// Bytes returns the text. It is valid until h changes.
func (h *History) Bytes() []byte { return h.text.Bytes() }

// ask begins a command.
func (h *History) ask(format string, args ...any) {
	fmt.Fprintf(&h.text, "#%d ", h.turn)
	fmt.Fprintf(&h.text, format, args...)
	h.text.WriteByte('\n')
}

// row writes one row of an answer. A value that has no JSON, such as an undeclared state, is
// written as Go prints it.
func (h *History) row(v any) {
	h.text.WriteString("  ")
	line := json.NewEncoder(&h.text)
	line.SetEscapeHTML(false)
	if err := line.Encode(v); err != nil {
		fmt.Fprintf(&h.text, "%+q\n", fmt.Sprintf("%+v", v))
	}
}

// answer writes an answer, or the error instead.
func answer[T any](h *History, v T, err error) {
	if err != nil {
		h.fail(err)
		return
	}
	h.row(v)
}

// answers writes an answer of several rows, or the error instead.
func answers[T any](h *History, rows []T, err error) {
	if err != nil {
		h.fail(err)
		return
	}
	for _, row := range rows {
		h.row(row)
	}
	h.row(fmt.Sprint(len(rows), " rows"))
}

// kinds are the errors that are not refusals. Stores may wrap them as they like, so only
// their kind is written.
var kinds = []error{
	engine.ErrConflict, engine.ErrUnknownOutcome, store.ErrNotFound, store.ErrConflict, store.ErrLeaseLost, context.Canceled, errHandler,
}

func (h *History) fail(err error) {
	if refusal := (*engine.Refusal)(nil); errors.As(err, &refusal) {
		h.Tally["refused: "+refusal.Reason.String()]++
		h.row(refusal)
		h.row(err.Error())
		return
	}
	h.row("error: " + kindOf(err))
}

// kindOf returns the text of the kind of err. An error of no kind is written in full, and is a
// difference if two stores word it differently.
func kindOf(err error) string {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return err.Error()
}

// A Difference is the first line in which two histories differ.
type Difference struct {
	Line      int    // of both texts, from 1
	Command   string // the command whose answer differs, or that differs itself
	Want, Got string // the line in either
}

func (d *Difference) Error() string {
	return fmt.Sprintf("line %d, after the command\n%s\nwant %s\ngot  %s", d.Line, brief(d.Command), brief(d.Want), brief(d.Got))
}

// brief cuts a line to what fits on a screen.
func brief(line string) string {
	const most = 4000
	if len(line) <= most {
		return line
	}
	return line[:most] + "..."
}

// Difference returns the first difference of got from h, or nil.
func (h *History) Difference(got *History) *Difference {
	if bytes.Equal(h.Bytes(), got.Bytes()) {
		return nil
	}
	d := &Difference{}
	a, b := h.Bytes(), got.Bytes()
	for {
		var want, have []byte
		want, a, _ = bytes.Cut(a, []byte("\n"))
		have, b, _ = bytes.Cut(b, []byte("\n"))
		d.Line++
		if !bytes.Equal(want, have) {
			d.Want, d.Got = string(want), string(have)
			if bytes.HasPrefix(want, []byte("#")) && d.Command == "" {
				d.Command = d.Want
			}
			return d
		}
		if bytes.HasPrefix(want, []byte("#")) {
			d.Command = string(want)
		}
	}
}
