package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// A queue is a River that runs between begin and end. Its tables outlive it.
type queue struct {
	dsn  string
	work func(ctx context.Context, pool *pgxpool.Pool, job *river.Job[intervention]) error // nil: it only inserts
	done func(id int64)                                                                    // nil, or is told of completed events

	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	heard  sync.WaitGroup
}

// An intervention is what a River job says.
type intervention struct {
	Person string `json:"person"`
}

func (intervention) Kind() string { return "intervention" }

type worker struct {
	river.WorkerDefaults[intervention]
	work func(ctx context.Context, job *river.Job[intervention]) error
}

func (w *worker) Work(ctx context.Context, job *river.Job[intervention]) error {
	return w.work(ctx, job)
}

// newQueue returns a River with a schema of its own, and what drops that.
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

// fetchRest is how long River rests between two fetches, of jobs that it is told of. Its default of
// 100 ms is for fewer queries, and would be all that there was to see.
const fetchRest = time.Millisecond

func (q *queue) begin(ctx context.Context) (err error) {
	if q.pool, err = connect(ctx, q.dsn, conns); err != nil {
		return err
	}
	config := &river.Config{Logger: slog.New(slog.DiscardHandler), FetchCooldown: fetchRest}
	if q.work != nil {
		config.Workers = river.NewWorkers()
		river.AddWorker(config.Workers, &worker{work: func(ctx context.Context, job *river.Job[intervention]) error { return q.work(ctx, q.pool, job) }})
		config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 128}}
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
	inserted, err := q.client.Insert(ctx, intervention{"ann"}, nil)
	if err != nil {
		return 0, err
	}
	return inserted.Job.ID, nil
}

// inserts has each call insert a job, which nobody works.
func (q *queue) inserts(name string, remove func() error) subject {
	return subject{
		name: name, begin: q.begin, end: q.end, close: remove,
		unit: "Insert of a job without a worker: one commit",
		op: func(ctx context.Context, _, _ int) error {
			_, err := q.insert(ctx)
			return err
		},
	}
}

// worked has each call insert a job and wait until River says that it is completed.
func (q *queue) worked(name string, remove func() error) subject {
	w := waiters{}
	q.work = func(context.Context, *pgxpool.Pool, *river.Job[intervention]) error { return nil }
	q.done = w.done
	return subject{
		name: name, begin: q.begin, end: q.end, close: remove,
		unit: "a job whose worker does nothing, from Insert until its completion event; River stores completions in batches, every 250 ms, or every 50 ms from 100 on",
		op:   func(ctx context.Context, _, _ int) error { return q.insertAndWait(ctx, &w) },
	}
}

// completed has each call insert a job and wait until its worker has completed it in a
// transaction of its own.
func (q *queue) completed(name string, remove func() error) subject {
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

// waiters bring together who waits for a job and who has done it, whichever comes first.
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
