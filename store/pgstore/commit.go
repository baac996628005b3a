package pgstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stepgate/stepgate/internal/groupcommit"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore/internal/link"
)

// Commit implements store.Store. It is one round trip. Changes that come while others of
// their lane are under way are committed together in one statement, and each has its own
// answer.
func (s *Store) Commit(ctx context.Context, c store.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.Check(); err != nil {
		return err
	}
	switch also := alongside(ctx); {
	case also != nil:
		ctx = context.WithValue(ctx, alongsideKey{}, nil) // it is for this commit, not for one that it makes itself
		return failed("commit", s.commit(ctx, []store.Change{c}, also)[0])
	case s.changes == nil:
		return failed("commit", s.commit(ctx, []store.Change{c}, nil)[0])
	}
	return failed("commit", queued(s.changes.Do(ctx, int64(c.Job.ID), c)))
}

// queued returns what is told of the answer of a lane.
func queued(err error) error {
	switch {
	case err == groupcommit.ErrNotBegun:
		return link.Undone(fmt.Errorf("%w: the calls before it take too long", ErrTimeout))
	case errors.Is(err, groupcommit.ErrNotBegun):
		return link.Undone(err)
	}
	return err
}

// commit commits changes of different jobs, together with also, if that is not nil, and
// returns an answer for each. If they fail together, and it is known that none of them has
// passed, each is tried alone, so that none fails for a neighbour. One that a lock keeps waiting
// is groupcommit.ErrAside, unless it was alone from the first.
func (s *Store) commit(ctx context.Context, group []store.Change, also func(context.Context, pgx.Tx) error) []error {
	if len(group) == 1 {
		return []error{s.commitOne(ctx, group, also, 0)}
	}
	fit, again, err := s.apply(ctx, group, also, s.patience)
	errs := make([]error, len(group))
	for i := range group {
		switch {
		case again && !errors.Is(err, ErrTimeout):
			if errs[i] = s.commitOne(ctx, group[i:i+1], also, s.patience); isLocked(errs[i]) {
				errs[i] = groupcommit.ErrAside
			}
		case err != nil:
			errs[i] = err
		default:
			errs[i] = s.committed(fit, group[i].Job.ID)
		}
	}
	return errs
}

// commitOne commits a group of one.
func (s *Store) commitOne(ctx context.Context, one []store.Change, also func(context.Context, pgx.Tx) error, patience time.Duration) error {
	fit, _, err := s.apply(ctx, one, also, patience)
	if err != nil {
		return err
	}
	return s.committed(fit, one[0].Job.ID)
}

// committed tells of a change, if it is among those that fit.
func (s *Store) committed(fit map[store.JobID]bool, job store.JobID) error {
	if !fit[job] {
		return store.ErrConflict
	}
	s.changed(job)
	return nil
}

// isLocked reports whether a lock is why a change was not committed.
func isLocked(err error) bool {
	const lockNotAvailable = "55P03"
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == lockNotAvailable
}

// isConflict reports whether err means that an id is taken, that a request was carried out or,
// under an isolation stricter than READ COMMITTED, that others were faster. A row of a table of
// the caller's that is there already is none of these.
func isConflict(err error) bool {
	const uniqueViolation, serializationFailure = "23505", "40001"
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.SeverityUnlocalized != "ERROR" {
		return false
	}
	return refused.Code == serializationFailure || refused.Code == uniqueViolation && strings.HasPrefix(refused.TableName, "stepgate_")
}

// sender is a connection or a transaction.
type sender interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// apply carries out what fits of a group, all in one transaction, and returns the jobs of
// what did. An error is of all of it; again says that it is known that nothing was done, and
// that the server goes on. Locks are waited for no longer than patience, 0 being the bound of a
// call.
func (s *Store) apply(ctx context.Context, group []store.Change, also func(context.Context, pgx.Tx) error, patience time.Duration) (fit map[store.JobID]bool, again bool, err error) {
	err = s.link.Write(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		again = false
		if s.carrier == nil && also == nil {
			fit, err = s.send(ctx, c, group, patience) // a batch is a transaction
			again = link.RolledBack(err)
		} else {
			fit, again, err = s.transact(ctx, c, group, also, patience)
		}
		if isConflict(err) {
			return store.ErrConflict
		}
		return err
	})
	return fit, again, err
}

// transact is apply in a transaction that holds more than the store's statements.
func (s *Store) transact(ctx context.Context, c *pgx.Conn, group []store.Change, also func(context.Context, pgx.Tx) error, patience time.Duration) (fit map[store.JobID]bool, again bool, err error) {
	committing := false
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) (err error) {
		if fit, err = s.send(ctx, tx, group, patience); err == nil && len(fit) > 0 {
			err = s.carry(ctx, tx, group, fit)
			if err == nil && also != nil {
				err = contain(func() error { return also(ctx, tx) })
			}
		}
		committing = err == nil
		return err
	})
	if err != nil && !committing {
		return fit, !c.IsClosed(), link.Undone(err) // whatever failed: the commit was not sent
	}
	return fit, link.RolledBack(err), err
}

