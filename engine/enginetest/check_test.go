package enginetest_test

import (
	"testing"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/internal/testkit"
)

// The whole test of an embedder's rules, on the store that they use.
func TestCheck(t *testing.T) {
	testkit.SetFlag(t, "rapid.checks", "100") // what rapid does by itself
	enginetest.Check(t, enginetest.Config{Rules: deployment(true), Expect: meant()})
}
