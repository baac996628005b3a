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
	oldest   = 15 // the first major version of PostgreSQL that pgstore works with
)

// errNone: there is no PostgreSQL to be had. A server that should be there and fails is
// another matter.
var errNone = errors.New("no PostgreSQL")

// DSN returns a connection string of a server on which t can make schemas. It is
//   - the one in STEPGATE_PG_DSN, which must answer then;
//   - else one that answers without a password on 127.0.0.1:5432 or on the local socket, as
//     user postgres or as the one who runs the test;
//   - else a private one. It is started from the installed binaries, shared by all tests of
//     the process, and gone when the process is, whichever way that ends.
//
// If there are no binaries either, t is skipped; if CI=true is set, it fails instead. The
// server is looked for once per process. One before PostgreSQL 15 is no server.
func DSN(t testing.TB) string {
	t.Helper()
	dsn, err := found()
	if err != nil {
		refuse(t, err)
	}
	return dsn
}

var found = sync.OnceValues(func() (string, error) { return find(os.Getenv(variable), local()) })

// find returns given if it is not empty, or the first of local that is usable, or starts a
// server.
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
		return fmt.Errorf("%s is not a connection string; what is wrong with it is not said here, because it may hold a password", variable)
	}
	if err := usable(dsn); err != nil {
		return fmt.Errorf("%s names a server that tests cannot use: %w", variable, err)
	}
	return nil
}

// local returns where a server may answer that was installed in the usual way.
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

// usable returns nil if a schema can be made on the server.
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
		return fmt.Errorf("it is PostgreSQL %d, and should be %d or later", version, oldest)
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	_, err = tx.Exec(ctx, fmt.Sprintf("create schema stepgate_test_%016x", rand.Uint64()))
	return err
}