// carry hands the effects of the changes that fit to the carrier, if there is one.
func (s *Store) carry(ctx context.Context, tx pgx.Tx, group []store.Change, fit map[store.JobID]bool) error {
	if s.carrier == nil {
		return nil
	}
	var effects []store.Delivery
	for i := range group {
		c := &group[i]
		for j := range c.Records {
			if d, ok := c.Delivery(&c.Records[j]); ok && fit[c.Job.ID] {
				d.NotBefore = Carried
				effects = append(effects, d)
			}
		}
	}
	if len(effects) == 0 {
		return nil
	}
	return contain(func() error { return s.carrier.Carry(ctx, tx, effects) })
}

// contain returns what a function of the embedder's does, with a panic as an error.
func contain(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// Carried is the NotBefore of an effect that a [Carrier] has taken: nobody claims it.
const Carried step.Time = math.MaxInt64

// send sends the statements of a group in one round trip and one transaction.
func (s *Store) send(ctx context.Context, on sender, group []store.Change, patience time.Duration) (map[store.JobID]bool, error) {
	var creations, updates []*store.Change
	for i := range group {
		if c := &group[i]; c.Base() == 0 {
			creations = append(creations, c)
		} else {
			updates = append(updates, c)
		}
	}
	fit := make(map[store.JobID]bool, len(group))
	noted := func(rows pgx.Rows) error {
		var id int64
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
			fit[store.JobID(id)] = true
			return nil
		})
		return err
	}
	if len(group) == 1 && len(group[0].Records) == 1 && patience == 0 { // not as a batch, which costs the caller more
		sql, args := createSQL, []any(nil)
		if len(creations) > 0 {
			args = s.creationArgs(creations)
		} else {
			sql, args = s.update(updates)
		}
		rows, err := on.Query(ctx, sql, args...)
		if err != nil {
			return nil, err
		}
		return fit, noted(rows)
	}
	b := newGroup()
	if patience > 0 {
		b.Queue(`SELECT set_config('lock_timeout', $1, true)`, fmt.Sprint(max(patience.Milliseconds(), 1)))
	}
	if len(creations) > 0 {
		slices.SortFunc(creations, func(a, b *store.Change) int { // as for updates: another process may create by the same requests
			return bytes.Compare(a.Records[0].Request[:], b.Records[0].Request[:])
		})
		b.Queue(createSQL, s.creationArgs(creations)...).Query(noted)
	}
	if len(updates) > 0 {
		sql, args := s.update(updates)
		b.Queue(sql, args...).Query(noted)
	}
	return fit, on.SendBatch(ctx, b).Close()
}

func (s *Store) creationArgs(group []*store.Change) []any {
	return slices.Concat(newJobs.arrays(headRows(group)), creationArrays(group), newSteps.arrays(stepRows(group)), newNames.arrays(nameRows(group)),
		lines.arrays(recordRows(group)), []any{s.notBefore()})
}

// update returns the statement of changes to existing jobs, and its parameters. It puts them in
// the order in which they are to be locked.
func (s *Store) update(group []*store.Change) (sql string, args []any) {
	slices.SortFunc(group, func(a, b *store.Change) int { return cmp.Compare(a.Job.ID, b.Job.ID) })
	withTargets := slices.ContainsFunc(group, func(c *store.Change) bool { return len(c.Targets) > 0 })
	head, changed, records := headRows(group), stepRows(group), recordRows(group)
	first := group[0]
	steps := len(first.Steps)
	switch {
	case len(group) == 1 && len(first.Records) == 1 && steps > 0 && steps <= len(aloneSQL):
		sql = aloneSQL[steps-1]
		if withTargets {
			sql = aloneReportSQL[steps-1]
		}
		args = lines.scalars(states.scalars(heads.scalars(make([]any, 0, mostArgs), head), changed), records)
		args = append(args, s.notBefore())
	default:
		sql = groupSQL
		if withTargets {
			sql = groupReportSQL
		}
		args = slices.Concat(heads.arrays(head), states.arrays(changed), lines.arrays(records), []any{s.notBefore()})
	}
	if withTargets {
		args = slices.Concat(args, outcomes.arrays(resultRows(group)), sets.arrays(setRows(group)))
	}
	return sql, args
}

// mostArgs is how many parameters a change alone has.
var mostArgs = len(heads.keys) + len(heads.columns) + 2*(len(states.keys)+len(states.columns)) + len(lines.columns) + 1

// notBefore returns the time from which on new effects can be claimed.
func (s *Store) notBefore() int64 {
	if s.carrier != nil {
		return int64(Carried)
	}
	return 0
}

// alongsideKey is the key of what a context has a commit do besides.
type alongsideKey struct{}

// Alongside returns a context that has a commit under it also run f, in its transaction and
// after everything else: both take effect, or neither does. An error of f fails the commit
// and undoes it, as does a panic. A commit that is a conflict does not run f; one that is tried again runs it
// again, as does one whose f returns store.ErrConflict. A call of the engine that commits
// nothing, because a report tells nothing new for instance, does not run f. A report under it is committed
// alone, and not with those that it meets: see [store.Alone]. f writes through tx:
// a commit that it makes otherwise may queue behind one that waits for tx, and both for ever.
func Alongside(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) context.Context {
	return context.WithValue(store.Alone(ctx), alongsideKey{}, f)
}

func alongside(ctx context.Context) func(context.Context, pgx.Tx) error {
	f, _ := ctx.Value(alongsideKey{}).(func(context.Context, pgx.Tx) error)
	return f
}
