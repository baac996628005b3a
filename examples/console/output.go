package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// outputs serves the output of scripts.
type outputs struct {
	eng  *engine.Engine
	logs executor.Logs
}

// mostOutput is the maximum number of bytes shown of a stream: its last ones, where errors tend to
// be.
const mostOutput = 64 << 10

// get answers with the output so far of a script on one target in one attempt: GET
// /output?job=&step=&attempt=&target=, with stream=stdout or stderr for one of the two.
func (o outputs) get(w http.ResponseWriter, r *http.Request) {
	if _, err := identify(r, httpapi.Credentials{}); err != nil {
		http.Error(w, "sign in first: POST /session", http.StatusUnauthorized)
		return
	}
	logs, err := parseOutputQuery(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	shown, err := o.read(r.Context(), logs)
	switch {
	case errors.Is(err, operation.NoSuchJob), errors.Is(err, operation.NoSuchStep), errors.Is(err, errNotYet):
		http.Error(w, "no output: no script has run there", http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, "the output cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(shown)
}

var errNotYet = errors.New("the step has not reached this attempt")

// read reads the ends of the logs of one target.
func (o outputs) read(ctx context.Context, logs []executor.Log) (shown []byte, err error) {
	s, err := o.eng.Step(ctx, logs[0].Job, logs[0].Step)
	if err == nil && logs[0].Attempt > s.Attempt {
		err = errNotYet
	}
	if err != nil {
		return nil, err
	}
	for _, l := range logs {
		end, err := o.logs.Read(ctx, l, -mostOutput, mostOutput)
		if err != nil {
			return nil, err
		}
		if n := len(shown); n > 0 && shown[n-1] != '\n' {
			shown = append(shown, '\n')
		}
		shown = append(shown, text(end)...)
	}
	return shown, nil
}

// parseOutputQuery returns the logs of a query: one or two of the same target.
func parseOutputQuery(raw string) ([]executor.Log, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errors.New("the query is malformed")
	}
	number := func(name string, bits int) int64 {
		n, e := strconv.ParseUint(values.Get(name), 10, bits-1)
		if e != nil && err == nil {
			err = fmt.Errorf("%s: want a number, from 0", name)
		}
		return int64(n)
	}
	l := executor.Log{
		Job: store.JobID(number("job", 64)), Step: step.ID(number("step", 64)),
		Attempt: int32(number("attempt", 32)), Target: int32(number("target", 32)), Stream: executor.Stdout,
	}
	if err != nil {
		return nil, err
	}
	if name := values.Get("stream"); name != "" {
		if l.Stream, err = executor.ParseStream(name); err != nil {
			return nil, err
		}
		return []executor.Log{l}, l.Check()
	}
	both := []executor.Log{l, l}
	both[1].Stream = executor.Stderr
	return both, l.Check()
}

// text returns the end of a log, with the number of bytes that are not shown.
func text(end executor.Excerpt) []byte {
	shown := end.Data
	if end.Offset > 0 {
		shown = append(fmt.Appendf(nil, "[%d earlier bytes are not shown]\n", end.Offset), shown...)
	}
	if lost := end.Written - end.Kept; lost > 0 {
		shown = fmt.Appendf(shown, "\n[%d later bytes were not kept]\n", lost)
	}
	return shown
}
