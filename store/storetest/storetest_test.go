package storetest_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

func open(testing.TB) store.Store { return memstore.New() }

func TestSuitePassesAGoodStore(t *testing.T) { storetest.Run(t, open) }

// Every promise that a broken store breaks rejects it, so that no store is rejected by
// accident.
func TestSuiteRejectsBrokenStores(t *testing.T) {
	for _, b := range storetest.Broken() {
		t.Run(b.Name, func(t *testing.T) {
			if b.Break == nil || b.Why == "" || len(b.Rejects) == 0 {
				t.Fatalf("breakage %q: got Why %q and Rejects %q, want all of it", b.Name, b.Why, b.Rejects)
			}
			broken := func(testing.TB) store.Store { return b.Break(memstore.New()) }
			for _, promise := range b.Rejects {
				var failures []storetest.Failure
				check := func(t *testing.T) { failures = storetest.Check(t, broken, promise) }
				if strings.HasPrefix(promise, "Wake/") {
					synctest.Test(t, check) // so that no check waits for a wake that does not come
				} else {
					check(t)
				}
				if len(failures) == 0 {
					t.Errorf("Check(%q) of a store of which %s: got no failure, want one", promise, b.Why)
				}
				for _, f := range failures[:min(1, len(failures))] {
					t.Logf("%s: %.300s", f.Promise, f.Message)
				}
			}
		})
	}
}

// The store whose rules of turns are broken one by one keeps all promises with good rules.
func TestSuitePassesABookOfTurns(t *testing.T) {
	book := func(testing.TB) store.Store { return storetest.BookOfTurns(memstore.New()) }
	for _, promise := range storetest.Promises() {
		if !strings.HasPrefix(promise, "Turn/") {
			continue
		}
		for _, f := range storetest.Check(t, book, promise) {
			t.Errorf("%s: %s", f.Promise, f.Message)
		}
	}
}

func TestEachPromiseIsBrokenBySomeStore(t *testing.T) {
	var broken []string
	names := map[string]bool{}
	for _, b := range storetest.Broken() {
		broken = append(broken, b.Rejects...)
		if names[b.Name] {
			t.Errorf("Broken has %q twice, want it once", b.Name)
		}
		names[b.Name] = true
	}
	for _, promise := range storetest.Promises() {
		if !slices.Contains(broken, promise) {
			t.Errorf("promise %q: got no broken store that it rejects, want one", promise)
		}
	}
	for _, promise := range broken {
		if !slices.Contains(storetest.Promises(), promise) {
			t.Errorf("Broken: got promise %q, want one of Promises", promise)
		}
	}
}

// A store that is opened in a trial fails or skips the trial's t, and not the test's.
func TestCheckContainsWhatFails(t *testing.T) {
	const promise = "Jobs/none is no error"
	for name, c := range map[string]struct {
		open func(t testing.TB) store.Store
		want []string
	}{
		"passes":  {open, nil},
		"Errorf":  {func(t testing.TB) store.Store { t.Errorf("one %d", 1); t.Error("two"); return open(t) }, []string{"one 1", "two"}},
		"Fatalf":  {func(t testing.TB) store.Store { t.Helper(); t.Fatalf("one %d", 1); return nil }, []string{"one 1"}},
		"Fatal":   {func(t testing.TB) store.Store { t.Log("so"); t.Fatal("one"); return nil }, []string{"one"}},
		"Fail":    {func(t testing.TB) store.Store { t.Fail(); t.FailNow(); return nil }, []string{"failed", "failed"}},
		"panic":   {func(t testing.TB) store.Store { t.Logf("so"); panic("one") }, []string{"panic: one"}},
		"Skip":    {func(t testing.TB) store.Store { t.Skip(); return nil }, nil},
		"Skipf":   {func(t testing.TB) store.Store { t.Skipf("no"); return nil }, nil},
		"SkipNow": {func(t testing.TB) store.Store { t.SkipNow(); return nil }, nil},
		"Cleanup": {func(t testing.TB) store.Store { t.Cleanup(func() { t.Error(t.Context().Err()) }); return open(t) }, []string{"context canceled"}},
		"two of them": {func(t testing.TB) store.Store {
			t.Cleanup(func() { t.Error("2") })
			t.Cleanup(func() { t.Fatal("1") })
			return open(t)
		}, []string{"1", "2"}},
	} {
		var got []string
		for _, f := range storetest.Check(t, c.open, promise) {
			if f.Promise != promise {
				t.Errorf("%s: got a failure of %q, want one of %q", name, f.Promise, promise)
			}
			got = append(got, f.Message)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: Check: got failures %q, want %q", name, got, c.want)
		}
	}
	if got := storetest.Check(t, open, "Jobs/are nice"); len(got) != 1 || got[0].Promise != "Jobs/are nice" {
		t.Errorf("Check of an unknown promise: got %v, want it as the one failure", got)
	}
}

// The promises about waking do not apply to a store that is no store.Waker.
func TestAStoreNeedNotWake(t *testing.T) {
	for _, promise := range storetest.Promises() {
		if strings.HasPrefix(promise, "Wake/") {
			deaf := func(testing.TB) store.Store { return struct{ store.Store }{memstore.New()} }
			for _, f := range storetest.Check(t, deaf, promise) {
				t.Errorf("Check of a store that is no store.Waker: got %s: %s, want no failure", f.Promise, f.Message)
			}
		}
	}
}
