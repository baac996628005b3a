package localexec

import (
	"bytes"
	"context"
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

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Script is the payload of a script step. It runs once per target, with /bin/sh, in
// the target's directory, with nothing on its standard input. Its environment is Config.Env,
// PWD, STEPGATE_JOB, STEPGATE_STEP, STEPGATE_ATTEMPT and STEPGATE_TARGET. A process that
// it leaves in the background when it exits is left alone, but its output is no longer
// read; one that it leaves when it is stopped is stopped with it.
type Script struct {
	Script string `json:"script"`
}

// Files is the payload of a file transfer step: files that are copied into every target,
// in this order, up to the first that fails. Each appears whole or not at all.
type Files struct {
	Files []File `json:"files"`
}

// A File is one file to be copied: From a file of Config.Sources or with a given Content.
type File struct {
	From    string  `json:"from,omitempty"`    // slash-separated, below Config.Sources
	Content *string `json:"content,omitempty"` // instead of From
	To      string  `json:"to"`                // slash-separated, within the target; directories are made
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

// A PayloadError says what is wrong with a payload.
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

// Check returns nil or a [*PayloadError]. Whether sources exist shows when they are
// copied.
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
		case strings.ContainsRune(file.From, 0):
			return malformed(at("from"), "holds a NUL character: want a path without one")
		case file.From != "" && !isPlace(file.From):
			return malformed(at("from"), "%q: want the path of a file below the sources, such as app/app.ini", file.From)
		case !isPlace(file.To):
			return malformed(at("to"), "%q: want the path of a file within the target, such as conf/app.ini", file.To)
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

// CheckTarget returns an error that says why no target can have this name, or nil. The name
// is a slash-separated path below Config.Root in its shortest form, so that no two names are
// one directory: h2 is a target, and ./h2 and h1/../h2 are not.
func CheckTarget(name string) error {
	if !isPlace(name) {
		return fmt.Errorf("%q: want the path of a directory below the root of all targets", name)
	}
	if shortest := filepath.ToSlash(filepath.Clean(filepath.FromSlash(name))); name != shortest {
		return fmt.Errorf("%q: want the shortest path of the directory, %q", name, shortest)
	}
	return nil
}

// isPlace reports whether a slash-separated path leads to something below where it
// begins.
func isPlace(name string) bool {
	local := filepath.FromSlash(name)
	return filepath.IsLocal(local) && filepath.Clean(local) != "." && !strings.ContainsRune(name, 0)
}

// A work does what an attempt does on one target, and says whether ctx's end cut it
// short. It leaves the times of the result to its caller.
type work func(ctx context.Context, t store.Target) (r store.Result, interrupted bool)

// plan returns the work of a step. The error is a *PayloadError if there cannot be any.
func (e *Executor) plan(a *attempt, s store.Step) (work, error) {
	switch s.Type {
	case step.Script:
		var p Script
		if err := read(s.Payload, &p); err != nil {
			return nil, err
		}
		if err := p.Check(); err != nil {
			return nil, err
		}
		return e.planScript(a, p)
	case step.FileTransfer:
		var p Files
		if err := read(s.Payload, &p); err != nil {
			return nil, err
		}
		if err := p.Check(); err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(p.Files, func(f File) bool { return f.From != "" }); i >= 0 && e.c.Sources == "" {
			return nil, malformed(fmt.Sprintf("files[%d].from", i), "%q: this executor has no sources: want content", p.Files[i].From)
		}
		return func(ctx context.Context, t store.Target) (store.Result, bool) {
			return e.copyFiles(ctx, a.key, p.Files, t)
		}, nil
	}
	return nil, malformed("", "%v steps are not supported by localexec, only %v and %v", s.Type, step.Script, step.FileTransfer)
}

// read reads a payload into p. Unknown fields and trailing data are errors.
func read(payload string, p any) error {
	d := json.NewDecoder(strings.NewReader(payload))
	d.DisallowUnknownFields()
	err := d.Decode(p)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		err = errors.New("data after the end")
	}
	want := bytes.TrimSpace([]byte(marshal(p)))
	return malformed("", "%v: want something like %s", err, want)
}
