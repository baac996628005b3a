package memstore

import (
	"cmp"
	"slices"
	"sync"

	"github.com/stepgate/stepgate/store"
)

// idList keeps the ids of all jobs in ascending order, in blocks, so that an id in the
// middle moves few others.
type idList struct {
	mu     sync.Mutex
	blocks [][]store.JobID // none is empty
}

const idsPerBlock = 512

func (l *idList) add(id store.JobID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.blocks) == 0 {
		l.blocks = append(l.blocks, []store.JobID{id})
		return
	}
	b := l.block(id)
	block := l.blocks[b]
	at, _ := slices.BinarySearch(block, id)
	if len(block) < idsPerBlock {
		l.blocks[b] = slices.Insert(block, at, id)
		return
	}
	if at == idsPerBlock && b == len(l.blocks)-1 { // ids mostly ascend: full blocks stay full
		l.blocks = append(l.blocks, []store.JobID{id})
		return
	}
	half := slices.Clone(block[idsPerBlock/2:])
	l.blocks[b] = block[:idsPerBlock/2]
	l.blocks = slices.Insert(l.blocks, b+1, half)
	if at > idsPerBlock/2 {
		b, at = b+1, at-idsPerBlock/2
	}
	l.blocks[b] = slices.Insert(l.blocks[b], at, id)
}

// block returns the last block that begins at or before id, or the first.
func (l *idList) block(id store.JobID) int {
	b, found := slices.BinarySearchFunc(l.blocks, id, func(block []store.JobID, id store.JobID) int { return cmp.Compare(block[0], id) })
	if !found && b > 0 {
		b--
	}
	return b
}

// after returns some ids greater than id, in order; none if there are no more.
func (l *idList) after(id store.JobID) []store.JobID {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.blocks) == 0 {
		return nil
	}
	for b := l.block(id); b < len(l.blocks); b++ {
		at, found := slices.BinarySearch(l.blocks[b], id)
		if found {
			at++
		}
		if at < len(l.blocks[b]) {
			return slices.Clone(l.blocks[b][at:])
		}
	}
	return nil
}

// before returns some ids smaller than id, in descending order; none if there are no more.
func (l *idList) before(id store.JobID) []store.JobID {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.blocks) == 0 {
		return nil
	}
	for b := l.block(id); b >= 0; b-- {
		if at, _ := slices.BinarySearch(l.blocks[b], id); at > 0 {
			ids := slices.Clone(l.blocks[b][:at])
			slices.Reverse(ids)
			return ids
		}
	}
	return nil
}
