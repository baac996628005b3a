package pgstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A PoolerError reports a pooler between the pool and the server that gives each transaction
// another session: statements that pgx prepares in one session are missing in another.
type PoolerError struct {
	Mode pgx.QueryExecMode // the exec mode of the pool, which prepares statements
	Err  error             // the server's error on a statement prepared in an earlier transaction
}

// Error names the remedies.
func (e *PoolerError) Error() string {
	return fmt.Sprintf("pgstore: a transaction pooler loses the statements that exec mode %v prepares: "+
		"set default_query_exec_mode to cache_describe, exec or simple_protocol in the connection string, or have the pooler keep prepared statements: %v",
		e.Mode, e.Err)
}

// Unwrap returns Err.
func (e *PoolerError) Unwrap() error { return e.Err }

// anywhere is the exec mode of statements that work in any session: it prepares nothing.
const anywhere = pgx.QueryExecModeSimpleProtocol

// checkPooler returns a *PoolerError if a pooler loses the statements that the exec mode of the
// pool prepares. It tries nothing on a connection without a pooler: there the connection's process
// id is that of the session. It does not detect a pooler with one session in
// pgx.QueryExecModeDescribeExec.
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
			return pgx.BeginFunc(ctx, other, func(tx pgx.Tx) error { // holds a session from now on, most likely the last one used
				if _, err := other.PgConn().Prepare(ctx, name, sessionSQL, nil); err != nil {
					return err
				}
				away, err = s.executeAway(ctx, conn, name)
				return err
			})
		})
		switch {
		case conn.IsClosed(): // it got no session in time
			return nil
		case err != nil:
			return lostStatement(mode, err)
		case away != home:
			return nil // the pooler has prepared the statement in the other session
		}
	}
	return nil // each connection keeps its session
}

// sessionSQL identifies a session.
const sessionSQL = `SELECT pg_backend_pid()`

// prepare prepares sessionSQL and returns the session in which it was most likely prepared. A
// statement without a name lasts until the next statement of the session.
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

// executeAway executes the prepared statement and returns the session in which it was executed. It
// waits a quarter of the timeout only, as the caller holds a session that the pooler may wait for.
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

// lostStatement returns a *PoolerError if err reports a prepared statement that is missing in its
// session, or one left over from another connection.
func lostStatement(mode pgx.QueryExecMode, err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "26000", "42P05", "08P01": // missing, already prepared, another statement
			return &PoolerError{Mode: mode, Err: refused}
		}
	}
	return failed("open", err)
}
