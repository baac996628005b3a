package engine_test

import (
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/memstore"
)

// How long do 1,000 reports of one job take in memory, and a person's operation meanwhile?
func BenchmarkReports(b *testing.B) {
	for _, c := range []struct {
		name      string
		callers   int
		terminate bool
	}{{"callers=1", 1, false}, {"callers=32", 32, false}, {"callers=32/terminate", 32, true}} {
		b.Run(c.name, func(b *testing.B) {
			crowd.Benchmark(b, engine.New(memstore.New()), c.callers, 1, 1000, c.terminate)
		})
	}
}
