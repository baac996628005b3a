// Bench measures Stepgate beside its alternatives and beside the limits of the machine, on the same
// work and in one run. From the root of the repository:
//
//	go run ./bench
//
// It takes twenty minutes and writes bench/results, which has README.md with its plots and
// summary.md, and the summary into docs/performance.md. A run that is not whole, with -quick or
// -only, writes to a new temporary folder instead; -out names a folder for any run, and the disk
// that SQLite is measured on. The peers are dependencies of this module alone.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// parts are what is measured, in the order of the page.
var parts = []struct {
	name    string
	measure func(context.Context, *run) (section, error)
}{
	{"transition", transitions},
	{"counts", counted},
	{"intervention", interventions.measure},
	{"service", services.measure},
	{"growth", growths},
	{"rows", written},
}

// results is the folder of the figures that the repository shows, from its root.
var results = filepath.Join("bench", "results")

// shown is the page of the repository that shows the summary, from its root.
var shown = filepath.Join("docs", "performance.md")

// A run is one run of the command: the common settings of its parts.
type run struct {
	out   string // the folder of the page and its plots
	disk  string // a folder on the disk of out, removed when the run ends
	quick bool   // a few short turns: to see that it works, not to be quoted
	dsn   string // a PostgreSQL on which schemas can be made, or ""
	log   func(format string, args ...any)
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

// command runs the command with the arguments args.
func command(ctx context.Context, args []string) error {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	out := flags.String("out", "", "the `folder` of the page and its plots; the default is "+results+", with -quick or -only a new temporary folder")
	dsn := flags.String("dsn", "", "the connection `string` of a PostgreSQL; the default is "+variable+", or a server that answers on 127.0.0.1:5432")
	only := flags.String("only", strings.Join(names, ","), "the `parts` to measure")
	quick := flags.Bool("quick", false, "a few short turns of everything, to see that it works; the figures say nothing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen := strings.Split(*only, ",")
	for _, name := range chosen {
		if !slices.Contains(names, name) {
			return fmt.Errorf("part %q does not exist: the parts are %s", name, strings.Join(names, ", "))
		}
	}
	r := &run{out: *out, quick: *quick, log: log.Printf}
	whole := !*quick && !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(chosen, name) })
	var err error
	switch {
	case r.out == "" && whole:
		r.out = results
	case r.out == "":
		if r.out, err = os.MkdirTemp("", "stepgate-bench-"); err != nil {
			return err
		}
	}
	if r.dsn, err = findServer(ctx, cmp.Or(*dsn, os.Getenv(variable))); err != nil {
		r.log("no PostgreSQL: %v", err)
	}
	return r.measure(ctx, chosen)
}

// measure measures the chosen parts and writes the page.
func (r *run) measure(ctx context.Context, chosen []string) (err error) {
	if err := os.MkdirAll(r.out, 0o777); err != nil {
		return err
	}
	if r.disk, err = os.MkdirTemp(r.out, "work-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.disk)) }()

	began := time.Now()
	page := page{on: thisMachine(ctx, r), began: began, quick: r.quick}
	for _, p := range parts {
		if !slices.Contains(chosen, p.name) {
			page.left = append(page.left, p.name)
			continue
		}
		partBegan := time.Now()
		s, err := p.measure(ctx, r)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		page.sections = append(page.sections, s)
		r.log("%s took %v", p.name, time.Since(partBegan).Round(time.Second))
	}
	page.took = time.Since(began)
	for name, text := range map[string]string{"README.md": page.String(), "summary.md": page.summary()} {
		if err := os.WriteFile(filepath.Join(r.out, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	r.log("the page is %s", filepath.Join(r.out, "README.md"))
	if r.out == results {
		return show(shown, page.summary())
	}
	return nil
}
