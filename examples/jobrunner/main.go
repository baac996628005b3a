// Jobrunner runs a job file on this machine and lets its operator act on it.
//
//	go run ./examples/jobrunner [flags] FILE.json
//
//	-as PERSON    who operates; the default is $USER, or "operator"
//	-dir DIR      where targets and logs are, kept afterwards; the default is a temporary directory
//	-grace TIME   the time between SIGTERM and SIGKILL of a stopped script; the default is 5s
//	-plain        print a line per change even on a terminal
//
// Targets are directories below DIR/targets, and are made. Files to be copied lie below the
// directory of the job file. [ParseJobFile] says what the file holds; two lie
// beside this program: release.json runs through by itself, rollout.json needs alice.
//
// The program starts the job at once. Each line of standard input is a command:
// "retry_failed 2 link is back" retries the failed targets of step 2 for that reason,
// "terminate" terminates the job, "help" lists all. A refusal is printed with its reason.
// With "wait" a script can drive a job:
//
//	printf '%s\n' wait 'retry_failed 2' wait 'confirm 3' |
//		go run ./examples/jobrunner -as alice examples/jobrunner/rollout.json
//
// The program ends when no operation is legal any more, when the job has ended and standard
// input too, or on quit or an interrupt, which terminate the job. It prints the job's history.
// The exit status is 0 if the job succeeded, 1 if it ended otherwise, and 2 if it did not run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// The exit statuses.
const (
	succeeded = 0
	endedElse = 1
	notRun    = 2
)

// options are what the command line asks for.
type options struct {
	file, person, dir string
	grace             time.Duration
	plain             bool
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{person: os.Getenv("USER")}
	if o.person == "" {
		o.person = "operator"
	}
	flags := flag.NewFlagSet("jobrunner", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: jobrunner [flags] FILE.json")
		flags.PrintDefaults()
	}
	flags.StringVar(&o.person, "as", o.person, "the `person` who operates")
	flags.StringVar(&o.dir, "dir", "", "the `directory` of targets and logs, kept afterwards; the default is a temporary one")
	flags.DurationVar(&o.grace, "grace", 5*time.Second, "the `time` between SIGTERM and SIGKILL of a stopped script")
	flags.BoolVar(&o.plain, "plain", false, "print a line per change even on a terminal")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return o, fmt.Errorf("%d arguments: want one job file", flags.NArg())
	}
	o.file = flags.Arg(0)
	return o, nil
}

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return succeeded
	case err != nil:
		return notRun
	}
	state, err := o.run(ctx, stdin, stdout)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, plain(err.Error()))
		return notRun
	case state == step.Succeeded:
		return succeeded
	}
	return endedElse
}

// run runs the job and returns the state that it has ended in.
func (o options) run(ctx context.Context, stdin io.Reader, stdout io.Writer) (state step.State, err error) {
	data, err := os.ReadFile(o.file)
	if err != nil {
		return 0, err
	}
	spec, err := ParseJobFile(o.file, data)
	if err != nil {
		return 0, err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "jobrunner"); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	root := filepath.Join(o.dir, "targets")
	if err := makeTargets(root, spec); err != nil {
		return 0, err
	}
	s := session{person: o.person, screen: newLines(stdout)}
	if !o.plain && isTerminal(stdout) {
		s.screen, s.terminal, s.echo = &block{w: stdout}, true, isTerminal(stdin)
	}
	s.eng = engine.New(memstore.New())
	s.exec = localexec.New(s.eng, localexec.Config{
		Root: root, Logs: filepath.Join(o.dir, "logs"), Sources: filepath.Dir(o.file), Grace: o.grace,
	})
	defer dispatch(ctx, s.eng, s.exec)()
	if err := s.begin(ctx, spec); err != nil {
		return 0, err
	}
	if err := s.run(ctx, stdin); err != nil {
		return 0, err
	}
	s.screen.close()
	s.screen = newLines(stdout)
	return s.end(context.WithoutCancel(ctx))
}

// makeTargets makes the directories that the job's targets are.
func makeTargets(root string, spec engine.JobSpec) error {
	for _, s := range spec.Steps {
		for _, target := range s.Targets {
			if err := os.MkdirAll(filepath.Join(root, filepath.FromSlash(target)), 0o700); err != nil {
				return err
			}
		}
	}
	return nil
}

// dispatch delivers effects until the function it returns is called. The end of ctx is
// for the session to act on, which needs the executor for that.
func dispatch(ctx context.Context, eng *engine.Engine, x *localexec.Executor) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { _ = eng.Dispatch(ctx, x.Handle) }) // it fails only on a mistake in its arguments
	return func() {
		cancel()
		running.Wait()
	}
}

// isTerminal reports whether what is read or written is a character device.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
