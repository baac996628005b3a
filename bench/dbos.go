package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // for sqlite: in a DatabaseURL
)

// A durable is a DBOS that runs between begin and end. Its database outlives it.
type durable struct {
	config func(ctx context.Context) (dbos.Config, error)
	dbos.Context
	receipts []chan struct{} // from a workflow that has received, by the number of its caller
	asks     []chan struct{} // to a workflow that should run a step, by the number of its caller
}

func (d *durable) begin(ctx context.Context) error {
	config, err := d.config(ctx)
	if err != nil {
		return err
	}
	config.AppName, config.ApplicationVersion = "stepgate-bench", "1"
	config.Logger = slog.New(slog.DiscardHandler)
	// It ends by Shutdown, not with ctx: a workflow that is cut off would run again.
	if d.Context, err = dbos.NewContext(context.WithoutCancel(ctx), config); err != nil {
		return err
	}
	dbos.RegisterWorkflow(d.Context, oneStep)
	dbos.RegisterWorkflow(d.Context, d.receiving)
	dbos.RegisterWorkflow(d.Context, d.stepping)
	return dbos.Launch(d.Context)
}

func (d *durable) end(context.Context) error { return dbos.Shutdown(d.Context, patience) }

// dbosOnPostgres returns a DBOS with a schema of its own, and a function that drops it.
func (r *run) dbosOnPostgres(ctx context.Context) (*durable, func() error, error) {
	name, dsn, drop, err := r.schema(ctx)
	return &durable{config: func(ctx context.Context) (dbos.Config, error) {
		pool, err := connect(ctx, dsn, conns) // which Shutdown closes
		return dbos.Config{SystemDBPool: pool, DatabaseSchema: name}, err
	}}, drop, err
}

// dbosOnSQLite returns a DBOS with a file of its own, and synchronous set to that.
func (r *run) dbosOnSQLite(synchronous string) (*durable, error) {
	file, err := filepath.Abs(filepath.Join(r.disk, fmt.Sprintf("dbos-%d.db", serial.Add(1))))
	return &durable{config: func(context.Context) (dbos.Config, error) {
		return dbos.Config{DatabaseURL: fmt.Sprintf("sqlite:%s?_pragma=synchronous(%s)", file, synchronous)}, nil
	}}, err
}

// onDBOS returns an entrant that works on a DBOS on PostgreSQL.
func onDBOS(does func(d *durable, name string, callers int, remove func() error) subject) func(context.Context, *run, string, int) (subject, error) {
	return func(ctx context.Context, r *run, name string, callers int) (subject, error) {
		d, drop, err := r.dbosOnPostgres(ctx)
		if err != nil {
			return subject{}, err
		}
		return does(d, name, callers, drop), nil
	}
}

// onDBOSFile is onDBOS on a SQLite file, with synchronous set to that.
func onDBOSFile(synchronous string, does func(d *durable, name string, callers int, remove func() error) subject) func(context.Context, *run, string, int) (subject, error) {
	return func(_ context.Context, r *run, name string, callers int) (subject, error) {
		d, err := r.dbosOnSQLite(synchronous)
		if err != nil {
			return subject{}, err
		}
		return does(d, name, callers, nil), nil
	}
}

// oneStep is a workflow of one step, which does nothing.
func oneStep(ctx dbos.Context, person string) (string, error) {
	return dbos.RunAsStep(ctx, func(context.Context) (string, error) { return person, nil })
}

const workflowUnit = "a workflow of one empty step, from RunWorkflow until GetResult: three commits, of the workflow with its input, of the step's result and of the workflow's"

// workflows returns a work whose calls each run a workflow of one step and wait for its result.
func workflows(unit string) func(d *durable, name string, callers int, remove func() error) subject {
	return func(d *durable, name string, _ int, remove func() error) subject {
		return subject{
			name: name, unit: unit, begin: d.begin, end: d.end, close: remove,
			op: func(context.Context, int, int) error { return d.workflow() },
		}
	}
}

// workflow runs a workflow of one step and waits for its result.
func (d *durable) workflow(options ...dbos.WorkflowOption) error {
	handle, err := dbos.RunWorkflow(d.Context, oneStep, "ann", options...)
	if err != nil {
		return err
	}
	_, err = handle.GetResult(dbos.WithHandleTimeout(patience))
	return err
}

