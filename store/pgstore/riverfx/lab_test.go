package riverfx_test

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertest"
	"github.com/riverqueue/river/rivertype"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
	"github.com/stepgate/stepgate/store/pgstore/riverfx"
)

// A process is a store, an engine and a carrier, as a process of its own would have them.
type process struct {
	testing.TB
	dsn     string
	pool    *pgxpool.Pool
	carrier *riverfx.Carrier
	st      *pgstore.Store
	eng     *engine.Engine
}

// newProcess returns a process on a schema of its own with the tables in it.
func newProcess(t testing.TB, opts ...riverfx.Option) *process {
	t.Helper()
	dsn := pgtest.Schema(t)
	pool := connect(t, dsn)
	if err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if err := riverfx.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	return open(t, dsn, opts...)
}

// another returns a process that shares the schema of p.
func (p *process) another(opts ...riverfx.Option) *process {
	p.Helper()
	return open(p.TB, p.dsn, opts...)
}

func open(t testing.TB, dsn string, opts ...riverfx.Option) *process {
	t.Helper()
	p := &process{TB: t, dsn: dsn, pool: connect(t, dsn)}
	var err error
	if p.carrier, err = riverfx.New(p.pool, append([]riverfx.Option{quick()}, opts...)...); err != nil {
		t.Fatal(err)
	}
	if p.st, err = pgstore.New(t.Context(), p.pool, pgstore.WithCarrier(p.carrier)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.st.Close)
	p.eng = engine.New(p.st)
	return p
}

func connect(t testing.TB, dsn string) *pgxpool.Pool {
	t.Helper()
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// quick makes River poll often, retry at once and log nothing.
func quick(more ...func(*river.Config)) riverfx.Option {
	return riverfx.Configure(func(c *river.Config) {
		c.FetchCooldown, c.FetchPollInterval = 5*time.Millisecond, 10*time.Millisecond
		c.RetryPolicy = atOnce{}
		c.Logger = slog.New(slog.DiscardHandler)
		c.TestOnly = true
		for _, f := range more {
			f(c)
		}
	})
}

// atOnce is a retry policy without a rest.
type atOnce struct{}

func (atOnce) NextRetry(*rivertype.JobRow) time.Time { return time.Now() }

// run makes h carry out effects until the test ends or the returned function is called.
func (p *process) run(h riverfx.Handler) (stop func()) {
	p.Helper()
	ctx, cancel := context.WithCancel(p.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.carrier.Worker(p.eng, p.st, h).Run(ctx) }()
	var once atomic.Bool
	stop = func() {
		cancel()
		if once.CompareAndSwap(false, true) {
			if err := <-ended; err != nil {
				p.Errorf("Run: %v", err)
			}
		}
	}
	p.Cleanup(stop)
	return stop
}

// script returns the definition of a script on the given hosts.
func script(hosts ...string) step.Spec {
	return step.Spec{Type: step.Script, Name: "run", Targets: hosts}
}

// start creates and starts a job.
func (p *process) start(steps ...step.Spec) store.JobID {
	p.Helper()
	created, err := p.eng.Create(p.Context(), engine.JobSpec{Name: "job", Steps: steps}, engine.Request{})
	if err != nil {
		p.Fatal(err)
	}
	if _, err := p.eng.OperateJob(p.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		p.Fatal(err)
	}
	return created.Job
}

func (p *process) operate(job store.JobID, id step.ID, code operation.Code) {
	p.Helper()
	if _, err := p.eng.Operate(p.Context(), job, id, code, engine.Request{}); err != nil {
		p.Fatal(err)
	}
}

func (p *process) terminate(job store.JobID) {
	p.Helper()
	if _, err := p.eng.OperateJob(p.Context(), job, operation.TerminateJob, engine.Request{}); err != nil {
		p.Fatal(err)
	}
}

// await returns the first record of a job after some sequence number that has taken a step to
// a state.
func (p *process) await(job store.JobID, id step.ID, to step.State, after store.Seq) store.Record {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), jobkit.Patience)
	defer cancel()
	for r, err := range p.eng.Watch(ctx, job, after) {
		if err != nil {
			p.Fatalf("job %d: waiting for step %d to be %v: %v; history: %v", job, id, to, err, p.moves(job))
		}
		if r.Step == id && r.To == to && r.From != to || r.Entered == id && r.Attempt == 1 && to == step.Running {
			return r
		}
	}
	panic("unreachable: Watch ends with an error")
}

