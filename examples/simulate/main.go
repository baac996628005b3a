// Simulate plays scenario files and prints what happened.
//
//	go run ./examples/simulate [flags] FILE...
//
//	-rules FILE.json   play by these rules, as operation.Table marshals to JSON, and not by the documented ones
//	-quiet             print no timelines
//
// It prints the timeline of each file: when, who did what, where the step went, and the
// receipt or the refusal; then the rules, row by row, with how often each moved a step in the
// files in which everything came as they say, and the reasons of refusals. Package scenario says how a file is written. Its own are a start:
//
//	go run ./examples/simulate scenario/testdata/01-*.txt
//	go run ./examples/simulate -rules scenario/testdata/own/rules.json scenario/testdata/own/*.txt
//
// The exit status is 0 if everything came as the files say, 1 if something did not or a file
// is malformed, which is told with the file and the line, and 2 if a file could not be had at
// all. The other files are played all the same.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/scenario"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// The exit statuses.
const (
	passed    = 0
	failed    = 1
	notPlayed = 2
)

// run is the program; it returns the exit status.
func run(args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() {
		fmt.Fprintln(errOut, "usage: simulate [flags] FILE...")
		flags.PrintDefaults()
	}
	rulesFile := flags.String("rules", "", "play by the rules in `FILE.json`, and not by the documented ones")
	quiet := flags.Bool("quiet", false, "print no timelines")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return passed
	case err != nil:
		return notPlayed
	case flags.NArg() == 0:
		flags.Usage()
		return notPlayed
	}
	rules, err := readRules(*rulesFile)
	if err != nil {
		fmt.Fprintln(errOut, err)
		return notPlayed
	}
	status := passed
	covered := scenario.NewCoverage(rules)
	for _, path := range flags.Args() {
		data, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintln(errOut, err)
			status = notPlayed
			continue
		}
		s, err := scenario.Parse(path, data)
		if err != nil {
			fmt.Fprintln(errOut, err)
			status = max(status, failed)
			continue
		}
		result, err := scenario.Play(context.Background(), s, scenario.Config{Rules: rules})
		if !*quiet {
			fmt.Fprintf(out, "%s\n%v\n", path, result.Timeline)
		}
		if err != nil {
			fmt.Fprintln(errOut, err)
			status = max(status, failed)
			continue
		}
		covered.Add(result.Timeline)
	}
	fmt.Fprint(out, covered)
	return status
}

// readRules reads the rules in a file; without one they are the documented ones.
func readRules(path string) (*operation.Rules, error) {
	if path == "" {
		return operation.Standard(), nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	table, err := operation.ParseTable(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	rules, err := table.Compile()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(rules.Types()) == 0 {
		return nil, fmt.Errorf("%s: rules without step types, want kinds as an operation.Table has them", path)
	}
	return rules, nil
}
