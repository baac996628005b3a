// Package sqlitestore keeps jobs in a SQLite file, for one machine: [Open] is all that most
// programs need, [New] shares a file with tables of your own.
//
// # What a commit promises
//
// The store sets, and verifies, WAL, synchronous=FULL and foreign keys on every connection
// that it takes: a commit that has returned nil is flushed to the disk. Neither a panic nor a
// SIGKILL loses it, and the crash tests of this repository show as much. What they cannot
// show is a loss of power: that is up to a disk, and a file system, that has written what it
// says it has flushed. Keep the file on a local disk. WAL does not work over a network.
//
// Any number of stores and processes on the machine can share a file: a writer waits for the
// others. Watchers and dispatchers of one [Store] are woken by its own commits at once, and
// find those of others by polling.
//
// Changes that come while one is on its way to the disk are committed together, each with its
// own answer: many callers share the price of one flush.
//
// # Errors
//
// An error that is a store.ErrUndone changed nothing: another program held the lock for longer than
// the busy timeout, the database is read-only or full, or SQLite rolled the change back for another
// reason. The outcome is unknown after an error of the disk at the commit itself, and after the end
// of a context while the change was under way.
//
// # Costs
//
// A read costs what it returns, with these exceptions. A claim and a sweep in a scope pass over the
// due effects and deadlines of other scopes. A search by name reads its window, newest first. A count
// reads up to its bound of index entries per state. A job of another scope costs what an unused id
// costs. The WAL grows while a reader needs it, 33 kB per operation, and is cut back to 8 MiB when it
// starts over. The store has no clock: engines go by that of the machine.
//
// # Your own tables beside it
//
// All names begin with stepgate_, so that the tables of a program can live in the same file,
// and be joined with these, which you may read. Open the database with [database/sql] and the
// driver of modernc.org/sqlite, and give it to [Migrate] and [New]:
//
//	db, err := sql.Open("sqlite", "file:app.db?_pragma=busy_timeout(10000)&_txlock=immediate")
//	err = sqlitestore.Migrate(ctx, db)
//	st, err := sqlitestore.New(ctx, db)
//	defer st.Close() // before db.Close
//
// The store takes connections for itself and leaves the others as they are. Begin your own
// transactions immediately (_txlock), and with a busy timeout: one that reads first and then
// writes fails where others write too. Deleting a job from stepgate_jobs, on a connection
// with foreign keys on, deletes all of it.
//
// # Migrations
//
// [Open] migrates. [New] wants the schema at its version, and says in a [SchemaError] what to
// do if it is not. [Migrate] and [MigrateTo] may run in several processes at once. Those who
// have a tool of their own find the same SQL in [Migrations]: for golang-migrate, for
// instance, iofs.New(sqlitestore.Migrations, "migrations"). Each file keeps the table
// stepgate_version in step, and is to run in a transaction.
//
// An earlier release refuses a file that a later one has migrated with a [SchemaError]. That is
// looked at once, by [Open] and [New]: end the programs of the earlier release before you migrate.
// The commits of one that runs on fail, and change nothing. Version 2 rewrites the history: 15 s
// for a million records.
//
// # Backup
//
// Copying the file alone while the store is open misses what is in the WAL. Run
// VACUUM INTO 'copy.db' on a connection of your own, which takes a consistent copy while
// others write.
package sqlitestore
