// Simulate plays scenario files and prints what happened.
//
//	go run ./examples/simulate [flags] FILE...
//
//	-rules FILE.json   the rules, an operation.Table as JSON; the default is the documented rules
//	-quiet             print no timelines
//
// It prints the timeline of each file: the time, the person and the operation, the new state of the
// step, and the answer or the refusal. Then it prints the rules, row by row, with the number of
// steps that each row has moved in the files that passed, and the reasons of their refusals.
// Package scenario describes the format, and has examples:
//
//	go run ./examples/simulate scenario/testdata/01-*.txt
//	go run ./examples/simulate -rules scenario/testdata/own/rules.json scenario/testdata/own/*.txt
//
// The exit status is 0 if all files passed, 1 if a file failed or is malformed, and 2 if a file
// could not be read. It prints the name and line of each fault and plays the other files too.
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

// run is the program. It returns the exit status.
func run(args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() {
		fmt.Fprintln(errOut, "usage: simulate [flags] FILE...")
		flags.PrintDefaults()
	}
	rulesFile := flags.String("rules", "", "the rules, an operation.Table in `FILE.json`; the default is the documented rules")
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

// readRules reads the rules in a file; without a path it returns the documented rules.
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
		return nil, fmt.Errorf("%s: the rules have no step types: want kinds, as in operation.Table", path)
	}
	return rules, nil
}
