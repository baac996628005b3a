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

// A Server is a PostgreSQL server of one test. fsync is on: its data survives a crash. It listens
// only on a socket in its folder: no other program can take its place while it is down. Its methods
// must be called from the goroutine of the test; they fail the test on an error.
type Server struct {
	t testing.TB
	*instance
}

// Start starts a server from the installed binaries: those in the PATH, otherwise the newest in
// /usr/lib/postgresql. In a test that runs as root, which PostgreSQL refuses, the server runs as an
// unprivileged user: postgres, if there is one. It is stopped and removed when t ends, or soon
// after the process if that ends first. Without binaries Start skips t, or fails it if CI=true is
// set.
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

// DSN returns the server's connection string: database postgres, as a superuser. It stays valid
// after a crash.
func (s *Server) DSN() string { return s.dsn() }

// Crash ends every process of the server with SIGKILL and returns when none is left. The next call
// must be [Server.Restart].
func (s *Server) Crash() {
	s.t.Helper()
	if err := s.kill(); err != nil {
		s.t.Fatalf("pgtest: crash the server: %v", err)
	}
}

// Restart starts a crashed server and returns when it has recovered and answers.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("pgtest: restart the server: %v", err)
	}
}

// launch creates a cluster in a folder of its own and starts a server on it. It fails with errNone
// if PostgreSQL is not installed.
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

// await returns nil when the server at dsn answers, and an error when gone is closed.
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
			return errors.New("the server ended at once")
		case <-ctx.Done():
			return err
		case <-again.C:
		}
	}
}

// withLog adds the end of the server's log to the error of a failed start.
func withLog(err error, folder string) error {
	said, _ := os.ReadFile(filepath.Join(folder, logFile))
	const most = 2000
	return fmt.Errorf("start PostgreSQL: %w; its log: %s", err, said[max(0, len(said)-most):])
}
