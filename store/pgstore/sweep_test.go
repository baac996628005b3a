package pgstore_test

import (
	"testing"

	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/internal/sqltest"
)

func TestSweepersWithDifferentClocks(t *testing.T) {
	dsn, _ := shared(t, hasty)
	sqltest.Sweepers(t, func() store.Store { return open(t, connect(t, dsn, hasty, conns(2))) })
}
