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
// # Migrations
//
// [Migrate] is one transaction, and any number of processes can call it at once. [Migrations] has
// the same migrations as files, for other tools. A program starts only on tables that it can use:
// [New] and [Migrate] return a [SchemaError] otherwise, and so does an earlier release, which
// finds a newer version. That is looked at once, at the start: end the programs of the earlier
// release before you migrate. The commits of one that runs on fail, and change nothing.
//
// Version 2 rewrites the history, under a lock: 10 s for a million records. Meanwhile the disk
// holds it twice.
//
// # Failover
//
// A call ends within [WithTimeout], whatever the network does, and a dead connection delays no other
// call for longer. An error that is a store.ErrUndone changed nothing; after any other error of a
// commit the outcome is unknown. A pool keeps the place of a connection that does not answer its
// own ping for 15 s: give it more than one. connect_timeout in the connection string bounds
// dialing. TCP keepalives, and TCP_USER_TIMEOUT for data under way, have the kernel find dead
// connections sooner: set them in pgx's DialFunc.
//
// # Clock
//
// The server's clock decides on leases, due times and deadlines ([Store.Now]). Tests that move time
// replace it by [WithClock].
//
// # Costs
//
// A read costs what it returns, with these exceptions. A claim and a sweep in a scope pass over the
// due effects and deadlines of other scopes. A search by name reads its window, newest first. A count
// reads up to its bound of index entries per state. A job of another scope costs what an unused id
// costs: every statement looks for the job in its scope before it reads another table, but those for the
// targets and the request of a view, whose rows are dropped then.
//
// # Poolers
//
// A transaction pooler must keep prepared statements, or the pool needs an exec mode without them:
// cache_describe, exec or simple_protocol. [New] returns a *[PoolerError] otherwise. LISTEN does not
// pass such a pooler: watchers then poll.
package pgstore
