// Package localexec is an executor that does the work of steps on this machine: it
// runs scripts with /bin/sh and copies files. A target is a directory. It is what the
// other examples run their jobs with, and what an executor of one's own can be modelled
// on: the executor's contract (see [engine.Handler]) is kept here in full.
//
//	x := localexec.New(eng, localexec.Config{Root: "/srv/targets"})
//	err := eng.Dispatch(ctx, x.Handle)
//
// The payload of a script step is a [Script] as JSON, that of a file transfer a [Files].
// An attempt of any other type, or with a payload that cannot be read, is reported
// abnormal with the reason.
//
// # How the contract is kept
//
// Every run enters the list of what is running first and asks the engine second whether
// the step still runs in that attempt; every stop looks at that list after its terminate
// was committed. So a run that was overtaken by its stop, or by a later attempt, sees it
// at the engine, and one that was not is found by it. Nothing else has to be remembered:
// the list holds what runs now, and never grows with the jobs of the past.
//
// A run blocks [Executor.Handle] until its attempt is over. If the dispatcher ends, or
// its process dies, the run is delivered again, and what has no accepted result by then
// runs again.
//
// # Several processes
//
// The executor of an engine can be an [Executor] in each of any number of processes on one
// machine that share Root and Logs. Only one of them at a time works on a step, which a
// locked file in Logs sees to; a stop, a later attempt and the end of a job wait for the one
// that does; and that one watches the job, so that it ends what it runs though others got
// the effect that says so. A process that is killed outright takes its scripts with it, and
// what they have left in the background: each has a guard in its process group that outlives
// the process just long enough for that.
//
// # Limits
//
// Where there is no flock or no process group, as on Windows, the executor of an engine is
// one process, and one that is killed outright leaves its scripts behind. A script that makes
// a process group of its own for its children looks after them itself.
//
// Scripts run as the user of this process and may do what it may: nothing keeps them in their
// target. Where a file system takes names that differ in case for one, h1 and H1 are two
// targets with one directory.
package localexec
