package localexec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const (
	shell  = "/bin/sh"
	linger = 300 * time.Millisecond // that an exited script's output may stay open in others' hands

	// How often the children of a stopped script are looked for.
	peekFirst = 2 * time.Millisecond // doubled each time
	peekMost  = 200 * time.Millisecond
)

// planScript writes the script where the attempt's logs are, so that it has no limit of
// size and can be read afterwards.
func (e *Executor) planScript(a *attempt, p Script) (work, error) {
	logs := e.logs(a.key)
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(logs, "script.sh")
	if err := os.WriteFile(file, []byte(p.Script), 0o600); err != nil {
		return nil, err
	}
	return func(ctx context.Context, t store.Target) (store.Result, bool) { return e.runScript(ctx, a, file, t) }, nil
}

// runScript runs a script on one target.
func (e *Executor) runScript(ctx context.Context, a *attempt, file string, t store.Target) (store.Result, bool) {
	target, err := e.open(t.Name)
	if err != nil {
		return store.Result{Status: step.InvalidTarget, Detail: err.Error()}, false
	}
	defer target.Close()
	out, err := e.record(a.key, t.Index)
	if err != nil {
		return store.Result{Status: step.LogError, Detail: err.Error()}, false
	}
	defer out.close()

	cmd := exec.Command(shell, file)
	cmd.Dir = filepath.Join(e.c.Root, filepath.FromSlash(t.Name))
	cmd.Env = append(slices.Clone(e.c.Env),
		"PWD="+cmd.Dir,
		"STEPGATE_JOB="+strconv.FormatInt(int64(a.job), 10),
		"STEPGATE_STEP="+strconv.FormatInt(int64(a.step), 10),
		"STEPGATE_ATTEMPT="+strconv.FormatInt(int64(a.attempt), 10),
		"STEPGATE_TARGET="+t.Name,
	)
	cmd.Stdout, cmd.Stderr = out.stdout, out.stderr
	cmd.WaitDelay = linger
	exited, err := start(cmd, a.held)
	if err != nil {
		return store.Result{Status: step.ScriptFailed, Detail: err.Error()}, false
	}
	interrupted := false
	select {
	case <-exited:
	case <-ctx.Done():
		interrupted = e.endProcess(cmd.Process, exited)
	}
	r := store.Result{Status: step.TargetSucceeded, ExitCode: exitCode(cmd.ProcessState), Detail: out.stderr.lastLine()}
	switch {
	case interrupted:
		r.Status = step.ScriptTerminated
	case r.ExitCode != 0:
		r.Status = step.NonZeroExit
	}
	if r.Detail == "" && r.Status != step.TargetSucceeded {
		r.Detail = cmd.ProcessState.String()
	}
	return r, interrupted
}

// endProcess asks a process and its children to end, makes them after the grace period,
// and waits until they have. It reports false if the process had ended by itself.
func (e *Executor) endProcess(p *os.Process, exited <-chan struct{}) bool {
	byItself := errors.Is(terminate(p), os.ErrProcessDone)
	if !gone(p, exited, e.c.Grace) {
		kill(p)
		<-exited
		gone(p, exited, time.Second) // the kernel buries them; nothing else can be done
	}
	return !byItself
}

// gone waits for a process and its children to end, and reports whether they have.
func gone(p *os.Process, exited <-chan struct{}, within time.Duration) bool {
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case <-exited:
	case <-limit.C:
		return false
	}
	for delay := peekFirst; childrenOf(p); delay = min(2*delay, peekMost) {
		select {
		case <-time.After(delay):
		case <-limit.C:
			return false
		}
	}
	return true
}

// inherited are the variables of DefaultEnv: where programs are, who the user is, and how
// text and time are written.
var inherited = []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_ALL"}

// DefaultEnv returns the environment of scripts if Config.Env is nil: PATH, HOME, USER,
// LOGNAME, TMPDIR, TZ, LANG and LC_ALL, as far as this process has them. All else, secrets
// above all, stays with this process. The caller owns the result.
func DefaultEnv() []string {
	env := []string{}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// open returns the directory of a target, which has no other name: see Config.Root.
func (e *Executor) open(target string) (*os.Root, error) {
	if err := CheckTarget(target); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(e.c.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for i, c := range target + "/" {
		if c != '/' {
			continue
		}
		if info, err := root.Lstat(filepath.FromSlash(target[:i])); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return nil, fmt.Errorf("target %s: %s is a symbolic link, want a directory", target, target[:i])
		}
	}
	dir, err := root.OpenRoot(filepath.FromSlash(target))
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", target, err)
	}
	return dir, nil
}
