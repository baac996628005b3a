package engine

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// epoch is 2024-01-01 in UTC: 41 bits of milliseconds from there last until 2093.
const epoch step.Time = 1_704_067_200_000

// jobIDs draws job ids that ascend strictly. It is safe for concurrent use.
type jobIDs struct{ last atomic.Int64 }

// next returns an id of 41 bits of time, from epoch on, and 12 bits of randomness. If that is
// not above the last id, as within a millisecond or after the clock was set back, it is 1 to
// 16 above the last id instead. After 2093 the time, and with it the ids, start over.
func (d *jobIDs) next(now step.Time, random uint64) store.JobID {
	ms := uint64(max(now, epoch)-epoch) & (1<<41 - 1)
	drawn := max(1, store.JobID(ms<<12|random&(1<<12-1)))
	for {
		last := d.last.Load()
		id := max(drawn, store.JobID(last)+1+store.JobID(random>>12&15))
		if id > store.MaxJobID {
			id = drawn
		}
		if d.last.CompareAndSwap(last, int64(id)) {
			return id
		}
	}
}

// requestID returns a UUID of version 7, as RFC 9562 lays it out. google/uuid makes
// them as well, but from a clock and a random source of its own.
func requestID(now step.Time, hi, lo uint64) store.RequestID {
	var id store.RequestID
	binary.BigEndian.PutUint64(id[:8], uint64(now)<<16|0x7000|hi&0x0fff)
	binary.BigEndian.PutUint64(id[8:], 1<<63|lo>>2)
	return id
}

// token returns a UUID of version 4, which is never the zero token.
func token(hi, lo uint64) store.Token {
	var t store.Token
	binary.BigEndian.PutUint64(t[:8], hi&^0xf000|0x4000)
	binary.BigEndian.PutUint64(t[8:], 1<<63|lo>>2)
	return t
}
