package sqlitestore

import (
	"context"
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stepgate/stepgate/store"
)

// mostInAGroup bounds how many changes wait for one flush, and so how long the first waits.
const mostInAGroup = 256

// change is something that is done in a transaction, alone or with others.
type change interface {
	// apply does it. An answer that is no failure, see refused, comes before anything is
	// written. It may be called again after the transaction was rolled back.
	apply(w *conn) error
	// keep returns the change in memory of its own.
	keep() change
}

// refused reports whether an answer of a change says that it did nothing. After any other
// error a transaction may hold half of it.
func refused(err error) bool {
	return errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrLeaseLost)
}

// write has a change carried out in the order of the lane.
func (s *Store) write(ctx context.Context, c change) error { return s.lane.Do(ctx, 0, c) }

// run carries out a group in one transaction and returns the answer to each. There are no
// savepoints: a change that is refused has written nothing, and if one fails, which is rare,
// the others have a transaction each. SQLite rolls all of a transaction back on some
// failures, a full disk for one, so that savepoints would not keep neighbours apart either.
func (s *Store) run(ctx context.Context, group []change) []error {
	answers := make([]error, len(group))
	spoilt, err := s.together(ctx, group, answers)
	switch {
	case spoilt && len(group) > 1:
		for i := range group {
			answers[i] = s.run(ctx, group[i:i+1])[0]
		}
		return answers
	case err != nil:
		for i := range answers {
			answers[i] = err
		}
		return answers
	}
	for i, c := range group {
		if c, ok := c.(commit); ok && answers[i] == nil {
			s.wakers.Wake(c.Job.ID)
		}
	}
	return answers
}

// together fills the answers to a group that is carried out in one transaction. An error
// is about all of them; spoilt says that one of them has failed, and nothing was done.
func (s *Store) together(ctx context.Context, group []change, answers []error) (spoilt bool, err error) {
	w, err := s.writers.take(ctx)
	if err != nil {
		return false, err
	}
	defer s.writers.put(w)
	err = w.transact(ctx, func() error {
		for i, c := range group {
			if answers[i] = c.apply(w); answers[i] != nil && !refused(answers[i]) {
				spoilt = true
				return answers[i]
			}
		}
		return nil
	})
	return spoilt, err
}

// transact runs f in a transaction that may write from its start. It waits for other writers
// as long as its patience and ctx allow; from then on it goes on to its end. If f or the
// commit fails, the transaction is rolled back. An error wraps store.ErrUndone, unless the
// commit may have reached the disk.
func (c *conn) transact(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.wait(ctx, func() error { return c.do(beginWrite) }); err != nil {
		return undone(err)
	}
	if err := f(); err != nil {
		_ = c.do(rollback) // fails where SQLite has rolled back by itself
		return undone(err)
	}
	if err := c.do(commitTransaction); err != nil {
		_ = c.do(rollback)
		err = fmt.Errorf("commit: %w", err)
		switch code(err) & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT:
			return undone(err) // it was not written as a whole
		}
		return err // a flush may have failed after the write: the commit may be there after a crash
	}
	return nil
}

// undone says of an error that nothing was done. A refusal says so by itself, and the end of a
// context stays as it is.
func undone(err error) error {
	if err == nil || refused(err) || err == context.Canceled || err == context.DeadlineExceeded {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUndone, err)
}
