package sshexec

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/pkg/sftp"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Files is an [executor.HostFunc]: it copies the files of a step to one host, and logs one line per
// file to Stdout. The package documentation has the results.
func (x *Remote) Files(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
	p, err := x.payloads.of(t, func(text string) (any, error) { return x.readFiles(text) })
	if err != nil {
		return broken(t, err)
	}
	a, f := x.address(ctx, h.Name)
	if f != nil {
		return f.files()
	}
	s, f := x.start(ctx, a, "subsystem", "sftp")
	if f != nil {
		return f.files()
	}
	defer x.release(s)
	done := make(chan struct{})
	defer close(done)
	// A stopped transfer has Grace to remove the file that it has begun.
	unwatch := context.AfterFunc(ctx, func() {
		select {
		case <-done:
		case <-time.After(x.c.Grace):
			s.conn.close()
		}
	})
	defer unwatch()
	go func() { _, _ = io.Copy(io.Discard, s.Stderr()) }()
	limit := time.AfterFunc(x.c.Handshake, s.conn.close)
	client, err := sftp.NewClientPipe(s, s, sftp.MaxConcurrentRequestsPerFile(atOnce))
	switch inTime := limit.Stop(); {
	case !inTime:
		return failed(serverFailed, "no answer from sftp within %v", x.c.Handshake).files()
	case err != nil:
		return x.broke(ctx, s, fmt.Errorf("sftp: %w", err), "").files()
	}
	c := copier{x: x, client: client, log: executor.NewLogWriter(x.c.Logs, log(t, h, executor.Stdout))}
	return x.copyAll(ctx, s, &c, p.(Files).Files, fmt.Sprintf(".stepgate-%d-%d-%d", t.Job.ID, t.Step.ID, h.Index), t.Attempt > 1 || t.Delivery > 1)
}

// readFiles reads a payload. Without Config.Sources it refuses files with From.
func (x *Remote) readFiles(text string) (any, error) {
	var p Files
	if err := read(text, &p, exampleFiles); err != nil {
		return nil, err
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	for i, f := range p.Files {
		if f.From != "" && x.c.Sources == "" {
			return nil, malformed(fmt.Sprintf("files[%d].from", i), "%q: this executor has no sources: want content", f.From)
		}
	}
	return p, nil
}

// copyAll copies files up to the first that fails. again reports that an earlier run may have left
// temporary files.
func (x *Remote) copyAll(ctx context.Context, s *session, c *copier, files []File, prefix string, again bool) store.Result {
	for i, f := range files {
		mine := fmt.Sprintf("%s-%d-", prefix, i)
		if again {
			c.sweep(path.Dir(path.Clean(f.To)), mine)
		}
		n, err := c.copy(ctx, f, mine+rand.Text()[:8])
		if err == nil {
			fmt.Fprintf(c.log, "%s: %d bytes\n", f.To, n)
			continue
		}
		fmt.Fprintf(c.log, "%s: %v\n", f.To, err)
		here := (*localError)(nil)
		switch {
		case ctx.Err() != nil:
			return x.broke(ctx, s, err, f.To).files()
		case errors.As(err, &here):
			return store.Result{Status: here.status, Detail: err.Error()}
		case answered(err):
			return store.Result{Status: step.CopyFailed, Detail: fmt.Sprintf("%s: %v", f.To, err)}
		}
		return x.broke(ctx, s, err, f.To).files()
	}
	return store.Result{Status: step.TargetSucceeded}
}

// broke returns the failure of a transfer that ended during file to.
func (x *Remote) broke(ctx context.Context, s *session, err error, to string) *failure {
	switch {
	case isLate(ctx):
		return failed(late, "%s: the step's deadline passed", to)
	case ctx.Err() != nil:
		return failed(stopped, "%s: stopped", to)
	case s.conn.alive(x.c.KeepAlive):
		return failed(serverFailed, "%w", err)
	}
	s.conn.close()
	return failed(lost, "%s: the connection died: %w", to, err)
}

// answered reports whether an error is the host's answer to a request.
func answered(err error) bool {
	status := (*sftp.StatusError)(nil)
	if errors.As(err, &status) {
		return status.FxCode() != sftp.ErrSSHFxConnectionLost && status.FxCode() != sftp.ErrSSHFxNoConnection
	}
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrExist)
}
