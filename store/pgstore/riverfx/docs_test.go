package riverfx_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
	"github.com/stepgate/stepgate/store/pgstore/riverfx"
)

// openWithRiver opens a store whose effects are River jobs.
func openWithRiver(ctx context.Context, pool *pgxpool.Pool) (*pgstore.Store, *riverfx.Carrier, error) {
	if err := pgstore.Migrate(ctx, pool); err != nil {
		return nil, nil, err
	}
	if err := riverfx.Migrate(ctx, pool); err != nil { // River's own tables
		return nil, nil, err
	}
	carrier, err := riverfx.New(pool)
	if err != nil {
		return nil, nil, err
	}
	st, err := pgstore.New(ctx, pool, pgstore.WithCarrier(carrier))
	return st, carrier, err
}

// work carries out River jobs until ctx ends, in a process that does the work.
func work(ctx context.Context, st *pgstore.Store, carrier *riverfx.Carrier, handle riverfx.Handler) error {
	return carrier.Worker(engine.New(st), st, handle).Run(ctx)
}

// The program of docs/stores.md works.
func TestFragments(t *testing.T) {
	st, carrier, err := openWithRiver(t.Context(), connect(t, pgtest.Schema(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	eng := engine.New(st)
	job := jobkit.Start(t, eng, jobkit.Running(store.Scope{}, 1, 1))
	if claimed, err := eng.Claim(ctx, engine.ClaimQuery{}); len(claimed) > 0 || err != nil {
		t.Errorf("Claim: %v, %v, want none: effects are River jobs", claimed, err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- work(ctx, st, carrier, func(_ context.Context, d engine.Delivery) (*engine.Report, error) {
			if d.Effect != store.RunTargets {
				return nil, nil
			}
			return &engine.Report{By: "deployer", Results: []engine.TargetResult{{Result: store.Result{Status: step.TargetSucceeded}}}}, nil
		})
	}()
	for r, err := range eng.Watch(ctx, job, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.JobTo.Finished() {
			if r.JobTo != step.Succeeded || r.Actor != "deployer" {
				t.Errorf("the job is %v by %q, want succeeded by deployer", r.JobTo, r.Actor)
			}
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("work: %v", err)
	}
}
