// Package localexec runs the scripts of steps on this machine with /bin/sh, and copies files. It
// has two functions for package executor, [Directories.Script] and [Directories.Copy]. A target is
// a directory. The other examples run their jobs with it.
//
//	d := localexec.New(localexec.Config{Root: "/srv/targets"})
//	err := executor.New(eng, d.Options()...).Run(ctx)
//
// Processes that share Root and State never work on one target of a step at once: each holds a
// locked file in State while it works, also after it has lost its lease and until its script has
// ended. If a process is killed, a guard in the process group of each script ends the script with
// its background processes, and keeps the lock until then.
//
// # Limits
//
// On systems without flock and process groups, such as Windows, there is no lock, and a killed
// process leaves its scripts running. A script must end the process groups that it creates itself.
// Scripts run with all permissions of this process. On a file system that ignores case, h1 and H1
// are two targets with one directory.
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

// A Config configures [Directories]. The zero value of each field selects its default.
type Config struct {
	// Root is the directory of the targets; the default is the working directory. Target NAME is
	// the directory Root/NAME, which must exist. A name that is not in its shortest form or leads
	// through a symbolic link is an invalid target: each directory has one name only.
	Root string

	Sources string        // the directory of the files of File.From; the default is none
	State   string        // the directory of scripts and locks in use; the default is Root with ".state" appended
	Logs    executor.Logs // stores the output of scripts; the default drops it, except the detail of a result
	Env     []string      // NAME=VALUE, in addition to the variables of [Script]; the default is [DefaultEnv]
	Grace   time.Duration // time between SIGTERM and SIGKILL; the default is 5 s
}

// Directories runs scripts and copies files in directories of this machine. It is safe for
// concurrent use. [New] returns one.
type Directories struct{ c Config }

// New returns Directories for c. It does not touch files.
func New(c Config) *Directories {
	c.Root, _ = filepath.Abs(c.Root) // scripts run in other directories
	c.State, _ = filepath.Abs(cmp.Or(c.State, c.Root+".state"))
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	if c.Env == nil {
		c.Env = DefaultEnv()
	}
	return &Directories{c}
}

// Options returns the options of an executor that runs scripts and copies files here, and reports
// under the name localexec.
func (d *Directories) Options() []executor.Option {
	return []executor.Option{executor.Hosts(step.Script, d.Script), executor.Hosts(step.FileTransfer, d.Copy), executor.By("localexec")}
}

// read reads a payload. Unknown fields and trailing data are errors. An error quotes no more of the
// payload than names of fields: contents of files must not enter a job's history.
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
	data, _ := json.Marshal(v) // strings always marshal
	return string(data)
}

// at calls do with the directory of a target while no other process or attempt works there on the
// same step. held is the locked file.
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
	defer os.Remove(held.Name()) // after a crash, the file is used again
	return do(dir, held)
}

// open returns the directory of a target, with the checks of Config.Root.
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

// hold creates a file in State and waits until it can lock it.
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
		if named, _ := os.Stat(name); locked && os.SameFile(opened, named) { // the file was not removed before it was locked
			return file, nil
		}
		_ = file.Close()
		time.Sleep(peek)
		err = errors.Join(e, ctx.Err())
	}
	return nil, err
}
