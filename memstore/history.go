package memstore

import (
	"encoding/binary"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// history is the records of a job, packed into bytes: about 45 a record, and nothing
// for the garbage collector to follow.
type history struct {
	last []byte   // the records behind those of full
	n    int      // how many there are in all
	full [][]byte // chunks of perChunk records each
}

const perChunk = 32

func (h *history) len() int { return h.n }

// append adds the record with the next sequence number. The first chunk grows as it must, since
// most jobs fill none; a later one starts with the room that the one before came to need.
func (h *history) append(r *store.Record) {
	if h.n > 0 && h.n%perChunk == 0 {
		h.full = append(h.full, h.last)
		h.last = make([]byte, 0, len(h.last))
	}
	var scratch [128]byte
	body := pack(scratch[:0], r)
	h.last = binary.AppendUvarint(h.last, uint64(len(body)))
	h.last = append(h.last, body...)
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
const flagRequest = 1

func requestOf(body []byte) (request store.RequestID) {
	if body[0]&flagRequest != 0 {
		copy(request[:], body[1:])
	}
	return request
}

func pack(b []byte, r *store.Record) []byte {
	if r.Request != (store.RequestID{}) {
		b = append(b, flagRequest)
		b = append(b, r.Request[:]...)
	} else {
		b = append(b, 0)
	}
	b = append(b, byte(r.Cause), byte(r.Effect), byte(r.From), byte(r.To), byte(r.JobFrom), byte(r.JobTo))
	b = binary.AppendVarint(b, int64(r.At))
	for _, n := range [...]int64{
		int64(r.Step), int64(r.Entered), int64(r.Attempt), int64(r.Run.Full), int64(r.Succeeded), int64(r.Unfinished),
		int64(r.Results), int64(r.Targets), int64(len(r.Actor)), int64(len(r.Reason)),
	} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = append(b, r.Actor...)
	return append(b, r.Reason...)
}

func unpack(job store.JobID, seq store.Seq, b []byte) store.Record {
	r := store.Record{Job: job, Seq: seq, Request: requestOf(b)}
	if b[0]&flagRequest != 0 {
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
	return r
}
