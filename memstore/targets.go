package memstore

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// targets is the targets of a step with their results. A target that waits costs four
// bytes beyond its name. A new attempt writes nothing here: which targets are due
// follows from the attempts of their latest success, and two indices tell it without a
// scan.
type targets struct {
	names     string   // all of them, one after the other
	ends      []uint32 // where each name ends
	latest    []*[rowsPerBlock]row
	succeeded index // by the attempt that last covered all targets: who has succeeded since
	finished  index // by attempt: who has finished in it
	attempts  map[int32]*attempt
	details   map[detailOf]string // of results that have one
}

const rowsPerBlock = 64

// row is the latest result of a target.
type row struct {
	attempt  int32
	success  int32
	exitCode int32
	status   step.Status
	started  step.Time
	finished step.Time
}

// attempt is the targets that reported in one attempt, and the results of those that
// have reported in a later one as well. Both are sorted when they are read.
type attempt struct {
	reported []int32
	past     []pastRow
	unsorted bool
}

type pastRow struct {
	target int32
	row    row
}

type detailOf struct{ attempt, target int32 }

func newTargets(names []string) targets {
	t := targets{ends: make([]uint32, len(names))}
	var all strings.Builder
	for i, name := range names {
		all.WriteString(name)
		t.ends[i] = uint32(all.Len())
	}
	t.names = all.String()
	return t
}

func (t *targets) len() int { return len(t.ends) }

func (t *targets) name(i int32) string {
	start := uint32(0)
	if i > 0 {
		start = t.ends[i-1]
	}
	return t.names[start:t.ends[i]]
}

// row returns the latest result of target i, or nil.
func (t *targets) row(i int32) *row {
	block := int(i) / rowsPerBlock
	if block >= len(t.latest) || t.latest[block] == nil {
		return nil
	}
	return &t.latest[block][i%rowsPerBlock]
}

// target returns target i with its latest result, without its name.
func (t *targets) target(i int32) store.Target {
	if r := t.row(i); r != nil {
		return t.asTarget(i, r)
	}
	return store.Target{Index: i}
}

func (t *targets) asTarget(i int32, r *row) store.Target {
	return store.Target{Index: i, Attempt: r.attempt, Success: r.success, Result: store.Result{
		Status: r.status, ExitCode: r.exitCode, Started: r.started, Finished: r.finished,
		Detail: t.details[detailOf{r.attempt, i}],
	}}
}

// rows returns the targets of these indices, less those that there are not.
func (t *targets) rows(indices []int32) []store.Target {
	rows := make([]store.Target, 0, len(indices))
	for _, i := range indices {
		if i >= 0 && int(i) < t.len() {
			rows = append(rows, t.target(i))
		}
	}
	return rows
}

// set takes over the latest result of a target of s.
func (t *targets) set(s *store.Step, from *store.Target) {
	i := from.Index
	if i < 0 || int(i) >= t.len() {
		return
	}
	if t.latest == nil {
		t.latest = make([]*[rowsPerBlock]row, (t.len()+rowsPerBlock-1)/rowsPerBlock)
		t.attempts = map[int32]*attempt{}
	}
	block := &t.latest[i/rowsPerBlock]
	if *block == nil {
		*block = new([rowsPerBlock]row)
	}
	r := &(*block)[i%rowsPerBlock]
	if r.attempt != from.Attempt {
		if r.attempt != 0 {
			a := t.attempts[r.attempt]
			a.past, a.unsorted = append(a.past, pastRow{i, *r}), true
		}
		a := t.attempts[from.Attempt]
		if a == nil {
			a = &attempt{}
			t.attempts[from.Attempt] = a
		}
		a.reported, a.unsorted = append(a.reported, i), true
	}
	*r = row{from.Attempt, from.Success, from.ExitCode, from.Status, from.Started, from.Finished}
	if from.Detail != "" {
		if t.details == nil {
			t.details = map[detailOf]string{}
		}
		t.details[detailOf{from.Attempt, i}] = from.Detail
	} else {
		delete(t.details, detailOf{from.Attempt, i})
	}
	if from.Success == from.Attempt {
		t.succeeded.add(i, s.Run.Full, t.len())
	}
	if from.Status.Finished() {
		t.finished.add(i, from.Attempt, t.len())
	}
}

