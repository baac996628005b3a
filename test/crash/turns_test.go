package crash

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// turnsVariable is the number of jobs of TestTurnsInManyProcesses, if it is set.
const turnsVariable = "STEPGATE_CRASH_TURNS"

// Jobs of one key run in eight processes, some of which are killed. As many of them as the limit are
// under way at one moment, and never more, and each has one attempt. A handler runs once for each claim
// of a job. A job whose process was killed is claimed again when the lease has run out: its run is
// delivered again, under the next number.
func TestTurnsInManyProcesses(t *testing.T) {
	const processes, kills, limit = 8, 4, 8
	jobs := 400
	if testing.Short() {
		jobs = 200
	}
	if text := os.Getenv(turnsVariable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n <= limit {
			t.Fatalf("%s=%s: want a number above %d", turnsVariable, text, limit)
		}
		jobs = n
	}
	ran := tally(filepath.Join(t.TempDir(), "tally"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	place := schema(t)
	st, done, err := openPostgres(ctx, place)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	e := engine.New(st)
	start := func() *child {
		return startChild(t, assignment{Kind: postgres.name, Place: place, Ledger: string(ran), Turns: true, Lease: time.Second})
	}
	var children []*child
	for range processes {
		children = append(children, start())
	}

	ids := make([]store.JobID, jobs)
	var starting sync.WaitGroup
	for first := range people {
		starting.Go(func() {
			spec := engine.JobSpec{Name: "a job", Steps: []step.Spec{{Type: step.Script, Name: "run", Targets: []string{"host"}}}}
			spec.Turn = store.Turn{Key: "production", Limit: limit}
			for i := first; i < jobs; i += people {
				created, err := e.Create(ctx, spec, engine.Request{})
				if err == nil {
					_, err = e.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{})
				}
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = created.Job
			}
		})
	}
	most, killed, open := 0, 0, false // the handlers hold their jobs until as many are under way as the limit
	kill := func() {
		children[killed].kill(t, 0)
		children = append(children, start())
		killed++
	}
	for {
		counts, err := st.Counts(ctx, store.Scope{}, jobs+1) // of one moment
		if err != nil {
			t.Fatal(err)
		}
		under := counts[step.Running] + counts[step.Terminating]
		if under > limit {
			t.Fatalf("%d jobs are under way, want at most %d", under, limit)
		}
		if most = max(most, under); most == limit && !open {
			calls, err := ran.calls()
			if err != nil {
				t.Fatal(err)
			}
			if open = len(calls) >= limit; open { // each of the jobs under way is held by a handler: one of these is killed
				holder := slices.IndexFunc(children, func(c *child) bool { return c.cmd.Process.Pid == calls[0].process })
				children[0], children[holder] = children[holder], children[0]
				kill()
				if err := ran.open(); err != nil {
					t.Fatal(err)
				}
			}
		}
		ended := counts[step.Succeeded]
		if ended == jobs {
			break
		}
		if open && killed < kills && ended > jobs*(killed+1)/(kills+1) {
			kill()
		}
		rest(ctx)
	}
	starting.Wait()
	for _, c := range children[killed:] {
		c.kill(t, 0)
	}
	if killed != kills || most != limit {
		t.Errorf("%d processes were killed, and up to %d jobs were under way at once: want %d, and %d", killed, most, kills, limit)
	}
	calls, err := ran.calls()
	if err != nil {
		t.Fatal(err)
	}
	claims := map[store.JobID]map[int32]bool{}
	for _, c := range calls {
		if claims[c.job] == nil {
			claims[c.job] = map[int32]bool{}
		}
		if claims[c.job][c.claim] {
			t.Errorf("claim %d of job %d was run twice, want once", c.claim, c.job)
		}
		claims[c.job][c.claim] = true
	}
	again := len(calls) - len(claims)
	if len(claims) != jobs || again < 1 {
		t.Errorf("handlers ran %d jobs and %d of them again: want %d, and one at least", len(claims), again, jobs)
	}
	for _, id := range ids {
		records, err := e.History(ctx, id, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		begun := 0
		for _, r := range records {
			if r.Effect == store.RunTargets {
				begun++
			}
		}
		if s, err := e.Step(ctx, id, 1); begun != 1 || err != nil || s.State != step.Succeeded || s.Attempt != 1 {
			t.Errorf("job %d began %d runs and is %v in attempt %d, %v; want one that has succeeded", id, begun, s.State, s.Attempt, err)
		}
	}
	t.Logf("%d jobs, %d of their runs were delivered again", jobs, again)
	if err := enginetest.CheckTurns(ctx, st, ids...); err != nil {
		t.Error(err)
	}
}
