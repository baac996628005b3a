package pgtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/user"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

const (
	variable = "STEPGATE_PG_DSN"
	oldest   = 15 // the oldest major version of PostgreSQL that pgstore supports
)

// errNone means that no PostgreSQL is installed or running. A configured server that fails is
// another error.
var errNone = errors.New("no PostgreSQL")

// DSN returns the connection string of a server on which t can create schemas. It is the first of
//   - the server of STEPGATE_PG_DSN, if that is set: it must answer;
//   - a server that answers without a password on 127.0.0.1:5432 or on the local socket, as user
//     postgres or as the user of the test;
//   - a private server, started from the installed binaries. All tests of the process share it, and
//     it ends with the process, even if that is killed.
//
// Without binaries DSN skips t, or fails it if CI=true is set. It searches once per process, and
// ignores servers before PostgreSQL 15.
func DSN(t testing.TB) string {
	t.Helper()
	dsn, err := found()
	if err != nil {
		refuse(t, err)
	}
	return dsn
}

var found = sync.OnceValues(func() (string, error) { return find(os.Getenv(variable), local()) })

// find returns given if it is not empty, otherwise the first usable server of local, otherwise a
// server that it starts.
func find(given string, local []string) (string, error) {
	if given != "" {
		return given, checkGiven(given)
	}
	for _, dsn := range local {
		if usable(dsn) == nil {
			return dsn, nil
		}
	}
	private, err := launch()
	if err != nil {
		return "", fmt.Errorf("%w; %s is not set, and no server answers on 127.0.0.1:5432 or on the local socket", err, variable)
	}
	return private.dsn(), nil
}

// refuse ends t, which cannot run without a server.
func refuse(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errNone) && os.Getenv("CI") != "true" {
		t.Skipf("pgtest: %v", err)
	}
	t.Fatalf("pgtest: %v", err)
}

func checkGiven(dsn string) error {
	if _, err := pgx.ParseConfig(dsn); err != nil {
		return fmt.Errorf("%s is not a valid connection string (details are withheld: it may hold a password)", variable)
	}
	if err := usable(dsn); err != nil {
		return fmt.Errorf("%s names a server that tests cannot use: %w", variable, err)
	}
	return nil
}

// local returns the connection strings of a server that was installed in the usual way.
func local() []string {
	users := []string{"postgres"}
	if u, err := user.Current(); err == nil {
		users = append(users, u.Username)
	}
	var all []string
	for _, host := range []string{"127.0.0.1", "/var/run/postgresql", "/tmp"} {
		for _, name := range users {
			all = append(all, fmt.Sprintf("host=%s port=5432 user='%s' dbname=postgres connect_timeout=2", host, name))
		}
	}
	return all
}

// usable returns nil if the server is recent enough and a schema can be created on it.
func usable(dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var version int
	if err := conn.QueryRow(ctx, "select current_setting('server_version_num')::int / 10000").Scan(&version); err != nil {
		return err
	}
	if version < oldest {
		return fmt.Errorf("the server is PostgreSQL %d, want %d or later", version, oldest)
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	_, err = tx.Exec(ctx, fmt.Sprintf("create schema stepgate_test_%016x", rand.Uint64()))
	return err
}
