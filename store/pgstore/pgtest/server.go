package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Server is a PostgreSQL of one test's own, which keeps its data through a crash: fsync is
// on. It listens on a socket in its folder and nowhere else, so that no other program can
// take its place while it is down. Its methods belong to the goroutine of the test.
type Server struct {
	t testing.TB
	*instance
}

// Start starts a server from the installed binaries: those in the PATH, or else the newest in
// /usr/lib/postgresql. It runs as postgres or nobody if the test is root, which PostgreSQL
// refuses to be. It is stopped and removed when t ends, and soon after the process if that
// ends first. Without binaries t is skipped, or fails if CI=true is set.
func Start(t testing.TB) *Server {
	t.Helper()
	i, err := launch()
	if err != nil {
		refuse(t, err)
	}
	t.Cleanup(func() {
		if err := i.remove(); err != nil {
			t.Errorf("pgtest: remove the server: %v", err)
		}
	})
	return &Server{t, i}
}

// DSN returns the server's connection string, which outlives crashes: database postgres, as a
// superuser.
func (s *Server) DSN() string { return s.dsn() }

// Crash ends every process of the server with SIGKILL and returns when there is none left.
// Only [Server.Restart] may follow it.
func (s *Server) Crash() {
	s.t.Helper()
	if err := s.kill(); err != nil {
		s.t.Fatalf("pgtest: crash the server: %v", err)
	}
}

// Restart starts a server that has crashed and returns when it has recovered and answers.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("pgtest: restart the server: %v", err)
	}
}

// launch makes a cluster in a folder of its own and starts a server on it. The error is
// errNone if nothing is installed.
func launch() (*instance, error) {
	i, err := newInstance()
	if err != nil {
		return nil, err
	}
	if err := i.start(); err != nil {
		return nil, errors.Join(err, i.remove())
	}
	if err := usable(i.dsn()); err != nil {
		return nil, errors.Join(err, i.remove())
	}
	return i, nil
}

// await returns when the server at dsn answers; gone tells that it has ended instead.
func await(dsn string, gone <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-gone:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return err
		case <-again.C:
		}
	}
}

// withLog adds to a failure to start what the server said in its log.
func withLog(err error, folder string) error {
	said, _ := os.ReadFile(filepath.Join(folder, logFile))
	const most = 2000
	return fmt.Errorf("start PostgreSQL: %w; it said: %s", err, said[max(0, len(said)-most):])
}
