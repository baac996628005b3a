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
// home, in its own session and process group, with an empty standard input. Its environment is that
// of the account with STEPGATE_JOB, STEPGATE_STEP, STEPGATE_ATTEMPT and STEPGATE_TARGET. The text
// does not appear in the host's list of processes. A background process survives the script's
// exit, but its output is no longer read; a stop ends the background processes of the group too.
type Script struct {
	Script string `json:"script"` // text of a shell script
}

// Files is the payload of a file transfer step: the files to copy to every target, in this order,
// up to the first failure. Each file appears whole or not at all.
type Files struct {
	Files []File `json:"files"` // at least one, each with another To
}

// Examples of payloads.
const (
	exampleScript = `{"script":"uptime"}`
	exampleFiles  = `{"files":[{"from":"app/app.ini","to":"/etc/app.ini"}]}`
)

// A File is one file to copy, with either From or Content as its source.
type File struct {
	From    string  `json:"from,omitempty"`    // path below Config.Sources, with slashes
	Content *string `json:"content,omitempty"` // the content itself
	To      string  `json:"to"`                // path on the host, with slashes, absolute or relative to the account's home; missing folders are created
	Mode    string  `json:"mode,omitempty"`    // permissions in octal; the default is "0600", for the owner only
}

// Payload returns s as JSON.
func (s Script) Payload() string { return marshal(s) }

// Payload returns f as JSON.
func (f Files) Payload() string { return marshal(f) }

func marshal(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(data)
}

// A PayloadError reports an invalid payload. The step becomes abnormal, with this text as the
// reason.
type PayloadError struct {
	Field  string // such as "files[0].to"; empty for the whole payload
	Detail string // the fault, and the accepted values
}

// Error names the field and the fault.
func (e *PayloadError) Error() string {
	if e.Field == "" {
		return "payload: " + e.Detail
	}
	return "payload: " + e.Field + ": " + e.Detail
}

func malformed(field, format string, args ...any) *PayloadError {
	return &PayloadError{Field: field, Detail: fmt.Sprintf(format, args...)}
}

// Check returns nil or a [*PayloadError]: the script must not be empty or contain NUL.
func (s Script) Check() error {
	switch {
	case strings.TrimSpace(s.Script) == "":
		return malformed("script", "empty: want the text of a shell script")
	case strings.ContainsRune(s.Script, 0):
		return malformed("script", "has a NUL character: want a text without one")
	}
	return nil
}

// Check returns nil or a [*PayloadError]. It does not look for sources: a missing one makes the
// target SourceMissing.
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
			return malformed(at("from"), "not empty, and content is set too: want one of the two")
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

// isSource reports whether a path with slashes is below its start.
func isSource(name string) bool {
	local := filepath.FromSlash(name)
	return filepath.IsLocal(local) && filepath.Clean(local) != "." && !strings.ContainsRune(name, 0)
}

// isDestination reports whether a path is valid for a file on a host.
func isDestination(name string) bool {
	return path.Clean(name) != "." && !strings.HasSuffix(name, "/") && !strings.HasSuffix(name, "/.") &&
		!slices.Contains(strings.Split(name, "/"), "..") && !strings.ContainsRune(name, 0)
}

// read reads a payload into p. Its error has an example and does not quote the payload: contents of
// files must not enter a job's history.
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
