// Package pgstore stores jobs in PostgreSQL 15 or later, for any number of processes that share
// them.
//
// [Migrate] creates the tables in the current schema, and [New] opens the store on a pool:
//
//	pool, err := pgxpool.New(ctx, dsn)
//	...
//	if err := pgstore.Migrate(ctx, pool); err != nil { ... }
//	st, err := pgstore.New(ctx, pool)
//	eng := engine.New(st)
//
// An operation takes two round trips: one loads, one commits. Changes that arrive during a commit
// of the same process are committed together ([WithLanes]). The server determines the durability:
// with its defaults, an acknowledged commit survives a crash of the server.
//
// # Migrations
//
// [Migrate] is one transaction, and any number of processes can call it at once. [Migrations] has
// the same migrations as files for migration tools. [New] and [Migrate] fail with a [SchemaError]
// if this version of the package cannot use the tables; so does an earlier release on the tables of
// a later one, unless the tables suit it. Only they check the version: stop the programs of the
// earlier release before you migrate. The commits of a program that keeps running fail and change
// nothing.
//
// Version 2 rewrites the history under a lock: 10 s for a million records. During that time the
// history takes twice its size on the disk.
//
// # Failover
//
// A call ends within [WithTimeout], also when the network fails, and a dead connection delays other
// calls no longer than that. Errors that match store.ErrUndone mean that nothing changed; after any
// other error of a commit the outcome is unknown. A pool keeps the place of a connection that does
// not answer a ping for 15 s: allow more than one connection. connect_timeout in the connection
// string bounds dialing. With TCP keepalives, and with TCP_USER_TIMEOUT for data in flight, the
// kernel detects dead connections sooner: set them in pgx's DialFunc.
//
// # Clock
//
// Leases, due times and deadlines use the server's clock ([Store.Now]). Tests that move time
// replace it with [WithClock].
//
// # Costs
//
// The cost of a read is proportional to its result, with these exceptions: a sweep in a scope also
// reads the passed deadlines of other scopes, a search by name reads its window, newest first, and
// a count reads up to its bound of index entries per state. Reading a job of another scope costs
// the same as an unused id: every statement finds the job in its scope before it reads another
// table. The exceptions are the targets and the request of a view, whose rows are dropped.
//
// # Poolers
//
// Behind a transaction pooler, either the pooler keeps prepared statements, or the pool uses an
// exec mode without them: cache_describe, exec or simple_protocol. [New] fails with a
// *[PoolerError] otherwise. LISTEN does not work through such a pooler: watchers poll instead.
package pgstore