// identified is workflows with ids of the caller's choice: a second run with an id gets the result of
// the first.
func (d *durable) identified(name string, callers int, remove func() error) subject {
	next := requestIDs(callers)
	return subject{
		name: name, begin: d.begin, end: d.end, close: remove,
		unit: "a workflow of one empty step under an id that the caller has chosen, by which a repetition gets the result of the first",
		op: func(_ context.Context, caller, _ int) error {
			return d.workflow(dbos.WithWorkflowID(next(caller).String()))
		},
	}
}

// beginEach begins, and starts a workflow for each caller.
func (d *durable) beginEach(ctx context.Context, callers int, workflow dbos.Workflow[int, int]) ([]dbos.WorkflowHandle[int], error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	handles := make([]dbos.WorkflowHandle[int], callers)
	d.receipts, d.asks = make([]chan struct{}, callers), make([]chan struct{}, callers)
	err := inParallel(callers, callers, func(i int) (err error) {
		d.receipts[i], d.asks[i] = make(chan struct{}, 1), make(chan struct{})
		handles[i], err = dbos.RunWorkflow(d.Context, workflow, i)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, d.end(ctx))
	}
	return handles, nil
}

// receipt waits until a caller's workflow has done its step.
func (d *durable) receipt(ctx context.Context, caller int) error {
	select {
	case <-d.receipts[caller]:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stepping is a workflow that runs a step for each request.
func (d *durable) stepping(ctx dbos.Context, caller int) (n int, err error) {
	for range d.asks[caller] {
		if _, err := dbos.RunAsStep(ctx, func(context.Context) (int, error) { return n, nil }); err != nil {
			return n, err
		}
		n++
		d.receipts[caller] <- struct{}{}
	}
	return n, nil
}

// steps is a work whose calls each run a step of the caller's own workflow, until its result is stored.
func (d *durable) steps(name string, callers int, remove func() error) subject {
	var handles []dbos.WorkflowHandle[int]
	return subject{
		name: name, close: remove,
		unit: "an empty step of a workflow of the caller's own that is under way, until its result is stored: one commit",
		begin: func(ctx context.Context) (err error) {
			handles, err = d.beginEach(ctx, callers, d.stepping)
			return err
		},
		op: func(ctx context.Context, caller, _ int) error {
			select {
			case d.asks[caller] <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			return d.receipt(ctx, caller)
		},
		end: func(ctx context.Context) error {
			return errors.Join(inParallel(callers, callers, func(i int) error {
				close(d.asks[i])
				_, err := handles[i].GetResult(dbos.WithHandleTimeout(patience))
				return err
			}), d.end(ctx))
		},
	}
}

// finish is the message that ends a workflow that receives.
const finish = "finish"

// receiving is a workflow that receives messages until one says finish.
func (d *durable) receiving(ctx dbos.Context, caller int) (int, error) {
	for n := 0; ; n++ {
		message, err := dbos.Recv[string](ctx, "", time.Hour)
		if err != nil || message == finish {
			return n, err
		}
		d.receipts[caller] <- struct{}{}
	}
}

// messages is a work whose calls each send a message to the caller's own workflow, which waits for
// it, and wait until the workflow has received it.
func (d *durable) messages(name string, callers int, remove func() error) subject {
	var handles []dbos.WorkflowHandle[int]
	return subject{
		name: name, close: remove,
		unit: "a message to a waiting workflow, from Send until Recv returns there: two commits, of the message, with a NOTIFY, and of its receipt as a step; a third, of the time at which the next Recv gives up, overlaps with the next message",
		begin: func(ctx context.Context) (err error) {
			handles, err = d.beginEach(ctx, callers, d.receiving)
			return err
		},
		op: func(ctx context.Context, caller, _ int) error {
			if err := dbos.Send(d.Context, handles[caller].GetWorkflowID(), "terminate", ""); err != nil {
				return err
			}
			return d.receipt(ctx, caller)
		},
		end: func(ctx context.Context) error {
			return errors.Join(inParallel(callers, callers, func(i int) error {
				if err := dbos.Send(d.Context, handles[i].GetWorkflowID(), finish, ""); err != nil {
					return err
				}
				_, err := handles[i].GetResult(dbos.WithHandleTimeout(patience))
				return err
			}), d.end(ctx))
		},
	}
}
