package sshexec

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const (
	quiet      = time.Second      // without output after the script's end: background processes hold its streams open
	mostOutput = 30 * time.Second // maximum time of output after the script's end
	confirm    = 10 * time.Second // beyond Grace, for the host to confirm a stop
)

// wrapper is the shell program that runs a script on a host.
//
//go:embed wrapper.sh
var wrapper string

// Script is an [executor.HostFunc]: it runs the script of a step on one host. The package
// documentation has the results.
func (x *Remote) Script(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
	p, err := x.payloads.of(t, func(text string) (any, error) {
		var p Script
		if err := read(text, &p, exampleScript); err != nil {
			return nil, err
		}
		return p, p.Check()
	})
	if err != nil {
		return broken(t, err)
	}
	a, f := x.address(ctx, h.Name)
	if f != nil {
		return f.script()
	}
	mark := rand.Text()
	text := p.(Script).Script
	s, f := x.start(ctx, a, "exec", x.command(t, h, mark, len(text)))
	if f != nil {
		return f.script()
	}
	defer x.release(s)
	r := x.record(s, t, h, mark)
	go func() { _, _ = io.WriteString(s, text) }() // the host reports a text that did not arrive whole
	return x.await(ctx, s, r)
}

// command returns the command for the account's shell, on one line that every shell reads alike.
func (x *Remote) command(t *executor.Task, h executor.Host, mark string, size int) string {
	words := []string{
		"exec", "/bin/sh", "-c", "'" + oneLine(wrapper) + "'", "stepgate",
		mark, strconv.Itoa(size), strconv.FormatInt(int64(x.c.Grace/(100*time.Millisecond)), 10),
	}
	return strings.Join(append(words,
		fmt.Sprint("STEPGATE_JOB=", t.Job.ID),
		fmt.Sprint("STEPGATE_STEP=", t.Step.ID),
		fmt.Sprint("STEPGATE_ATTEMPT=", t.Attempt),
		"STEPGATE_TARGET="+escape(h.Name),
	), " ")
}

// oneLine returns a shell program without comments, indentation and ends of lines.
func oneLine(program string) string {
	var words []string
	for line := range strings.Lines(program) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			words = append(words, line)
		}
	}
	return strings.Join(words, " ")
}

// escape returns s as part of a word that every shell reads alike, for the wrapper's printf %b.
// Shells differ in more than quotes: fish has escapes within single quotes, csh expands ! and ends
// a command at the end of a line.
func escape(s string) string {
	var word strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
			word.WriteByte(c)
		default:
			fmt.Fprintf(&word, `'\0%03o'`, c)
		}
	}
	return word.String()
}

// A recording copies the output of a script to its logs.
type recording struct {
	stdout, stderr *executor.LogWriter
	begun          chan struct{} // closed when the script has begun
	ended          chan struct{} // closed when both streams have ended
	writes         atomic.Int64  // finished writes
	underWay       atomic.Int32  // unfinished writes, while Logs are slow
}

// record starts a recording of the streams of a session.
func (x *Remote) record(s *session, t *executor.Task, h executor.Host, mark string) *recording {
	var logs executor.Logs
	if x.c.Logs != nil {
		logs = newQuota(x.c.Logs, x.c.OutputLimit)
	}
	r := &recording{
		stdout: executor.NewLogWriter(logs, log(t, h, executor.Stdout)),
		stderr: executor.NewLogWriter(logs, log(t, h, executor.Stderr)),
		begun:  make(chan struct{}), ended: make(chan struct{}),
	}
	var streams sync.WaitGroup
	streams.Go(func() { r.copy(&afterMark{to: r.stdout, mark: mark, begun: r.begun}, s) })
	streams.Go(func() { r.copy(r.stderr, s.Stderr()) })
	go func() {
		streams.Wait()
		close(r.ended)
	}()
	return r
}

func (r *recording) copy(to io.Writer, from io.Reader) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			r.underWay.Add(1)
			_, _ = to.Write(buffer[:n])
			r.writes.Add(1)
			r.underWay.Add(-1)
		}
		if err != nil {
			return
		}
	}
}

// drain waits for the rest of the output, and for slow Logs to take it. Background processes can
// hold the streams open: drain returns after a second without output, at the latest a second after
// enough is closed, or after mostOutput. Its error means that output is missing.
func (r *recording) drain(enough <-chan struct{}) error {
	limit := time.After(mostOutput)
	for before := r.writes.Load(); ; {
		select {
		case <-r.ended:
			return nil
		case <-enough:
			enough, limit = nil, time.After(quiet)
			continue
		case <-limit:
			if r.underWay.Load() > 0 {
				return errors.New("the logs are slow")
			}
			return nil
		case <-time.After(quiet):
		}
		waits := r.underWay.Load() > 0 // read before writes: a write that ends between the two counts in writes
		now := r.writes.Load()
		if now == before && !waits {
			return nil
		}
		before = now
	}
}

// await waits for the end of a script, and stops it when ctx ends.
func (x *Remote) await(ctx context.Context, s *session, r *recording) store.Result {
	var e exit
	ok, interrupted, enough := true, false, ctx.Done()
	select {
	case e = <-s.exited:
	case <-s.closed:
		if e, ok = s.exit(); !ok {
			return failed(lost, "the connection died, the outcome is unknown").script()
		}
	case <-ctx.Done():
		if e, ok = s.exit(); ok {
			break // ended by itself
		}
		interrupted, enough = true, nil
		if e, ok = x.stop(s); !ok {
			return store.Result{Status: step.TerminateFailed, Detail: fmt.Sprintf("no answer within %v of the stop", x.c.Grace+confirm)}
		}
	}
	missing := r.drain(enough)
	return r.result(ctx, e, interrupted, missing)
}

// stop makes the host stop the script of a session, by the end of its standard input: the guard
// then ends the process group. It returns false if the host does not confirm the stop in time.
func (x *Remote) stop(s *session) (exit, bool) {
	_ = s.CloseWrite()
	limit := time.NewTimer(x.c.Grace + confirm)
	defer limit.Stop()
	select {
	case e := <-s.exited:
		return e, true
	case <-s.closed:
	case <-limit.C:
	}
	e, ok := s.exit()
	if !ok {
		s.conn.close()
	}
	return e, ok
}

// result returns the result of a script that has ended, by itself or at the end of ctx. missing is
// the error of missing output.
func (r *recording) result(ctx context.Context, e exit, interrupted bool, missing error) store.Result {
	result := store.Result{Status: step.TargetSucceeded, ExitCode: e.code, Detail: r.stderr.LastLine()}
	begun := false
	select {
	case <-r.begun:
		begun = true
	default:
	}
	switch {
	case !begun && !interrupted:
		result.Status = step.ScriptFailed
	case interrupted && isLate(ctx):
		result.Status = step.ScriptTimedOut
	case interrupted && !begun:
		result.Status = step.TargetTerminated
	case interrupted:
		result.Status = step.ScriptTerminated
	case e.code != 0:
		result.Status = step.NonZeroExit
	}
	switch {
	case result.Detail != "" || result.Status == step.TargetSucceeded:
	case e.signal != "":
		result.Detail = "signal " + e.signal
	default:
		result.Detail = fmt.Sprintf("exit status %d", e.code)
	}
	if err := cmp.Or(r.stdout.Err(), r.stderr.Err(), missing); err != nil {
		result.Detail = strings.TrimPrefix(result.Detail+"; output is missing: "+err.Error(), "; ")
	}
	return result
}
