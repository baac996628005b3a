package httpapi

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A room bounds the memory that the server holds for one kind of clients, persons or executors.
// Each client has a share of it: a client that does not send its body, or does not receive its
// answer, keeps no other client out. The first maxOperation bytes of a body and of an answer need
// no share.
type room struct {
	bodies   *budget // bytes of larger bodies, as announced
	decoding *budget // turns to decode a larger body, which then takes several times its size
	reading  *budget // turns to read rows of unbounded size, until the rows are dropped or have a share
	answers  *budget // bytes of larger answers, until the clients have received them
	claims   *budget // bytes of claims, likewise: no claim of a stop waits for another kind of answer
	sizes    sizes   // bytes of reads, by name: they never change
}

// sizes remembers the sizes of things in bytes. The zero value is empty; it is safe for
// concurrent use.
type sizes struct {
	mu sync.Mutex // guards of
	of map[any]int64
}

const maxSizes = 10_000 // things; a full sizes forgets all of them

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
	maxBody   = maxJob + 1          // one byte more, to detect a body that is too large
	maxAnswer = maxJob + claimBytes // per client; a larger answer, of one large row, is the client's only one
)

// admit returns the result of read with the share that it needs, nil for a small result. The
// caller releases the share when the client has received the answer. A result that has to wait for
// its share is dropped and read again later: the server holds nothing for waiting clients. name
// identifies reads whose size never grows; nil is no name. The errors are those of read and of
// [budget.take].
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

// errNoShare means that an answer has to wait for its share.
var errNoShare = errors.New("no share of the answers is free")

// look calls read and returns its result if held or a new share covers it, and otherwise
// errNoShare and the bytes that it needs. It takes no turn for a result that is known to be small,
// and reads one that is known to be large only once held covers it.
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
		if bytes, _ = r.sizes.get(name); !(*held).covers(bytes) { // another request may have set it
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
