package localexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// copyFiles copies files into one target, up to the first that fails.
func (e *Executor) copyFiles(ctx context.Context, k key, files []File, t store.Target) (store.Result, bool) {
	target, err := e.open(t.Name)
	if err != nil {
		return store.Result{Status: step.InvalidTarget, Detail: err.Error()}, false
	}
	defer target.Close()
	for i, f := range files {
		temporary := fmt.Sprintf(".stepgate-%d-%d-%d", k.job, k.step, i)
		status, err := e.copyFile(ctx, target, f, temporary)
		switch {
		case err != nil && ctx.Err() != nil:
			return store.Result{Status: step.TargetTerminated, Detail: f.To}, true
		case err != nil:
			return store.Result{Status: status, Detail: err.Error()}, false
		}
	}
	return store.Result{Status: step.TargetSucceeded}, false
}

// copyFile copies one file: under a temporary name, which a crash leaves behind and the
// next attempt overwrites, to the disk, and then under its own name. The status says
// which side an error comes from.
func (e *Executor) copyFile(ctx context.Context, target *os.Root, f File, temporary string) (step.Status, error) {
	from, status, err := e.source(f)
	if err != nil {
		return status, err
	}
	defer from.Close()
	mode, err := f.mode()
	if err != nil {
		return step.CopyFailed, err
	}
	dir := path.Dir(path.Clean(f.To))
	if err := target.MkdirAll(filepath.FromSlash(dir), directoryOf(mode)); err != nil {
		return step.CopyFailed, err
	}
	temporary = filepath.FromSlash(path.Join(dir, temporary))
	if err := write(ctx, target, temporary, from, mode); err != nil {
		return step.CopyFailed, errors.Join(err, remove(target, temporary))
	}
	if err := target.Rename(temporary, filepath.FromSlash(f.To)); err != nil {
		return step.CopyFailed, errors.Join(err, remove(target, temporary))
	}
	d, err := target.Open(filepath.FromSlash(dir))
	if err != nil {
		return step.CopyFailed, err
	}
	defer d.Close()
	return step.CopyFailed, syncDir(d)
}

// source opens the source of a file.
func (e *Executor) source(f File) (io.ReadCloser, step.Status, error) {
	if f.Content != nil {
		return io.NopCloser(strings.NewReader(*f.Content)), 0, nil
	}
	sources, err := os.OpenRoot(e.c.Sources)
	if err != nil {
		return nil, step.FetchFailed, err
	}
	defer sources.Close()
	name := filepath.FromSlash(f.From)
	// Look first: opening a pipe waits for its other end.
	info, err := sources.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, step.SourceMissing, err
	case err != nil:
		return nil, step.FetchFailed, err
	case !info.Mode().IsRegular():
		return nil, step.FetchFailed, fmt.Errorf("%s is not a regular file", f.From)
	}
	file, err := sources.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, step.SourceMissing, err
	}
	return file, step.FetchFailed, err
}

// directoryOf returns the permissions of a directory that is made for a file: the readers of
// the file can open it.
func directoryOf(file fs.FileMode) fs.FileMode {
	readers := file & 0o044
	return 0o700 | readers | readers>>2
}

// write makes a new file of what from holds and puts it on the disk.
func write(ctx context.Context, target *os.Root, name string, from io.Reader, mode fs.FileMode) (err error) {
	if err := remove(target, name); err != nil {
		return err
	}
	file, err := target.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := io.Copy(file, reader{ctx, from}); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil { // whatever the umask says
		return err
	}
	return file.Sync()
}

// remove removes a file that may not be there.
func remove(target *os.Root, name string) error {
	if err := target.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// A reader stops reading when its context ends.
type reader struct {
	ctx  context.Context
	from io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}
