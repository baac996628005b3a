package localexec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Files is the payload of a file transfer step: files that are copied into every target, in this
// order, up to the first that fails. Each appears whole or not at all.
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

// Payload returns f as JSON.
func (f Files) Payload() string { return marshal(f) }

// Copy is an [executor.HostFunc] that copies the [Files] of a step. When ctx ends before all are
// there, the result is step.TargetTerminated. A payload that cannot be read breaks the step.
func (d *Directories) Copy(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
	var p Files
	err := read(t.Step.Payload, &p, `{"files":[{"from":"app.ini","to":"etc/app.ini"}]}`)
	odd := func(f File) bool { return (f.From == "") == (f.Content == nil) }
	if err == nil && (len(p.Files) == 0 || slices.ContainsFunc(p.Files, odd)) {
		err = errors.New("payload: files: want at least one, each with either from or content")
	}
	if err != nil {
		t.Break(err.Error())
		return store.Result{Status: step.FileError, Detail: err.Error()}
	}
	return d.at(ctx, t, h, func(dir *os.Root, _ *os.File) store.Result {
		for i, f := range p.Files {
			status, err := d.copyFile(ctx, dir, f, fmt.Sprintf(".stepgate-%d-%d-%d-%d", t.Job.ID, t.Step.ID, h.Index, i))
			switch {
			case err != nil && ctx.Err() != nil:
				return store.Result{Status: step.TargetTerminated, Detail: f.To}
			case err != nil:
				return store.Result{Status: status, Detail: err.Error()}
			}
		}
		return store.Result{Status: step.TargetSucceeded}
	})
}

// copyFile copies one file: under a temporary name, which a crash leaves behind and the next
// attempt overwrites, to the disk, and then under its own name. The status says which side an
// error comes from.
func (d *Directories) copyFile(ctx context.Context, target *os.Root, f File, temporary string) (step.Status, error) {
	from, err := d.source(f)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return step.SourceMissing, err
	case err != nil:
		return step.FetchFailed, err
	}
	defer from.Close()
	bits, err := strconv.ParseUint(cmp.Or(f.Mode, "0600"), 8, 9)
	if err != nil {
		return step.CopyFailed, fmt.Errorf("%s: mode %q: want permissions in octal, such as 0644", f.To, f.Mode)
	}
	dir := filepath.FromSlash(path.Dir(path.Clean(f.To)))
	temporary = filepath.Join(dir, temporary)
	readers := fs.FileMode(bits) & 0o044 // can open the directories that are made
	if err := target.MkdirAll(dir, 0o700|readers|readers>>2); err != nil {
		return step.CopyFailed, err
	}
	if err = write(ctx, target, temporary, from, fs.FileMode(bits)); err == nil {
		err = target.Rename(temporary, filepath.FromSlash(f.To))
	}
	_ = target.Remove(temporary) // if it is still there
	if at, e := target.Open(dir); e == nil {
		_ = errors.Join(at.Sync(), at.Close()) // a directory cannot be synced everywhere
	}
	return step.CopyFailed, err
}

// source opens the source of a file.
func (d *Directories) source(f File) (io.ReadCloser, error) {
	if f.Content != nil {
		return io.NopCloser(strings.NewReader(*f.Content)), nil
	}
	if d.c.Sources == "" {
		return nil, fmt.Errorf("%s: there are no sources here, want content", f.From)
	}
	sources, err := os.OpenRoot(d.c.Sources)
	if err != nil {
		return nil, err
	}
	defer sources.Close()
	if info, err := sources.Stat(filepath.FromSlash(f.From)); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", f.From) // opening a pipe would wait for its other end
	}
	return sources.Open(filepath.FromSlash(f.From))
}

// write makes a new file of what from holds and puts it on the disk.
func write(ctx context.Context, target *os.Root, name string, from io.Reader, mode fs.FileMode) (err error) {
	_ = target.Remove(name) // that a crash left
	file, err := target.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for err == nil {
		_, err = io.CopyN(file, from, 1<<20)
		err = cmp.Or(ctx.Err(), err)
	}
	if err != io.EOF {
		return err
	}
	return errors.Join(file.Chmod(mode), file.Sync()) // the mode whatever the umask says
}
