// Package strictjson reads JSON that people and programs write: it refuses mistakes that
// encoding/json ignores or repairs.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The limits of a document.
const (
	MaxDepth   = 32     // levels of objects and lists in each other
	MaxKeys    = 1_000  // keys of one object
	MaxObjects = 20_000 // objects in all: two bytes of one become a hundred of a struct
)

// Unmarshal reads the one JSON document that data is into v. Unknown fields, keys in another
// case, keys that stand twice, more than [MaxDepth] levels, more than [MaxKeys] keys in an
// object, more than [MaxObjects] objects, text that is not UTF-8 and anything after the document
// are errors. The names of v's fields must be lower-case ASCII. An error that lies in one value is an [*Error].
func Unmarshal(data []byte, v any) error { return unmarshal(data, v, true) }

// Request is Unmarshal for requests of programs, in which null is an error as well: a client
// omits a field instead.
func Request(data []byte, v any) error { return unmarshal(data, v, false) }

// An Error is a fault of one value. Its text has no Go types, and nothing of the document but the
// beginnings of field names.
type Error struct {
	Path string // of the value, as in "steps[2].name"; "" for the document
	Text string // the fault, or the valid form
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Text
	}
	return e.Path + ": " + e.Text
}

func unmarshal(data []byte, v any, nulls bool) error {
	w := newWalker(data)
	w.key = func(_ int, key string, again bool) error {
		switch {
		case again:
			return &Error{w.path.String(), "key " + Quote(key) + " is a duplicate"}
		case !plain(key):
			return &Error{w.path.String(), "unknown field " + Quote(key) + ": field names are in lower case"}
		}
		return nil
	}
	w.noNulls = !nulls
	if err := w.document(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return &Error{pathAt(data, wrong.Offset), wanted(wrong.Type)}
	}
	if err != nil {
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			name, _ = strconv.Unquote(name)
			return &Error{"", "unknown field " + Quote(name)}
		}
	}
	return err
}

// wanted describes the JSON of a t.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "must be true or false"
	case reflect.String:
		return "must be a string"
	case reflect.Slice, reflect.Array:
		return "must be a list"
	case reflect.Struct, reflect.Map:
		return "must be an object"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("must be a whole number of %d bits", t.Bits())
	}
	return "must be another type of value"
}

// Quote returns the beginning of a client's name for a field, quoted for a message.
func Quote(name string) string { return strconv.QuoteToASCII(brief(name)) }

func brief(name string) string {
	const most = 40
	if len(name) > most {
		return name[:most] + "..."
	}
	return name
}

// A path leads to a value: names of fields, and places in lists.
type path []place

type place struct {
	key   string
	index int // if not negative, instead of a name
}

func (p path) String() string {
	var b strings.Builder
	for _, at := range p {
		switch {
		case at.index >= 0:
			fmt.Fprintf(&b, "[%d]", at.index)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(brief(at.key))
		}
	}
	return b.String()
}

// pathAt returns the path of the value whose first token ends at an offset of data, or the
// next one after it.
func pathAt(data []byte, offset int64) string {
	w := newWalker(data)
	w.key = func(int, string, bool) error { return nil }
	w.until = offset
	_ = w.walk(0)
	return w.path.String()
}

// Fields reads data as one JSON object, and returns the known ones of its fields, unparsed. It
// ignores other fields, unless a name differs from a known one only in case, which is an error. So
// is everything that [Unmarshal] refuses, anywhere in data. An error quotes nothing of data, which
// may hold secrets: it has the fault, the byte, and the known field.
func Fields(data []byte, known ...string) (map[string]json.RawMessage, error) {
	field := "" // the current field, if it is known
	w := newWalker(data)
	w.key = func(depth int, key string, again bool) error {
		if depth == 0 {
			field = ""
			for _, name := range known {
				switch {
				case key == name:
					field = name
				case strings.EqualFold(key, name):
					return fmt.Errorf("%s: the field name is spelled %s", name, name)
				}
			}
		}
		switch {
		case !again:
			return nil
		case depth == 0 && field != "":
			return errors.New("duplicate field")
		}
		return fmt.Errorf("duplicate key before byte %d", w.tokens.InputOffset())
	}
	err := w.document(data)
	if malformed := (*json.SyntaxError)(nil); errors.As(err, &malformed) {
		err = fmt.Errorf("malformed JSON at or after byte %d", w.tokens.InputOffset())
	}
	if err != nil && err != errMore && field != "" && !strings.HasPrefix(err.Error(), field+": ") {
		err = fmt.Errorf("%s: %w", field, err)
	}
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) || json.Unmarshal(data, &all) != nil {
		return nil, errors.New("must be an object")
	}
	for name := range all {
		if !slices.Contains(known, name) {
			delete(all, name)
		}
	}
	return all, nil
}

