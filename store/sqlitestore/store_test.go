package sqlitestore_test

import (
	"path/filepath"
	"testing"

	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/sqlitestore"
	"github.com/stepgate/stepgate/store/storetest"
)

func TestStore(t *testing.T) { storetest.Run(t, fresh) }

// fresh returns the store of a new file.
func fresh(t testing.TB) store.Store { return open(t, filepath.Join(t.TempDir(), "jobs.db")) }

func open(t testing.TB, path string, opts ...sqlitestore.Option) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
