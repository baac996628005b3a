package histories

import (
	"slices"
	"testing"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store/storetest"
	"github.com/stepgate/stepgate/test/stores"
)

// Every store gives the histories that memstore gives. That memstore gives them twice shows
// that it is stores which are compared, and not the player's whims.
func TestStoresGiveEqualHistories(t *testing.T) {
	for _, s := range stores.Each() {
		t.Run(s.Name, func(t *testing.T) { Run(t, s.Open) })
	}
}

// unseen are the stores that the conformance suite rejects and that give the histories of a
// sound one, by why they do.
var unseen = map[string]string{
	"check, then commit":      "it takes two at once",
	"busy":                    "it takes two at once",
	"torn view":               "it takes two at once",
	"torn snapshot":           "it takes two at once",
	"undone, but done":        "no caller leaves in mid-call",
	"trimmed":                 "an engine refuses names with blank ends",
	"asleep":                  "nobody waits to be woken",
	"stop once":               "nobody waits to be woken",
	"forbidden, not absent":   "how an error is worded is not compared",
	"no request is a request": "every record of an engine carries one",
	"no details, no step":     "an engine looks for the step before its details",
	"no details, no job":      "an engine looks for the job before its details",
	"short payloads":          "no payload of a history is so long",
	"seal lost":               "no row of the standard rules seals",
	"handed-out replay":       "an engine does not write to a replay",

	"malformed told as a conflict": "an engine makes no malformed change",
	"words of its own":             "an engine makes no malformed change",
	"checked too late":             "an engine makes no malformed change",
	"forgiving":                    "an engine makes no malformed change",

	"claimed twice": "a dispatcher that gets the same effects for ever does not come to an end",
}

// A store that is broken in a way that shows to one caller is found out by its histories, the
// first mostly. It need not be safe for two.
func TestBrokenStoresGiveOtherHistories(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some hundred histories")
	}
	const most = 20
	var sound []*History
	for seed := range uint64(most) {
		h, err := Play(t.Context(), memstore.New(), seed, commands)
		if err != nil {
			t.Fatal(err)
		}
		sound = append(sound, h)
	}
	broken := storetest.Broken()
	for _, b := range broken {
		if unseen[b.Name] != "" {
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			if !slices.ContainsFunc(sound, func(want *History) bool {
				got, _ := play(t.Context(), b.Break(memstore.New()), want.Seed, commands, 1)
				return want.Difference(got) != nil
			}) {
				t.Errorf("%d histories, and none shows that %s", most, b.Why)
			}
		})
	}
	for name := range unseen {
		if !slices.ContainsFunc(broken, func(b storetest.Breakage) bool { return b.Name == name }) {
			t.Errorf("unseen: there is no store %q", name)
		}
	}
}
