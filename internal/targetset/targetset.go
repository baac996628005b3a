// Package targetset finds the targets of a step that belong to a class without reading each target,
// from two bit sets: the targets that have succeeded, and those that have finished. An SQL store
// keeps both for every block of targets.
package targetset

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/stepgate/stepgate/store"
)

// PerBlock is the number of targets in a [Block]. The last block of a batch, or of a step without
// batches, may have fewer: a block never has targets of two batches.
const PerBlock = 4096

// perBatch is the distance between the numbers of the first blocks of two batches. The largest step has
// fewer blocks, and the largest number of batches still fits an int32.
const perBatch = 1 << 19

// A Block is a part of two sets of targets. Each set belongs to an attempt and is empty for any
// other, so that a new attempt empties the sets without a write. A block of an earlier batch keeps its
// sets whatever attempts later batches have.
type Block struct {
	Number    int32 // of the block, ascending in the order of the targets; without batches the first target is Number*PerBlock
	Size      int32 // number of its targets; 0 for a block that was read
	Era       int32 // the last attempt that covered all targets of the batch, at the last addition to Succeeded
	Succeeded Bits  // targets that have succeeded since Era
	Attempt   int32 // of the last addition to Finished
	Finished  Bits  // targets with a finished result of Attempt
}

// A part is the targets of one batch that has begun, or of a step without batches.
type part struct {
	first, end int32 // of the targets
	number     int32 // of the first block
	full       int32 // the last attempt that covered all targets
	window     bool  // the targets are those of the current or last attempt
}

// partOf returns the part with target i of s, given the batches of s that have begun, by number. ok is
// false if there is none.
func partOf(s *store.Step, batches []store.Batch, i int32) (p part, ok bool) {
	number, run, ok := s.RunOf(batches, i)
	if !ok {
		return p, false
	}
	p = part{full: run.Full, window: number == s.Batch}
	p.first, p.end = run.Window(s.Total)
	if number > 0 {
		p.number = (number - 1) * perBatch
	}
	return p, true
}

// block returns the number and the first target of the block with target i, which p has.
func (p part) block(i int32) (number, first int32) {
	n := (i - p.first) / PerBlock
	return p.number + n, p.first + n*PerBlock
}

// Blocks returns the numbers of the first and the last of up to n blocks from that with target i of s on,
// and the index of the first target after them, given the batches of s that have begun, by number. If the
// batch of the target has not begun, there is no block: last is less than first.
func Blocks(s *store.Step, batches []store.Batch, i, n int32) (first, last, end int32) {
	for end = i; end < s.Total && n > 0; {
		p, ok := partOf(s, batches, end)
		if !ok {
			break
		}
		number, start := p.block(end)
		if end == i {
			first = number
		}
		most := min(n, (p.end-start+PerBlock-1)/PerBlock)
		last, end, n = number+most-1, int32(min(int64(start)+int64(most)*PerBlock, int64(p.end))), n-most
	}
	if end == i {
		return 0, -1, i
	}
	return first, last, end
}

// Changed returns the blocks that a change adds to the sets, given the step s after the change, the
// batches of s in the change, and its changed targets, with results of one attempt. The step may be in a
// later attempt already: then a success of the attempt before counts only if the batch of its target
// still counts it. The blocks are in the order of the targets.
func Changed(s *store.Step, batches []store.Batch, targets []store.Target) []Block {
	var blocks []Block
	at := map[int32]int{}
	var p part
	for i := range targets {
		t := &targets[i]
		if t.Index < p.first || t.Index >= p.end {
			var ok bool
			if p, ok = partOf(s, batches, t.Index); !ok {
				continue
			}
		}
		succeeded, finished := t.Success == t.Attempt && t.Success >= p.full, t.Status.Finished()
		if !succeeded && !finished {
			continue
		}
		number, first := p.block(t.Index)
		n, ok := at[number]
		if !ok {
			n = len(blocks)
			at[number] = n
			size := min(PerBlock, p.end-first)
			blocks = append(blocks, Block{number, size, p.full, newBits(size), t.Attempt, newBits(size)})
		}
		if succeeded {
			blocks[n].Succeeded.add(t.Index - first)
		}
		if finished {
			blocks[n].Finished.add(t.Index - first)
		}
	}
	return blocks
}

