//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

// The processes of a cluster are runs of the test.
func TestMain(m *testing.M) {
	if role, ok := parseRole(os.Args[1:]); ok {
		if err := role.serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// With any processes killed, every job ends, and the proof holds. The proof fails once a row was
// changed.
func TestCluster(t *testing.T) {
	o := options{dsn: pgtest.DSN(t), jobs: 10, workers: 3, kills: 5, freezes: 2, seed: 5, timeout: time.Minute}
	s, remove, err := prepare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), o.timeout)
	defer cancel()
	began := time.Now()
	c := newCluster(s, o)
	if err := c.run(ctx); err != nil {
		t.Fatal(err)
	}
	if c.killed[operating] == 0 || c.killed[operating]+c.killed[working] != o.kills || c.restarts == 0 {
		t.Errorf("%d operators and %d workers were killed, and %d started again, want %d killed", c.killed[operating], c.killed[working], c.restarts, o.kills)
	}
	if c.frozen != o.freezes {
		t.Errorf("%d workers were frozen, want %d", c.frozen, o.freezes)
	}
	if len(c.live) != 0 {
		t.Errorf("%d processes are left", len(c.live))
	}
	found, err := proveIn(t.Context(), s, c.told.acknowledged)
	if err != nil {
		t.Fatalf("the proof fails:\n%v", err)
	}
	if found.expired == 0 {
		t.Error("no attempt expired, want some to")
	}
	if err := table(t.Output(), c, found, time.Since(began)); err != nil {
		t.Error(err)
	}
	for _, x := range tampers {
		t.Run(x.what, func(t *testing.T) { x.isFound(t, s, c.told.acknowledged) })
	}
	if _, err := proveIn(t.Context(), s, c.told.acknowledged); err != nil {
		t.Errorf("the tables are as they were, and the proof fails:\n%v", err)
	}
	t.Run("a record that was acknowledged is another's", func(t *testing.T) {
		_, err := proveIn(t.Context(), s, map[store.RequestID]bool{{1}: true})
		if err == nil || !strings.Contains(err.Error(), "was acknowledged and is in no history") {
			t.Errorf("the proof says %v", err)
		}
	})
}

// A tamper changes a row of a table.
type tamper struct {
	what  string
	table string
	sql   string
	says  string // the proof
}

var tampers = []tamper{
	{"a record is gone", "stepgate_records", `DELETE FROM stepgate_records
		WHERE ctid = (SELECT ctid FROM stepgate_records WHERE seq = 3 LIMIT 1)`, "the history chains"},
	{"a record leads elsewhere", "stepgate_records", `UPDATE stepgate_records SET to_state = 9
		WHERE ctid = (SELECT ctid FROM stepgate_records WHERE seq = 2 LIMIT 1)`, "the history chains"},
	{"a record counts a success more", "stepgate_records", `UPDATE stepgate_records SET succeeded = succeeded + 1
		WHERE ctid = (SELECT ctid FROM stepgate_records WHERE cause = 66 LIMIT 1)`, "promise"}, // all_succeeded: no retry of all has it count anew
	{"two records are of one request", "stepgate_records", `UPDATE stepgate_records
		SET request = (SELECT request FROM stepgate_records WHERE job = (SELECT max(id) FROM stepgate_jobs) LIMIT 1)
		WHERE job = (SELECT min(id) FROM stepgate_jobs) AND seq = 1`, "was carried out before"},
	{"a result is gone", "stepgate_results", `DELETE FROM stepgate_results
		WHERE ctid = (SELECT ctid FROM stepgate_results WHERE finished <> 0 LIMIT 1)`, "results, by the history"},
	{"a target has succeeded before", "stepgate_results", `UPDATE stepgate_results SET status = 9, success = attempt
		WHERE ctid = (SELECT r.ctid FROM stepgate_results r JOIN stepgate_results later USING (job, step, idx)
			JOIN stepgate_steps s ON s.job = r.job AND s.id = r.step
			WHERE r.status = 104 AND later.attempt > r.attempt AND later.status = 9 AND s.run_full <= r.attempt LIMIT 1)`, "and again in"},
	{"a step is in another attempt", "stepgate_steps", `UPDATE stepgate_steps SET attempt = attempt + 1
		WHERE ctid = (SELECT ctid FROM stepgate_steps WHERE attempt > 0 LIMIT 1)`, "promise"},
	{"an effect waits", "stepgate_effects", `INSERT INTO stepgate_effects (job, seq, at, not_before, effect, step, type, attempt, run_full, job_to, scope_type, scope_id)
		SELECT r.job, r.seq, r.at, 0, r.effect, s.id, s.type, r.attempt, r.run_full, 0, '', ''
		FROM stepgate_records r JOIN stepgate_steps s ON s.job = r.job AND s.id = r.step WHERE r.effect <> 0 LIMIT 1`, "effects wait"},
}

