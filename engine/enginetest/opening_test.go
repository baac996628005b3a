package enginetest_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// openings returns how many gates TestGatesOpenOnce opens: a million, or fewer under -short, unless the
// environment says otherwise.
func openings(t *testing.T) int {
	text := os.Getenv("STEPGATE_OPENINGS")
	switch {
	case text == "" && testing.Short():
		return 50_000
	case text == "":
		return 1_000_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("STEPGATE_OPENINGS: %v, want a number of gates", err)
	}
	return n
}

// starts is a store that counts the runs of each attempt: the records that ask for one. Now and then another
// engine sweeps while one is about to open a gate.
type starts struct {
	store.Store
	jobs    map[store.JobID]*course
	opened  int    // gates
	meets   func() // sweeps on another engine; nil while it does
	commits int
	listed  int // gates that a sweep was to open, or found opened by another one
}

// course is what is known of one job of one step that fails again and again.
type course struct {
	attempt int32     // the last that has started
	opens   step.Time // the gate after it; zero if the attempt is under way
	twice   bool      // an attempt started twice, out of turn, or before its gate's moment
}

// Commit commits c and notes what starts or waits. Before every hundredth commit another engine sweeps.
func (s *starts) Commit(ctx context.Context, c store.Change) error {
	if s.commits++; s.commits%100 == 0 && c.Records[0].Cause == step.Opened {
		s.meet()
	}
	if err := s.Store.Commit(ctx, c); err != nil {
		return err
	}
	job := s.jobs[c.Job.ID]
	if job == nil {
		job = new(course)
		s.jobs[c.Job.ID] = job
	}
	for i := range c.Records {
		switch r := &c.Records[i]; {
		case r.Gate.Reason != step.NoGate:
			job.opens = r.Gate.Until
		case r.Effect == store.RunTargets:
			job.twice = job.twice || r.Attempt != job.attempt+1 || r.At < job.opens
			job.attempt, job.opens = r.Attempt, 0
			if r.Cause == step.Opened {
				s.opened++
			}
		}
	}
	return nil
}

// Overdue counts what it lists.
func (s *starts) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	list, err := s.Store.Overdue(ctx, scope, now, limit)
	s.listed += len(list)
	return list, err
}

// meet lets another engine sweep.
func (s *starts) meet() {
	if f := s.meets; f != nil {
		s.meets = nil
		f()
		s.meets = f
	}
}

// 10,000 jobs fail again and again, and the gates of their retries are opened by three engines on one store
// whose clocks jump by up to a day, forth and back. Each attempt starts once, and not before its gate's
// moment.
func TestGatesOpenOnce(t *testing.T) {
	t.Parallel()
	most := openings(t)
	s := openGates(t, memstore.New(), 10_000, most)
	for id, job := range s.jobs {
		if job.twice {
			t.Errorf("job %d: an attempt up to %d started twice, out of turn, or before its gate's moment", id, job.attempt)
		}
	}
	if met := s.listed - s.opened; met < most/100 {
		t.Errorf("%d gates opened, and %d times a sweep came after another engine's, want %d", s.opened, met, most/100)
	} else {
		t.Logf("%d gates opened, and %d times a sweep came after another engine's", s.opened, met)
	}
}

// On a store that does not look at versions, some attempt starts twice.
func TestGatesOpenTwiceOnABrokenStore(t *testing.T) {
	broken := storetest.Broken()
	i := slices.IndexFunc(broken, func(b storetest.Breakage) bool { return b.Name == "lost update" })
	s := openGates(t, broken[i].Break(memstore.New()), 100, 10_000)
	for _, job := range s.jobs {
		if job.twice {
			return
		}
	}
	t.Error("each attempt started once")
}

// openGates makes a number of jobs fail on st until most gates have opened.
func openGates(t *testing.T, st store.Store, jobs, most int) *starts {
	const day = 24 * time.Hour
	random := rand.New(rand.NewPCG(17, testkit.Seed(t)))
	base := time.UnixMilli(1_800_000_000_000)
	var jump [3]time.Duration
	s := &starts{Store: st, jobs: map[store.JobID]*course{}}
	var engines [3]*engine.Engine
	for i := range engines {
		engines[i] = engine.New(s, engine.WithClock(func() time.Time { return base.Add(jump[i]) }))
	}
	ctx := context.Background()
	sweep := func(i int) {
		if _, err := engines[i].Sweep(ctx); err != nil {
			t.Fatal(err)
		}
	}
	create := func() store.JobID {
		made, err := engines[0].Create(ctx, engine.JobSpec{Name: "job", Steps: []step.Spec{{
			Type: step.Script, Name: "fails", Targets: []string{"a"}, Retry: step.Retry{Attempts: 1000, After: time.Minute, Most: day},
		}}}, engine.Request{})
		if err == nil {
			_, err = engines[0].OperateJob(ctx, made.Job, operation.StartJob, engine.Request{})
		}
		if err != nil {
			t.Fatal(err)
		}
		return made.Job
	}
	ids := make([]store.JobID, jobs)
	for i := range ids {
		ids[i] = create()
	}
	for s.opened < most {
		for i, id := range ids {
			job := s.jobs[id]
			if job.opens != 0 {
				continue
			}
			if job.attempt == 1000 { // the last but one: it makes room for another
				ids[i] = create()
				id, job = ids[i], s.jobs[ids[i]]
			}
			_, err := engines[random.IntN(3)].Report(ctx, engine.Report{Job: id, Step: 1, Attempt: job.attempt, Results: []engine.TargetResult{
				{Target: 0, Result: store.Result{Status: step.NonZeroExit}},
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range engines {
			jump[i] = time.Duration(random.Int64N(int64(2*day))) - day
		}
		base = base.Add(time.Duration(random.Int64N(int64(12 * time.Hour))))
		for _, i := range random.Perm(3) {
			s.meets = func() { sweep((i + 1 + random.IntN(2)) % 3) }
			sweep(i)
			s.meets = nil
		}
	}
	return s
}
