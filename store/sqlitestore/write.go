package sqlitestore

import (
	"context"
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stepgate/stepgate/store"
)

// mostInAGroup bounds the changes of one transaction, and so the wait of the first of them.
const mostInAGroup = 256

// change is a write, carried out in a transaction alone or with others.
type change interface {
	// apply carries the change out. If it returns a refusal, see refused, it has written nothing.
	// It may be called again after a rollback.
	apply(w *conn) error
	// keep returns a deep copy.
	keep() change
}

// refused reports whether the error of a change means that it wrote nothing. After any other error
// the transaction may hold half of the change.
func refused(err error) bool {
	return errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrLeaseLost)
}

// write carries a change out, in the order of the lane.
func (s *Store) write(ctx context.Context, c change) error { return s.lane.Do(ctx, 0, c) }

// run carries a group out in one transaction and returns the answer to each change. It uses no
// savepoints: a refused change has written nothing, and after a failure, which is rare, each
// change gets a transaction of its own. Savepoints would not isolate the changes either: some
// failures, as of a full disk, make SQLite roll the whole transaction back.
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

// together carries a group out in one transaction and fills in the answers. err is the error of
// the whole group. spoilt means that one change has failed and nothing was done.
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

// transact runs f in a write transaction. It waits for other writers until its patience or ctx
// ends; after that, ctx does not interrupt it. If f or the commit fails, it rolls back. Its error
// wraps store.ErrUndone, unless the commit may have reached the disk.
func (c *conn) transact(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.wait(ctx, func() error { return c.do(beginWrite) }); err != nil {
		return undone(err)
	}
	if err := f(); err != nil {
		_ = c.do(rollback) // fails if SQLite has already rolled back
		return undone(err)
	}
	if err := c.do(commitTransaction); err != nil {
		_ = c.do(rollback)
		err = fmt.Errorf("commit: %w", err)
		switch code(err) & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT:
			return undone(err) // the commit was not written
		}
		return err // a flush may have failed after the write: the commit may survive a crash
	}
	return nil
}

// undone wraps an error with store.ErrUndone. It returns refusals, which say the same, and the
// errors of a context unchanged.
func undone(err error) error {
	if err == nil || refused(err) || err == context.Canceled || err == context.DeadlineExceeded {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUndone, err)
}
