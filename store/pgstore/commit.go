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

// Commit implements store.Store in one round trip. Changes that arrive while their lane commits
// are committed together in the next statement, each with its own answer.
func (s *Store) Commit(ctx context.Context, c store.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.Check(); err != nil {
		return err
	}
	switch also := alongside(ctx); {
	case also != nil:
		ctx = context.WithValue(ctx, alongsideKey{}, nil) // for this commit, and not for one that f makes
		return failed("commit", s.commit(ctx, []store.Change{c}, also)[0])
	case s.changes == nil:
		return failed("commit", s.commit(ctx, []store.Change{c}, nil)[0])
	}
	return failed("commit", queued(s.changes.Do(ctx, int64(c.Job.ID), c)))
}

// queued returns the answer of a lane with the errors of package store.
func queued(err error) error {
	switch {
	case err == groupcommit.ErrNotBegun:
		return link.Undone(fmt.Errorf("%w: earlier calls take too long", ErrTimeout))
	case errors.Is(err, groupcommit.ErrNotBegun):
		return link.Undone(err)
	}
	return err
}

// commit commits changes of different jobs, with also if it is not nil, and returns an answer for
// each. If the group fails and none of its changes has taken effect, it tries each change alone: no
// change fails for a neighbour. A change that moves a turn is committed alone. A change of a group
// that waits for a lock gets groupcommit.ErrAside.
func (s *Store) commit(ctx context.Context, group []store.Change, also func(context.Context, pgx.Tx) error) []error {
	if len(group) == 1 {
		return []error{s.commitOne(ctx, group, also, 0)}
	}
	errs := make([]error, len(group))
	var together []store.Change
	var places []int // in group, of those that are committed together
	for i := range group {
		if group[i].Turn != store.NoTurn { // each sees the turns that the one before it leaves
			errs[i] = s.commitAside(ctx, group[i:i+1], also)
			continue
		}
		together, places = append(together, group[i]), append(places, i)
	}
	if len(together) == 0 {
		return errs
	}
	fit, again, err := s.apply(ctx, together, also, s.patience)
	for n, i := range places {
		switch {
		case again && !errors.Is(err, ErrTimeout):
			errs[i] = s.commitAside(ctx, together[n:n+1], also)
		case err != nil:
			errs[i] = err
		default:
			errs[i] = s.committed(fit, group[i].Job.ID)
		}
	}
	return errs
}

// commitAside commits one change of a group, and returns groupcommit.ErrAside if it waits for a lock.
func (s *Store) commitAside(ctx context.Context, one []store.Change, also func(context.Context, pgx.Tx) error) error {
	err := s.commitOne(ctx, one, also, s.patience)
	if isLocked(err) {
		return groupcommit.ErrAside
	}
	return err
}

// commitOne commits a group of one.
func (s *Store) commitOne(ctx context.Context, one []store.Change, also func(context.Context, pgx.Tx) error, patience time.Duration) error {
	fit, _, err := s.apply(ctx, one, also, patience)
	if err != nil {
		return err
	}
	return s.committed(fit, one[0].Job.ID)
}

// committed announces the commit of a job that is in fit. For another job it returns
// store.ErrConflict.
func (s *Store) committed(fit map[store.JobID]bool, job store.JobID) error {
	if !fit[job] {
		return store.ErrConflict
	}
	s.changed(job)
	return nil
}

// isLocked reports whether a change failed because it waited too long for a lock.
func isLocked(err error) bool {
	const lockNotAvailable = "55P03"
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == lockNotAvailable
}

// isConflict reports whether err means that an id or a request is in use already or, under an
// isolation stricter than READ COMMITTED, that a concurrent transaction won. A duplicate key in
// one of the caller's tables is no conflict.
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

// apply carries out the changes of a group that fit the stored versions, in one transaction, and
// returns their jobs. An error is the error of the whole group; again then reports that nothing was
// done and that the session is usable. It waits for locks at most patience, or the bound of a call
// for 0.
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

// transact is apply in a transaction with statements of the carrier or of also.
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
		return fit, !c.IsClosed(), link.Undone(err) // the commit was not sent
	}
	return fit, link.RolledBack(err), err
}

// carry passes the effects of the changes that fit to the carrier, if there is one.
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

