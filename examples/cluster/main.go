// Cluster runs jobs with several processes on one PostgreSQL, kills them at random, and proves
// from the database that nothing was lost or done twice.
//
//	go run . [flags]       in this folder
//
//	-dsn DSN       the PostgreSQL; the default is $STEPGATE_PG_DSN, or else a server on 127.0.0.1:5432
//	-jobs N        how many jobs there are
//	-workers N     how many processes carry out what jobs ask for
//	-kills N       how many processes are killed while they do
//	-seed N        what jobs, people and kills are drawn from
//	-timeout TIME  how long it may take
//	-keep          leave the schema and the targets as they are at the end
//
// It starts itself once as the operator, who creates jobs and does with them what people do,
// and several times as a worker: an engine that dispatches effects to package localexec, which
// runs scripts and copies files. They share nothing but a schema of the database, and the
// directories of targets and logs. Their clocks differ by seconds; each of them sweeps for
// deadlines. Meanwhile it kills them with SIGKILL, workers and the operator, and starts them
// again. What to look at:
//   - [prove]: what has to be true in the database, whatever was killed when
//   - operator.go: how a program goes on after a crash: it asks again, by the same request ids
//   - worker.go: all that a worker is
//
// The exit status is 0 if every job came to its end and the proof holds. Otherwise it is 1, and
// it says what is wrong.
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

// serveOrRun is the program: one process of a cluster, if its arguments say so, or else the
// one that runs it.
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

const mostJobs = 10_000 // that one look at a store tells of

// options are what the command line asks for.
type options struct {
	dsn                  string
	jobs, workers, kills int
	seed                 uint64
	timeout              time.Duration
	keep                 bool
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.StringVar(&o.dsn, "dsn", "", "the PostgreSQL; the default is $"+variable+", or else a server on 127.0.0.1:5432")
	flags.IntVar(&o.jobs, "jobs", 40, "how many jobs there are")
	flags.IntVar(&o.workers, "workers", 4, "how many processes carry out what jobs ask for")
	flags.IntVar(&o.kills, "kills", 15, "how many processes are killed while they do")
	flags.Uint64Var(&o.seed, "seed", 1, "what jobs, people and kills are drawn from")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long it may take")
	flags.BoolVar(&o.keep, "keep", false, "leave the schema and the targets as they are at the end")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.jobs < 1 || o.jobs > mostJobs || o.workers < 1 || o.kills < 0 || o.timeout <= 0 {
		return o, fmt.Errorf("want flags only: 1 to %d jobs, a worker or more, and a timeout", mostJobs)
	}
	if o.dsn == "" {
		o.dsn = os.Getenv(variable)
	}
	if o.dsn == "" {
		o.dsn = "host=127.0.0.1 port=5432 user=postgres dbname=postgres"
	}
	return o, nil
}

// run runs a cluster in a schema and a directory of its own, proves what came of it, and
// prints the figures.
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
		err = fmt.Errorf("not done within %v", o.timeout)
	case err != nil:
		return err
	}
	found, faults := proveIn(context.WithoutCancel(ctx), s, c.told.acknowledged)
	if err = errors.Join(err, table(out, c, found, time.Since(began)), faults); err == nil {
		fmt.Fprintln(out, "the proof holds")
	}
	return err
}