var errMore = errors.New("trailing data after the document")

// A walker reads a document token by token.
type walker struct {
	tokens  *json.Decoder
	key     func(depth int, key string, again bool) error // looks at a key; again if its object has had it
	noNulls bool
	until   int64 // stops at the first value whose first token ends here or later; 0 for never
	path    path  // of the current value
	objects int   // number of objects so far
}

var errHere = errors.New("the value that is looked for")

func newWalker(data []byte) *walker {
	w := &walker{tokens: json.NewDecoder(bytes.NewReader(data))}
	w.tokens.UseNumber()
	return w
}

// document reads the whole of data, on which w was made.
func (w *walker) document(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("the text must be UTF-8")
	}
	if at := halfRune(data); at >= 0 {
		return fmt.Errorf("the escape at byte %d is an unpaired surrogate", at)
	}
	if err := w.walk(0); err != nil {
		return err
	}
	if _, err := w.tokens.Token(); err != io.EOF {
		return errMore
	}
	return nil
}

// walk reads one value.
func (w *walker) walk(depth int) error {
	token, err := w.tokens.Token()
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if w.until > 0 && w.tokens.InputOffset() >= w.until {
		return errHere
	}
	if token == nil && w.noNulls {
		return &Error{w.path.String(), "must not be null: omit the field"}
	}
	opens, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == MaxDepth {
		return fmt.Errorf("the maximum depth is %d levels", MaxDepth)
	}
	var seen map[string]bool
	if opens == '{' {
		if w.objects++; w.objects > MaxObjects {
			return fmt.Errorf("the maximum is %d objects in total", MaxObjects)
		}
		seen = map[string]bool{}
	}
	for i := 0; w.tokens.More(); i++ {
		at := place{index: i}
		if opens == '{' {
			token, err := w.tokens.Token()
			if err != nil {
				return err
			}
			key := token.(string) // Token fails on other keys
			if err := w.key(depth, key, seen[key]); err != nil {
				return err
			}
			if i == MaxKeys {
				return fmt.Errorf("the maximum is %d keys per object", MaxKeys)
			}
			seen[key] = true
			at = place{key: key, index: -1}
		}
		w.path = append(w.path, at)
		if err := w.walk(depth + 1); err != nil {
			return err
		}
		w.path = w.path[:len(w.path)-1]
	}
	if _, err = w.tokens.Token(); err == io.EOF { // where the end of it should be
		return io.ErrUnexpectedEOF
	}
	return err
}

// plain reports whether key has only letters that encoding/json takes for themselves.
func plain(key string) bool {
	for _, r := range key {
		if r >= utf8.RuneSelf || 'A' <= r && r <= 'Z' {
			return false
		}
	}
	return true
}

// halfRune returns the offset of the first escape of half a surrogate pair without the other half,
// which encoding/json would replace, or -1.
func halfRune(data []byte) int {
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		first, ok := escaped(data[i:])
		if !ok {
			i++ // the character that is escaped
			continue
		}
		if utf16.IsSurrogate(first) {
			second, _ := escaped(data[i+6:])
			if utf16.DecodeRune(first, second) == utf8.RuneError {
				return i
			}
			i += 6
		}
		i += 5
	}
	return -1
}

// escaped reads the \uXXXX that data begins with.
func escaped(data []byte) (rune, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(data[2:6]), 16, 32)
	return rune(n), err == nil
}
