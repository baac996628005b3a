package crash

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// childVariable makes this program a child; it says which.
const childVariable = "STEPGATE_CRASH_CHILD"

// An assignment is what a child is told.
type assignment struct {
	Kind   string
	Place  string
	Ledger string
	Seed   uint64
}

// asChild does what a child has to do, if this process is one. It does not return then: it
// ends with its parent, or when that kills it.
func asChild() {
	text := os.Getenv(childVariable)
	if text == "" {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // which ends with the parent
		os.Exit(1)
	}()
	var a assignment
	err := json.Unmarshal([]byte(text), &a)
	if err == nil {
		err = a.carryOut(context.Background())
	}
	fmt.Fprintln(os.Stderr, "the child has come to an end:", err)
	os.Exit(1)
}

func (a assignment) carryOut(ctx context.Context) error {
	k := kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.name == a.Kind })]
	st, _, err := k.open(ctx, a.Place)
	if err != nil {
		return err
	}
	before := newBook()
	l, err := openLedger(a.Ledger)
	if err == nil {
		err = before.readOn(a.Ledger)
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	play(ctx, st, l, before.open(), a.Seed, math.MaxInt)
	return nil
}

// A child is a process of this program that operates jobs.
type child struct {
	cmd   *exec.Cmd
	said  bytes.Buffer // on stderr
	ended chan struct{}
}

// startChild starts a child and returns when it is about to begin.
func startChild(t testing.TB, a assignment) *child {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	c := &child{cmd: exec.CommandContext(ctx, os.Args[0]), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	c.cmd.Stderr = &c.said
	_, err = c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, err = bufio.NewReader(out).ReadString('\n')
	go func() {
		_ = c.cmd.Wait()
		close(c.ended)
	}()
	if err != nil {
		<-c.ended
		t.Fatalf("the child did not begin: %s", c.said.Bytes())
	}
	return c
}

// lives fails t if the child has ended.
func (c *child) lives(t testing.TB) {
	t.Helper()
	select {
	case <-c.ended:
		t.Fatalf("the child ended by itself: %s", c.said.Bytes())
	default:
	}
}

// kill kills the child after some time.
func (c *child) kill(t testing.TB, after time.Duration) {
	t.Helper()
	select {
	case <-c.ended:
	case <-time.After(after):
	}
	c.lives(t)
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-c.ended
}
