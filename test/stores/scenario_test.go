package stores_test

import (
	"testing"

	"github.com/stepgate/stepgate/scenario"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/test/stores"
)

// Every scenario comes out the same on every store, that of a deadline which passed unswept among
// them. Scenarios have a clock of their own, so that of the store is left out.
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
