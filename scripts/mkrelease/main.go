// Command mkrelease makes a commit that is ready for the tags of a release: see scripts/release.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/stepgate/stepgate/internal/release"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want two arguments, VERSION and FOLDER, as in: scripts/release v0.1.0 /tmp/stepgate-0.1.0")
	}
	folder, err := filepath.Abs(args[1])
	if err != nil {
		return err
	}
	cache, err := os.MkdirTemp("", "stepgate-modules-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(cache)
	r, err := release.Make(ctx, release.Plan{Tree: ".", Version: args[0], Folder: folder, Cache: cache, Log: os.Stderr})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, `
%s has the commit of the release. It differs from the tree in go.mod and go.sum files
alone, and each module was compiled there with its tests. .ci/run tests the tree: go on if it has passed there.
Set these tags and push them, in this order: a module is published after those that it needs.

`, folder)
	for _, tag := range r.Tags {
		fmt.Println(tag)
	}
	fmt.Fprintf(os.Stderr, "\n  for each of them: git -C %[1]s tag TAG %[2]s && git -C %[1]s push origin TAG\n", quoted(folder), r.Commit)
	return nil
}

// quoted returns text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
