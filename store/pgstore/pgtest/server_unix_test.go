//go:build unix

package pgtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// After a crash the server has the committed rows and no others, and its old connections are
// broken.
func TestServerCrashes(t *testing.T) {
	s := Start(t)
	pool, err := pgxpool.New(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	execute(t, pool, "create table kept (n int)")
	for n := range 2 {
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "insert into kept values (-1)"); err != nil {
			t.Fatal(err)
		}
		execute(t, pool, fmt.Sprintf("insert into kept values (%d)", n))
		s.Crash()
		if err := tx.Commit(t.Context()); err == nil {
			t.Error("a transaction was committed after the crash")
		}
		s.Restart()
		pool.Reset() // what it has kept open is broken
		if got := value[string](t, pool, "select string_agg(n::text, ' ' order by n) from kept"); got != "0 1"[:2*n+1] {
			t.Fatalf("after crash %d the table holds %s", n+1, got)
		}
	}
	if got := value[string](t, pool, "show fsync"); got != "on" {
		t.Errorf("fsync is %s", got)
	}
}

// Where no server is known, one is started.
func TestFindStartsAServer(t *testing.T) {
	dsn, err := find("", []string{"host='" + t.TempDir() + "'"})
	if err != nil {
		refuse(t, err)
	}
	if err := usable(dsn); err != nil {
		t.Errorf("the server that was started: %v", err)
	}
}

const childVariable = "STEPGATE_PGTEST_CHILD"

// A private server and its folder go when the process that started it is killed.
func TestServerGoesWithItsProcess(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		fmt.Println("folder", Start(t).folder)
		_, _ = io.Copy(io.Discard, os.Stdin) // which ends with the parent at the latest
		return
	}
	if _, _, err := programs(); err != nil {
		refuse(t, err)
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), childVariable+"=1")
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	folder, ok := strings.CutPrefix(strings.TrimSpace(line), "folder ")
	_ = child.Process.Kill()
	_ = child.Wait()
	if !ok {
		t.Fatalf("the child says %q, %v, and not where its server is", line, err)
	}
	for limit := time.After(patience); ; {
		if _, err := os.Stat(folder); os.IsNotExist(err) {
			return
		}
		select {
		case <-limit:
			t.Fatalf("%s is still there", folder)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
