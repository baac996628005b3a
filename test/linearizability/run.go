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

// Run records 200 histories, each on a store that open returns, empty, and that nobody else
// uses meanwhile, and fails t if one is not linearizable. In every fourth one the store loses its
// connection now and then, so that there are requests whose outcome nobody knows: such a
// call may take effect at any time after it was made, or never.
//
// The seed is printed; STEPGATE_SEED=n has clients ask by the same dice again. What the
// schedule was is not repeated by that: the history that failed is drawn to an HTML file,
// which go test -artifacts keeps.
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

// draw draws a violation and says where.
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