// isFound wants the proof to fail for x, and leaves the table as it was.
func (x tamper) isFound(t *testing.T, s setting, acknowledged map[store.RequestID]bool) {
	execute := func(sql string) {
		t.Helper()
		if err := s.execute(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	execute("CREATE TABLE kept AS TABLE " + x.table)
	execute(x.sql)
	if _, err := proveIn(t.Context(), s, acknowledged); err == nil || !strings.Contains(err.Error(), x.says) {
		t.Errorf("the proof says %v, want %q", err, x.says)
	}
	execute("DELETE FROM " + x.table)
	execute(fmt.Sprintf("INSERT INTO %s TABLE kept", x.table))
	execute("DROP TABLE kept")
}

// A script that ends after another one of its step has begun is found; one that was killed, and one
// of another step, is not.
func TestTwoScriptsAtOnceAreFound(t *testing.T) {
	s := setting{Dir: t.TempDir()}
	for host, lines := range map[string]string{
		hosts[0]: "1.1 1 10\n1.1 1 11\n1.1 1 11 end\n1.1 2 12\n1.1 2 12 end\n",
		hosts[1]: "1.1 1 20\n2.1 1 21\n1.1 1 20 end\n2.1 1 21 end\n",
		hosts[2]: "1.1 1 30\n1.1 2 31\n1.1 1 30 end\n1.1 2 31 end\n",
	} {
		dir := filepath.Join(s.targets(), host)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, evidence), []byte(lines), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	ran, again, err := s.scripts()
	if want := hosts[2] + ": process 30 of step 1.1, attempt 1, ended after process 31 had begun"; err == nil || err.Error() != want {
		t.Errorf("the fault is %v, want %s", err, want)
	}
	if ran != 7 || again != 1 {
		t.Errorf("%d scripts ran and %d of them again, want 7 and 1", ran, again)
	}
}

// An interrupt ends the processes and removes what the cluster has made.
func TestInterrupt(t *testing.T) {
	o := options{dsn: pgtest.DSN(t), jobs: 10, workers: 2, seed: 1, timeout: time.Minute}
	t.Setenv("TMPDIR", t.TempDir())
	ctx, interrupt := context.WithTimeout(t.Context(), time.Second)
	defer interrupt()
	if err := o.run(ctx, io.Discard); err == nil || err.Error() != "interrupted" {
		t.Errorf("run = %v, want it to say that it was interrupted", err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// A connection string that is none shows in no message.
func TestPasswordsAreNotPrinted(t *testing.T) {
	o := options{dsn: "postgres://ann:sec ret@127.0.0.1:1/x", jobs: 1, workers: 1, timeout: time.Second}
	if err := o.run(t.Context(), io.Discard); err == nil || strings.Contains(err.Error(), "ret") {
		t.Errorf("run = %v, want an error without the password", err)
	}
	o.dsn = "postgres://ann:secret@127.0.0.1:1/x"
	if err := o.run(t.Context(), io.Discard); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("run = %v, want an error without the password", err)
	}
}

func TestOptions(t *testing.T) {
	t.Setenv(variable, "host=elsewhere")
	if o, err := parseOptions([]string{"-jobs", "3"}); err != nil || o.jobs != 3 || o.dsn != "host=elsewhere" {
		t.Errorf("parseOptions = %+v, %v, want 3 jobs on the server that %s names", o, err, variable)
	}
	for _, args := range [][]string{{"-jobs", "0"}, {"-workers", "0"}, {"-kills", "-1"}, {"-freezes", "-1"}, {"-timeout", "0"}, {"more"}, {"worker", "one"}} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("parseOptions(%q) = nil, want an error", args)
		}
	}
}
