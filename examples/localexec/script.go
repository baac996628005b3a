package localexec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const peek = 20 * time.Millisecond // interval of polls for a lock, or for the rest of a script's processes

// A Script is the payload of a script step. It runs once per target, with /bin/sh, in the target's
// directory, with an empty standard input. Its environment is Config.Env, PWD, STEPGATE_JOB,
// STEPGATE_STEP, STEPGATE_ATTEMPT and STEPGATE_TARGET. Background processes survive the script's
// exit, but their output is no longer read; a stop ends them too.
type Script struct {
	Script string `json:"script"` // text of a shell script
}

// Payload returns s as JSON.
func (s Script) Payload() string { return marshal(s) }

// DefaultEnv returns the default of Config.Env: those of PATH, HOME, USER, LOGNAME, TMPDIR, TZ,
// LANG and LC_ALL that this process has. Other variables, which may hold secrets, are not passed
// on. The caller owns the result.
func DefaultEnv() []string {
	env := []string{}
	for _, name := range []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_ALL"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Script is an [executor.HostFunc]: it runs the [Script] of a step. Exit code 0 is
// step.TargetSucceeded, any other step.NonZeroExit. When ctx ends, the script and its children get
// SIGTERM, and after Config.Grace SIGKILL; the result is step.ScriptTerminated. An invalid payload
// makes the step abnormal.
func (d *Directories) Script(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
	var p Script
	err := read(t.Step.Payload, &p, `{"script":"uptime"}`)
	if err == nil && (strings.TrimSpace(p.Script) == "" || strings.ContainsRune(p.Script, 0)) {
		err = errors.New("payload: script: want the text of a shell script, without NUL characters")
	}
	if err != nil {
		t.Break(err.Error())
		return store.Result{Status: step.ScriptFailed, Detail: err.Error()}
	}
	return d.at(ctx, t, h, func(_ *os.Root, held *os.File) store.Result {
		script := exec.Command("/bin/sh", held.Name())
		script.WaitDelay = 300 * time.Millisecond // for which background processes may hold its output open
		script.Dir = filepath.Join(d.c.Root, filepath.FromSlash(h.Name))
		script.Env = append(slices.Clone(d.c.Env), "PWD="+script.Dir, fmt.Sprint("STEPGATE_JOB=", t.Job.ID),
			fmt.Sprint("STEPGATE_STEP=", t.Step.ID), fmt.Sprint("STEPGATE_ATTEMPT=", t.Attempt), "STEPGATE_TARGET="+h.Name)
		log := executor.Log{Job: t.Job.ID, Step: t.Step.ID, Attempt: t.Attempt, Target: h.Index, Stream: executor.Stdout}
		script.Stdout = executor.NewLogWriter(d.c.Logs, log)
		log.Stream = executor.Stderr
		stderr := executor.NewLogWriter(d.c.Logs, log)
		script.Stderr = stderr
		r := d.run(ctx, script, p.Script, held)
		r.Detail = cmp.Or(stderr.LastLine(), r.Detail)
		return r
	})
}

// run writes a script to held and runs it until it has ended, by itself or by the end of ctx.
func (d *Directories) run(ctx context.Context, script *exec.Cmd, text string, held *os.File) store.Result {
	dismiss, err := guard(script, held)
	defer dismiss()
	if err = cmp.Or(err, os.WriteFile(held.Name(), []byte(text), 0o600)); err == nil {
		err = script.Start()
	}
	if err != nil {
		return store.Result{Status: step.ScriptFailed, Detail: err.Error()}
	}
	exited := make(chan error, 1)
	go func() { err := script.Wait(); dismiss(); exited <- err }()
	stopped := false
	select {
	case <-exited:
	case <-ctx.Done():
		stopped = d.end(script.Process, exited)
	}
	r := store.Result{Status: step.TargetSucceeded, ExitCode: int32(script.ProcessState.ExitCode())}
	if status, ok := script.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		r.ExitCode = 128 + int32(status.Signal()) // as in a shell
	}
	switch {
	case stopped:
		r.Status, r.Detail = step.ScriptTerminated, script.ProcessState.String()
	case r.ExitCode != 0:
		r.Status, r.Detail = step.NonZeroExit, script.ProcessState.String()
	}
	return r
}

// end sends SIGTERM to a process and its children, SIGKILL after the grace period, and waits until
// they have ended. It returns false if the process had ended by itself.
func (d *Directories) end(p *os.Process, exited <-chan error) bool {
	byItself := errors.Is(terminate(p), os.ErrProcessDone)
	defer time.AfterFunc(d.c.Grace, func() { kill(p) }).Stop()
	enough := time.Now().Add(d.c.Grace + time.Second) // for the kernel to reap killed processes
	<-exited
	for childrenOf(p) && time.Now().Before(enough) {
		time.Sleep(peek)
	}
	return !byItself
}
