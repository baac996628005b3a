package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// A queue is a River that runs between begin and end. Its tables outlive it.
type queue struct {
	dsn     string
	work    func(ctx context.Context, pool *pgxpool.Pool, job *river.Job[intervention]) error // nil: it only inserts
	done    func(id int64)                                                                    // nil, or called for completed events
	workers int                                                                               // at once; 0 stands for 128

	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	heard  sync.WaitGroup
}

// An intervention holds the arguments of a River job.
type intervention struct {
	Person  string `json:"person"`
	Request string `json:"request,omitempty"`
}

func (intervention) Kind() string { return "intervention" }

type worker struct {
	river.WorkerDefaults[intervention]
	work func(ctx context.Context, job *river.Job[intervention]) error
}

func (w *worker) Work(ctx context.Context, job *river.Job[intervention]) error {
	return w.work(ctx, job)
}

// newQueue returns a River with a schema of its own, and a function that drops it.
func (r *run) newQueue(ctx context.Context) (*queue, func() error, error) {
	_, dsn, drop, err := r.schema(ctx)
	if err != nil {
		return nil, nil, err
	}
	q := &queue{dsn: dsn}
	pool, err := connect(ctx, dsn, 2)
	if err != nil {
		return nil, nil, errors.Join(err, drop())
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		return nil, nil, errors.Join(err, drop())
	}
	return q, drop, nil
}

// onRiver returns an entrant that works on a River.
func onRiver(does func(q *queue, name string, callers int, remove func() error) subject) func(context.Context, *run, string, int) (subject, error) {
	return func(ctx context.Context, r *run, name string, callers int) (subject, error) {
		q, drop, err := r.newQueue(ctx)
		if err != nil {
			return subject{}, err
		}
		return does(q, name, callers, drop), nil
	}
}

// fetchRest is River's pause between two fetches of jobs that it was notified of. The default of 100 ms
// saves queries, and would hide all other costs.
const fetchRest = time.Millisecond

func (q *queue) begin(ctx context.Context) (err error) {
	if q.pool, err = connect(ctx, q.dsn, conns); err != nil {
		return err
	}
	config := &river.Config{Logger: slog.New(slog.DiscardHandler), FetchCooldown: fetchRest}
	if q.work != nil {
		config.Workers = river.NewWorkers()
		river.AddWorker(config.Workers, &worker{work: func(ctx context.Context, job *river.Job[intervention]) error { return q.work(ctx, q.pool, job) }})
		config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: cmp.Or(q.workers, 128)}}
	}
	defer func() {
		if err != nil {
			q.pool.Close()
		}
	}()
	if q.client, err = river.NewClient(riverpgxv5.New(q.pool), config); err != nil || q.work == nil {
		return err
	}
	if q.done != nil {
		events, _ := q.client.SubscribeConfig(&river.SubscribeConfig{ChanSize: 10_000, Kinds: []river.EventKind{river.EventKindJobCompleted}})
		q.heard.Go(func() {
			for event := range events { // until the client has stopped
				q.done(event.Job.ID)
			}
		})
	}
	return q.client.Start(context.WithoutCancel(ctx)) // it ends by Stop
}

func (q *queue) end(ctx context.Context) (err error) {
	if q.work != nil {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		err = q.client.Stop(ctx)
		q.heard.Wait()
	}
	q.pool.Close()
	return err
}

// insert inserts a job and returns its id.
func (q *queue) insert(ctx context.Context) (int64, error) {
	inserted, err := q.client.Insert(ctx, intervention{Person: "ann"}, nil)
	if err != nil {
		return 0, err
	}
	return inserted.Job.ID, nil
}

// inserts is a work whose calls each insert a job. No worker takes it.
func (q *queue) inserts(name string, _ int, remove func() error) subject {
	return subject{
		name: name, begin: q.begin, end: q.end, close: remove,
		unit: "Insert of a job without a worker: one commit",
		op: func(ctx context.Context, _, _ int) error {
			_, err := q.insert(ctx)
			return err
		},
	}
}

// unique is inserts with a unique request id: a second job of the same request is not inserted.
func (q *queue) unique(name string, callers int, remove func() error) subject {
	next := requestIDs(callers)
	s := q.inserts(name, callers, remove)
	s.unit = "Insert of a job without a worker that is unique by its arguments, of which a request id is one: one commit"
	s.op = func(ctx context.Context, caller, _ int) error {
		inserted, err := q.client.Insert(ctx, intervention{"ann", next(caller).String()}, &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}})
		if err == nil && inserted.UniqueSkippedAsDuplicate {
			err = errors.New("a new job was taken for one that is there")
		}
		return err
	}
	return s
}

