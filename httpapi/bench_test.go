package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// asking returns an engine with one started job that asks for a confirmation.
func asking(tb testing.TB) (*engine.Engine, store.JobID) {
	tb.Helper()
	eng := engine.New(memstore.New())
	created, err := eng.Create(tb.Context(), askingSpec(store.Scope{Type: "biz", ID: "2"}), engine.Request{})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := eng.OperateJob(tb.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		tb.Fatal(err)
	}
	return eng, created.Job
}

func askingSpec(scope store.Scope) engine.JobSpec {
	return engine.JobSpec{Name: "ask", Scope: scope, Steps: []step.Spec{
		{Type: step.Confirmation, Name: "ask"}, {Type: step.Confirmation, Name: "ask again"},
	}}
}

// ann sees everything and may do everything.
func ann(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
	return httpapi.Caller{Person: "ann", AllScopes: true, Executor: true}, nil
}

// post sends a body and reads the answer, which must be a 200.
func post(tb testing.TB, client *http.Client, url string, body []byte) []byte {
	tb.Helper()
	answer, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK {
		tb.Fatalf("%s: %d %s %v", url, answer.StatusCode, text, err)
	}
	return text
}

// What does an operation over HTTP cost beside a handler that decodes the same body, into the
// same fields, and answers with the same JSON? The two alternate, in blocks, over connections
// of their own to one server; the ratio is the median of the blocks'.
func BenchmarkOperateOverHTTP(b *testing.B) {
	type operate struct {
		Code   operation.Code `json:"code"`
		Reason string         `json:"reason"`
	}
	eng, job := asking(b)
	var record store.Record
	mux := http.NewServeMux()
	mux.Handle("/", httpapi.New(eng, httpapi.Config{Identify: ann}))
	mux.HandleFunc("POST /plain", func(w http.ResponseWriter, r *http.Request) {
		var o operate
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		record.Cause = o.Code.Cause()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(record)
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	bodies := [2][]byte{}
	for i, code := range []operation.Code{operation.TerminateConfirmation, operation.RestartConfirmation} {
		bodies[i], _ = json.Marshal(operate{code, "the link is back"})
	}
	real := fmt.Sprintf("%s/v1/jobs/%d/steps/1/operate", server.URL, job)
	for _, body := range bodies { // what the plain one answers with
		if err := json.Unmarshal(post(b, server.Client(), real, body), &record); err != nil {
			b.Fatal(err)
		}
	}
	const block = 200
	turn := func(url string) time.Duration {
		began := time.Now()
		for i := range block {
			post(b, server.Client(), url, bodies[i%2])
		}
		return time.Since(began)
	}
	var ratios []float64
	b.ReportAllocs()
	for b.Loop() {
		plain := turn(server.URL + "/plain")
		ratios = append(ratios, float64(turn(real))/float64(plain))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "of-plain")
}
