package client_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stepgate/stepgate/client"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/executor/executortest"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
)

// An executor on a client keeps its contract, though each of its processes has a server of its own
// between itself and the store.
func TestExecutorKeepsTheContract(t *testing.T) {
	kit := executortest.Kit{Open: func(testing.TB) store.Store { return memstore.New() }}
	kit.Run(t, func(ctx context.Context, p executortest.Process) error {
		server := httptest.NewServer(httpapi.New(p.Engine, httpapi.Config{
			Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
				return httpapi.Caller{Scope: p.Scope, Executor: true}, nil
			},
		}))
		defer server.Close()
		src, err := client.New(server.URL)
		if err != nil {
			return err
		}
		work := func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
			return p.Work(ctx, executortest.Assignment{Job: t.Job.ID, Step: t.Step.ID, Attempt: t.Attempt, Index: h.Index, Name: h.Name})
		}
		return executor.New(src, executor.Hosts(p.Type, work), executor.Lease(p.Lease), executor.Failed(p.Failed)).Run(ctx)
	})
}
