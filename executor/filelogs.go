package executor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"sync"
)

// FileLogs are [Logs] in a folder, with one plain file per log: the standard output of target 7 in
// attempt 2 of step 1 of job 5 is 5/1.2/7.out, its standard error 5/1.2/7.err. The folder of a job
// can be removed once the job has ended. Several processes can use one folder. [NewFileLogs] makes
// FileLogs.
type FileLogs struct {
	root   *os.Root
	perLog int64
	seed   maphash.Seed
	locks  [64]sync.Mutex // one log has one: its appends take turns
}

var _ Logs = (*FileLogs)(nil)

const (
	logMode    fs.FileMode = 0o600
	folderMode fs.FileMode = 0o700

	// lostSuffix is the suffix of a file with the number of bytes, in 8 bytes, that did not fit.
	lostSuffix = ".lost"
)

// NewFileLogs returns logs in the folder dir, which it makes if it does not exist. The maximum size
// of a log is perLog bytes; 0 means 1 MiB. Only the owner can read the files. No name leads out of
// dir, not even by symbolic links. Appends are not synced: a power loss can lose the last ones.
// The caller calls Close at the end.
func NewFileLogs(dir string, perLog int64) (*FileLogs, error) {
	if perLog <= 0 {
		perLog = defaultPerLog
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, fmt.Errorf("executor: logs: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("executor: logs: %w", err)
	}
	return &FileLogs{root: root, perLog: perLog, seed: maphash.MakeSeed()}, nil
}

// Close closes the folder. Later calls fail.
func (f *FileLogs) Close() error { return f.root.Close() }

// file returns the slash-separated path of a log in the folder.
func (l Log) file() string {
	ending := ".out"
	if l.Stream == Stderr {
		ending = ".err"
	}
	return path.Join(strconv.FormatInt(int64(l.Job), 10), fmt.Sprintf("%d.%d", l.Step, l.Attempt), strconv.Itoa(int(l.Target))+ending)
}

// Append implements [Logs]. Errors of the file system match those of package io/fs.
func (f *FileLogs) Append(ctx context.Context, l Log, p []byte) error {
	if err := checkAppend(ctx, l); err != nil {
		return err
	}
	lock := &f.locks[maphash.Comparable(f.seed, l)%uint64(len(f.locks))]
	lock.Lock()
	defer lock.Unlock()
	lost, err := f.add(l.file(), p)
	if err == nil && lost > 0 {
		err = f.count(l.file()+lostSuffix, lost)
	}
	if err != nil {
		return fmt.Errorf("executor: append to %v: %w", l, err)
	}
	return nil
}

// add appends as much of p as fits, and returns the number of bytes that did not.
func (f *FileLogs) add(name string, p []byte) (lost int, err error) {
	file, err := f.open(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	fits := min(int64(len(p)), max(0, f.perLog-info.Size()))
	_, err = file.Write(p[:fits])
	return len(p) - int(fits), err
}

// open opens a file, and makes its folder if necessary.
func (f *FileLogs) open(name string, flag int) (*os.File, error) {
	file, err := f.root.OpenFile(name, flag, logMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err := f.root.MkdirAll(path.Dir(name), folderMode); err != nil {
			return nil, err
		}
		return f.root.OpenFile(name, flag, logMode)
	}
	return file, err
}

// count adds n to the number in a file.
func (f *FileLogs) count(name string, n int) (err error) {
	file, err := f.open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var number [8]byte
	if _, err := file.ReadAt(number[:], 0); err != nil && err != io.EOF {
		return err
	}
	binary.BigEndian.PutUint64(number[:], binary.BigEndian.Uint64(number[:])+uint64(n))
	_, err = file.WriteAt(number[:], 0)
	return err
}

// Read implements [Logs]. Errors of the file system match those of package io/fs.
func (f *FileLogs) Read(ctx context.Context, l Log, offset int64, limit int) (Excerpt, error) {
	if err := checkRead(ctx, l, limit); err != nil {
		return Excerpt{}, err
	}
	e, err := f.read(l.file(), offset, limit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Excerpt{}, nil
	case err != nil:
		return Excerpt{}, fmt.Errorf("executor: read %v: %w", l, err)
	}
	return e, nil
}

func (f *FileLogs) read(name string, offset int64, limit int) (Excerpt, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return Excerpt{}, err
	}
	defer file.Close()
	lost, err := f.lost(name + lostSuffix) // first, so that losses of a later append are not counted
	if err != nil {
		return Excerpt{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return Excerpt{}, err
	}
	from, to := window(info.Size(), offset, limit)
	data := make([]byte, to-from)
	n, err := file.ReadAt(data, from)
	if err == io.EOF {
		err = nil // another program has truncated the file
	}
	return Excerpt{Data: data[:n], Offset: from, Kept: info.Size(), Written: info.Size() + lost}, err
}

// lost returns the number in a file, 0 if there is none.
func (f *FileLogs) lost(name string) (int64, error) {
	file, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var number [8]byte
	if _, err := file.ReadAt(number[:], 0); err != nil && err != io.EOF {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(number[:])), nil
}