// Select returns, in order, the indices of up to limit targets of s that belong to a class and are
// greater than after, given the batches of s that have begun and the existing blocks, both by
// number. It needs no batch and no block, see [Blocks], before that of target after+1. If s.Total is
// lowered to the end of some blocks, it needs none after them.
func Select(class store.Class, s *store.Step, batches []store.Batch, blocks []Block, after int32, limit int) []int32 {
	if after >= s.Total-1 {
		return nil
	}
	i := max(after, -1) + 1
	if class == store.AllTargets {
		return upTo(i, s.Total, limit)
	}
	if class == store.DueTargets || class == store.UnfinishedTargets {
		i = max(i, s.Run.First) // none is in an earlier batch
	}
	var found []int32
	for s.Attempt > 0 && i < s.Total && len(found) < limit {
		p, ok := partOf(s, batches, i)
		if !ok {
			break // no batch from here on has begun
		}
		p.end = min(p.end, s.Total)
		for i < p.end && len(found) < limit {
			number, first := p.block(i)
			for len(blocks) > 0 && blocks[0].Number < number {
				blocks = blocks[1:]
			}
			var b Block
			if len(blocks) > 0 && blocks[0].Number == number {
				b = blocks[0].of(s, p)
			}
			end := min(first+PerBlock, p.end)
			found = b.find(found, class, p.window, i-first, end-first, first, limit)
			i = end
		}
	}
	return found
}

// upTo returns the indices from first to end-1, at most limit.
func upTo(first, end int32, limit int) []int32 {
	all := make([]int32, min(int64(end-first), int64(limit)))
	for i := range all {
		all[i] = first + int32(i)
	}
	return all
}

// find appends, up to limit in all, the targets of b that belong to a class, from place i to end-1 in b,
// whose first target is given. window says whether they are targets of the current or last attempt.
func (b Block) find(found []int32, class store.Class, window bool, i, end, first int32, limit int) []int32 {
	for ; i < end && len(found) < limit; i = i/64*64 + 64 {
		left := class.Earlier(b.Succeeded.word(int(i / 64)))
		if window {
			left = class.Members(b.Succeeded.word(int(i/64)), b.Finished.word(int(i/64)))
		}
		left &= ^uint64(0) >> (i % 64)
		for left != 0 && len(found) < limit {
			next := int32(bits.LeadingZeros64(left))
			left &^= 1 << (63 - next)
			if place := i/64*64 + next; place < end {
				found = append(found, first+place)
			}
		}
	}
	return found
}

// of returns b without the sets that belong to another attempt than that of p, of s.
func (b Block) of(s *store.Step, p part) Block {
	if b.Era != p.full {
		b.Succeeded = nil
	}
	if b.Attempt != s.Attempt {
		b.Finished = nil
	}
	return b
}

// Add returns the union of b and add, two blocks of one number.
func (b Block) Add(add Block) Block {
	if b.Era == add.Era {
		add.Succeeded = union(b.Succeeded, add.Succeeded)
	}
	if b.Attempt == add.Attempt {
		add.Finished = union(b.Finished, add.Finished)
	}
	return add
}

// Bits are a set of small numbers. The first is the top bit of the first byte, as in
// PostgreSQL's bit strings.
type Bits []byte

func newBits(size int32) Bits { return make(Bits, (size+7)/8) }

func (b Bits) add(i int32) { b[i/8] |= 0x80 >> (i % 8) }

// word returns the n-th 64 members, the first at the top; beyond the end there are none.
func (b Bits) word(n int) uint64 {
	if n*8 >= len(b) {
		return 0
	}
	var word [8]byte
	copy(word[:], b[n*8:])
	return binary.BigEndian.Uint64(word[:])
}

// union returns the members of both, of which neither is written to.
func union(a, b Bits) Bits {
	if len(a) < len(b) {
		a, b = b, a
	}
	both := slices.Clone(a)
	for i := range b {
		both[i] |= b[i]
	}
	return both
}
