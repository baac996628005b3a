package sshexec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Script is the payload of a script step. It runs once per target, with /bin/sh, in the account's
// home, in a session and process group of its own, with nothing on its standard input. Its
// environment is that of the account, and STEPGATE_JOB, STEPGATE_STEP, STEPGATE_ATTEMPT and
// STEPGATE_TARGET. The text does not appear in the host's list of processes. A process that it
// leaves in the background when it exits is left alone, but its output is no longer read; one that
// it leaves when it is stopped is stopped with it.
type Script struct {
	Script string `json:"script"`
}

// Files is the payload of a file transfer step: files that are copied to every target, in this
// order, up to the first that fails. Each appears whole or not at all.
type Files struct {
	Files []File `json:"files"`
}

// Examples of payloads.
const (
	exampleScript = `{"script":"uptime"}`
	exampleFiles  = `{"files":[{"from":"app/app.ini","to":"/etc/app.ini"}]}`
)

// A File is one file to be copied: From a file of Config.Sources or with a given Content.
type File struct {
	From    string  `json:"from,omitempty"`    // slash-separated, below Config.Sources
	Content *string `json:"content,omitempty"` // instead of From
	To      string  `json:"to"`                // slash-separated, absolute or from the account's home; directories are made
	Mode    string  `json:"mode,omitempty"`    // permissions in octal; the default is "0600", the owner's alone
}

// Payload returns s as JSON.
func (s Script) Payload() string { return marshal(s) }

// Payload returns f as JSON.
func (f Files) Payload() string { return marshal(f) }

func marshal(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings only: cannot be
	}
	return string(data)
}

// A PayloadError says what is wrong with a payload. The step is abnormal then, with this text as
// its reason.
type PayloadError struct {
	Field  string // "files[0].to"; empty for the payload as a whole
	Detail string // what is there and what would have been right
}

func (e *PayloadError) Error() string {
	if e.Field == "" {
		return "payload: " + e.Detail
	}
	return "payload: " + e.Field + ": " + e.Detail
}

func malformed(field, format string, args ...any) *PayloadError {
	return &PayloadError{Field: field, Detail: fmt.Sprintf(format, args...)}
}

// Check returns nil or a [*PayloadError].
func (s Script) Check() error {
	switch {
	case strings.TrimSpace(s.Script) == "":
		return malformed("script", "empty: want the text of a shell script")
	case strings.ContainsRune(s.Script, 0):
		return malformed("script", "holds a NUL character: want a text without one")
	}
	return nil
}

// Check returns nil or a [*PayloadError]. A source that does not exist is the result
// SourceMissing when it is copied.
func (f Files) Check() error {
	if len(f.Files) == 0 {
		return malformed("files", "none: want at least one file")
	}
	seen := map[string]int{}
	for i, file := range f.Files {
		at := func(field string) string { return fmt.Sprintf("files[%d].%s", i, field) }
		_, err := file.mode()
		first, twice := seen[path.Clean(file.To)]
		switch {
		case file.From == "" && file.Content == nil:
			return malformed(at("from"), "empty, and so is content: want one of the two")
		case file.From != "" && file.Content != nil:
			return malformed(at("from"), "not empty, and content is there too: want one of the two")
		case file.From != "" && !isSource(file.From):
			return malformed(at("from"), "%q: want the path of a file below the sources, such as app/app.ini", file.From)
		case !isDestination(file.To):
			return malformed(at("to"), "%q: want the path of a file on the host without .., such as /etc/app.ini", file.To)
		case twice:
			return malformed(at("to"), "%q is written by files[%d] already", file.To, first)
		case err != nil:
			return malformed(at("mode"), "%q: want permissions in octal, such as 0644", file.Mode)
		}
		seen[path.Clean(file.To)] = i
	}
	return nil
}

func (f File) mode() (fs.FileMode, error) {
	if f.Mode == "" {
		return 0o600, nil
	}
	bits, err := strconv.ParseUint(f.Mode, 8, 9)
	return fs.FileMode(bits), err
}

// isSource reports whether a slash-separated path leads to something below where it begins.
func isSource(name string) bool {
	local := filepath.FromSlash(name)
	return filepath.IsLocal(local) && filepath.Clean(local) != "." && !strings.ContainsRune(name, 0)
}

// isDestination reports whether a path can be that of a file on a host.
func isDestination(name string) bool {
	return path.Clean(name) != "." && !strings.HasSuffix(name, "/") && !strings.HasSuffix(name, "/.") &&
		!slices.Contains(strings.Split(name, "/"), "..") && !strings.ContainsRune(name, 0)
}

// read reads a payload into p, and says with an example what would have been right: a text that is
// near to right holds the contents of files, which must not come into a job's history.
func read(payload string, p any, example string) error {
	d := json.NewDecoder(strings.NewReader(payload))
	d.DisallowUnknownFields()
	err := d.Decode(p)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		err = errors.New("data after the end")
	}
	return malformed("", "%v: want something like %s", err, example)
}
