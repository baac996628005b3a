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

// A Reference is the arguments of a River job: it names the effect to carry out, which says
// all else.
type Reference struct {
	Job store.JobID `json:"job"`
	Seq store.Seq   `json:"seq"`
}

// Kind is the kind of the River jobs that carry effects.
const Kind = "stepgate_effect"

// Kind implements river.JobArgs.
func (Reference) Kind() string { return Kind }

// The queues of the River jobs. They have places of their own, so that no stop waits for a
// run or a question.
const (
	RunQueue    = "stepgate_run"
	StopQueue   = "stepgate_stop"
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

// A Carrier makes a River job of every effect. It is safe for concurrent use and comes from
// [New].
type Carrier struct {
	config
	pool   *pgxpool.Pool
	link   *link.Link            // to pool
	insert *river.Client[pgx.Tx] // works no jobs
	jobs   string                // the name of River's table of jobs, as SQL writes it
	rescue time.Duration         // RescueStuckJobsAfter of clients that work
}

var _ pgstore.Carrier = (*Carrier)(nil)

// An Option sets up a [Carrier] and its workers.
type Option func(*config)

type config struct {
	configure func(*river.Config)
	stop      time.Duration
	sweep     time.Duration
	reconcile time.Duration
	timeout   time.Duration
}

// Configure has f adjust the configuration of each River client before it is made: the one
// that inserts jobs, which has no use for queues and workers, and the one that works them. It
// starts with the defaults of [Worker.Config]. f may add queues and workers for other jobs.
func Configure(f func(*river.Config)) Option {
	return func(c *config) {
		if f != nil {
			c.configure = f
		}
	}
}

// StopEvery sets how often a stop is delivered again while its step is still terminating, and
// how long it rests at most after a failure; the default is 30 s.
func StopEvery(d time.Duration) Option { return func(c *config) { c.stop = positive(d, c.stop) } }

// SweepEvery sets how often [Worker.Run] expires what is overdue; the default is 1 s.
func SweepEvery(d time.Duration) Option { return func(c *config) { c.sweep = positive(d, c.sweep) } }

// ReconcileEvery sets how often [Worker.Run] looks for what River has given up; the default is
// 15 s.
func ReconcileEvery(d time.Duration) Option {
	return func(c *config) { c.reconcile = positive(d, c.reconcile) }
}

// WithTimeout sets how long [Worker.Reconcile] waits for an answer of the server at most; the default
// is 10 s. pgstore.WithTimeout does so for the calls of the store, and River has a bound of 10 s for
// its own.
func WithTimeout(d time.Duration) Option {
	return func(c *config) { c.timeout = positive(d, c.timeout) }
}

func positive(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// New returns a carrier that inserts River jobs where pool's connections look for River's
// tables, or in the schema that [Configure] names. The caller keeps the ownership of pool.
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

// riverConfig returns the configuration of a client that works the jobs of workers.
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

// carrying returns the River job of an effect.
func carrying(job store.JobID, seq store.Seq, e store.Effect) river.InsertManyParams {
	return river.InsertManyParams{
		Args:       Reference{Job: job, Seq: seq},
		InsertOpts: &river.InsertOpts{Queue: queueOf(e)},
	}
}
