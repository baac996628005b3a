// Console is a page on which people watch jobs and step in. From the repository's root:
//
//	go run ./examples/console [flags]
//
//	-addr ADDR    where it listens; the default is 127.0.0.1:8080, and port 0 takes a free one
//	-store STORE  where jobs are kept: memory, sqlite:FILE or postgres:DSN; the default is memory
//	-dir DIR      where hosts and outputs are, kept afterwards; the default is a temporary directory
//
// It prints the address that it listens on, and ends on an interrupt or SIGTERM. On an empty
// store it begins with two sample jobs: a release that fails on one host until it is tried
// again and that alice must approve, and a rollout to forty hosts that waits to be started.
//
// One program holds all of it: the page (folder static), the native API that the page is written
// against (package httpapi, at /v1/ and /api/), and an executor (packages executor and localexec)
// for which a host is a directory below DIR/hosts, made when a step first runs on it. What scripts print
// is kept below DIR/outputs. A durable store outlives the temporary directory: jobs of an
// earlier run then have lost their outputs, and their hosts start empty. Give a durable store a
// DIR of its own, and to several consoles on one PostgreSQL the same.
//
// It is an example. The sign-in is for show: a visitor chooses to be alice, bob or carol, and
// alice and bob can create jobs, and with them run scripts as the user that the console runs
// as. So it listens on a loopback address unless told otherwise,
// answers only to that address, localhost and the name in -addr (see guard.go), and takes
// writes from its own page alone.
//
// What to look at:
//   - site.go: how the API is mounted and who its callers are
//   - static/model.js: how a page keeps up with a job, event by event
//   - static/share.js: how all windows of a person get by with one stream
//   - static/dialog.js: how a person acts on what they saw, once, and learns what else happened
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/httpapi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if err == nil {
		err = o.run(ctx, os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "console:", err)
		os.Exit(1)
	}
}

// options are what the command line asks for.
type options struct{ addr, store, dir string }

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("console", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "the `address` to listen on; port 0 takes a free one")
	flags.StringVar(&o.store, "store", "memory", "where jobs are kept: memory, sqlite:FILE or postgres:DSN")
	flags.StringVar(&o.dir, "dir", "", "the `directory` of hosts and outputs, kept afterwards; a temporary one if empty")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q, want flags only", flags.Arg(0))
	}
	return o, nil
}

// run is the program, until ctx ends.
func (o options) run(ctx context.Context, out io.Writer) (err error) {
	dir, remove, err := o.directory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	st, closeStore, err := openStore(ctx, o.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return err
	}
	defer listener.Close() // if it is not served

	eng := engine.New(st, engine.WithAuthorizer(authorize))
	if err := createSamples(ctx, eng); err != nil {
		return err
	}
	logs, err := executor.NewFileLogs(filepath.Join(dir, "outputs"), 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	root := filepath.Join(dir, "hosts")
	h := hosts{root, localexec.New(localexec.Config{Root: root, Logs: logs, Grace: 2 * time.Second})}
	defer execute(ctx, h.executor(eng))()
	fmt.Fprintf(out, "The console is at http://%v/ (jobs in %s, files in %s)\n", listener.Addr(), storeName(o.store), dir)
	return serve(ctx, listener, newSite(eng, logs, o.addr))
}

// directory returns the directory for files, which is made, and what removes it at the end if
// it is a temporary one.
func (o options) directory() (dir string, remove func() error, err error) {
	if o.dir == "" {
		dir, err = os.MkdirTemp("", "stepgate-console")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	dir, err = filepath.Abs(o.dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	return dir, func() error { return nil }, err
}

// execute runs x until the function it returns is called, and then waits for what runs to end.
func execute(ctx context.Context, x *executor.Executor) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { _ = x.Run(ctx) }) // it fails only on a mistake in its options
	return func() {
		cancel()
		running.Wait()
	}
}

// serve serves h until ctx ends. Reads, event streams among them, end with it; writes that
// have begun are answered.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := httpapi.NewServer("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			reading, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			r = r.WithContext(reading)
		}
		h.ServeHTTP(w, r)
	}))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return server.Close() // a client that takes nothing is still connected
	}
	return nil
}
