package jobkit

import (
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Foreign is the number of effects that a claim of [BenchmarkClaims] does not select.
const Foreign = 100_000

// Own is the scope of the jobs whose effects it claims.
var Own = store.Scope{Type: "biz", ID: "own"}

// BenchmarkClaims measures the cost of a claim of 16 runs beside [Foreign] due effects that it does
// not select: the ratio of the medians of claims in turn on a store with them and on one without.
// open returns an empty store, and a function that adds foreign runs of a step type and a scope.
func BenchmarkClaims(b *testing.B, open func(b *testing.B) (s store.Store, foreign func(typ step.Type, scope store.Scope))) {
	scripts := step.TypesOf(step.Script)
	for _, c := range []struct {
		name  string
		claim store.Claim
		typ   step.Type
		scope store.Scope
	}{
		{"beside another type", store.Claim{Types: scripts}, step.SQL, Own},
		{"beside another scope", store.Claim{Scope: Own}, step.Script, store.Scope{Type: "biz", ID: "other"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			alone, _ := open(b)
			beside, foreign := open(b)
			foreign(c.typ, c.scope)
			c.claim.Effects, c.claim.Limit = []store.Effect{store.RunTargets}, 16
			var took [2][]time.Duration
			for _, s := range []store.Store{alone, beside} {
				StartMany(b, engine.New(s), 64, Running(Own, 1, 1))
			}
			for n := 0; b.Loop(); n++ {
				for i, s := range []store.Store{alone, beside} {
					claim := c.claim
					claim.Now, claim.Until = step.Time(n+1), step.Time(n+2) // by the next turn the leases have run out
					began := time.Now()
					claimed, err := s.Claim(b.Context(), claim)
					took[i] = append(took[i], time.Since(began))
					if err != nil || len(claimed) != claim.Limit {
						b.Fatalf("Claim: %d effects and error %v, want %d", len(claimed), err, claim.Limit)
					}
				}
			}
			for i := range took {
				slices.Sort(took[i])
			}
			middle := len(took[0]) / 2
			b.ReportMetric(float64(took[1][middle])/float64(took[0][middle]), "beside/alone")
		})
	}
}
