// Package riverfx carries the effects of jobs through River, a job queue on PostgreSQL: a
// change and the River jobs of its effects enter the database in one transaction, and workers
// in any number of processes carry them out and report back. It takes the place of
// Engine.Dispatch, which is not run beside it.
//
//	err = pgstore.Migrate(ctx, pool)
//	err = riverfx.Migrate(ctx, pool) // River's own tables
//	...
//	carrier, err := riverfx.New(pool)
//	st, err := pgstore.New(ctx, pool, pgstore.WithCarrier(carrier))
//	eng := engine.New(st)
//	err = carrier.Worker(eng, st, handler).Run(ctx) // in the processes that do the work
//
// # What holds
//
// An effect has its River job if and only if its change was committed. The job's arguments are
// a [Reference], 30 bytes or so, whatever the number of targets.
//
// An effect is carried out at least once. It may be more often: River runs a job again after a
// failure, and its rescuer after [river.Config.RescueStuckJobsAfter] whether the first run has
// died or only pauses. Transitions happen exactly once all the same. The report of a run, the
// completion of its River job and the settling of its effect are one transaction: if they were
// not, a crash in between would lose the completion, and the step would be run again after it
// was reported, or the report, and the step would stay running with nobody at it. And every
// run, as it begins, raises the Count of its effect, which the settling compares within that
// transaction. River's own completion compares nothing: a worker that pauses, is rescued and
// wakes up would otherwise report beside the run that has replaced it. Its report is dropped.
//
// A River job that ends without success ends the attempt that it ran: the step becomes
// abnormal, with River's reason in the history, and a person decides. [Worker.Reconcile] finds
// those that no worker could tell of: its process died in the last attempt, or somebody has
// cancelled the job. A stop that nobody could carry out ends a step that terminates, as
// terminated, with the reason likewise. A question or the end of a job that River gives up on
// waits in the store, where Engine.Effects tells of it.
//
// # Long scripts
//
// A worker whose timeout is -1 is never rescued: if its process dies, its step runs until its
// deadline. And a long timeout is a long wait for the rescue. A handler of scripts that run
// for longer than a minute or so starts them and returns river.JobSnooze: it is called again
// and again, reports what has finished meanwhile, until the attempt is done.
//
// # Versions
//
// River is pinned at v0.51.2, its driver riverpgxv5 too: the modules of River work together in
// one version only. [Worker.Reconcile] reads the table river_job as it is in that version.
// Programs that share a database should share the version.
package riverfx
