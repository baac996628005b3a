package enginetest_test

import (
	"testing"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/store"
)

// The whole test of an embedder's rules, on the store that they use.
func TestCheck(t *testing.T) {
	testkit.SetFlag(t, "rapid.checks", "100") // what rapid does by itself
	enginetest.Check(t, enginetest.Config{Rules: deployment(true), Expect: meant()})
}

// Check skips everything if the store needs a database that this machine does not have.
func TestCheckSkipsWhereThereIsNoStore(t *testing.T) {
	opened, skipped := 0, false
	t.Run("no database", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		enginetest.Check(t, enginetest.Config{Open: func(t testing.TB) store.Store {
			opened++
			t.Skip("no database")
			return nil
		}})
	})
	if !skipped || opened != 1 {
		t.Errorf("skipped: %v, after %d calls of Open; want it skipped by the first", skipped, opened)
	}
}
