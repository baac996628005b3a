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

// Every store gives the histories that memstore gives. That memstore gives them twice shows
// that it is stores which are compared, and not the player's whims.
func TestStoresGiveEqualHistories(t *testing.T) {
	for _, s := range stores.Each() {
		t.Run(s.Name, func(t *testing.T) { Run(t, s.Open) })
	}
}

// unseen are the stores that the conformance suite rejects and that give the histories of a
// sound one, by why they do. Where two calls matter: a play with one handler, see play, makes one
// call of the store at a time.
var unseen = map[string]string{
	"check, then commit": "no other call comes between its look and its commit",
	"busy":               "no other commit is under way",
	"torn view":          "the job does not move on between its reads",
	"torn snapshot":      "the job does not move on between its reads",
	"undone, but done":   "the context of a call ends before it or after it: what a store does in between is open",
	"no embedder's type": "the rules of a history have no type of an embedder's",
	"asleep":             "play hides a store.Waker",
	"stop once":          "play hides a store.Waker",
}

// A store that is broken in a way that shows to one caller is found out by its histories, the
// first mostly. It need not be safe for two.
func TestBrokenStoresGiveOtherHistories(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some hundred histories")
	}
	const most, few = 20, 2
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

// A hasty store fails each claim after the first 10,000, which a sound one does not reach: one
// that returns the same effects for ever would have a play go on for ever. It takes one caller.
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
