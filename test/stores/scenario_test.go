package stores_test

import (
	"testing"

	"github.com/stepgate/stepgate/scenario"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/test/stores"
)

// Every scenario has the same result on every store, that of a deadline which passed unswept included.
// Scenarios have a clock of their own, which replaces the store's.
func TestScenarios(t *testing.T) {
	for _, kind := range stores.Each()[1:] { // in memory they are played beside their package
		t.Run(kind.Name, func(t *testing.T) {
			open := kind.Emptied(t)
			scenario.Test(t, "../../scenario/testdata/*.txt", scenario.Config{
				Open: func() store.Store { return struct{ store.Store }{open(t)} },
			})
		})
	}
}
