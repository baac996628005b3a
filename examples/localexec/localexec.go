// Package localexec does the work of steps on this machine, for package executor: it runs scripts
// with /bin/sh and copies files. A target is a directory. The other examples run their jobs with it.
//
//	d := localexec.New(localexec.Config{Root: "/srv/targets"})
//	err := executor.New(eng, d.Options()...).Run(ctx)
//
// Processes that share Root and State never work on one target of a step at once, which a locked
// file in State sees to: even one that has lost its lease, and is slow to end its script, is waited
// for. One that is killed outright takes its scripts with it, and what they have left in the
// background: a guard in the process group of each outlives it for that, and keeps the lock until then.
//
// # Limits
//
// Where there is no flock or no process group, as on Windows, there is no such lock, and a process
// that is killed outright leaves its scripts behind. A script that makes process groups looks after
// them itself, and may do what the user of this process may. Where a file system takes names that
// differ in case for one, h1 and H1 are two targets with one directory.
package localexec

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Config sets up [Directories]. The zero value of each field is its default.
type Config struct {
	// Root is the directory that holds the targets; the default is the working directory. Target
	// NAME is the directory Root/NAME, which must exist. A name that is not in its shortest form or
	// leads through a symbolic link is an invalid target: no directory has two names.
	Root string

	Sources string        // the directory that files are copied from, never from outside; the default is none
	State   string        // the directory of scripts and locks in use; the default is Root with ".state" appended
	Logs    executor.Logs // of what scripts write; the default keeps results' details alone
	Env     []string      // NAME=VALUE, beside the variables of [Script]; the default is [DefaultEnv]
	Grace   time.Duration // from SIGTERM to SIGKILL; the default is 5 s
}

// Directories does the work of steps in directories of this machine. It is safe for concurrent use.
type Directories struct{ c Config }

// New returns the directories that c describes. It touches no file.
func New(c Config) *Directories {
	c.Root, _ = filepath.Abs(c.Root) // scripts run in other directories
	c.State, _ = filepath.Abs(cmp.Or(c.State, c.Root+".state"))
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	if c.Env == nil {
		c.Env = DefaultEnv()
	}
	return &Directories{c}
}

// Options has an executor, named localexec, run scripts and copy files here.
func (d *Directories) Options() []executor.Option {
	return []executor.Option{executor.Hosts(step.Script, d.Script), executor.Hosts(step.FileTransfer, d.Copy), executor.By("localexec")}
}

// read reads a payload. Unknown fields and trailing data are errors, which repeat nothing of it but
// names of fields: contents of files must not come into a job's history.
func read(payload string, p any, example string) error {
	d := json.NewDecoder(strings.NewReader(payload))
	d.DisallowUnknownFields()
	err := d.Decode(p)
	if _, end := d.Token(); err == nil && end != io.EOF {
		err = errors.New("data after the end")
	}
	if err != nil {
		return fmt.Errorf("payload: %w: want something like %s", err, example)
	}
	return nil
}

func marshal(v any) string {
	data, _ := json.Marshal(v) // of strings, it does not fail
	return string(data)
}

// at has do work in the directory of a target, while no other process or attempt works there on
// the same step. held is the file that is locked meanwhile.
func (d *Directories) at(
	ctx context.Context, t *executor.Task, h executor.Host, do func(dir *os.Root, held *os.File) store.Result,
) store.Result {
	dir, err := d.open(h.Name)
	if err != nil {
		return store.Result{Status: step.InvalidTarget, Detail: err.Error()}
	}
	defer dir.Close()
	held, err := d.hold(ctx, fmt.Sprintf("%d.%d.%d", t.Job.ID, t.Step.ID, h.Index))
	switch {
	case err != nil && ctx.Err() != nil:
		return store.Result{Status: step.TargetTerminated}
	case err != nil:
		return store.Result{Status: step.TargetFailed, Detail: err.Error()}
	}
	defer held.Close()
	defer os.Remove(held.Name()) // one that a crash leaves is used again
	return do(dir, held)
}

// open returns the directory of a target, which has no other name: see Config.Root.
func (d *Directories) open(target string) (*os.Root, error) {
	name, err := filepath.Localize(target)
	if err != nil || name == "." {
		return nil, fmt.Errorf("%q: want the shortest path of a directory below the root of all targets, such as eu/web-1", target)
	}
	root, err := os.OpenRoot(d.c.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for at := name; at != "."; at = filepath.Dir(at) {
		if info, err := root.Lstat(at); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return nil, fmt.Errorf("target %s: %s is a symbolic link, want a directory", target, at)
		}
	}
	return root.OpenRoot(name)
}

// hold makes a file in State and locks it, once no other opening of it is locked.
func (d *Directories) hold(ctx context.Context, name string) (*os.File, error) {
	name = filepath.Join(d.c.State, name)
	err := os.MkdirAll(d.c.State, 0o700)
	for err == nil {
		file, e := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if e != nil {
			return nil, e
		}
		locked, e := tryLock(file)
		opened, _ := file.Stat()
		if named, _ := os.Stat(name); locked && os.SameFile(opened, named) { // not removed before it was locked
			return file, nil
		}
		_ = file.Close()
		time.Sleep(peek)
		err = errors.Join(e, ctx.Err())
	}
	return nil, err
}
