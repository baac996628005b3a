package memstore

import (
	"encoding/binary"
	"slices"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// history has the records of a job, packed into bytes: about 45 per record, without pointers for
// the garbage collector to follow.
type history struct {
	last []byte   // the records after those of full
	n    int      // number of records in all
	full [][]byte // chunks of perChunk records each
}

const perChunk = 32

func (h *history) len() int { return h.n }

// append adds the record with the next sequence number. The first chunk grows as needed, since most
// jobs do not fill it. A later one starts with the final size of the one before and a byte more per
// record, as numbers grow.
func (h *history) append(r *store.Record) {
	if h.n > 0 && h.n%perChunk == 0 {
		h.full = append(h.full, h.last)
		h.last = make([]byte, 0, len(h.last)+perChunk)
	}
	at := len(h.last)
	packed := pack(append(h.last, 0), r) // behind its length, which takes a byte as a rule
	if size := uint64(len(packed) - at - 1); size < 0x80 {
		packed[at] = byte(size)
	} else {
		packed = slices.Replace(packed, at, at+1, binary.AppendUvarint(nil, size)...)
	}
	h.last = packed
	h.n++
}

// walk calls f with the packed records from seq on, until f returns false.
func (h *history) walk(seq store.Seq, f func(seq store.Seq, body []byte) bool) {
	if seq < 1 || int64(seq) > int64(h.n) {
		return
	}
	for c := int(seq-1) / perChunk; c <= len(h.full); c++ {
		chunk := h.last
		if c < len(h.full) {
			chunk = h.full[c]
		}
		at := store.Seq(c*perChunk + 1)
		for ; len(chunk) > 0; at++ {
			size, n := binary.Uvarint(chunk)
			body := chunk[n : n+int(size)]
			chunk = chunk[n+int(size):]
			if at >= seq && !f(at, body) {
				return
			}
		}
	}
}

// at returns the record of this sequence number, which exists.
func (h *history) at(job store.JobID, seq store.Seq) (r store.Record) {
	h.walk(seq, func(seq store.Seq, body []byte) bool {
		r = unpack(job, seq, body)
		return false
	})
	return r
}

// page returns the records that p selects.
func (h *history) page(job store.JobID, p store.Page[store.Seq]) []store.Record {
	after := max(p.After, 0)
	n := min(int64(p.Limit), int64(h.n)-int64(after))
	if n <= 0 {
		return nil
	}
	records := make([]store.Record, 0, n)
	h.walk(after+1, func(seq store.Seq, body []byte) bool {
		records = append(records, unpack(job, seq, body))
		return int64(len(records)) < n
	})
	return records
}

// find returns the sequence number of the record that carries request, or 0.
func (h *history) find(request store.RequestID) (found store.Seq) {
	h.walk(1, func(seq store.Seq, body []byte) bool {
		if requestOf(body) == request {
			found = seq
		}
		return found == 0
	})
	return found
}

// requests returns the sequence numbers of all records that carry a request.
func (h *history) requests() map[store.RequestID]store.Seq {
	all := make(map[store.RequestID]store.Seq, h.n)
	h.walk(1, func(seq store.Seq, body []byte) bool {
		if request := requestOf(body); request != (store.RequestID{}) {
			all[request] = seq
		}
		return true
	})
	return all
}

// A packed record begins with its flags and, if it has one, its request. Causes, effects and
// states are a byte each; numbers are varints, most of them of one byte.
const (
	flagRequest = 1
	flagCourse  = 2 // it has a gate, a window of its run, or what goes with them
)

func requestOf(body []byte) (request store.RequestID) {
	if body[0]&flagRequest != 0 {
		copy(request[:], body[1:])
	}
	return request
}

func pack(b []byte, r *store.Record) []byte {
	flags := byte(0)
	if r.Gate != (store.Gate{}) || r.Run.First != 0 || r.Run.End != 0 || r.Before != 0 || r.Mendable {
		flags = flagCourse
	}
	if r.Request != (store.RequestID{}) {
		b = append(b, flags|flagRequest)
		b = append(b, r.Request[:]...)
	} else {
		b = append(b, flags)
	}
	b = append(b, byte(r.Cause), byte(r.Effect), byte(r.From), byte(r.To), byte(r.JobFrom), byte(r.JobTo))
	b = binary.AppendVarint(b, int64(r.At))
	for _, n := range [...]uint64{
		uint64(r.Step), uint64(r.Entered), uint64(r.Attempt), uint64(r.Run.Full), uint64(r.Succeeded), uint64(r.Unfinished),
		uint64(r.Results), uint64(r.Targets), uint64(len(r.Actor)), uint64(len(r.Reason)),
	} {
		if n < 0x80 { // as most are
			b = append(b, byte(n))
			continue
		}
		b = binary.AppendUvarint(b, n)
	}
	b = append(b, r.Actor...)
	b = append(b, r.Reason...)
	if flags != 0 {
		b = packCourse(b, r)
	}
	return b
}

func packCourse(b []byte, r *store.Record) []byte {
	mendable := byte(0)
	if r.Mendable {
		mendable = 1
	}
	b = append(b, byte(r.Gate.Reason), byte(r.Gate.Then), mendable)
	b = binary.AppendVarint(b, int64(r.Gate.Until))
	for _, n := range [...]uint64{uint64(r.Run.First), uint64(r.Run.End), uint64(r.Before)} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func unpack(job store.JobID, seq store.Seq, b []byte) store.Record {
	r := store.Record{Job: job, Seq: seq, Request: requestOf(b)}
	flags := b[0]
	if flags&flagRequest != 0 {
		b = b[len(r.Request):]
	}
	b = b[1:]
	r.Cause, r.Effect = step.Cause(b[0]), store.Effect(b[1])
	r.From, r.To, r.JobFrom, r.JobTo = step.State(b[2]), step.State(b[3]), step.State(b[4]), step.State(b[5])
	at, n := binary.Varint(b[6:])
	r.At = step.Time(at)
	b = b[6+n:]
	next := func() int64 {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return int64(v)
	}
	r.Step, r.Entered, r.Attempt, r.Run.Full = step.ID(next()), step.ID(next()), int32(next()), int32(next())
	r.Succeeded, r.Unfinished, r.Results, r.Targets = int32(next()), int32(next()), int32(next()), int32(next())
	actor, reason := next(), next()
	r.Actor = string(b[:actor])
	r.Reason = string(b[actor : actor+reason])
	if b = b[actor+reason:]; flags&flagCourse != 0 {
		r.Gate.Reason, r.Gate.Then, r.Mendable = step.GateReason(b[0]), step.Do(b[1]), b[2] == 1
		until, n := binary.Varint(b[3:])
		r.Gate.Until = step.Time(until)
		b = b[3+n:]
		r.Run.First, r.Run.End, r.Before = int32(next()), int32(next()), int32(next())
	}
	return r
}
