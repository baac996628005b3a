package sshexec

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

	"github.com/pkg/sftp"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
)

// atOnce is the number of concurrent writes of 32 KiB per target.
const atOnce = 8

// A localError is an error of the source of a file.
type localError struct {
	status step.Status
	error
}

// A copier copies files over one session.
type copier struct {
	x      *Remote
	client *sftp.Client
	log    *executor.LogWriter
}

// copy copies one file under a temporary name and renames it.
func (c *copier) copy(ctx context.Context, f File, temporary string) (n int64, err error) {
	from, err := c.source(f)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	mode, err := f.mode()
	if err != nil {
		return 0, err
	}
	dir := path.Dir(path.Clean(f.To))
	if err := c.mkdirAll(dir, directoryOf(mode)); err != nil {
		return 0, err
	}
	temporary = path.Join(dir, temporary)
	n, err = c.write(ctx, temporary, from, mode)
	if err == nil {
		err = c.rename(temporary, path.Clean(f.To))
	}
	if err != nil {
		_ = c.client.Remove(temporary) // if the connection is dead, the next attempt removes it
	}
	return n, err
}

// source opens the source of a file.
func (c *copier) source(f File) (io.ReadCloser, error) {
	if f.Content != nil {
		if int64(len(*f.Content)) > c.x.c.FileLimit {
			return nil, c.tooLarge(f.To)
		}
		return io.NopCloser(strings.NewReader(*f.Content)), nil
	}
	root, err := os.OpenRoot(c.x.c.Sources)
	if err != nil {
		return nil, &localError{step.FetchFailed, err}
	}
	defer root.Close()
	name := filepath.FromSlash(f.From)
	// Look first: opening a pipe waits for its other end.
	info, err := root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &localError{step.SourceMissing, err}
	case err != nil:
		return nil, &localError{step.FetchFailed, err}
	case !info.Mode().IsRegular():
		return nil, &localError{step.FetchFailed, fmt.Errorf("%s is not a regular file", f.From)}
	case info.Size() > c.x.c.FileLimit:
		return nil, c.tooLarge(f.From)
	}
	file, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &localError{step.SourceMissing, err}
	}
	if err != nil {
		return nil, &localError{step.FetchFailed, err}
	}
	return file, nil
}

func (c *copier) tooLarge(name string) error {
	return &localError{step.TooLarge, fmt.Errorf("%s: more than the limit of %d bytes", name, c.x.c.FileLimit)}
}

// write writes a new file from a source.
func (c *copier) write(ctx context.Context, name string, from io.Reader, mode fs.FileMode) (n int64, err error) {
	file, err := c.client.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Chmod(0o600); err != nil { // while it is empty
		return 0, err
	}
	source := &bounded{ctx: ctx, from: from, left: c.x.c.FileLimit, over: c.tooLarge}
	if n, err = file.ReadFromWithConcurrency(source, atOnce); err != nil {
		return n, err
	}
	if err := file.Chmod(mode); err != nil {
		return n, err
	}
	if _, ok := c.client.HasExtension("fsync@openssh.com"); ok {
		return n, file.Sync()
	}
	return n, nil
}

// rename renames a file and replaces an existing one.
func (c *copier) rename(from, to string) error {
	if _, ok := c.client.HasExtension("posix-rename@openssh.com"); ok {
		return c.client.PosixRename(from, to)
	}
	if err := c.client.Rename(from, to); err == nil {
		return nil
	}
	if err := c.client.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return c.client.Rename(from, to)
}

// mkdirAll creates a folder and its missing parents.
func (c *copier) mkdirAll(dir string, mode fs.FileMode) error {
	info, err := c.client.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is not a folder: %w", dir, fs.ErrExist)
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := c.mkdirAll(path.Dir(dir), mode); err != nil {
		return err
	}
	if err := c.client.Mkdir(dir); err != nil {
		if info, again := c.client.Stat(dir); again == nil && info.IsDir() {
			return nil // created concurrently
		}
		return err
	}
	return c.client.Chmod(dir, mode)
}

// directoryOf returns the permissions of a new folder for a file: the readers of the file can open
// the folder.
func directoryOf(file fs.FileMode) fs.FileMode {
	readers := file & 0o044
	return 0o700 | readers | readers>>2
}

// sweep removes temporary files of earlier runs. It ignores errors.
func (c *copier) sweep(dir, prefix string) {
	entries, err := c.client.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			_ = c.client.Remove(path.Join(dir, e.Name()))
		}
	}
}

// A bounded reader fails when its context ends, and when the file exceeds its limit.
type bounded struct {
	ctx  context.Context
	from io.Reader
	left int64
	over func(name string) error
}

// Read implements io.Reader.
func (r *bounded) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.from.Read(p)
	if err != nil && err != io.EOF {
		return n, &localError{step.FetchFailed, err}
	}
	if r.left -= int64(n); r.left < 0 {
		return n, r.over("the source")
	}
	return n, err
}
