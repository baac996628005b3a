package link

import (
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stepgate/stepgate/store"
)

// Undone returns err with store.ErrUndone wrapped in; nil stays nil.
func Undone(err error) error {
	if err == nil || errors.Is(err, store.ErrUndone) {
		return err
	}
	return undone{err}
}

// undone is an error after which nothing was done. Its text is the cause's.
type undone struct{ error }

func (u undone) Unwrap() []error { return []error{u.error, store.ErrUndone} }

// RolledBack reports whether err means that the server refused a call, and not for its timeout:
// nothing was done and the session is usable. That includes a commit of a failed transaction, by a
// function that ignored an error.
func RolledBack(err error) bool {
	var refused *pgconn.PgError
	if errors.Is(err, ErrTimeout) {
		return false
	}
	return errors.Is(err, pgx.ErrTxCommitRollback) || errors.As(err, &refused) && refused.SeverityUnlocalized == "ERROR"
}

// known wraps store.ErrUndone into an error that shows that nothing was done.
func known(err error) error {
	if RolledBack(err) || pgconn.SafeToRetry(err) {
		return Undone(err)
	}
	return err
}

// lostRace reports whether the server ended a transaction in favor of others: it may pass if it is
// repeated.
func lostRace(err error) bool {
	const serializationFailure, deadlock = "40001", "40P01"
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.SeverityUnlocalized == "ERROR" &&
		(refused.Code == serializationFailure || refused.Code == deadlock)
}
