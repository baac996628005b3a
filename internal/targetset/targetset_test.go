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

// After attempts, batches and reports of all kinds, every page of every class has the targets that
// store.Class puts into it, however many blocks are read at once.
func TestSelectAgreesWithClass(t *testing.T) {
	const block = targetset.PerBlock
	for _, c := range []struct {
		batches string // empty for a step without batches
		total   int32
	}{
		{"", 1}, {"", 7}, {"", 64}, {"", 65}, {"", 1000}, {"", block}, {"", block + 1}, {"", 2*block + 100},
		{"100%", 100}, {"1", 7}, {"1 +1", 100}, {"64 65 63", 300}, {"1", 500}, {"30%", 3*block + 100},
		{fmt.Sprint(block), 3 * block}, {fmt.Sprintf("1 %d %d", block-1, block+1), 3 * block}, {"1 *90", 2*block + 10},
	} {
		for seed := range uint64(4) {
			play(t, c.batches, c.total, rand.New(rand.NewPCG(uint64(c.total), seed)))
		}
	}
}

// play takes a step through attempts, batches and reports.
func play(t *testing.T, batches string, total int32, dice *rand.Rand) {
	spec := step.Spec{Type: step.Script, Targets: make([]string, total), Rolling: step.Rolling{Batches: batches}}
	g := &game{dice: dice, step: store.NewStep(1, spec), targets: make([]store.Target, total)}
	for i := range g.targets {
		g.targets[i].Index = int32(i)
	}
	g.check(t)
	for round := 0; round < 12 || g.left() && round < 1000; round++ {
		if g.step.Attempt > 0 && dice.IntN(4) > 0 {
			changed, noted := g.results(), []store.Batch(nil)
			if dice.IntN(2) == 0 { // the results come with the begin of the next attempt
				noted = g.begin()
			}
			g.blocks = add(g.blocks, targetset.Changed(&g.step, noted, changed))
		} else {
			g.begin()
		}
		if round < 12 || round%50 == 0 || !g.left() {
			g.check(t)
		}
	}
}

// A game is a step with its targets, its batches, and the blocks of a store.
type game struct {
	dice    *rand.Rand
	step    store.Step
	targets []store.Target
	batches []store.Batch
	blocks  []targetset.Block
}

// left reports whether a batch has not begun.
func (g *game) left() bool { return g.step.Run.End != 0 && g.step.Run.End < g.step.Total }

// begin begins an attempt, on the due targets, on all of the batch or on the next batch, and returns the
// rows of the batch before and of the one that it is of.
func (g *game) begin() (noted []store.Batch) {
	s := &g.step
	if s.Batch > 0 {
		noted = append(noted, g.row())
	}
	s.Attempt++
	switch what := g.dice.IntN(3); {
	case s.Attempt == 1:
		if s.Run.End != 0 {
			s.Batch = 1
		}
	case what == 0 && g.left():
		s.Run = store.Run{Full: s.Attempt, First: s.Run.End, End: s.Batches()[s.Batch]}
		s.Batch++
	default:
		s.Run = s.Run.Next(s.Attempt, what == 1)
	}
	if s.Batch == 0 {
		return nil
	}
	row := g.row()
	if len(noted) > 0 && noted[0].Number == row.Number {
		noted = nil
	}
	if noted = append(noted, row); len(g.batches) == int(row.Number) {
		g.batches = g.batches[:row.Number-1]
	}
	g.batches = append(g.batches, row)
	return noted
}

func (g *game) row() store.Batch {
	first, end := g.step.Run.Window(g.step.Total)
	return store.Batch{Step: 1, Number: g.step.Batch, First: first, End: end, Full: g.step.Run.Full, Since: 1, Attempt: g.step.Attempt}
}

// results gives some of the unfinished targets a result, and returns them in no order.
func (g *game) results() (changed []store.Target) {
	s := &g.step
	for i := range g.targets {
		if x := &g.targets[i]; store.UnfinishedTargets.Holds(*s, g.batches, *x) && g.dice.IntN(3) > 0 {
			x.Attempt = s.Attempt
			x.Status = []step.Status{step.TargetRunning, step.TargetFailed, step.TargetSucceeded}[g.dice.IntN(3)]
			switch {
			case x.Status.Success():
				x.Success = s.Attempt
			case x.Status.Finished():
				x.Success = 0
			}
			changed = append(changed, *x)
		}
	}
	g.dice.Shuffle(len(changed), func(i, j int) { changed[i], changed[j] = changed[j], changed[i] })
	return changed
}

// add changes blocks as a store does.
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

// check compares pages of every class with the targets that it holds.
func (g *game) check(t *testing.T) {
	t.Helper()
	s := &g.step
	for _, class := range classes {
		var want []int32
		for _, x := range g.targets {
			if class.Holds(*s, g.batches, x) {
				want = append(want, x.Index)
			}
		}
		for _, limit := range []int{1, 100, 1 << 20} {
			if got := targetset.Select(class, s, g.batches, g.blocks, math.MaxInt32, limit); got != nil {
				t.Fatalf("Select after the last index that there can be: got %v", brief(got))
			}
			after := int32(-1)
			if limit == 1 { // not every page of so few
				after = s.Total/2 - 1
			}
			for rounds := 0; rounds < 50; rounds++ {
				first, _ := slices.BinarySearch(want, after+1)
				page := want[first:min(first+limit, len(want))]
				for _, atOnce := range []int32{1, 2, 1000} {
					if got := g.read(class, after, limit, atOnce); !slices.Equal(got, page) {
						t.Fatalf("Select(class %d, attempt %d, batch %d, run %+v, %d targets, after %d, limit %d), %d blocks at once:\n got %v\nwant %v",
							class, s.Attempt, s.Batch, s.Run, s.Total, after, limit, atOnce, brief(got), brief(page))
					}
				}
				if len(page) == 0 {
					break
				}
				after = page[len(page)-1]
			}
		}
	}
}

// read selects as a store does, with no batch before that of the first target, and some blocks at once.
func (g *game) read(class store.Class, after int32, limit int, atOnce int32) (found []int32) {
	from := slices.IndexFunc(g.batches, func(b store.Batch) bool { return b.End > after+1 })
	if from < 0 {
		from = len(g.batches)
	}
	batches, part := g.batches[from:], g.step
	if class == store.AllTargets {
		return targetset.Select(class, &part, nil, nil, after, limit)
	}
	for after < g.step.Total-1 && len(found) < limit {
		first, last, end := targetset.Blocks(&g.step, batches, after+1, atOnce)
		if last < first {
			break
		}
		var blocks []targetset.Block
		for _, b := range g.blocks {
			if b.Number >= first && b.Number <= last {
				blocks = append(blocks, b)
			}
		}
		part.Total = end
		found = append(found, targetset.Select(class, &part, batches, blocks, after, limit-len(found))...)
		after = end - 1
	}
	return found
}

func brief(list []int32) string {
	if len(list) <= 20 {
		return fmt.Sprint(list)
	}
	return fmt.Sprint(list[:20], " and ", len(list)-20, " more")
}

// A change does not write into the old blocks, which a store may share.
func TestAddLeavesItsArgumentsAlone(t *testing.T) {
	s := store.Step{Total: 3, Attempt: 1, Run: store.FirstRun}
	one := targetset.Changed(&s, nil, []store.Target{{Index: 0, Attempt: 1, Success: 1, Result: store.Result{Status: step.TargetSucceeded}}})
	two := targetset.Changed(&s, nil, []store.Target{{Index: 2, Attempt: 1, Result: store.Result{Status: step.TargetFailed}}})
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
