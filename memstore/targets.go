package memstore

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// targets has the targets of a step with their results. A target without a result takes four bytes
// beyond its name. A new attempt writes nothing here, nor does a new batch: the attempts of the latest
// successes tell which targets are due, and two indices for each batch find these without a scan.
type targets struct {
	names    string   // all of them, one after the other
	ends     []uint32 // where each name ends
	latest   []*[rowsPerBlock]row
	first    indices            // of the first batch, or of a step without batches
	later    map[int32]*indices // of the other batches with results, by number
	attempts map[int32]*attempt
	details  map[detailOf]string // of results that have one
}

// indices are the indices of the targets of one batch, by their places in it.
type indices struct {
	succeeded index // by the last attempt that covered all targets of the batch: those that have succeeded since
	finished  index // by attempt: those that have finished in it
}

// of returns the indices of a batch, made if there are none and add is set; 0 is that of a step without
// batches.
func (t *targets) of(batch int32, add bool) *indices {
	if batch <= 1 {
		return &t.first
	}
	x := t.later[batch]
	switch {
	case x == nil && !add:
		return &noIndices
	case x == nil:
		if t.later == nil {
			t.later = map[int32]*indices{}
		}
		x = &indices{}
		t.later[batch] = x
	}
	return x
}

var noIndices indices // never written

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

// attempt has the targets that reported in one attempt, and the results of those that have reported
// in a later one as well. Both are sorted when they are read.
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

// rows returns the targets of these indices that exist.
func (t *targets) rows(indices []int32) []store.Target {
	rows := make([]store.Target, 0, len(indices))
	for _, i := range indices {
		if i >= 0 && int(i) < t.len() {
			rows = append(rows, t.target(i))
		}
	}
	return rows
}

// set takes over the latest result of a target of s, given the batches of s in the change. A success of an
// attempt that is over counts only if the batch of its target still counts it.
func (t *targets) set(s *store.Step, batches []store.Batch, from *store.Target) {
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
	succeeded, finished := from.Success == from.Attempt, from.Status.Finished()
	if !succeeded && !finished {
		return
	}
	batch, run, _ := s.RunOf(batches, i)
	first, end := run.Window(s.Total)
	of := t.of(batch, true)
	if succeeded && from.Success >= run.Full {
		of.succeeded.add(i-first, run.Full, end-first)
	}
	if finished {
		of.finished.add(i-first, from.Attempt, end-first)
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

// sort puts both in the order of the targets. It is quick on sorted lists, as executors mostly
// report in order.
func (a *attempt) sort() {
	if !a.unsorted {
		return
	}
	slices.Sort(a.reported)
	slices.SortFunc(a.past, func(a, b pastRow) int { return cmp.Compare(a.target, b.target) })
	a.unsorted = false
}

// ofClass returns the targets of s that belong to a class, given the batches of s that have begun.
func (t *targets) ofClass(s *store.Step, batches []store.Batch, class store.Class, p store.Page[int32]) (found []store.Target) {
	next := int32(min(max(int64(p.After)+1, 0), int64(t.len())))
	show := func(i int32) {
		found = append(found, t.target(i))
		found[len(found)-1].Name = t.name(i)
	}
	if class == store.AllTargets {
		for ; next < s.Total && len(found) < p.Limit; next++ {
			show(next)
		}
		return found
	}
	if class == store.DueTargets || class == store.UnfinishedTargets {
		next = max(next, s.Run.First) // none is in an earlier batch
	}
	for s.Attempt > 0 && next < s.Total && len(found) < p.Limit {
		batch, run, begun := s.RunOf(batches, next)
		if !begun {
			break
		}
		first, end := run.Window(s.Total)
		of, window := t.of(batch, false), batch == s.Batch
		for i := next - first; i < end-first && len(found) < p.Limit; { // by places in the batch
			succeeded, last := of.succeeded.block(i, run.Full), min((i/blockSize+1)*blockSize, end-first)
			if class != store.SucceededTargets && succeeded.size() == int(last-i/blockSize*blockSize) {
				i = last // no other target is in the block
				continue
			}
			finished := of.finished.block(i, s.Attempt)
			for ; i < last && len(found) < p.Limit; i = i/64*64 + 64 {
				word := class.Earlier(succeeded.word(i))
				if window {
					word = class.Members(succeeded.word(i), finished.word(i))
				}
				for word &^= 1<<(i%64) - 1; word != 0 && len(found) < p.Limit; word &= word - 1 {
					if place := i/64*64 + int32(bits.TrailingZeros64(word)); place < last {
						show(first + place)
					}
				}
			}
		}
		next = end
	}
	return found
}

// index is a set of places that belongs to an epoch and is empty in any other: a new
// attempt empties it at no cost. A block counts its members, so that a search skips full blocks.
type index struct{ blocks []*block }

const blockSize = 4096

type block struct {
	epoch int32
	count int
	words []uint64
}

// newBlock returns a block of a number of places, which is one object with its words.
func newBlock(size, epoch int32) *block {
	switch {
	case size <= 64:
		o := new(struct {
			block
			words [1]uint64
		})
		o.block = block{epoch: epoch, words: o.words[:]}
		return &o.block
	case size <= 512:
		o := new(struct {
			block
			words [8]uint64
		})
		o.block = block{epoch: epoch, words: o.words[:]}
		return &o.block
	}
	o := new(struct {
		block
		words [blockSize / 64]uint64
	})
	o.block = block{epoch: epoch, words: o.words[:]}
	return &o.block
}

// add puts place i into the set of an epoch; of is the number of places.
func (x *index) add(i, epoch, of int32) {
	if x.blocks == nil {
		x.blocks = make([]*block, (of+blockSize-1)/blockSize)
	}
	b := x.blocks[i/blockSize]
	if b == nil || b.epoch != epoch {
		b = newBlock(of-i/blockSize*blockSize, epoch)
		x.blocks[i/blockSize] = b
	}
	word, bit := &b.words[i%blockSize/64], uint64(1)<<(i%64)
	if *word&bit == 0 {
		*word |= bit
		b.count++
	}
}

// block returns the block of place i in an epoch, or nil if it is empty.
func (x *index) block(i, epoch int32) *block {
	if n := int(i / blockSize); n < len(x.blocks) {
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

func (b *block) word(i int32) uint64 {
	if b == nil {
		return 0
	}
	return b.words[i%blockSize/64]
}
