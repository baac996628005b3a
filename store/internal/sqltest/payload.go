package sqltest

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const (
	rounds  = 6
	reports = 100 // of a round
)

// ReportsByPayload measures a report on a job with payloads of 1 MiB and one on a job with payloads
// of 16 bytes, each on a database of its own, in turns. The figure 1MiB/16B is the ratio of the
// medians.
func ReportsByPayload(b *testing.B, small, large *engine.Engine) {
	sides := []*reporter{newReporter(b, small, 16), newReporter(b, large, 1<<20)}
	for b.Loop() {
		for i := range rounds {
			sides[i%2].report()
			sides[1-i%2].report()
		}
	}
	b.ReportMetric(sides[0].median(), "16B-us/report")
	b.ReportMetric(sides[1].median(), "1MiB-us/report")
	b.ReportMetric(sides[1].median()/sides[0].median(), "1MiB/16B")
}

// A reporter reports on jobs of one kind.
type reporter struct {
	*testing.B
	eng  *engine.Engine
	spec engine.JobSpec
	took []time.Duration // by round
}

func newReporter(b *testing.B, eng *engine.Engine, size int) *reporter {
	random := rand.New(rand.NewPCG(1, 2))
	payload := make([]byte, size*3/4) // as base64 of noise, which compresses badly
	for i := range payload {
		payload[i] = byte(random.Uint32())
	}
	spec := step.Spec{Type: step.Script, Name: "run", Payload: base64.StdEncoding.EncodeToString(payload)}
	for i := range reports + 1 {
		spec.Targets = append(spec.Targets, fmt.Sprint("host-", i))
	}
	return &reporter{B: b, eng: eng, spec: engine.JobSpec{Name: "bench", Steps: []step.Spec{spec, spec}}}
}

// report measures a round. Each report has the result of one more target of the first step, and
// never of the last.
func (r *reporter) report() {
	r.StopTimer()
	defer r.StartTimer()
	job := jobkit.Start(r, r.eng, r.spec)
	began := time.Now()
	for i := range int32(reports) {
		result := engine.TargetResult{Target: i, Result: store.Result{Status: step.TargetSucceeded}}
		if _, err := r.eng.Report(r.Context(), engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{result}}); err != nil {
			r.Fatal(err)
		}
	}
	r.took = append(r.took, time.Since(began))
}

// median returns the median of the rounds, in microseconds per report.
func (r *reporter) median() float64 {
	sorted := slices.Sorted(slices.Values(r.took))
	n := len(sorted)
	return float64((sorted[(n-1)/2] + sorted[n/2]).Microseconds()) / 2 / reports
}
