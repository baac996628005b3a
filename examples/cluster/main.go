// Cluster runs jobs with several processes on one PostgreSQL and kills processes at random. It then
// proves from the database that nothing was lost or done twice, and from files that the scripts
// write that no two scripts of a step ran on one target at once.
//
//	go run . [flags]       in this folder
//
//	-dsn DSN       the PostgreSQL; the default is $STEPGATE_PG_DSN, or else a server on 127.0.0.1:5432
//	-jobs N        the number of jobs
//	-workers N     the number of worker processes
//	-kills N       the number of processes to kill during the run
//	-freezes N     the number of workers to freeze during the run, for longer than their leases
//	-seed N        the seed of jobs, people and kills
//	-timeout TIME  the maximum time of the run
//	-keep          keep the schema and the targets at the end
//
// It starts itself once as the operator, which creates jobs and operates on them as people do, and
// several times as a worker: an executor with the functions of package localexec, which run scripts
// and copy files. The processes share a schema of the database and the directories of targets and
// logs, and nothing else. Their clocks differ by seconds; each of them expires deadlines. The
// program kills workers and the operator with SIGKILL and restarts them, and freezes workers with
// SIGSTOP until other workers have taken their runs. Worth reading:
//   - [prove]: the invariants of the database, for any kills at any time
//   - [setting.scripts]: the invariants of the targets
//   - operator.go: a program continues after a crash with the same request ids
//   - worker.go: the whole worker
//
// The exit status is 0 if every job ended and the proof holds. Otherwise it is 1, and the program
// prints every fault.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	err := serveOrRun(os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// serveOrRun is the program: a process of a cluster if its arguments name a role, otherwise the
// program that runs the cluster.
func serveOrRun(args []string) error {
	if role, ok := parseRole(args); ok {
		return role.serve(os.Stdin, os.Stdout)
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return o.run(ctx, os.Stdout)
}

const mostJobs = 10_000 // maximum page of engine.Jobs

// options are the options of the command line.
type options struct {
	dsn            string
	jobs, workers  int
	kills, freezes int
	seed           uint64
	timeout        time.Duration
	keep           bool
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.StringVar(&o.dsn, "dsn", "", "the connection `string` of a PostgreSQL; the default is $"+variable+", or else a server on 127.0.0.1:5432")
	flags.IntVar(&o.jobs, "jobs", 40, "the `number` of jobs")
	flags.IntVar(&o.workers, "workers", 4, "the `number` of worker processes")
	flags.IntVar(&o.kills, "kills", 15, "the `number` of processes to kill during the run")
	flags.IntVar(&o.freezes, "freezes", 4, "the `number` of workers to freeze during the run, for longer than their leases")
	flags.Uint64Var(&o.seed, "seed", 1, "the `seed` of jobs, people and kills")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "the maximum `time` of the run")
	flags.BoolVar(&o.keep, "keep", false, "keep the schema and the targets at the end")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.jobs < 1 || o.jobs > mostJobs || o.workers < 1 || o.kills < 0 || o.freezes < 0 || o.timeout <= 0 {
		return o, fmt.Errorf("want flags only, with 1 to %d jobs, 1 worker or more, and a timeout above 0", mostJobs)
	}
	if o.dsn == "" {
		o.dsn = os.Getenv(variable)
	}
	if o.dsn == "" {
		o.dsn = "host=127.0.0.1 port=5432 user=postgres dbname=postgres"
	}
	return o, nil
}

// run runs a cluster in a new schema and a new directory, proves the outcome, and prints the
// figures.
func (o options) run(ctx context.Context, out io.Writer) (err error) {
	s, remove, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintf(out, "schema %s, targets and logs in %s\n", s.Schema, s.Dir)
	} else {
		defer func() { err = errors.Join(err, remove()) }()
	}
	began := time.Now()
	c := newCluster(s, o)
	limited, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	err = c.run(limited)
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case limited.Err() != nil:
		err = fmt.Errorf("the run did not end within %v", o.timeout)
	case err != nil:
		return err
	}
	found, faults := proveIn(context.WithoutCancel(ctx), s, c.told.acknowledged)
	if err = errors.Join(err, table(out, c, found, time.Since(began)), faults); err == nil {
		fmt.Fprintln(out, "the proof holds")
	}
	return err
}