// settled waits until a job has no effects left.
func (p *process) settled(job store.JobID) {
	p.Helper()
	jobkit.Eventually(p, "every effect is settled", func() bool { return len(p.effects(job)) == 0 })
}

func (p *process) effects(job store.JobID) []store.Delivery {
	p.Helper()
	effects, err := p.eng.Effects(p.Context(), job, 0, 0)
	if err != nil {
		p.Fatal(err)
	}
	return effects
}

func (p *process) history(job store.JobID) []store.Record {
	p.Helper()
	history, err := p.eng.History(p.Context(), job, 0, 10_000)
	if err != nil {
		p.Fatal(err)
	}
	return history
}

// moves returns the states that the steps of a job went to, in order.
func (p *process) moves(job store.JobID) []step.State {
	p.Helper()
	var moves []step.State
	for _, r := range p.history(job) {
		if r.Step != 0 && r.Moves() {
			moves = append(moves, r.To)
		}
	}
	return moves
}

func (p *process) wantMoves(job store.JobID, want ...step.State) {
	p.Helper()
	if got := p.moves(job); !slices.Equal(got, want) {
		p.Errorf("job %d: steps moved to %v, want %v", job, got, want)
	}
}

// A riverJob is a row of River's table.
type riverJob struct {
	ID    int64
	Queue string
	State string
	Args  string
}

// riverJobs returns the River jobs of effects, in the order in which they were made.
func (p *process) riverJobs() []riverJob {
	p.Helper()
	rows, err := p.pool.Query(p.Context(), `SELECT id, queue, state::text, args::text FROM river_job WHERE kind = $1 ORDER BY id`, riverfx.Kind)
	if err != nil {
		p.Fatal(err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[riverJob])
	if err != nil {
		p.Fatal(err)
	}
	return jobs
}

// states returns the states of the River jobs of effects.
func (p *process) states() []string {
	p.Helper()
	var states []string
	for _, j := range p.riverJobs() {
		states = append(states, j.State)
	}
	return states
}

func (p *process) exec(sql string, args ...any) {
	p.Helper()
	if _, err := p.pool.Exec(p.Context(), sql, args...); err != nil {
		p.Fatal(err)
	}
}

// client returns a River client that works nothing, and a context as River makes it for Work.
func (p *process) client() (*river.Client[pgx.Tx], context.Context) {
	p.Helper()
	client, err := river.NewClient(riverpgxv5.New(p.pool), &river.Config{})
	if err != nil {
		p.Fatal(err)
	}
	return client, rivertest.WorkContext(p.Context(), client)
}

// fetch takes the River job of an effect as River does, and returns it with the context to
// work it in.
func (p *process) fetch(job store.JobID, seq store.Seq) (context.Context, *river.Job[riverfx.Reference]) {
	p.Helper()
	client, ctx := p.client()
	ref := riverfx.Reference{Job: job, Seq: seq}
	var id int64
	err := p.pool.QueryRow(ctx, `UPDATE river_job SET state = 'running', attempt = attempt + 1, attempted_at = now()
		WHERE args = $1 AND state = 'available' RETURNING id`, ref).Scan(&id)
	if err != nil {
		p.Fatal(err)
	}
	row, err := client.JobGet(ctx, id)
	if err != nil {
		p.Fatal(err)
	}
	return ctx, &river.Job[riverfx.Reference]{JobRow: row, Args: ref}
}

// success reports that the only target of a step has succeeded.
func success() *engine.Report {
	return &engine.Report{By: "test", Results: []engine.TargetResult{{Result: store.Result{Status: step.TargetSucceeded}}}}
}

// succeed is a handler of jobs whose steps have one target each.
func succeed(_ context.Context, d engine.Delivery) (*engine.Report, error) {
	if d.Effect != store.RunTargets {
		return nil, nil
	}
	return success(), nil
}
