package pgstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A PoolerError says that a pooler stands between the pool and the server that gives each
// transaction another session, so that statements get lost that pgx prepares in one and executes in
// another. Mode is the exec mode of the pool that needs them.
type PoolerError struct {
	Mode pgx.QueryExecMode
	Err  error // the server's, to a statement that was prepared a transaction before
}

func (e *PoolerError) Error() string {
	return fmt.Sprintf("pgstore: a transaction pooler loses the statements that exec mode %v prepares: "+
		"set default_query_exec_mode to cache_describe, exec or simple_protocol in the connection string, or have the pooler keep prepared statements: %v",
		e.Mode, e.Err)
}

func (e *PoolerError) Unwrap() error { return e.Err }

// anywhere has a statement need no session: nothing is prepared for it.
const anywhere = pgx.QueryExecModeSimpleProtocol

// checkPooler returns a *PoolerError if a pooler loses what the exec mode of the pool prepares. On a
// connection without a pooler, which has the number of its session's process, nothing is tried. A pooler
// of one session is not recognized in pgx.QueryExecModeDescribeExec.
func (s *Store) checkPooler(ctx context.Context, mode pgx.QueryExecMode, pooled bool) error {
	if !pooled || mode != pgx.QueryExecModeCacheStatement && mode != pgx.QueryExecModeDescribeExec {
		return nil
	}
	conn, err := s.link.Take(ctx)
	if err != nil {
		return failed("open", err)
	}
	defer func() { _ = within(ctx, s.link.Timeout(), conn.Close) }()
	const rounds = 5
	for range rounds { // until the pooler chooses another session
		name := "" // pgx.QueryExecModeDescribeExec prepares without one
		if mode == pgx.QueryExecModeCacheStatement {
			name = fmt.Sprintf("stepgate_%016x", rand.Uint64())
		}
		home, err := s.prepare(ctx, conn, name)
		if err != nil {
			return lostStatement(mode, err)
		}
		var away uint32
		err = s.link.Write(ctx, func(ctx context.Context, other *pgx.Conn) error {
			return pgx.BeginFunc(ctx, other, func(tx pgx.Tx) error { // it has a session now, the last one used most likely
				if _, err := other.PgConn().Prepare(ctx, name, sessionSQL, nil); err != nil {
					return err
				}
				away, err = s.executeAway(ctx, conn, name)
				return err
			})
		})
		switch {
		case conn.IsClosed(): // it has waited for a session in vain
			return nil
		case err != nil:
			return lostStatement(mode, err)
		case away != home:
			return nil // the pooler has taken the statement there
		}
	}
	return nil // each connection keeps to its session
}

// sessionSQL tells sessions apart.
const sessionSQL = `SELECT pg_backend_pid()`

// prepare prepares sessionSQL, and returns the session that it was most likely prepared in. What is
// prepared without a name lasts until the next statement of the session.
func (s *Store) prepare(ctx context.Context, conn *pgx.Conn, name string) (session uint32, err error) {
	err = within(ctx, s.link.Timeout(), func(ctx context.Context) error {
		if err := conn.QueryRow(ctx, sessionSQL, anywhere).Scan(&session); err != nil {
			return err
		}
		_, err := conn.PgConn().Prepare(ctx, name, sessionSQL, nil)
		return err
	})
	return session, err
}

// executeAway executes what was prepared, and returns the session that it was executed in. It does not
// wait for a session that another connection of the caller's holds.
func (s *Store) executeAway(ctx context.Context, conn *pgx.Conn, name string) (session uint32, err error) {
	err = within(ctx, s.link.Timeout()/4, func(ctx context.Context) error {
		result := conn.PgConn().ExecPrepared(ctx, name, nil, nil, nil).Read()
		if result.Err != nil {
			return result.Err
		}
		_, err := fmt.Sscan(string(result.Rows[0][0]), &session)
		return err
	})
	return session, err
}

// lostStatement returns a *PoolerError if err is that of a statement that is missing where it is
// executed, or left over from another connection.
func lostStatement(mode pgx.QueryExecMode, err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "26000", "42P05", "08P01": // missing, there already, another one
			return &PoolerError{Mode: mode, Err: refused}
		}
	}
	return failed("open", err)
}
