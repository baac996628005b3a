package histories

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The number of histories of Run, that under -short, and the number of commands of each.
const (
	histories      = 50
	shortHistories = 3
	commands       = 1000
)

// Run plays 50 histories of 1,000 commands, or 3 under -short, on memstore and on fresh, empty stores
// that open returns and that are closed with their t. It fails t if the second store gives another
// answer or keeps another row than memstore, or if a job breaks an invariant of enginetest.
//
// Every run has seeds of its own, the same ones for every store; STEPGATE_SEED=n plays the
// history of seed n alone, exactly as it was.
func Run(t *testing.T, open func(t testing.TB) store.Store) {
	var mu sync.Mutex // guards tally
	tally := map[string]int{}
	t.Run("seed", func(t *testing.T) {
		for _, seed := range seedsOf(t) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				got := compare(t, seed, open(t))
				mu.Lock()
				defer mu.Unlock()
				for what, n := range got.Tally {
					tally[what] += n
				}
				tally["histories"]++
				if t.Failed() {
					tally["differ"]++
				}
			})
		}
	})
	if played := tally["histories"]; played > 0 {
		t.Logf("histories: %d histories of %d commands, %d differ; %d jobs, %d records, %d attempts%s", played, commands,
			tally["differ"], tally["created"], tally["records"], tally["attempts"], figures(tally))
		if played == histories {
			enough(t, tally)
		}
	}
}

// seedsOf returns the seeds of this run.
func seedsOf(t testing.TB) []uint64 {
	n, base := histories, base()
	if testing.Short() {
		n = shortHistories
	}
	if text := os.Getenv("STEPGATE_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("STEPGATE_SEED: %v", err)
		}
		n, base = 1, seed
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = base + uint64(i)
	}
	return all
}

// base is the first of the seeds of this run.
var base = sync.OnceValue(func() uint64 { return rand.Uint64() >> 32 })

// compare plays one history on memstore, where reports that meet come one by one, and concurrently on
// st. It fails t if they differ, and returns the history of st.
func compare(t *testing.T, seed uint64, st store.Store) *History {
	t.Helper()
	var want *History
	var wrong error // of memstore
	var reference sync.WaitGroup
	reference.Go(func() { want, wrong = playOneByOne(t.Context(), memstore.New(), seed, commands) })
	got, broken := Play(t.Context(), st, seed, commands)
	reference.Wait()
	if d := want.Difference(got); d != nil {
		t.Errorf("the histories differ: %v\n%s", d, keep(t, want, got))
	}
	if err := errors.Join(wrong, broken); err != nil {
		t.Errorf("an invariant is broken: %v\n%s", err, keep(t, want, got))
	}
	return got
}

// keep writes two histories to files, and returns their paths and the command that repeats them.
func keep(t *testing.T, want, got *History) string {
	for name, h := range map[string]*History{"want.txt": want, "got.txt": got} {
		if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name), h.Bytes(), 0o666); err != nil {
			return err.Error()
		}
	}
	test, _, _ := strings.Cut(t.Name(), "/seed/")
	return fmt.Sprintf("STEPGATE_SEED=%d go test -run '%s' ./histories plays it again; with -artifacts, want.txt and got.txt in %s are kept",
		want.Seed, test, t.ArtifactDir())
}

func figures(tally map[string]int) string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(tally)) {
		fmt.Fprintf(&b, "\n%8d %s", tally[what], what)
	}
	return b.String()
}

// enough fails t if a kind of answer occurs in no history.
func enough(t *testing.T, tally map[string]int) {
	want := []string{"created", "dry", "repeated", "reported", "rejected", "expired", "delivered", "claimed", "settled or deferred", "lease lost", "two at once", "read"}
	for _, code := range operation.AllCodes() {
		want = append(want, "accepted: "+code.String())
	}
	for _, code := range operation.AllJobCodes() {
		want = append(want, "accepted: "+code.String())
	}
	want = append(want, "accepted: "+final.Cause().String(), "accepted: "+step.GivenUp.String(), "accepted: "+step.Hurried.String())
	for _, reason := range operation.AllReasons() {
		// No authorizer is asked. A seal of what is final is rare, and asks a store for nothing that others do not.
		if reason != operation.Denied && reason != operation.Final {
			want = append(want, "refused: "+reason.String())
		}
	}
	for _, what := range want {
		if tally[what] == 0 {
			t.Errorf("the histories have none that was %s", what)
		}
	}
	for what, least := range meetings {
		if tally[what] < least {
			t.Errorf("in all histories %d reports %s, want %d", tally[what], what, least)
		}
	}
}
