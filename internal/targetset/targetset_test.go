package targetset_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var classes = []store.Class{
	store.AllTargets, store.DueTargets, store.UnfinishedTargets, store.FailedTargets, store.SucceededTargets,
}

// Through attempts and reports of all sorts, every page of every class holds the targets that
// store.Class says belong to it.
func TestSelectAgreesWithClass(t *testing.T) {
	for _, total := range []int32{1, 7, 64, 65, 1000, targetset.PerBlock, targetset.PerBlock + 1, 2*targetset.PerBlock + 100} {
		dice := rand.New(rand.NewPCG(uint64(total), 1))
		s := store.Step{Total: total, State: step.Pending, Run: store.FirstRun}
		targets := make([]store.Target, total)
		for i := range targets {
			targets[i].Index = int32(i)
		}
		var blocks []targetset.Block
		for attempt := range 5 {
			check(t, s, targets, blocks)
			s.Attempt++
			if attempt%3 == 0 {
				s.Run.Full = s.Attempt
			}
			check(t, s, targets, blocks)
			var changed []store.Target
			for i := range targets {
				if x := &targets[i]; s.Run.Due(*x) && dice.IntN(3) > 0 {
					x.Attempt = s.Attempt
					x.Status = []step.Status{step.TargetRunning, step.TargetFailed, step.TargetSucceeded}[dice.IntN(3)]
					switch {
					case x.Status.Success():
						x.Success = s.Attempt
					case x.Status.Finished():
						x.Success = 0
					}
					changed = append(changed, *x)
				}
			}
			dice.Shuffle(len(changed), func(i, j int) { changed[i], changed[j] = changed[j], changed[i] })
			blocks = add(blocks, targetset.Changed(&s, changed))
		}
		check(t, s, targets, blocks)
	}
}

// add does to blocks what a store does.
func add(blocks, changed []targetset.Block) []targetset.Block {
	for _, c := range changed {
		at, found := slices.BinarySearchFunc(blocks, c.Number, func(b targetset.Block, n int32) int { return int(b.Number - n) })
		if found {
			blocks[at] = blocks[at].Add(c)
		} else {
			blocks = slices.Insert(blocks, at, c)
		}
	}
	return blocks
}

func check(t *testing.T, s store.Step, targets []store.Target, blocks []targetset.Block) {
	t.Helper()
	for _, class := range classes {
		var want []int32
		for _, x := range targets {
			if class.Holds(s, x) {
				want = append(want, x.Index)
			}
		}
		for _, limit := range []int{1, 100, 1 << 20} {
			if got := targetset.Select(class, &s, blocks, math.MaxInt32, limit); got != nil {
				t.Fatalf("Select after the last index that there can be: got %v", brief(got))
			}
			after := int32(-1)
			if limit == 1 { // not every page of so few
				after = s.Total/2 - 1
			}
			for rounds := 0; rounds < 50; rounds++ {
				first, _ := slices.BinarySearch(want, after+1)
				page := want[first:min(first+limit, len(want))]
				got := targetset.Select(class, &s, blocks, after, limit)
				if !slices.Equal(got, page) {
					t.Fatalf("Select(class %d, attempt %d, full %d, %d targets, after %d, limit %d):\n got %v\nwant %v",
						class, s.Attempt, s.Run.Full, s.Total, after, limit, brief(got), brief(page))
				}
				if len(page) == 0 {
					break
				}
				after = page[len(page)-1]
			}
		}
	}
}

func brief(list []int32) string {
	if len(list) <= 20 {
		return fmt.Sprint(list)
	}
	return fmt.Sprint(list[:20], " and ", len(list)-20, " more")
}

// What a change adds is not written into what was there: a store may share that.
func TestAddLeavesItsArgumentsAlone(t *testing.T) {
	s := store.Step{Total: 3, Attempt: 1, Run: store.FirstRun}
	one := targetset.Changed(&s, []store.Target{{Index: 0, Attempt: 1, Success: 1, Result: store.Result{Status: step.TargetSucceeded}}})
	two := targetset.Changed(&s, []store.Target{{Index: 2, Attempt: 1, Result: store.Result{Status: step.TargetFailed}}})
	both := one[0].Add(two[0])
	for what, c := range map[string]struct {
		block targetset.Block
		want  string
	}{"one": {one[0], "[128] [128]"}, "two": {two[0], "[0] [32]"}, "both": {both, "[128] [160]"}} {
		if got := fmt.Sprint(c.block.Succeeded, c.block.Finished); got != c.want {
			t.Errorf("the bits of %s: got %s, want %s", what, got, c.want)
		}
	}
}
