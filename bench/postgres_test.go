package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/pgkit"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// The error about a connection string does not contain its password.
func TestPasswordsAreNotTold(t *testing.T) {
	for _, dsn := range []string{"postgres://ann:sentinel@db.example:port/jobs", "host='" + t.TempDir() + "' user=ann password=sentinel"} {
		got, err := findServer(t.Context(), dsn)
		if err == nil || got != "" || strings.Contains(err.Error(), "sentinel") {
			t.Errorf("findServer: %q, %v", got, err)
		}
	}
}

func TestPgbenchSample(t *testing.T) {
	got, err := pgbenchSample([]byte(`pgbench (15.20)
progress: 1.0 s, 12.0 tps, lat 0.436 ms stddev 0.118, 0 failed
progress: 2.0 s, 2345.6 tps, lat 0.436 ms stddev 0.118, 0 failed
tps = 1234.5 (without initial connection time)
`))
	if err != nil || got.perSecond != 2345.6 {
		t.Errorf("pgbenchSample = %+v, %v", got, err)
	}
	for _, out := range []string{"nothing", "progress: 2.0 s, 0.0 tps, lat 0.000 ms stddev 0.000, 0 failed"} {
		if got, err := pgbenchSample([]byte(out)); err == nil {
			t.Errorf("pgbenchSample makes %+v of %q", got, out)
		}
	}
}

// The honest statement writes the rows of operations: jobs that it has moved replay to their stored
// states, and their effects differ from those of operations in times and requests only.
func TestHonestStatement(t *testing.T) {
	r := testRun(t)
	if r.dsn == "" {
		t.Skip(r.noPostgres())
	}
	ctx := t.Context()
	dsn, drop, err := r.honestTables(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	}()
	pool, err := connect(ctx, dsn, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	st, err := pgstore.New(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	eng := engine.New(st)
	const operated = store.JobID(pgkit.Jobs)
	for n := range 4 {
		if _, err := eng.Operate(ctx, operated, 1, moves[n%2].code, engine.Request{By: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, jobs := range []int{1, 1, 2, 16} {
		set := fmt.Sprintf("\\set n random(0, %d)\n", pgkit.Jobs/jobs-1)
		statement, found := strings.CutPrefix(pgkit.HonestScript(jobs), set)
		if !found {
			t.Fatalf("the script of %d jobs does not begin with %q", jobs, set)
		}
		fifth := strconv.Itoa(4 / jobs) // the group that job 5 is in
		if err := execute(ctx, dsn, strings.ReplaceAll(statement, ":n", fifth)); err != nil {
			t.Fatalf("of %d jobs: %v", jobs, err)
		}
	}
	want := leftBehind(t, eng, operated)
	for job, records := range map[store.JobID]int{1: 3, 5: 6, 6: 4, 16: 3, 17: 2} {
		replays(t, eng, job, asking(5), records)
		for i, got := range leftBehind(t, eng, job) {
			if got != want[i] {
				t.Errorf("job %d has record\n%s\nwant, as operations leave it,\n%s", job, got, want[i])
			}
		}
	}
}

// leftBehind returns the records of a job with their effects, without the values that differ from job
// to job.
func leftBehind(t *testing.T, eng *engine.Engine, job store.JobID) (all []string) {
	t.Helper()
	records, err := eng.History(t.Context(), job, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	effects, err := eng.Effects(t.Context(), job, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Request == (store.RequestID{}) {
			t.Errorf("record %d of job %d has no request id", r.Seq, job)
		}
		r.Job, r.At, r.Request = 0, 0, store.RequestID{}
		line := fmt.Sprintf("%+v", r)
		for _, e := range effects {
			if e.Seq == r.Seq {
				e.Job, e.At = 0, 0
				line += fmt.Sprintf(" with %+v", e)
			}
		}
		all = append(all, line)
	}
	return all
}

// Request ids differ, from caller to caller and from call to call, and those of a caller ascend.
func TestRequestIDs(t *testing.T) {
	seen := map[store.RequestID]bool{{}: true}
	for range 2 {
		next := requestIDs(3)
		var last [3]store.RequestID
		for n := range 300 {
			id := next(n % 3)
			if seen[id] || bytes.Compare(id[:], last[n%3][:]) <= 0 {
				t.Fatalf("id %d is %v, the caller's last one was %v", n, id, last[n%3])
			}
			seen[id], last[n%3] = true, id
		}
	}
}
