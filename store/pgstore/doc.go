// Package pgstore keeps jobs in PostgreSQL, for any number of processes that share them.
//
// [Migrate] lays the tables out in the current schema, and [New] opens the store on a pool:
//
//	pool, err := pgxpool.New(ctx, dsn)
//	...
//	if err := pgstore.Migrate(ctx, pool); err != nil { ... }
//	st, err := pgstore.New(ctx, pool)
//	eng := engine.New(st)
//
// An operation is two round trips: one to load, one to commit. What comes to one process at
// once is committed together ([WithLanes]). Commits are as durable as the server makes them:
// with its defaults, what was acknowledged survives a crash of the server.
//
// Whoever runs migrations with a tool of their own finds them in [Migrations]. A transaction
// pooler between the store and the server must let prepared statements through, or the pool
// must be set up not to use them (pgx.QueryExecModeExec), and LISTEN does not pass it: watchers
// then poll.
package pgstore
