// Package targetset tells which targets of a step belong to a class without looking at each,
// from who has succeeded and who has finished: what stores share of that. An SQL store keeps
// both for every block of targets.
package targetset

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/stepgate/stepgate/store"
)

// PerBlock is how many targets a [Block] speaks of; the last of a step may speak of fewer.
const PerBlock = 4096

// A Block is a piece of two sets of targets, each of which belongs to an attempt and is
// empty for any other. So a new attempt empties them, and nothing is written.
type Block struct {
	Number    int32 // targets Number*PerBlock and those that follow it
	Size      int32 // how many those are; 0 of a block that was read
	Era       int32 // the attempt that covered all targets when Succeeded was last added to
	Succeeded Bits  // who has succeeded since
	Attempt   int32 // the attempt in which Finished was last added to
	Finished  Bits  // who has a finished result of that attempt
}

// Size returns how many targets of a step with so many belong to a block.
func Size(number, total int32) int32 { return min(PerBlock, total-number*PerBlock) }

// Changed returns the blocks of what a change adds to the sets: targets of s, which is the step
// after it, with the results of one attempt. What they add is told by the targets alone: the
// step may be in a later attempt already. Their order is that in which the targets name them.
func Changed(s *store.Step, targets []store.Target) []Block {
	var blocks []Block
	at := map[int32]int{}
	for i := range targets {
		t := &targets[i]
		succeeded, finished := t.Success == t.Attempt, t.Status.Finished()
		if !succeeded && !finished {
			continue
		}
		number := t.Index / PerBlock
		n, ok := at[number]
		if !ok {
			n = len(blocks)
			at[number] = n
			size := Size(number, s.Total)
			blocks = append(blocks, Block{number, size, s.Run.Full, newBits(size), t.Attempt, newBits(size)})
		}
		if succeeded {
			blocks[n].Succeeded.add(t.Index % PerBlock)
		}
		if finished {
			blocks[n].Finished.add(t.Index % PerBlock)
		}
	}
	return blocks
}

// Select returns the indices of up to limit targets of s that belong to a class and come
// after another, in order, given the blocks that there are, by number.
func Select(class store.Class, s *store.Step, blocks []Block, after int32, limit int) []int32 {
	if s.Attempt == 0 && class != store.AllTargets || after >= s.Total-1 {
		return nil
	}
	var found []int32
	for i := max(after, -1) + 1; i < s.Total && len(found) < limit; {
		first := i / PerBlock * PerBlock
		end := min(first+PerBlock, s.Total)
		for len(blocks) > 0 && blocks[0].Number < i/PerBlock {
			blocks = blocks[1:]
		}
		var b Block
		if len(blocks) > 0 && blocks[0].Number == i/PerBlock {
			b = blocks[0].of(s)
		}
		for ; i < end && len(found) < limit; i = i/64*64 + 64 {
			word := int(i-first) / 64
			left := class.Members(b.Succeeded.word(word), b.Finished.word(word)) & (^uint64(0) >> (i % 64))
			for left != 0 && len(found) < limit {
				next := int32(bits.LeadingZeros64(left))
				left &^= 1 << (63 - next)
				if index := i/64*64 + next; index < end {
					found = append(found, index)
				}
			}
		}
	}
	return found
}

// of returns b less the sets that belong to another attempt than s is in.
func (b Block) of(s *store.Step) Block {
	if b.Era != s.Run.Full {
		b.Succeeded = nil
	}
	if b.Attempt != s.Attempt {
		b.Finished = nil
	}
	return b
}

// Add returns b together with what add adds to it. Both are blocks of one number.
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
