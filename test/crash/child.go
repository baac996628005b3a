package crash

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
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
	Moment instant

	Worker string        // its name, if the child carries out steps instead
	Lease  time.Duration // of a worker; 0 for the default
	Turns  bool          // the child dispatches jobs that take turns, and its ledger is a tally
}

// asChild does the work of a child if this process is one, and does not return then: the process
// ends with its parent, or when the parent kills it.
func asChild() {
	text := os.Getenv(childVariable)
	if text == "" {
		return
	}
	var a assignment
	err := json.Unmarshal([]byte(text), &a)
	m := &moment{instant: a.Moment}
	go func() {
		m.await(os.Stdin)
		_, _ = io.Copy(io.Discard, os.Stdin) // which ends with the parent
		os.Exit(1)
	}()
	if err == nil {
		err = a.carryOut(context.Background(), m)
	}
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "the child has come to an end:", err)
	os.Exit(1)
}

func (a assignment) carryOut(ctx context.Context, m *moment) error {
	k := kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.name == a.Kind })]
	st, _, err := k.open(ctx, a.Place)
	if err != nil {
		return err
	}
	if a.Turns {
		return dispatchTurns(ctx, st, tally(a.Ledger), a.Lease)
	}
	if a.Worker != "" {
		return a.work(ctx, st)
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
	play(ctx, st, l, before.open(), a.Seed, math.MaxInt, m)
	return errors.New("there is nothing left to do")
}

// A child is a process of this program that operates jobs, or carries out their steps.
type child struct {
	cmd   *exec.Cmd
	in    io.Writer
	out   chan string  // its lines
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
	c := &child{cmd: exec.CommandContext(ctx, os.Args[0]), out: make(chan string, 2), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	c.cmd.Stderr = &c.said
	c.in, err = c.cmd.StdinPipe()
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
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.out <- lines.Text()
		}
		close(c.out)
		_ = c.cmd.Wait()
		close(c.ended)
	}()
	if _, ok := <-c.out; !ok {
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

// reach has the child come to its moment.
func (c *child) reach(t testing.TB) {
	t.Helper()
	if _, err := c.in.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-c.out; !ok {
		<-c.ended
		t.Fatalf("the child has not come to its moment: %s", c.said.Bytes())
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