// waitingJobs is the number of jobs that wait when a turn begins: more than workers can do in a turn.
const waitingJobs = 20_000

// fetches is a work in which River works waiting jobs, with a worker for each caller.
func (q *queue) fetches(name string, callers int, remove func() error) subject {
	var completed atomic.Int64
	gone := waitingJobs
	q.workers = callers
	q.work = func(context.Context, *pgxpool.Pool, *river.Job[intervention]) error { return nil }
	q.done = func(int64) { completed.Add(1) }
	return subject{
		name: name, close: remove,
		unit: "a job that waits and whose worker does nothing, with a worker for each caller, from its fetch until it is stored as completed, both of which River does in batches",
		begin: func(ctx context.Context) error {
			completed.Store(0)
			return errors.Join(q.fill(ctx, gone), q.begin(ctx))
		},
		turn: func(ctx context.Context, _ int, each time.Duration) (sample, error) {
			perSecond, err := rate(ctx, &completed, each)
			return sample{perSecond: perSecond, allocs: nan}, err
		},
		end: func(ctx context.Context) error {
			err := q.end(ctx)
			gone = int(completed.Load())
			return err
		},
	}
}

// rate returns the growth per second of a count that grows in batches. It measures from one batch to
// another, for at least this long.
func rate(ctx context.Context, counted *atomic.Int64, each time.Duration) (float64, error) {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	var began time.Time
	var first int64
	for last := counted.Load(); ; {
		select {
		case <-again.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		now, n := time.Now(), counted.Load()
		switch {
		case n == last:
			continue
		case began.IsZero():
			began, first = now, n
		case now.Sub(began) >= each:
			return float64(n-first) / now.Sub(began).Seconds(), nil
		}
		last = n
	}
}

// fill inserts jobs, all in one commit.
func (q *queue) fill(ctx context.Context, jobs int) error {
	pool, err := connect(ctx, q.dsn, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil || jobs == 0 {
		return err
	}
	_, err = client.InsertManyFast(ctx, slices.Repeat([]river.InsertManyParams{{Args: intervention{Person: "ann"}}}, jobs))
	return err
}

// worked is a work whose calls each insert a job and wait for River's event that it is completed.
func (q *queue) worked(name string, _ int, remove func() error) subject {
	w := waiters{}
	q.work = func(context.Context, *pgxpool.Pool, *river.Job[intervention]) error { return nil }
	q.done = w.done
	return subject{
		name: name, begin: q.begin, end: q.end, close: remove,
		unit: "a job whose worker does nothing, from Insert until its completion event; River stores completions in batches, every 250 ms, or every 50 ms from 100 on",
		op:   func(ctx context.Context, _, _ int) error { return q.insertAndWait(ctx, &w) },
	}
}

// completed is a work whose calls each insert a job and wait until its worker has completed it in a
// transaction of its own.
func (q *queue) completed(name string, _ int, remove func() error) subject {
	w := waiters{}
	q.work = func(ctx context.Context, pool *pgxpool.Pool, job *river.Job[intervention]) error {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
			return err
		})
		if err == nil {
			w.done(job.ID)
		}
		return err
	}
	return subject{
		name: name, begin: q.begin, end: q.end, close: remove,
		unit: "the same, until the worker has completed it in a transaction of its own (JobCompleteTx)",
		op:   func(ctx context.Context, _, _ int) error { return q.insertAndWait(ctx, &w) },
	}
}

func (q *queue) insertAndWait(ctx context.Context, w *waiters) error {
	id, err := q.insert(ctx)
	if err != nil {
		return err
	}
	return w.await(ctx, id)
}

// waiters connect the waiting caller of a job with its worker, in either order.
type waiters struct{ byID sync.Map } // of chan struct{}, by the job's id

func (w *waiters) of(id int64) chan struct{} {
	c, _ := w.byID.LoadOrStore(id, make(chan struct{}, 1))
	return c.(chan struct{})
}

func (w *waiters) done(id int64) { w.of(id) <- struct{}{} }

func (w *waiters) await(ctx context.Context, id int64) error {
	select {
	case <-w.of(id):
		w.byID.Delete(id)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
