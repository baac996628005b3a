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

// Whatever fails and whoever dies, no promise is broken, and once all is well again every
// job comes to rest; and the stories that show it are neither short nor one-sided.
func TestSimulations(t *testing.T) {
	how := newStories(Config{})
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, how.play) })

	t.Logf("%v", how.seen)
	want := []string{
		"crash", "calls that arrived late", "fault: overtaken",
		"answer: accepted", "answer: dry", "answer: failed", "answer: refused", "answer: unknown", "answer: none, the engine has died",
		"answer: none that holds", "request: accepted after all", "request: on a condition that held",
		"request: made again, its outcome being unknown", "request: made again, having been accepted", "request: made again, having been refused",
		"effect: run", "effect: stop", "effect: ask", "effect: job_ended", "effect: delivered again",
		"executor: dies", "executor: late", "executor: contradicts", "executor: repeats", "executor: runs", "executor: runs what is left",
		"executor: stopped", "executor: abnormal", "executor: abandoned",
		"report: counted", "report: nothing new", "report: refused", "report: unknown", "report: failed",
		"rest: pending", "rest: waiting", "rest: succeeded", "rest: failed", "rest: abnormal", "rest: terminated",
		"rest: confirmation_terminated", "rest: abandoned",
	}
	decides := []storetest.Method{storetest.View, storetest.Created, storetest.Commit, storetest.Targets, storetest.Overdue}
	writes := []storetest.Method{storetest.Commit, storetest.Claim, storetest.Defer, storetest.Settle}
	for kind, methods := range map[trouble][]storetest.Method{
		failsBefore: append(decides, writes...), failsAfter: append(decides, writes...), failsOn: append(decides, writes...),
		toldFirst: writes, toldSecond: writes, delayed: writes,
		stale: {storetest.View}, staleOn: {storetest.View, storetest.Created},
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
	slices.Sort(want)
	for _, what := range want {
		if how.seen[what] < how.seen["story"]/200 {
			t.Errorf("in %d stories %q came up %d times", how.seen["story"], what, how.seen[what])
		}
	}
	if how.seen["record"] < 10*how.seen["story"] {
		t.Errorf("%d stories made %d records, want ten times as many", how.seen["story"], how.seen["record"])
	}
}

// The simulation blames nobody for rules of his own, whatever rules compile.
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

// A seed tells one story, whenever it is told.
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
