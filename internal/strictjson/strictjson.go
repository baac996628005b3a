// Package strictjson reads JSON that somebody has written and may have got wrong: it refuses
// what encoding/json lets pass and then ignores, guesses or replaces.
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"
)

// MaxDepth is how deep objects and lists may lie in each other.
const MaxDepth = 32

// Unmarshal reads the one JSON document that data is into v. Unknown fields, keys in another
// case, keys that stand twice, more than [MaxDepth] levels, text that is not UTF-8 and
// anything after the document are errors. The names of v's fields must be lower-case ASCII.
func Unmarshal(data []byte, v any) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("the text is not UTF-8")
	}
	tokens := json.NewDecoder(bytes.NewReader(data))
	tokens.UseNumber()
	if err := walk(tokens, 0); err != nil {
		return err
	}
	if _, err := tokens.Token(); err != io.EOF {
		return fmt.Errorf("there is more after the end of the document")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// walk reads one value and looks at the keys in it.
func walk(tokens *json.Decoder, depth int) error {
	token, err := tokens.Token()
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	opens, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == MaxDepth {
		return fmt.Errorf("objects and lists lie more than %d deep in each other", MaxDepth)
	}
	seen := map[string]bool{}
	for tokens.More() {
		if opens == '{' {
			token, err := tokens.Token()
			if err != nil {
				return err
			}
			key := token.(string) // or Token would have failed
			switch {
			case seen[key]:
				return fmt.Errorf("key %q stands twice", key)
			case !plain(key):
				return fmt.Errorf("unknown field %q: fields are written in lower case", key)
			}
			seen[key] = true
		}
		if err := walk(tokens, depth+1); err != nil {
			return err
		}
	}
	if _, err = tokens.Token(); err == io.EOF { // where the end of it should be
		return io.ErrUnexpectedEOF
	}
	return err
}

// plain reports whether key has no letter that encoding/json would take for another one.
func plain(key string) bool {
	for _, r := range key {
		if r >= utf8.RuneSelf || 'A' <= r && r <= 'Z' {
			return false
		}
	}
	return true
}
