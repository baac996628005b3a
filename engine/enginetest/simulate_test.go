package enginetest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store/storetest"
)

// No fault of a store and no crash of an engine breaks a promise, and once the faults have stopped every
// job comes to rest. The stories are neither short nor one-sided.
func TestSimulations(t *testing.T) {
	t.Parallel()
	seen, stories := tally{}, tally{} // how often a thing came up, and in how many stories
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			how := newStories(Config{})
			how.play(t)
			for what, n := range how.seen {
				seen[what] += n
				stories[what]++
			}
		})
	})

	t.Logf("%v", seen)
	want := []string{
		"crash", "calls that arrived late", "fault: overtaken",
		"answer: accepted", "answer: dry", "answer: failed", "answer: refused", "answer: unknown", "answer: none, the engine has died",
		"answer: none that holds", "record: of attempt 3 or later", "request: accepted after all", "request: on a condition that held", "record: of what was given up", "record: hurried",
		"request: made again, its outcome being unknown", "request: made again, having been accepted", "request: made again, having been refused",
		"effect: run", "effect: stop", "effect: ask", "effect: job_ended", "effect: delivered again",
		"executor: dies", "executor: late", "executor: contradicts", "executor: repeats", "executor: runs", "executor: runs what is left",
		"executor: fetches and keeps", "executor: fetches and fails", "executor: fetches and settles", "executor: has lost what it has fetched",
		"executor: stopped", "executor: broke", "executor: dropped", "executor: asks again for its targets",
		"report: counted", "report: nothing new", "report: refused", "report: unknown", "report: failed",
		"report: met others", "reports that met: trouble: none", "reports that met: trouble: lost a race", "reports that met: trouble: fail after",
		"rest: pending", "rest: waiting", "rest: succeeded", "rest: failed", "rest: abnormal", "rest: terminated",
		"rest: confirmation_terminated", "rest: abandoned",
	}
	decides := []storetest.Method{storetest.View, storetest.Created, storetest.Commit, storetest.Targets, storetest.Overdue}
	writes := []storetest.Method{storetest.Commit, storetest.Claim, storetest.Defer, storetest.Settle}
	for kind, methods := range map[trouble][]storetest.Method{
		failsBefore: append(decides, writes...), failsAfter: append(decides, writes...), failsOn: append(decides, writes...),
		undone:    append(decides, writes...),
		toldFirst: writes, toldSecond: writes, delayed: writes,
		stale: {storetest.View}, staleOn: {storetest.View},
	} {
		for _, m := range methods {
			want = append(want, fmt.Sprintf("fault: %s: %s", kind, m))
		}
	}
	for _, code := range operation.AllCodes() {
		want = append(want, "record: "+code.String())
	}
	for _, code := range operation.AllJobCodes() {
		want = append(want, "record: "+code.String())
	}
	all := stories["story"]
	if all < 1000 {
		return // too few for all that is rare
	}
	slices.Sort(want)
	for _, what := range want {
		if stories[what] < all/200 {
			t.Errorf("%q came up in %d of %d stories, want %d", what, stories[what], all, all/200)
		}
	}
	if seen["command that commits"] < seen["command"]/3 {
		t.Errorf("of %d commands %d committed, want a third", seen["command"], seen["command that commits"])
	}
}

// Simulations pass under all rules that compile.
func TestSimulationsUnderAnyRules(t *testing.T) {
	testkit.ChecksBy(t, 5)
	seen := tally{}
	rapid.Check(t, func(t *rapid.T) {
		rules := drawRules(t, seen)
		for _, d := range operation.Diff(operation.Standard(), rules) {
			t.Log(d)
		}
		how := newStories(Config{Rules: rules})
		how.seen = seen
		rapid.SyncTest(t, how.play)
	})
	t.Logf("%v", seen)
}

// A seed gives the same story each time.
func TestASeedReplaysItsStory(t *testing.T) {
	for seed := range 20 {
		var told [2]tally
		for i := range told {
			how := newStories(Config{})
			synctest.Test(t, func(*testing.T) {
				rapid.Custom(func(t *rapid.T) bool { how.play(t); return true }).Example(seed)
			})
			told[i] = how.seen
		}
		if told[0]["story"] != 1 || !maps.Equal(told[0], told[1]) {
			t.Errorf("seed %d: told\n%v\nand then\n%v", seed, told[0], told[1])
		}
	}
}
