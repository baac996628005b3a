package executor_test

import (
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/memstore"
)

// What does a step cost beside its work?
func BenchmarkBesideABarePool(b *testing.B) { jobkit.BesideABarePool(b, engine.New(memstore.New())) }
