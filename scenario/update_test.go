package scenario

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
)

// A file is unchanged if its golden text does not parse: both errors are told.
func TestUpdateLeavesWhatItCouldNotRead(t *testing.T) {
	const text = "job release\n  script copy, targets a\nexpect job: ?\n"
	path := filepath.Join(t.TempDir(), "x.txt")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	// A read has no unknown outcome, so a file cannot expect one.
	c := Config{Update: true, Open: func() store.Store { return doubting{memstore.New()} }}
	result, err := playFile(t.Context(), path, c)
	if err == nil || !strings.Contains(err.Error(), path+":3: expect job: ?: want what golden mode writes") ||
		!strings.Contains(err.Error(), path+" is unchanged, as its golden text does not parse:\n"+path+`:3: expect job: unknown outcome: got "unknown outcome"`) {
		t.Errorf("got %v", err)
	}
	if data, _ := os.ReadFile(path); string(data) != text || result == nil {
		t.Errorf("the file is now\n%s\nand the result %v", data, result)
	}
}

// doubting is a store whose reads of jobs have an unknown outcome.
type doubting struct{ store.Store }

func (s doubting) View(ctx context.Context, q store.Query) (store.View, error) {
	if q.Step != 0 {
		return s.Store.View(ctx, q)
	}
	return store.View{}, fmt.Errorf("view: %w", engine.ErrUnknownOutcome)
}
