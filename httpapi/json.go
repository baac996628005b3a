package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"unicode/utf8"

	"github.com/stepgate/stepgate/step"
)

// A jsonWriter writes JSON in pieces: it never holds the whole text of a long string or list. It
// stops at the first error of to.
type jsonWriter struct {
	to      io.Writer // nil keeps all in text
	text    bytes.Buffer
	encoder *json.Encoder // to text
	err     error
}

const piece = 16 << 10 // bytes of text per write

func newJSONWriter(to io.Writer) *jsonWriter {
	w := &jsonWriter{to: to}
	w.encoder = json.NewEncoder(&w.text)
	w.encoder.SetEscapeHTML(false)
	return w
}

// raw writes text that is JSON already.
func (w *jsonWriter) raw(text string) {
	w.text.WriteString(text)
	w.flush(piece)
}

// value writes v as encoding/json does.
func (w *jsonWriter) value(v any) {
	if err := w.encoder.Encode(v); err != nil { // a bug: every answer marshals
		panic(err)
	}
	w.text.Truncate(w.text.Len() - 1) // the newline of Encode
	w.flush(piece)
}

// fields writes the fields of a struct, which has at least one, without the braces.
func (w *jsonWriter) fields(v any) {
	at := w.text.Len()
	if err := w.encoder.Encode(v); err != nil { // as above
		panic(err)
	}
	text := w.text.Bytes()
	copy(text[at:], text[at+1:])
	w.text.Truncate(len(text) - len("{}\n"))
	w.flush(piece)
}

// long writes a string.
func (w *jsonWriter) long(s string) {
	w.text.WriteByte('"')
	for len(s) > 0 && w.err == nil {
		n := min(len(s), piece/2)
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n++
		}
		at := w.text.Len()
		_ = w.encoder.Encode(s[:n]) // strings marshal
		text := w.text.Bytes()
		copy(text[at:], text[at+1:])
		w.text.Truncate(len(text) - len("\"\"\n"))
		w.flush(piece)
		s = s[n:]
	}
	w.text.WriteByte('"')
}

// list writes an array.
func list[T any](w *jsonWriter, all func(yield func(T) bool), write func(T)) {
	before := byte('[')
	for v := range all {
		w.text.WriteByte(before)
		write(v)
		if before = ','; w.err != nil {
			return
		}
	}
	if before == '[' {
		w.text.WriteByte('[')
	}
	w.text.WriteByte(']')
}

// names writes a list of names as encoding/json would.
func (w *jsonWriter) names(n step.Names) {
	if !n.IsSet() {
		w.raw("null")
		return
	}
	list(w, n.All(), func(name string) { w.value(name) })
}

// flush writes the buffered text, if it has at least enough bytes.
func (w *jsonWriter) flush(enough int) {
	if w.to == nil || w.text.Len() < enough {
		return
	}
	if w.err == nil {
		_, w.err = w.to.Write(w.text.Bytes())
	}
	w.text.Reset()
}
