package riverfx_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
	"github.com/stepgate/stepgate/store/pgstore/riverfx"
)

// What River keeps of a job is read by other versions of this package: its kind and its queues.
func TestWordsThatRiverKeeps(t *testing.T) {
	got := []string{riverfx.Reference{}.Kind(), riverfx.RunQueue, riverfx.StopQueue, riverfx.NoticeQueue}
	if want := []string{"stepgate_effect", "stepgate_run", "stepgate_stop", "stepgate_notice"}; !slices.Equal(got, want) {
		t.Errorf("the kind and the queues are %v, want %v: docs/compatibility.md says when they may change", got, want)
	}
}

func TestEveryEffectHasItsRiverJob(t *testing.T) {
	p := newProcess(t)
	created, err := p.eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{script("a")}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.riverJobs(); len(got) != 0 {
		t.Errorf("after a creation, which has no effect: River jobs %v, want none", got)
	}
	if _, err := p.eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	p.terminate(created.Job)
	if _, err := p.eng.Report(t.Context(), engine.Report{Job: created.Job, Step: 1, Attempt: 1, Outcome: step.Stopped}); err != nil {
		t.Fatal(err)
	}
	jobs := p.riverJobs()
	for i, queue := range []string{riverfx.RunQueue, riverfx.StopQueue, riverfx.NoticeQueue} {
		want := fmt.Sprintf(`{"job": %d, "seq": %d}`, created.Job, i+2)
		if len(jobs) != 3 || jobs[i].Queue != queue || jobs[i].State != "available" || jobs[i].Args != want {
			t.Fatalf("River jobs %v, want 3, and number %d available in queue %s with %s", jobs, i, queue, want)
		}
	}
}

// torn is a carrier that fails after it has inserted its River jobs.
type torn struct{ *riverfx.Carrier }

var errTorn = errors.New("torn")

func (c torn) Carry(ctx context.Context, tx pgx.Tx, effects []store.Delivery) error {
	return errors.Join(c.Carrier.Carry(ctx, tx, effects), errTorn)
}

func TestChangeWhoseEffectsAreNotCarriedIsUndone(t *testing.T) {
	p := newProcess(t)
	st, err := pgstore.New(t.Context(), p.pool, pgstore.WithCarrier(torn{p.carrier}))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	eng := engine.New(st)
	created, err := eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{script("a")}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	job, err := eng.Job(t.Context(), created.Job)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eng.OperateJob(t.Context(), job.ID, operation.StartJob, engine.Request{}); !errors.Is(err, errTorn) {
		t.Errorf("OperateJob: %v, want %v", err, errTorn)
	}
	if got, err := eng.Job(t.Context(), job.ID); got != job {
		t.Errorf("job after a failed carry: %+v, %v, want %+v", got, err, job)
	}
	if jobs, effects := p.riverJobs(), p.effects(job.ID); len(jobs) != 0 || len(effects) != 0 {
		t.Errorf("after a failed carry: River jobs %v, effects %v, want none", jobs, effects)
	}
}

func TestRiverJobsHoldNoTargets(t *testing.T) {
	p := newProcess(t)
	hosts := make([]string, 100_000)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("host-%d", i)
	}
	p.start(script(hosts...))
	var args, row int
	if err := p.pool.QueryRow(t.Context(), `SELECT octet_length(args::text), octet_length(j::text) FROM river_job j`).Scan(&args, &row); err != nil {
		t.Fatal(err)
	}
	if args > 64 || row > 1024 {
		t.Errorf("the River job of a run on 100,000 targets: arguments of %d bytes, all of it %d, want 64 and 1024 at most", args, row)
	}
}

func TestMigrateMayRunManyTimesAtOnce(t *testing.T) {
	dsn := pgtest.Schema(t)
	errs := make(chan error)
	for range 3 {
		pool := connect(t, dsn)
		go func() { errs <- errors.Join(pgstore.Migrate(t.Context(), pool), riverfx.Migrate(t.Context(), pool)) }()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	p := open(t, dsn)
	p.start(script("a"))
	if got := p.riverJobs(); len(got) != 1 {
		t.Errorf("River jobs after a start: %v, want 1", got)
	}
}

// A pool in which Migrate would wait for itself is an error.
func TestMigrateNeedsTwoConnections(t *testing.T) {
	c, err := pgxpool.ParseConfig(pgtest.Schema(t))
	if err != nil {
		t.Fatal(err)
	}
	c.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(t.Context(), jobkit.Patience)
	defer cancel()
	if err := riverfx.Migrate(ctx, pool); err == nil || !strings.Contains(err.Error(), "want two") {
		t.Errorf("Migrate on a pool of one connection: got error %v, want that it wants two", err)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	if _, err := riverfx.New(nil); err == nil || !strings.Contains(err.Error(), "pool is nil") {
		t.Errorf("New(nil): %v, want one that says that the pool is nil", err)
	}
	p := newProcess(t)
	if err := p.carrier.Worker(p.eng, p.st, nil).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "handler") {
		t.Errorf("Run without a handler: %v, want one that says so", err)
	}
}
