package histories

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
	"github.com/stepgate/stepgate/test/stores"
)

// Every store gives the histories that memstore gives. That memstore gives them twice shows that
// the player depends on the seed alone.
func TestStoresGiveEqualHistories(t *testing.T) {
	for _, s := range stores.Each() {
		t.Run(s.Name, func(t *testing.T) { Run(t, s.Open) })
	}
}

// unseen are the stores that the conformance suite rejects and that give the histories of a
// sound store, with the reason. A play with one handler, see play, makes one call of the store at a
// time.
var unseen = map[string]string{
	"check, then commit":       "no other call comes between its look and its commit",
	"busy":                     "no other commit is under way",
	"torn view":                "the job does not move on between its reads",
	"torn snapshot":            "the job does not move on between its reads",
	"undone, but done":         "the context of a call ends before it or after it: what a store does in between is open",
	"turns of a crowd":         "no other commit is under way",
	"counts and then commits":  "no other commit comes between its look and its commit",
	"two in at once":           "an engine takes a turn only if its view shows that one is free",
	"waits beside a free turn": "an engine waits for a turn only if its view shows that none is free",
	"no embedder's type":       "the rules of a history have no type of an embedder's",
	"asleep":                   "play hides a store.Waker",
	"stop once":                "play hides a store.Waker",
}

// A store whose fault shows to one caller gives other histories, mostly from the first on. It need
// not be safe for concurrent use.
func TestBrokenStoresGiveOtherHistories(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some hundred histories")
	}
	const most, few = 60, 2
	var sound []*History
	for seed := range uint64(most) {
		h, err := playOneByOne(t.Context(), memstore.New(), seed, commands)
		if err != nil {
			t.Fatal(err)
		}
		sound = append(sound, h)
	}
	broken := storetest.Broken()
	for _, b := range broken {
		shows := func(want *History) bool {
			got, _ := play(t.Context(), &hasty{Store: b.Break(memstore.New())}, want.Seed, commands, 1)
			return want.Difference(got) != nil
		}
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			if why := unseen[b.Name]; why == "" && !slices.ContainsFunc(sound, shows) {
				t.Errorf("%d histories, and none shows that %s", most, b.Why)
			} else if why != "" && slices.ContainsFunc(sound[:few], shows) {
				t.Errorf("a history shows that %s: unseen says that %s", b.Why, why)
			}
		})
	}
	for name := range unseen {
		if !slices.ContainsFunc(broken, func(b storetest.Breakage) bool { return b.Name == name }) {
			t.Errorf("unseen: there is no store %q", name)
		}
	}
}

// A hasty store fails each claim after the first 10,000, more than a sound store gets. It ends a play
// on a store that returns the same effects for ever. It takes one caller.
type hasty struct {
	store.Store
	claims int
}

func (h *hasty) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	if h.claims++; h.claims > 10_000 {
		return nil, errors.New("claims without an end")
	}
	return h.Store.Claim(ctx, c)
}
