package enginetest

import (
	"context"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
)

// The t of a sequence refuses methods that change the whole process, and says why.
func TestOpenRefusesWhatOutlivesASequence(t *testing.T) {
	testkit.SetFlag(t, "rapid.checks", "5") // one, under -short
	for call, f := range map[string]func(testing.TB){
		"Setenv(HOME)":  func(t testing.TB) { t.Setenv("HOME", "/") },
		"Chdir(/)":      func(t testing.TB) { t.Chdir("/") },
		"ArtifactDir()": func(t testing.TB) { t.ArtifactDir() },
	} {
		said := testkit.Failure(t, func(t *rapid.T) { f(openTB{T: t}) })
		if !strings.Contains(said, "Open: t."+call+" is for a whole test") {
			t.Errorf("%s: it says %q, want why it is refused", call, said)
		}
	}
}

// The other methods work as on any other test.
func TestOpenWithATest(t *testing.T) {
	testkit.SetFlag(t, "rapid.checks", "5") // one, under -short
	dir := ""
	rapid.Check(t, func(t *rapid.T) {
		tb := openTB{T: t}
		dir = tb.TempDir()
		tb.Attr("store", tb.Name())
		if _, err := tb.Output().Write([]byte("opened")); err != nil || tb.Skipped() || tb.Failed() || tb.Context().Err() != nil {
			t.Fatalf("Output: %v, Skipped: %v, Failed: %v, Context: %v", err, tb.Skipped(), tb.Failed(), tb.Context().Err())
		}
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory of a sequence that has ended: %v, want it gone", err)
	}
}

// A store may have a connection that outlives a sequence and serves the next one.
func TestACheckedStoreMayHaveAPool(t *testing.T) {
	testkit.SetFlag(t, "rapid.checks", "10")
	calls := make(chan func())
	t.Cleanup(func() { close(calls) })
	go func() {
		for call := range calls {
			call()
		}
	}()
	c := Config{Open: func(testing.TB) store.Store { return pooled{memstore.New(), calls} }}
	rapid.Check(t, c.property(Sequence))
	rapid.Check(t, c.property(Simulate))
}

// pooled is a store that reads over a connection which it shares with others.
type pooled struct {
	*memstore.Store
	calls chan func()
}

func (s pooled) View(ctx context.Context, q store.Query) (v store.View, err error) {
	done := make(chan struct{})
	s.calls <- func() {
		v, err = s.Store.View(ctx, q)
		done <- struct{}{}
	}
	<-done
	return v, err
}