// contain calls a function of the embedder and returns a panic as an error.
func contain(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// Carried is the NotBefore of an effect that a [Carrier] has taken: no claim finds it.
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
	if len(group) == 1 && len(group[0].Records) == 1 && len(group[0].Batches) == 0 && group[0].Turn == store.NoTurn && patience == 0 { // a batch costs the caller more
		var sql string
		var args []any
		if len(creations) > 0 {
			sql, args = s.creation(creations)
		} else {
			sql, args = s.update(updates)
		}
		rows, err := on.Query(ctx, sql, args...)
		if err != nil {
			return nil, err
		}
		return fit, noted(rows)
	}
	b := newGroup(patience)
	if len(creations) > 0 {
		slices.SortFunc(creations, func(a, b *store.Change) int { // one order in all processes, as for updates: they may create with the same requests
			return bytes.Compare(a.Records[0].Request[:], b.Records[0].Request[:])
		})
		sql, args := s.creation(creations)
		b.Queue(sql, args...).Query(noted)
	}
	if len(updates) > 0 {
		if c := updates[0]; c.Turn != store.NoTurn {
			b.Queue(lockTurnSQL, turnArgs(c)[:3]...)
		}
		sql, args := s.update(updates)
		b.Queue(sql, args...).Query(noted)
	}
	return fit, on.SendBatch(ctx, b).Close()
}

// creation returns the statement of changes that create jobs and its parameters.
func (s *Store) creation(group []*store.Change) (sql string, args []any) {
	args = slices.Concat(newJobs.arrays(headRows(group)), creationArrays(group), newSteps.arrays(stepRows(group)), newNames.arrays(nameRows(group)),
		lines.arrays(recordRows(group)), []any{s.notBefore()})
	if !slices.ContainsFunc(group, hasBatches) {
		return createSQL, args
	}
	return createBatchSQL, append(args, batches.arrays(batchRows(group))...)
}

func hasBatches(c *store.Change) bool { return len(c.Batches) > 0 }

// update returns the statement of changes to existing jobs and its parameters. It sorts group by
// job, the order in which the statement locks rows.
func (s *Store) update(group []*store.Change) (sql string, args []any) {
	slices.SortFunc(group, func(a, b *store.Change) int { return cmp.Compare(a.Job.ID, b.Job.ID) })
	with := partsOf(group)
	head, changed, records := headRows(group), stepRows(group), recordRows(group)
	first := group[0]
	steps := len(first.Steps)
	if len(group) == 1 && len(first.Records) == 1 && steps > 0 && steps <= len(aloneSQL) && with <= withResults {
		sql = aloneSQL[steps-1]
		if with == withResults {
			sql = aloneReportSQL[steps-1]
		}
		args = lines.scalars(states.scalars(heads.scalars(make([]any, 0, mostArgs), head), changed), records)
	} else {
		sql = groupSQL[with]
		args = slices.Concat(heads.arrays(head), states.arrays(changed), lines.arrays(records))
	}
	if with&withTurn != 0 {
		args = append(args, turnArgs(first)...)
	}
	args = append(args, s.notBefore())
	if with&withResults != 0 {
		args = slices.Concat(args, outcomes.arrays(resultRows(group)), sets.arrays(setRows(group)))
	}
	if with&withBatches != 0 {
		args = append(args, batches.arrays(batchRows(group))...)
	}
	return sql, args
}

// partsOf returns what a group writes beside headers, steps and records.
func partsOf(group []*store.Change) (with parts) {
	for _, c := range group {
		if len(c.Targets) > 0 {
			with |= withResults
		}
		if len(c.Batches) > 0 {
			with |= withBatches
		}
		if c.Turn != store.NoTurn {
			with |= withTurn
		}
	}
	return with
}

// mostArgs is the maximum number of parameters of one change without results.
var mostArgs = len(heads.keys) + len(heads.columns) + 2*(len(states.keys)+len(states.columns)) + len(lines.keys) + len(lines.columns) + 1

// notBefore returns the NotBefore of new effects.
func (s *Store) notBefore() int64 {
	if s.carrier != nil {
		return int64(Carried)
	}
	return 0
}

// alongsideKey is the key of the function of [Alongside].
type alongsideKey struct{}

// Alongside returns a context whose commits also run f, in their transaction and after all other
// statements: both take effect, or neither does. An error or a panic of f rolls the commit back.
// A commit that conflicts does not run f. A commit that is repeated runs f again; store.ErrConflict
// from f repeats it. A call of the engine that commits nothing, such as a report without new
// results, does not run f. Reports with this context are committed alone, see [store.Alone]. f must
// write through tx: a commit on another connection may queue behind a commit that waits for tx,
// a deadlock that the server does not detect.
func Alongside(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) context.Context {
	return context.WithValue(store.Alone(ctx), alongsideKey{}, f)
}

func alongside(ctx context.Context) func(context.Context, pgx.Tx) error {
	f, _ := ctx.Value(alongsideKey{}).(func(context.Context, pgx.Tx) error)
	return f
}
