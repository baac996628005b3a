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
// Before anything else it opens a store with t itself: an Open that skips, because there is
// no database, say, skips all of it.
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

// property returns what rapid checks of c: play, in a bubble, where an engine that backs off
// waits for no clock; but not with a store whose goroutines may outlive the bubble.
func (c Config) property(play func(*rapid.T, Config)) func(*rapid.T) {
	return func(t *rapid.T) {
		if c.Open != nil {
			play(t, c)
			return
		}
		rapid.SyncTest(t, func(t *rapid.T) { play(t, c) })
	}
}
