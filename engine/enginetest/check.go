package enginetest

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/store/storetest"
)

// Check does everything that there is in this package and in storetest to the rules and the
// store of c, each as a subtest: the conformance suite of stores; [CheckRules]; a [Walk]
// through all jobs of one and two steps; and as many random sequences ([Sequence]) and
// simulations ([Simulate]) as -rapid.checks says.
//
//	func TestWorkflow(t *testing.T) {
//		enginetest.Check(t, enginetest.Config{Rules: rules, Expect: expect, Open: open})
//	}
func Check(t *testing.T, c Config) {
	c = c.withDefaults()
	t.Run("store", func(t *testing.T) { storetest.Run(t, c.Open) })
	t.Run("rules", func(t *testing.T) {
		if err := CheckRules(c.Rules, c.Expect); err != nil {
			t.Error(err)
		}
	})
	t.Run("walk", func(t *testing.T) {
		jobs := append(SmallJobs(c.Rules, 1), SmallJobs(c.Rules, 2)...)
		stats, err := Walk{Jobs: jobs, Rules: c.Rules, Expect: c.Expect}.Run()
		if err != nil {
			t.Fatal(err)
		}
		t.Log(stats)
	})
	t.Run("sequences", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			rapid.SyncTest(t, func(t *rapid.T) { Sequence(t, c) }) // an engine that backs off waits for no clock
		})
	})
	t.Run("simulations", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			rapid.SyncTest(t, func(t *rapid.T) { Simulate(t, c) })
		})
	})
}
