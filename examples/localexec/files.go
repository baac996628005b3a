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

// Files is the payload of a file transfer step: the files to copy into every target, in this order,
// up to the first failure. Each file appears whole or not at all.
type Files struct {
	Files []File `json:"files"` // at least one
}

// A File is one file to copy, with either From or Content as its source.
type File struct {
	From    string  `json:"from,omitempty"`    // path below Config.Sources, with slashes
	Content *string `json:"content,omitempty"` // the content itself
	To      string  `json:"to"`                // path within the target, with slashes; missing directories are created
	Mode    string  `json:"mode,omitempty"`    // permissions in octal; the default is "0600", for the owner only
}

// Payload returns f as JSON.
func (f Files) Payload() string { return marshal(f) }

// Copy is an [executor.HostFunc]: it copies the [Files] of a step. A source that cannot be read is
// step.SourceMissing or step.FetchFailed, a file that cannot be written step.CopyFailed. If ctx
// ends before all files are copied, the result is step.TargetTerminated. An invalid payload makes
// the step abnormal.
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

// copyFile copies one file: it writes a temporary file, flushes it and renames it. After a crash,
// the next attempt overwrites the temporary file. The status of an error tells the source from the
// target.
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
	readers := fs.FileMode(bits) & 0o044 // can open new directories
	if err := target.MkdirAll(dir, 0o700|readers|readers>>2); err != nil {
		return step.CopyFailed, err
	}
	if err = write(ctx, target, temporary, from, fs.FileMode(bits)); err == nil {
		err = target.Rename(temporary, filepath.FromSlash(f.To))
	}
	_ = target.Remove(temporary) // after an error
	if at, e := target.Open(dir); e == nil {
		_ = errors.Join(at.Sync(), at.Close()) // not every system can sync a directory
	}
	return step.CopyFailed, err
}

// source opens the source of a file.
func (d *Directories) source(f File) (io.ReadCloser, error) {
	if f.Content != nil {
		return io.NopCloser(strings.NewReader(*f.Content)), nil
	}
	if d.c.Sources == "" {
		return nil, fmt.Errorf("%s: Config.Sources is empty, want content", f.From)
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

// write writes a new file from a source and flushes it.
func write(ctx context.Context, target *os.Root, name string, from io.Reader, mode fs.FileMode) (err error) {
	_ = target.Remove(name) // left by a crash
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
	return errors.Join(file.Chmod(mode), file.Sync()) // the umask does not change the mode
}
