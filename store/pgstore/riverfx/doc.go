// Package riverfx carries the effects of jobs through River, a job queue on PostgreSQL. A change
// and the River jobs of its effects are committed in one transaction; workers in any number of
// processes carry the effects out and report the results. It replaces Engine.Dispatch, which must
// not run beside it.
//
//	err = pgstore.Migrate(ctx, pool)
//	err = riverfx.Migrate(ctx, pool) // River's own tables
//	...
//	carrier, err := riverfx.New(pool)
//	st, err := pgstore.New(ctx, pool, pgstore.WithCarrier(carrier))
//	eng := engine.New(st)
//	err = carrier.Worker(eng, st, handler).Run(ctx) // in the processes that do the work
//
// # Guarantees
//
// An effect has a River job if and only if its change was committed. The arguments of the River job
// are a [Reference] of about 30 bytes, for any number of targets.
//
// An effect is carried out at least once. River repeats a job after a failure, and its rescuer
// repeats it after [river.Config.RescueStuckJobsAfter], even if the first run only pauses.
// Transitions still happen exactly once, for two reasons. First, the report of a run, the
// completion of its River job and the settling of its effect are one transaction. Separate ones
// could lose the completion in a crash, and the step would run again after its report, or lose the
// report, and the step would stay running without an executor. Second, each run increments the
// Count of its effect when it begins, and the settling compares the Count within that transaction.
// River's own completion compares nothing: a worker that pauses, is rescued and resumes would
// report beside the run that replaced it. Its report is dropped.
//
// A River job that ends without success ends its attempt: the step becomes abnormal, with River's
// reason in the history, and a person decides. A failed stop ends a terminating step as terminated,
// also with the reason. [Worker.Reconcile] finds the River jobs whose end no worker reported: the
// process died in the last attempt, or the job was cancelled. A question or the end of a job that
// River gives up on stays in the store, and Engine.Effects returns it.
//
// # Long scripts
//
// River never rescues a job with a timeout of -1: if its process dies, the step stays running until
// its deadline. A long timeout delays the rescue. A handler of scripts that run for more than a
// minute therefore starts them and returns river.JobSnooze; at each later call it reports the
// targets that have finished, until the attempt is done.
//
// # Versions
//
// River and its driver riverpgxv5 are pinned at v0.51.2: the modules of River only work together in
// the same version. [Worker.Reconcile] reads the table river_job of that version. Programs that
// share a database should use the same version.
package riverfx
