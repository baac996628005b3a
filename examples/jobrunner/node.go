package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A node is a JSON value and where it stands. encoding/json decodes into structs more
// briefly, but it takes a key that stands twice or in the wrong case, and forgets where
// things stood.
type node struct {
	kind    nodeKind
	at      int // offset in the file
	text    string
	yes     bool
	members []member
	items   []*node
}

type member struct {
	key   string
	value *node
}

type nodeKind uint8

const (
	isNull nodeKind = iota
	isBool
	isNumber
	isText
	isList
	isObject
)

func (k nodeKind) String() string {
	return [...]string{"null", "true or false", "a number", "a string", "a list", "an object"}[k]
}

// A FileError says what is wrong with a job file, and where.
type FileError struct {
	File         string
	Line, Column int    // from 1; Column counts characters
	Field        string // such as steps[1].targets[0]; empty for the file as a whole
	Detail       string // what is there and what would have been right
}

func (e *FileError) Error() string {
	where := fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Field != "" {
		where += e.Field + ": "
	}
	return where + e.Detail
}

// A document is a file of JSON as it is read.
type document struct {
	name string
	data []byte
	root *node
	at   map[string]int // field -> offset of its value
}

// errorf returns an error about a field. One that is not there stands where the closest
// thing around it does.
func (d *document) errorf(field, format string, args ...any) *FileError {
	at := 0
	for around := field; ; around = outer(around) {
		if offset, ok := d.at[around]; ok || around == "" {
			at = offset
			break
		}
	}
	return d.errorAt(at, field, format, args...)
}

func (d *document) errorAt(at int, field, format string, args ...any) *FileError {
	before := d.data[:min(at, len(d.data))]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return &FileError{
		File: d.name, Line: bytes.Count(before, []byte("\n")) + 1, Column: utf8.RuneCount(line) + 1,
		Field: field, Detail: fmt.Sprintf(format, args...),
	}
}

// maxDepth is how deep lists and objects may be nested; a job file needs 5.
const maxDepth = 20

// parseDocument reads a file of exactly one JSON value.
func parseDocument(name string, data []byte) (*document, error) {
	d := &document{name: name, data: data, at: map[string]int{}}
	if !utf8.Valid(data) {
		at := 0
		for r, size := utf8.DecodeRune(data); r != utf8.RuneError || size > 1; r, size = utf8.DecodeRune(data[at:]) {
			at += size
		}
		return nil, d.errorAt(at, "", "the byte %#x is not UTF-8", data[at])
	}
	// The decoder's tokens alone do not show everything that is wrong with a file.
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		at := len(data) // where it ends too early
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) && !strings.HasPrefix(err.Error(), "unexpected end") {
			at = max(int(syntax.Offset)-1, 0)
		}
		return nil, d.errorAt(at, "", "not JSON: %v", err)
	}
	tokens := json.NewDecoder(bytes.NewReader(data))
	tokens.UseNumber()
	root, err := d.read(tokens, "", 0)
	if err != nil {
		return nil, err
	}
	d.root = root
	return d, nil
}

// read reads the next value, which is that of field.
func (d *document) read(tokens *json.Decoder, field string, depth int) (*node, error) {
	n := &node{at: d.next(tokens)}
	d.at[field] = n.at
	if depth > maxDepth {
		return nil, d.errorf(field, "nested more than %d deep", maxDepth)
	}
	token, err := tokens.Token()
	if err != nil {
		return nil, d.errorf(field, "not JSON: %v", err)
	}
	switch t := token.(type) {
	case bool:
		n.kind, n.yes = isBool, t
	case json.Number:
		n.kind, n.text = isNumber, t.String()
	case string:
		n.kind, n.text = isText, t
	case json.Delim:
		n.kind = isObject
		if t == '[' {
			n.kind = isList
		}
		return n, d.readInto(n, tokens, field, depth)
	}
	return n, nil
}

// readInto reads what is in a list or an object, and its end.
func (d *document) readInto(n *node, tokens *json.Decoder, field string, depth int) error {
	seen := map[string]bool{}
	for i := 0; tokens.More(); i++ {
		inner, key := fmt.Sprintf("%s[%d]", field, i), ""
		if n.kind == isObject {
			at := d.next(tokens)
			token, err := tokens.Token()
			if err != nil {
				return d.errorf(field, "not JSON: %v", err)
			}
			key, _ = token.(string) // it is one, in JSON
			inner = within(field, key)
			if seen[key] {
				return d.errorAt(at, inner, "stands there twice")
			}
			seen[key] = true
		}
		value, err := d.read(tokens, inner, depth+1)
		if err != nil {
			return err
		}
		if n.kind == isObject {
			n.members = append(n.members, member{key, value})
		} else {
			n.items = append(n.items, value)
		}
	}
	if _, err := tokens.Token(); err != nil {
		return d.errorf(field, "not JSON: %v", err)
	}
	return nil
}

// next returns the offset at which the next token begins.
func (d *document) next(tokens *json.Decoder) int {
	at := int(tokens.InputOffset())
	for at < len(d.data) && bytes.IndexByte([]byte(" \t\r\n,:"), d.data[at]) >= 0 {
		at++
	}
	return at
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

// within names the member key of a field.
func within(field, key string) string {
	if !plainKey.MatchString(key) {
		key = strconv.QuoteToASCII(key)
	}
	if field == "" {
		return key
	}
	return field + "." + key
}

var lastPart = regexp.MustCompile(`(^|\.)[A-Za-z0-9_]+$|\[[0-9]+\]$`)

// outer returns the field around a field.
func outer(field string) string {
	if part := lastPart.FindStringIndex(field); part != nil {
		return field[:part[0]]
	}
	return ""
}
