package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// outputs are what scripts have printed.
type outputs struct {
	eng  *engine.Engine
	exec *localexec.Executor
}

// mostOutput is how many bytes of a stream are shown: its last ones, where errors tend to be.
const mostOutput = 64 << 10

// get answers with what a script printed on one target in one attempt, as far as it has got:
// GET /output?job=&step=&attempt=&target=, and stream=stdout or stderr for one of the two.
func (o outputs) get(w http.ResponseWriter, r *http.Request) {
	if _, err := identify(r, httpapi.Credentials{}); err != nil {
		http.Error(w, "sign in first: POST /session", http.StatusUnauthorized)
		return
	}
	q, err := parseOutputQuery(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out, err := o.read(r, q)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "no output: no script has run there, or its output is gone", http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, "the output cannot be read", http.StatusInternalServerError)
		return
	}
	var shown []byte
	switch q.stream {
	case "stdout":
		shown = tail(out.Stdout)
	case "stderr":
		shown = tail(out.Stderr)
	default:
		shown = tail(out.Stdout)
		if n := len(shown); n > 0 && shown[n-1] != '\n' {
			shown = append(shown, '\n')
		}
		shown = append(shown, tail(out.Stderr)...)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(shown)
}

// read reads an output, of a job that exists.
func (o outputs) read(r *http.Request, q outputQuery) (localexec.Output, error) {
	switch _, err := o.eng.Job(r.Context(), q.job); {
	case errors.Is(err, operation.NoSuchJob):
		return localexec.Output{}, fs.ErrNotExist
	case err != nil:
		return localexec.Output{}, err
	}
	return o.exec.Output(q.job, q.step, q.attempt, q.target)
}

type outputQuery struct {
	job             store.JobID
	step            step.ID
	attempt, target int32
	stream          string // empty for both
}

var streams = []string{"", "stdout", "stderr"}

func parseOutputQuery(raw string) (q outputQuery, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, errors.New("the query is not well-formed")
	}
	number := func(name string, bits int) int64 {
		n, e := strconv.ParseUint(values.Get(name), 10, bits-1)
		if e != nil && err == nil {
			err = fmt.Errorf("%s: want a number, from 0", name)
		}
		return int64(n)
	}
	q.job = store.JobID(number("job", 64))
	q.step = step.ID(number("step", 64))
	q.attempt, q.target = int32(number("attempt", 32)), int32(number("target", 32))
	q.stream = values.Get("stream")
	if err == nil && !slices.Contains(streams, q.stream) {
		err = errors.New("stream: want stdout or stderr, or none for both")
	}
	return q, err
}

// tail returns the end of an output, and says if there is more. The caller owns the result.
func tail(data []byte) []byte {
	if len(data) <= mostOutput {
		return slices.Clone(data)
	}
	left := len(data) - mostOutput
	return append(fmt.Appendf(nil, "[%d bytes before this are not shown]\n", left), data[left:]...)
}
