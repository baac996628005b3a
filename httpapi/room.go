package httpapi

import (
	"context"
	"errors"
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
}

func newRoom() *room {
	return &room{
		bodies:   newBudget(4*maxBody, maxBody),
		decoding: newBudget(1, 1),
		reading:  newBudget(4, 2),
		answers:  newBudget(4*maxAnswer, maxAnswer),
	}
}

const (
	maxBody   = maxJob + 1            // a body's buffer has one byte more, to see that the body is too large
	maxAnswer = maxJob + maxOperation // of one client at once; an answer of which one row is larger has it alone
)

// admit returns what read does, once it is small or has a share of the room, which the caller
// releases when the client has taken the answer. What has to wait for its share is dropped, and
// read again later: for waiting clients nothing is held. The bytes of what is read must not change
// much from one time to the next. The errors are read's and those of [budget.take].
func admit[T any](ctx context.Context, r *room, client string, within time.Duration, read func() (v T, bytes int64, err error)) (T, *share, error) {
	var none T
	for held := (*share)(nil); ; {
		v, bytes, err := look(ctx, r, client, within, read, &held)
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

// look reads in a turn, and returns what it has read if held covers it, or a new share does, or
// else errNoShare and how many bytes must be had.
func look[T any](ctx context.Context, r *room, client string, within time.Duration, read func() (T, int64, error), held **share) (none T, bytes int64, err error) {
	turn, err := r.reading.take(ctx, client, 1, within)
	if err != nil {
		return none, 0, err
	}
	defer turn.release()
	v, bytes, err := read()
	if err != nil {
		return none, 0, err
	}
	if !(*held).covers(bytes) {
		(*held).release()
		if *held, err = r.answers.take(ctx, client, bytes, 0); err != nil {
			return none, bytes, errNoShare
		}
	}
	return v, bytes, nil
}
