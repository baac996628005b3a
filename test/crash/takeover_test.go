package crash

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Another worker takes over the runs of a killed worker once its leases have expired, and those of a
// worker that was told to end at once. Targets that had succeeded do not run again.
func TestTakeover(t *testing.T) {
	killed := time.Duration(0)
	if testing.Short() {
		killed = 3 * time.Second
	}
	for _, k := range []kind{sqlite, postgres} {
		for _, c := range []struct {
			what  string
			with  os.Signal
			lease time.Duration
		}{
			{"killed", os.Kill, killed},
			{"told to end", syscall.SIGTERM, time.Hour}, // longer than the test waits
		} {
			t.Run(k.name+"/"+c.what, func(t *testing.T) {
				t.Parallel()
				s := newShift(t, k, c.lease)
				s.takeOver(c.with)
				earliest, latest := s.examine()
				if latest > late {
					t.Errorf("the last run went on after %v, want less than %v", latest, late)
				}
				t.Logf("crash: %s: the first of %d runs of a worker that was %s went on after %.2f s, the last after %.2f s",
					k.name, runs, c.what, earliest.Seconds(), latest.Seconds())
			})
		}
	}
}

const (
	runs    = 4                // that the second worker takes over
	targets = 4                // of each
	late    = 30 * time.Second // twice the promise, for slow machines
)

// A shift is jobs that two workers carry out, one after the other.
type shift struct {
	*testing.T
	ctx   context.Context
	kind  kind
	place string
	notes string
	lease time.Duration
	eng   *engine.Engine
	jobs  []store.JobID
	ended time.Time // when the first worker was
}

// newShift starts the jobs.
func newShift(t *testing.T, k kind, lease time.Duration) *shift {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	s := &shift{T: t, ctx: ctx, kind: k, place: k.make(t), notes: filepath.Join(t.TempDir(), "notes"), lease: lease}
	st, done, err := k.open(ctx, s.place)
	s.must(err)
	t.Cleanup(done)
	s.eng = engine.New(st)
	spec := engine.JobSpec{Name: "a job", Steps: []step.Spec{{Type: step.Script, Name: "run"}}}
	for i := range targets {
		spec.Steps[0].Targets = append(spec.Steps[0].Targets, fmt.Sprint("host-", i))
	}
	for range runs {
		created, err := s.eng.Create(ctx, spec, engine.Request{})
		s.must(err)
		_, err = s.eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{})
		s.must(err)
		s.jobs = append(s.jobs, created.Job)
	}
	return s
}

func (s *shift) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *shift) start(worker string) *child {
	s.Helper()
	return startChild(s, assignment{Kind: s.kind.name, Place: s.place, Ledger: s.notes, Worker: worker, Lease: s.lease})
}

// takeOver ends the first worker while it is at work on all runs, and returns when the second one
// has brought the jobs to their end.
func (s *shift) takeOver(with os.Signal) {
	s.Helper()
	first := s.start(firstWorker)
	for _, job := range s.jobs {
		s.until(job, "with a success", func(r store.Record) bool { return r.Succeeded == 1 })
	}
	for begun := 0; begun < runs*targets; rest(s.ctx) {
		first.lives(s)
		notes, err := readNotes(s.notes)
		s.must(err)
		s.must(s.ctx.Err())
		begun = len(notes)
	}
	second := s.start(secondWorker)
	s.ended = time.Now()
	s.must(first.cmd.Process.Signal(with))
	<-first.ended
	if code := first.cmd.ProcessState.ExitCode(); with != os.Kill && code != 0 {
		s.Errorf("the first worker has ended with %d: %s", code, first.said.Bytes())
	}
	for _, job := range s.jobs {
		s.until(job, "at its end", func(r store.Record) bool { return r.JobTo.Finished() })
	}
	second.lives(s)
}

// until returns when a record of a job satisfies ok.
func (s *shift) until(job store.JobID, what string, ok func(store.Record) bool) {
	s.Helper()
	for r, err := range s.eng.Watch(s.ctx, job, 0) {
		if err != nil {
			s.Fatalf("job %d never is %s: %v", job, what, err)
		}
		if ok(r) {
			return
		}
	}
}

// examine wants each target to have succeeded, the first one of each job with the first worker
// alone and the others with both, one after the other. It returns how long after the end of the
// first worker the second one took up a run.
func (s *shift) examine() (earliest, latest time.Duration) {
	s.Helper()
	notes, err := readNotes(s.notes)
	s.must(err)
	for _, job := range s.jobs {
		st, err := s.eng.Step(s.ctx, job, 1)
		s.must(err)
		if st.State != step.Succeeded || st.Attempt != 1 || st.Succeeded != targets {
			s.Errorf("job %d: the step is %v in attempt %d with %d successes, want all in the first", job, st.State, st.Attempt, st.Succeeded)
		}
		for target := range int32(targets) {
			var workers []string
			for _, n := range notes {
				if n.job == job && n.target == target {
					workers = append(workers, n.worker)
				}
			}
			want := []string{firstWorker, secondWorker}[:min(target+1, 2)]
			if !slices.Equal(workers, want) {
				s.Errorf("job %d, target %d: %v have run it, want %v", job, target, workers, want)
			}
		}
	}
	for _, n := range notes {
		if n.worker == secondWorker {
			latest = n.at.Sub(s.ended)
			if earliest == 0 {
				earliest = latest
			}
		}
	}
	if earliest <= 0 {
		s.Errorf("the second worker began %v after the end of the first", earliest)
	}
	return earliest, latest
}
