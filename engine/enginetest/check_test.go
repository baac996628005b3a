package enginetest_test

import (
	"flag"
	"testing"

	"github.com/stepgate/stepgate/engine/enginetest"
)

// The whole test of an embedder's rules, on the store that they use.
func TestCheck(t *testing.T) {
	checks := flag.Lookup("rapid.checks").Value
	defer func(before string) { _ = checks.Set(before) }(checks.String())
	if err := checks.Set("100"); err != nil { // what rapid does by itself
		t.Fatal(err)
	}
	enginetest.Check(t, enginetest.Config{Rules: deployment(true), Expect: meant()})
}
