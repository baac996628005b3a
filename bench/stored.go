package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// dbosStored runs workflows in a database with many ended ones.
func (r *run) dbosStored(sizes []int) line {
	return line{
		name: dbosName, unit: "a workflow of one step, from its start to its result, with that many ended workflows stored",
		sizes: sizes, absent: r.noPostgres(),
		system: func(ctx context.Context, size int) (system, error) {
			d, drop, err := r.dbosOnPostgres(ctx)
			if err != nil {
				return system{}, err
			}
			if err := d.begin(ctx); err != nil {
				return system{}, errors.Join(err, drop())
			}
			end := func() error { return errors.Join(d.end(ctx), drop()) }
			if err := d.stock(ctx, size); err != nil {
				return system{}, errors.Join(err, end())
			}
			op := workflows("")(d, "", 1, nil).op
			return system{func(ctx context.Context, n int) (time.Duration, error) {
				began := time.Now()
				err := op(ctx, 0, n)
				return since(began), err
			}, end}, nil
		},
	}
}

// dbosForks forks a workflow of many steps from its last step. No executor runs the fork.
func (r *run) dbosForks(sizes []int) line {
	return line{
		name: "DBOS, PostgreSQL, fork", unit: "`ForkWorkflow` from the last of that many steps, which copies the results of the others; the fork is not run",
		sizes: sizes, absent: r.noPostgres(),
		system: func(ctx context.Context, size int) (system, error) {
			d, drop, err := r.dbosOnPostgres(ctx)
			if err != nil {
				return system{}, err
			}
			client, err := d.onlyClient(ctx, size)
			if err != nil {
				return system{}, errors.Join(err, drop())
			}
			return system{func(context.Context, int) (time.Duration, error) {
				began := time.Now()
				_, err := dbos.ForkWorkflow[string](client, dbos.ForkWorkflowInput{OriginalWorkflowID: original, StartStep: uint(size - 1)})
				return since(began), err
			}, func() error { return errors.Join(dbos.Shutdown(client, patience), drop()) }}, nil
		},
	}
}

// original is the id of the workflow to copy or to fork.
const original = "original"

// filling calls do to fill the tables of a running DBOS that has run the original, of one step.
func (d *durable) filling(ctx context.Context, do func(f filler, pool *pgxpool.Pool) error) error {
	handle, err := dbos.RunWorkflow(d.Context, oneStep, "ann", dbos.WithWorkflowID(original))
	if err == nil {
		_, err = handle.GetResult()
	}
	if err != nil {
		return err
	}
	config, err := d.config(ctx)
	if err != nil {
		return err
	}
	defer config.SystemDBPool.Close()
	if err := do(fillPostgres(ctx, config.SystemDBPool), config.SystemDBPool); err != nil {
		return err
	}
	return vacuum(ctx, config.SystemDBPool)
}

// stock copies all rows of the original until there are as many as workflows says.
func (d *durable) stock(ctx context.Context, workflows int) error {
	return d.filling(ctx, func(f filler, pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, `SELECT table_name::text FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
			WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND column_name = 'workflow_uuid'
			ORDER BY table_name <> 'workflow_status', table_name`) // the others may refer to it
		if err != nil {
			return err
		}
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, table := range tables {
			err := f.copies(table, "t.workflow_uuid = '"+original+"'", 1, workflows-1, map[string]string{"workflow_uuid": "md5(n::text)::uuid::text"})
			if err != nil {
				return fmt.Errorf("%s: %w", table, err)
			}
		}
		return nil
	})
}

// onlyClient gives the original more steps, copies of its first, and ends d. It returns a client, which
// runs nothing.
func (d *durable) onlyClient(ctx context.Context, steps int) (dbos.Client, error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	err := d.filling(ctx, func(f filler, _ *pgxpool.Pool) error {
		return f.copies("operation_outputs", "t.workflow_uuid = '"+original+"'", 1, steps-1, map[string]string{"function_id": "t.function_id + n"})
	})
	if err := errors.Join(err, d.end(ctx)); err != nil {
		return nil, err
	}
	config, err := d.config(ctx)
	if err != nil {
		return nil, err
	}
	return dbos.NewClient(context.WithoutCancel(ctx), dbos.ClientConfig{
		AppName: "stepgate-bench", SystemDBPool: config.SystemDBPool, DatabaseSchema: config.DatabaseSchema, Logger: slog.New(slog.DiscardHandler),
	})
}

// riverStored inserts jobs into a database with many completed ones.
func (r *run) riverStored(sizes []int) line {
	return line{
		name: insertName, unit: "`Insert` of a job without a worker, with that many completed jobs stored",
		sizes: sizes, absent: r.noPostgres(),
		system: func(ctx context.Context, size int) (system, error) {
			q, drop, err := r.newQueue(ctx)
			if err != nil {
				return system{}, err
			}
			if err := q.begin(ctx); err != nil {
				return system{}, errors.Join(err, drop())
			}
			end := func() error { return errors.Join(q.end(ctx), drop()) }
			if err := q.stock(ctx, size); err != nil {
				return system{}, errors.Join(err, end())
			}
			return system{func(ctx context.Context, _ int) (time.Duration, error) {
				began := time.Now()
				_, err := q.insert(ctx)
				return since(began), err
			}, end}, nil
		},
	}
}

// stock inserts a job, completes it and copies it until there are as many as jobs says.
func (q *queue) stock(ctx context.Context, jobs int) error {
	if _, err := q.insert(ctx); err != nil {
		return err
	}
	f := fillPostgres(ctx, q.pool)
	if err := f.exec(`UPDATE river_job SET state = 'completed', attempt = 1, attempted_at = now(), attempted_by = '{bench}', finalized_at = now()`); err != nil {
		return err
	}
	err := f.copies("river_job", "true", 1, jobs-1, map[string]string{
		"id": "nextval('river_job_id_seq')", "finalized_at": "t.finalized_at + n * interval '1 ms'",
	})
	if err != nil {
		return err
	}
	return vacuum(ctx, q.pool)
}
