package enginetest

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/store/storetest"
)

// Check runs all tests of this package and of storetest on the rules and the store of c, each as a
// subtest: the conformance suite of stores; [CheckRules]; a [Walk] through all jobs of one and two
// steps; and random sequences ([Sequence]) and simulations ([Simulate]), in the number that the flag
// -rapid.checks sets.
//
// Check first opens a store with t itself: if c.Open skips t, as without a database, it skips
// all tests.
//
//	func TestWorkflow(t *testing.T) {
//		enginetest.Check(t, enginetest.Config{Rules: rules, Expect: expect, Open: open})
//	}
func Check(t *testing.T, c Config) {
	if c.Open != nil {
		c.Open(t)
	}
	t.Run("store", func(t *testing.T) { storetest.Run(t, c.withDefaults().Open) })
	t.Run("rules", func(t *testing.T) {
		if err := CheckRules(c.Rules, c.Expect); err != nil {
			t.Error(err)
		}
	})
	t.Run("walk", func(t *testing.T) {
		for _, w := range []Walk{{Jobs: SmallJobs(c.Rules, 1)}, {Jobs: SmallJobs(c.Rules, 2), Attempts: 1}} {
			w.Rules, w.Expect = c.Rules, c.Expect
			stats, err := w.Run()
			if err != nil {
				t.Fatal(err)
			}
			t.Log(stats)
		}
	})
	t.Run("sequences", func(t *testing.T) { rapid.Check(t, c.property(Sequence)) })
	t.Run("simulations", func(t *testing.T) { rapid.Check(t, c.property(Simulate)) })
}

// property returns play on c as a property for rapid. It runs in a bubble, where a back-off takes no
// real time, unless c has a store whose goroutines may outlive the bubble.
func (c Config) property(play func(*rapid.T, Config)) func(*rapid.T) {
	return func(t *rapid.T) {
		if c.Open != nil {
			play(t, c)
			return
		}
		rapid.SyncTest(t, func(t *rapid.T) { play(t, c) })
	}
}
