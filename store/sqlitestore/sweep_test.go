package sqlitestore_test

import (
	"testing"

	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/internal/sqltest"
)

func TestSweepersExpireEachAttemptOnce(t *testing.T) {
	path := file(t)
	sqltest.Sweepers(t, func() store.Store { return open(t, path) })
}
