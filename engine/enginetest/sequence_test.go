package enginetest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

func TestMain(m *testing.M) { testkit.Main(m, 1000) }

// All promises hold for the sound engine, with competing changes and lost answers of the store. The
// sequences are neither short nor one-sided.
func TestPromises(t *testing.T) {
	t.Parallel()
	g := game{Config: Config{}.withDefaults(), commands: 100, modelled: true, seen: tally{}}
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, func(t *rapid.T) { g.play(t) }) })

	t.Logf("%v", g.seen)
	var want []string
	for _, code := range operation.AllCodes() {
		want = append(want, code.String())
	}
	for _, code := range operation.AllJobCodes() {
		want = append(want, code.String())
	}
	for _, cause := range step.AllCauses() {
		if cause.IsEvent() && cause != step.Entered { // which never has a record of its own
			want = append(want, cause.String())
		}
	}
	kinds := []string{operation.StartJob.String(), operation.TerminateJob.String()}
	for _, turn := range player.AllTurns {
		kinds = append(kinds, string(turn))
	}
	want = append(want, "given_up: run", "given_up: stop", "given_up: ask", "given_up: job_ended", "hurried: run", "hurried: ask", "hurried: job_ended")
	for _, first := range kinds {
		for _, second := range kinds {
			want = append(want, fmt.Sprintf("race: %s meets %s", first, second))
		}
	}
	for _, what := range append(want, "race: 1 passed", "race: 2 passed", "unknown outcome", "earlier attempt", "final job", "job of more than 10 records") {
		if g.seen[what] < g.seen["sequence"]/200 {
			t.Errorf("in %d sequences %q came up %d times", g.seen["sequence"], what, g.seen[what])
		}
	}
	if g.seen["record"] < g.seen["sequence"]*g.commands/2 {
		t.Errorf("%d sequences of %d commands made %d records, not one for every other command", g.seen["sequence"], g.commands, g.seen["record"])
	}
}

// Promises 1 to 7 hold under all rules that compile: Compile refuses a table that would break one, so
// that no job gets stuck.
func TestPromisesUnderAnyRules(t *testing.T) {
	testkit.ChecksBy(t, 2)
	seen := tally{}
	rapid.Check(t, func(t *rapid.T) {
		rules := drawRules(t, seen)
		for _, d := range operation.Diff(operation.Standard(), rules) {
			t.Log(d)
		}
		g := game{Config: Config{Rules: rules}.withDefaults(), commands: 60, seen: seen}
		rapid.SyncTest(t, func(t *rapid.T) { g.play(t) })
	})

	t.Logf("%v", seen)
	if seen["sequence"] < 500 {
		return // too few for all that is rare
	}
	want := map[string]int{
		"change that compiles":   seen["change"] / 3,
		"change that is refused": seen["change"] / 10,
		"record":                 seen["sequence"] * 60 / 3,
		"custom-32":              seen["sequence"] / 10,
		"step type: custom-32":   seen["sequence"] / 10,
		"expired":                seen["sequence"] / 10,
		"start_job":              seen["sequence"],
		"custom-job-32":          seen["sequence"] / 20,
		"seal":                   seen["sequence"] / 50,
	}
	for _, what := range slices.Sorted(maps.Keys(want)) {
		if seen[what] < want[what] {
			t.Errorf("in %d sequences %q came up %d times, want %d", seen["sequence"], what, seen[what], want[what])
		}
	}
}

// The same draws make the same sequence: the seed that rapid prints replays it exactly.
func TestSequencesReplay(t *testing.T) {
	for seed := range 3 {
		played := func() (jobs []Snapshot) {
			return rapid.Custom(func(t *rapid.T) []Snapshot {
				g := game{Config: Config{}.withDefaults(), commands: 50, modelled: true, seen: tally{}}
				for _, j := range g.play(t).jobs {
					jobs = append(jobs, j.last)
				}
				return jobs
			}).Example(seed)
		}
		first, second := played(), played()
		if len(first) == 0 || !reflect.DeepEqual(first, second) {
			t.Errorf("seed %d: the sequence is\n%+v and then\n%+v", seed, first, second)
		}
	}
}
