package pgstore_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/storetest"
)

func TestMain(m *testing.M) { testkit.Main(m, 3) }

// The store keeps its contract, and the engine its promises on it.
func TestStore(t *testing.T) {
	t.Parallel()
	enginetest.Check(t, enginetest.Config{Open: emptied(migrated(t, hasty))})
}

// So does one that commits every change alone.
func TestStoreWithoutGroupCommit(t *testing.T) {
	t.Parallel()
	storetest.Run(t, emptied(migrated(t, hasty), pgstore.WithLanes(0)))
}

// So does one behind a pooler that does not let prepared statements through.
func TestStoreWithoutPreparedStatements(t *testing.T) {
	t.Parallel()
	storetest.Run(t, emptied(migrated(t, hasty, func(c *pgxpool.Config) {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	})))
}
