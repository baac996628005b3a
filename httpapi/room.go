package httpapi

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A room is what the server holds for one kind of clients, persons or executors. Each kind has a
// room of its own, and each client a share of it: a body that does not come or an answer that is
// not taken keeps out no other client. Every request has maxOperation bytes of its body and of
// its answer without a share.
type room struct {
	bodies   *budget // bytes of larger bodies, as announced
	decoding *budget // turns of requests with a larger body: decoded, it takes several times its size
	reading  *budget // turns of reads of rows without a bound, until the rows are dropped or have a share
	answers  *budget // bytes of larger answers, until they are taken
	claims   *budget // bytes of claims, until they are taken: no claim of a stop waits for another answer
	sizes    sizes   // bytes of reads, by name: they do not change
}

// sizes remembers how many bytes things have. The zero sizes is empty; it is safe for concurrent
// use.
type sizes struct {
	mu sync.Mutex // guards of
	of map[any]int64
}

const maxSizes = 10_000 // things, after which it begins anew

func (s *sizes) get(thing any) (bytes int64, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bytes, known = s.of[thing]
	return bytes, known
}

func (s *sizes) set(thing any, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil || len(s.of) == maxSizes {
		s.of = map[any]int64{}
	}
	s.of[thing] = bytes
}

func newRoom() *room {
	return &room{
		bodies:   newBudget(4*maxBody, maxBody),
		decoding: newBudget(1, 1),
		reading:  newBudget(1, 1),
		answers:  newBudget(2*maxAnswer, maxAnswer),
		claims:   newBudget(2*maxAnswer, maxAnswer),
	}
}

const (
	maxBody   = maxJob + 1          // a body's buffer has one byte more, to see that the body is too large
	maxAnswer = maxJob + claimBytes // of one client at once; an answer of which one row is larger has it alone
)

// admit returns what read does, once it is small or has a share of the room, which the caller
// releases when the client has taken the answer. What has to wait for its share is dropped, and
// read again later: for waiting clients nothing is held. Reads of one name have the same bytes each
// time, or never more; nil names none. The errors are read's and those of [budget.take].
func admit[T any](ctx context.Context, r *room, client string, within time.Duration, name any, read func() (v T, bytes int64, err error)) (T, *share, error) {
	var none T
	for held := (*share)(nil); ; {
		v, bytes, err := look(ctx, r, client, within, name, read, &held)
		if err == nil {
			return v, held, nil
		}
		held.release()
		if !errors.Is(err, errNoShare) {
			return none, nil, err
		}
		if held, err = r.answers.take(ctx, client, bytes, within); err != nil {
			return none, nil, err
		}
	}
}

// errNoShare says that an answer has to wait for its share.
var errNoShare = errors.New("no share of the answers is free")

// look reads, and returns what it has read if held covers it, or a new share does, or else
// errNoShare and how many bytes must be had. What is known to be small is read without a turn, and
// what is known to be large not before held covers it.
func look[T any](ctx context.Context, r *room, client string, within time.Duration, name any, read func() (T, int64, error), held **share) (none T, bytes int64, err error) {
	bytes, known := r.sizes.get(name)
	if !known || bytes > maxOperation {
		if !(*held).covers(bytes) {
			return none, bytes, errNoShare
		}
		turn, err := r.reading.take(ctx, client, 1, within)
		if err != nil {
			return none, 0, err
		}
		defer turn.release()
		if bytes, _ = r.sizes.get(name); !(*held).covers(bytes) { // known by now
			return none, bytes, errNoShare
		}
	}
	v, bytes, err := read()
	if err != nil {
		return none, 0, err
	}
	if name != nil {
		r.sizes.set(name, bytes)
	}
	if !(*held).covers(bytes) {
		(*held).release()
		if *held, err = r.answers.take(ctx, client, bytes, 0); err != nil {
			return none, bytes, errNoShare
		}
	}
	return v, bytes, nil
}
