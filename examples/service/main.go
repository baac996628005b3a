package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"net/url"
	"os/signal"
	"syscall"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

const httpCheck step.Type = 32 // GET http://TARGET + PAYLOAD answers 200
var tokens = httpapi.Tokens{
	"ann-token":    {Person: "ann", AllScopes: true}, // change them: read yours from a file
	"worker-token": {Name: "worker", AllScopes: true, Executor: true},
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "the `address` to listen on")
	db := flag.String("db", "jobs.db", "the SQLite `file` of the jobs")
	flag.Parse()
	httpCheck.Register("http_check")
	st, err := sqlitestore.Open(*db)
	if err != nil {
		log.Fatal(err)
	}
	eng := engine.New(st, engine.WithRules(operation.StandardTable().With(httpCheck, step.Script).MustCompile()))
	x := executor.New(eng, executor.Hosts(httpCheck, check), executor.Drain(10*time.Second))
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	log.Printf("serving http://%s/v1/", *addr)
	err = httpapi.ListenAndServe(ctx, *addr, httpapi.New(eng, httpapi.Config{Identify: tokens.Identify}), x.Run)
	if err := errors.Join(err, st.Close()); err != nil {
		log.Fatal(err)
	}
}

func check(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
	r := &http.Request{URL: &url.URL{Scheme: "http", Host: h.Name, Path: t.Step.Payload}}
	answer, err := http.DefaultClient.Do(r.WithContext(ctx))
	if err != nil {
		return store.Result{Status: step.TargetFailed, Detail: err.Error()}
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return store.Result{Status: step.TargetFailed, Detail: answer.Status}
	}
	return store.Result{Status: step.TargetSucceeded}
}
