// Package sqlitestore stores jobs in a SQLite file, for the processes of one machine. [Open] opens
// a file of the store's own; [New] works in a database that you opened, beside your own tables.
//
// # Durability
//
// The store sets and verifies WAL, synchronous=FULL and foreign keys on each of its connections: a
// commit that returned nil is flushed to the disk. A panic or a SIGKILL does not lose it; the
// crash tests of this repository show that. They do not show a loss of power, which depends on the
// disk and the file system: both must have written what they report as flushed. Keep the file on
// a local disk: WAL does not work over a network.
//
// # Concurrency
//
// Any number of stores and processes on the machine can share a file; writers wait for each other.
// Commits of a [Store] wake its own watchers and dispatchers at once; commits of other stores are
// found by polling.
//
// Changes that arrive during a commit are committed together in the next transaction, each with its
// own answer: many callers share one flush.
//
// # Errors
//
// Errors that match store.ErrUndone mean that nothing changed: another program held the lock for
// longer than the busy timeout, the database is read-only or full, or SQLite rolled the change
// back for another reason. The outcome is unknown after an I/O error of the commit itself, and
// after a context ended during the change.
//
// # Costs
//
// The cost of a read is proportional to its result, with these exceptions: a sweep in a scope also
// reads the passed deadlines of other scopes, a search by name reads its window, newest first, and
// a count reads up to its bound of index entries per state. Reading a job of another scope costs
// the same as an unused id. The WAL grows by 33 kB per operation while a reader needs it, and is
// truncated to 8 MiB when it restarts. The store has no clock: engines use the machine's.
//
// # Your own tables
//
// Your tables can be in the same file: all names of the store begin with stepgate_. You may read
// the store's tables and join them with yours. Open the database with [database/sql] and the
// driver of modernc.org/sqlite, and pass it to [Migrate] and [New]:
//
//	db, err := sql.Open("sqlite", "file:app.db?_pragma=busy_timeout(10000)&_txlock=immediate")
//	err = sqlitestore.Migrate(ctx, db)
//	st, err := sqlitestore.New(ctx, db)
//	defer st.Close() // before db.Close
//
// The store takes connections of its own and does not change the others. Give your connections a
// busy timeout and begin your transactions as immediate (_txlock): a transaction that first reads
// and then writes fails if another one has written in between. To delete a job with all its rows,
// delete it from stepgate_jobs on a connection with foreign keys on.
//
// # Migrations
//
// [Open] migrates. [New] does not: it fails with a [SchemaError] if the schema does not suit this
// version of the package. [Migrate] and [MigrateTo] may run in several processes at once. For a
// migration tool, [Migrations] has the same SQL as files: with golang-migrate, use
// iofs.New(sqlitestore.Migrations, "migrations"). Each file updates the table stepgate_version,
// and must run in a transaction.
//
// After a migration, programs of an earlier release fail to open the file with a [SchemaError],
// unless the new schema suits them. Only [Open] and [New] check the version: stop the programs of
// the earlier release before you migrate. The commits of a program that keeps running fail and
// change nothing. Version 2 rewrites the history: 15 s for a million records.
//
// # Backup
//
// Run VACUUM INTO 'copy.db' on a connection of your own: it writes a consistent copy during other
// writes. A copy of the file alone, while the store is open, misses the content of the WAL.
package sqlitestore
