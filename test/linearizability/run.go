package linearizability

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/store"
)

const histories = 200 // that Run records

// Run records 200 histories, each on an empty store of its own that open returns, and fails t if
// one is not linearizable. In every fourth history the store loses its connection now and then, so
// that the outcome of some requests is unknown: such a call may take effect at any time after it was
// made, or never.
//
// Run prints the seed; STEPGATE_SEED=n repeats the clients' dice, and not the schedule. So Run draws
// a history that failed to an HTML file, which go test -artifacts keeps.
func Run(t *testing.T, open func(t testing.TB) store.Store) {
	seed := testkit.Seed(t)
	var sum History
	fewest, most := 1<<30, 0
	for i := range histories {
		st := open(t)
		if i%4 == 3 {
			st = flaky{st}
		}
		h, err := Record(t.Context(), st, seed+uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Check(); err != nil {
			t.Fatalf("history %d of seed %d: %v%s", i, seed, err, draw(t, err))
		}
		sum.Calls += h.Calls
		sum.Changes += h.Changes
		sum.Raced += h.Raced
		sum.Meetings.add(h.Meetings)
		sum.Unknown += h.Unknown
		fewest, most = min(fewest, h.Clients), max(most, h.Clients)
	}
	t.Logf("linearizability: %d histories, %d calls, %d to %d clients, all linearizable; %d changes, %d commits lost a race, %d outcomes unknown",
		histories, sum.Calls, fewest, most, sum.Changes, sum.Raced, sum.Unknown)
	t.Logf("linearizability: reports that met: %+v", sum.Meetings)
	if sum.Changes < sum.Calls/20 || sum.Raced < histories || sum.Unknown < histories/20 {
		t.Error("too little happened for that to mean anything")
	}
	sum.Meetings.enough(t)
}

// draw draws a violation and returns the file's path.
func draw(t *testing.T, err error) string {
	var v *Violation
	if !errors.As(err, &v) {
		return ""
	}
	path := filepath.Join(t.ArtifactDir(), "history.html")
	if err := v.Draw(path); err != nil {
		return fmt.Sprintf("it cannot be drawn: %v", err)
	}
	return "it is drawn in " + path + ", which go test -artifacts keeps"
}
