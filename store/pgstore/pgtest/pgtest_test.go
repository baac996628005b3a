package pgtest

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/internal/pgkit"
)

// Every connection of a pool works in the schema of its test, and no other test sees it.
func TestPoolHasASchemaOfItsOwn(t *testing.T) {
	a, b := Pool(t), Pool(t)
	execute(t, a, "create table mine (n int)")
	for range a.Config().MaxConns {
		conn, err := a.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		if _, err := conn.Exec(t.Context(), "insert into mine values (1)"); err != nil {
			t.Errorf("another connection of the pool: %v", err)
		}
	}
	if _, err := b.Exec(t.Context(), "select from mine"); err == nil {
		t.Error("a table of one test is there for another one")
	}
}

func TestSchemaGoesWithItsTest(t *testing.T) {
	var name string
	t.Run("the test", func(t *testing.T) {
		pool := Pool(t)
		execute(t, pool, "create table mine (n int)")
		name = value[string](t, pool, "select current_schema()")
	})
	if n := value[int](t, Pool(t), "select count(*) from pg_namespace where nspname = $1", name); n != 0 {
		t.Errorf("schema %s is still there", name)
	}
}

// A schema is added to connection strings of both kinds, whatever else they say.
func TestWithin(t *testing.T) {
	for _, dsn := range []string{
		"postgres://ann:pa%20ss@db.example:5433/jobs?sslmode=disable",
		"postgresql://ann:pa%20ss@db.example:5433/jobs?sslmode=disable&search_path=other",
		"host=db.example port=5433 user=ann password='pa ss' dbname=jobs sslmode=disable",
	} {
		config, err := pgx.ParseConfig(pgkit.Within(dsn, "mine"))
		if err != nil {
			t.Fatalf("%s: %v", dsn, err)
		}
		got := fmt.Sprintf("%s:%d %s %q %s %v %v", config.Host, config.Port, config.User, config.Password, config.Database, config.TLSConfig, config.RuntimeParams)
		if want := `db.example:5433 ann "pa ss" jobs <nil> map[search_path:mine]`; got != want {
			t.Errorf("Within(%s) reads as\n%s, want\n%s", dsn, got, want)
		}
	}
}

// The error about a connection string does not contain its password.
func TestPasswordsAreNotTold(t *testing.T) {
	const password = "sentinel"
	silent := url.QueryEscape(t.TempDir()) // no server listens on a socket in it
	for _, dsn := range []string{
		"postgres://ann:" + password + "@/jobs?host=" + silent,
		"host='" + t.TempDir() + "' user=ann password=" + password,
		"postgres://ann:" + password + "@db.example:port/jobs",
		"postgres://ann:" + password + "@db.example/jobs?sslmode=perhaps",
		"host=db.example password='" + password,
		"postgres//ann:" + password + "@db.example",
		"postgres://ann:%" + password + "@db.example",
	} {
		err := checkGiven(dsn)
		if err == nil {
			t.Errorf("nothing is wrong with %s", dsn)
			continue
		}
		if strings.Contains(err.Error(), password) {
			t.Errorf("the error tells the password: %v", err)
		}
		if !strings.Contains(err.Error(), variable) {
			t.Errorf("the error does not say that it is about %s: %v", variable, err)
		}
	}
}

// Without PostgreSQL a test is skipped, and fails where CI=true is set. It always fails if a
// server that should be there is not.
func TestRefuse(t *testing.T) {
	none := fmt.Errorf("%w: no initdb", errNone)
	for _, c := range []struct {
		ci   string
		err  error
		want string
	}{
		{"", none, "skip pgtest: no PostgreSQL: no initdb"},
		{"true", none, "fail pgtest: no PostgreSQL: no initdb"},
		{"", os.ErrPermission, "fail pgtest: permission denied"},
		{"true", os.ErrPermission, "fail pgtest: permission denied"},
	} {
		t.Setenv("CI", c.ci)
		said := &judged{TB: t}
		refuse(said, c.err)
		if first := said.all[0]; first != c.want {
			t.Errorf("CI=%s, %v: %q, want %q", c.ci, c.err, first, c.want)
		}
	}
}

// judged is a test that goes on after it was skipped or failed.
type judged struct {
	testing.TB
	all []string
}

func (j *judged) Skipf(f string, a ...any)  { j.all = append(j.all, "skip "+fmt.Sprintf(f, a...)) }
func (j *judged) Fatalf(f string, a ...any) { j.all = append(j.all, "fail "+fmt.Sprintf(f, a...)) }

func execute(t *testing.T, pool *pgxpool.Pool, statement string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func value[T any](t *testing.T, pool *pgxpool.Pool, query string, args ...any) T {
	t.Helper()
	var v T
	if err := pool.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}
