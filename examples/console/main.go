// Console is a web page on which people watch jobs and operate on them. From the repository's root:
//
//	go run ./examples/console [flags]
//
//	-addr ADDR    the address to listen on; the default is 127.0.0.1:8080, and port 0 takes a free port
//	-store STORE  the store of the jobs: memory, sqlite:FILE or postgres:DSN; the default is memory
//	-dir DIR      the directory of hosts and outputs, kept afterwards; the default is a temporary one
//
// It prints its address, and ends on an interrupt or SIGTERM. On an empty store it creates two
// sample jobs: a release that fails on one host until it is retried and that alice must approve,
// and a rollout to forty hosts that waits for its start.
//
// The program has the page (folder static), the native API that the page uses (package httpapi, at
// /v1/ and /api/), and an executor (packages executor and localexec). A host is a directory below
// DIR/hosts, created when a step first runs on it. The output of scripts is stored below
// DIR/outputs. A durable store outlives the temporary directory: jobs of an earlier run then have
// no output, and their hosts start empty. Give a durable store its own DIR, and all consoles on one
// PostgreSQL the same DIR.
//
// It is an example. The sign-in is a demo: a visitor chooses to be alice, bob or carol; alice and
// bob can create jobs, and so run scripts as the user of the console. For this reason it listens on
// a loopback address by default, answers only to that address, localhost and the name in -addr (see
// guard.go), and accepts writes from its own page only.
//
// Worth reading:
//   - site.go: the mounted API and its callers
//   - static/model.js: a page follows a job, event by event
//   - static/share.js: all windows of a person share one stream
//   - static/dialog.js: a person operates once, on the version that they saw, and sees other changes
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

// options are the options of the command line.
type options struct{ addr, store, dir string }

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("console", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "the `address` to listen on; port 0 takes a free port")
	flags.StringVar(&o.store, "store", "memory", "the store of the jobs: memory, sqlite:FILE or postgres:DSN")
	flags.StringVar(&o.dir, "dir", "", "the `directory` of hosts and outputs, kept afterwards; a temporary one if empty")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q, want flags only", flags.Arg(0))
	}
	return o, nil
}

// run is the program. It ends with ctx.
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
	defer listener.Close() // after an error

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

// directory creates the directory for files and returns it with a function that removes it if it is
// a temporary one.
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

// execute runs x. The returned function stops it and waits for the running work.
func execute(ctx context.Context, x *executor.Executor) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { _ = x.Run(ctx) }) // it fails only on a mistake in its options
	return func() {
		cancel()
		running.Wait()
	}
}

// serve serves h until ctx ends. Reads, also event streams, end then; writes that have begun are
// answered.
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
		return server.Close() // a client that receives nothing is still connected
	}
	return nil
}