// ofAttempt returns the results that were reported in one attempt.
func (t *targets) ofAttempt(n int32, p store.Page[int32]) []store.Target {
	a := t.attempts[n]
	if a == nil {
		return nil
	}
	a.sort()
	var found []store.Target
	first, after := slices.BinarySearch(a.reported, p.After)
	if after {
		first++
	}
	for _, i := range a.reported[first:] {
		if len(found) == p.Limit {
			break
		}
		r := t.row(i)
		if r.attempt != n {
			past, _ := slices.BinarySearchFunc(a.past, i, func(r pastRow, i int32) int { return cmp.Compare(r.target, i) })
			r = &a.past[past].row
		}
		found = append(found, t.asTarget(i, r))
		found[len(found)-1].Name = t.name(i)
	}
	return found
}

// sort puts both in the order of the targets. It is quick on what is sorted already, as
// executors mostly report in order.
func (a *attempt) sort() {
	if !a.unsorted {
		return
	}
	slices.Sort(a.reported)
	slices.SortFunc(a.past, func(a, b pastRow) int { return cmp.Compare(a.target, b.target) })
	a.unsorted = false
}

// ofClass returns the targets of s that belong to a class.
func (t *targets) ofClass(s *store.Step, class store.Class, p store.Page[int32]) []store.Target {
	if s.Attempt == 0 && class != store.AllTargets {
		return nil
	}
	var found []store.Target
	next := int(min(max(int64(p.After)+1, 0), int64(t.len())))
	for next < t.len() && len(found) < p.Limit {
		succeeded := t.succeeded.block(next, s.Run.Full)
		end := min((next/blockSize+1)*blockSize, t.len())
		if class != store.AllTargets && class != store.SucceededTargets && succeeded.size() == min(blockSize, t.len()-next/blockSize*blockSize) {
			next = end // nobody in the block is due
			continue
		}
		finished := t.finished.block(next, s.Attempt)
		for ; next < end && len(found) < p.Limit; next = next/64*64 + 64 {
			word := class.Members(succeeded.word(next), finished.word(next)) &^ (1<<(next%64) - 1)
			for ; word != 0 && len(found) < p.Limit; word &= word - 1 {
				i := int32(next/64*64 + bits.TrailingZeros64(word))
				if int(i) >= t.len() {
					break
				}
				found = append(found, t.target(i))
				found[len(found)-1].Name = t.name(i)
			}
		}
	}
	return found
}

// index is a set of targets that belongs to an epoch and is empty in any other: a new
// attempt empties it at no cost. A block counts its members, so that a search skips
// blocks that are full.
type index struct{ blocks []*block }

const blockSize = 4096

type block struct {
	epoch int32
	count int
	words [blockSize / 64]uint64
}

// add puts target i of so many in the set of an epoch.
func (x *index) add(i, epoch int32, of int) {
	if x.blocks == nil {
		x.blocks = make([]*block, (of+blockSize-1)/blockSize)
	}
	b := x.blocks[i/blockSize]
	if b == nil || b.epoch != epoch {
		b = &block{epoch: epoch}
		x.blocks[i/blockSize] = b
	}
	word, bit := &b.words[i%blockSize/64], uint64(1)<<(i%64)
	if *word&bit == 0 {
		*word |= bit
		b.count++
	}
}

// block returns the block of target i in an epoch, or nil if it is empty.
func (x *index) block(i int, epoch int32) *block {
	if n := i / blockSize; n < len(x.blocks) {
		if b := x.blocks[n]; b != nil && b.epoch == epoch {
			return b
		}
	}
	return nil
}

func (b *block) size() int {
	if b == nil {
		return 0
	}
	return b.count
}

func (b *block) word(i int) uint64 {
	if b == nil {
		return 0
	}
	return b.words[i%blockSize/64]
}
