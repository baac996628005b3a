package riverfx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/internal/link"
)

// A Reference is the arguments of a River job: it identifies the effect to carry out.
type Reference struct {
	Job store.JobID `json:"job"` // the job of the effect
	Seq store.Seq   `json:"seq"` // the sequence number of the effect in the job
}

// Kind is the kind of the River jobs that carry effects.
const Kind = "stepgate_effect"

// Kind implements river.JobArgs.
func (Reference) Kind() string { return Kind }

// The queues of the River jobs. Each has its own workers: no stop waits for a run or a question.
const (
	RunQueue    = "stepgate_run"    // runs
	StopQueue   = "stepgate_stop"   // stops
	NoticeQueue = "stepgate_notice" // questions, and ends of jobs
)

func queueOf(e store.Effect) string {
	switch e {
	case store.RunTargets:
		return RunQueue
	case store.StopAttempt:
		return StopQueue
	}
	return NoticeQueue
}

// A Carrier inserts a River job for every effect. It is safe for concurrent use. [New] returns one.
type Carrier struct {
	config
	pool   *pgxpool.Pool
	link   *link.Link            // to pool
	insert *river.Client[pgx.Tx] // works no jobs
	jobs   string                // the quoted name of River's table of jobs
	rescue time.Duration         // RescueStuckJobsAfter of the workers' clients
}

var _ pgstore.Carrier = (*Carrier)(nil)

// An Option configures a [Carrier] and its workers. A duration of 0 or less selects the default.
type Option func(*config)

type config struct {
	configure func(*river.Config)
	stop      time.Duration
	sweep     time.Duration
	reconcile time.Duration
	timeout   time.Duration
}

// Configure makes f adjust the configuration of each River client before it is created: of the
// client that inserts jobs, which ignores queues and workers, and of the client that works them. f
// gets the defaults of [Worker.Config]. It may add queues and workers for other jobs.
func Configure(f func(*river.Config)) Option {
	return func(c *config) {
		if f != nil {
			c.configure = f
		}
	}
}

// StopEvery sets the interval at which a stop is delivered while its step is terminating, and the
// maximum back-off after a failed stop; the default is 30 s.
func StopEvery(d time.Duration) Option { return func(c *config) { c.stop = positive(d, c.stop) } }

// SweepEvery sets the interval at which [Worker.Run] expires passed deadlines; the default is 1 s.
func SweepEvery(d time.Duration) Option { return func(c *config) { c.sweep = positive(d, c.sweep) } }

// ReconcileEvery sets the interval at which [Worker.Run] reconciles; the default is 15 s.
func ReconcileEvery(d time.Duration) Option {
	return func(c *config) { c.reconcile = positive(d, c.reconcile) }
}

// WithTimeout sets the maximum time of each call of [Worker.Reconcile] to the server; the default
// is 10 s. It does not apply to calls of the store, see pgstore.WithTimeout, nor to River's own
// calls, which River bounds by 10 s.
func WithTimeout(d time.Duration) Option {
	return func(c *config) { c.timeout = positive(d, c.timeout) }
}

func positive(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// New returns a carrier that inserts River jobs into River's tables in the search_path of pool's
// connections, or in the schema that [Configure] sets. pool must connect to the store's database,
// and the caller owns it. New fails if pool is nil or River refuses the configuration.
func New(pool *pgxpool.Pool, opts ...Option) (*Carrier, error) {
	if pool == nil {
		return nil, errors.New("riverfx: the pool is nil")
	}
	c := &Carrier{pool: pool, config: config{
		configure: func(*river.Config) {}, stop: 30 * time.Second, sweep: time.Second, reconcile: 15 * time.Second,
		timeout: link.DefaultTimeout,
	}}
	for _, o := range opts {
		if o != nil {
			o(&c.config)
		}
	}
	c.link = link.New(pool, c.timeout)
	insertOnly := c.riverConfig(river.NewWorkers())
	c.rescue = insertOnly.RescueStuckJobsAfter
	insertOnly.Queues, insertOnly.Workers, insertOnly.PeriodicJobs = nil, nil, nil
	var err error
	if c.insert, err = river.NewClient(riverpgxv5.New(pool), insertOnly); err != nil {
		return nil, fmt.Errorf("riverfx: %w", err)
	}
	table := pgx.Identifier{"river_job"}
	if schema := c.insert.Schema(); schema != "" {
		table = pgx.Identifier{schema, "river_job"}
	}
	c.jobs = table.Sanitize()
	return c, nil
}

// riverConfig returns the configuration of a client with workers.
func (c *Carrier) riverConfig(workers *river.Workers) *river.Config {
	rc := &river.Config{
		Queues: map[string]river.QueueConfig{
			RunQueue:    {MaxWorkers: 64},
			StopQueue:   {MaxWorkers: 16},
			NoticeQueue: {MaxWorkers: 16},
		},
		Workers:              workers,
		MaxAttempts:          10,
		JobTimeout:           time.Minute,
		RescueStuckJobsAfter: 90 * time.Second,
		Logger:               slog.Default(),
	}
	c.configure(rc)
	return rc
}

// Carry implements pgstore.Carrier: it inserts a River job for each effect in tx.
func (c *Carrier) Carry(ctx context.Context, tx pgx.Tx, effects []store.Delivery) error {
	jobs := make([]river.InsertManyParams, len(effects))
	for i, d := range effects {
		jobs[i] = carrying(d.Job, d.Seq, d.Effect)
	}
	if _, err := c.insert.InsertManyTx(ctx, tx, jobs); err != nil {
		return fmt.Errorf("riverfx: insert jobs: %w", err)
	}
	return nil
}

// carrying returns the River job for an effect.
func carrying(job store.JobID, seq store.Seq, e store.Effect) river.InsertManyParams {
	return river.InsertManyParams{
		Args:       Reference{Job: job, Seq: seq},
		InsertOpts: &river.InsertOpts{Queue: queueOf(e)},
	}
}
