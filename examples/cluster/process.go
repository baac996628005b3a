package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/store"
)

// A role is the task of a process of a cluster: operate, or work.
type role struct {
	name string
	n    int // of the worker, from 0
}

const (
	operating = "operator"
	working   = "worker"
)

func (r role) String() string {
	if r.name == operating {
		return r.name
	}
	return fmt.Sprint(r.name, " ", r.n)
}

// parseRole reads the arguments that start gives to a process.
func parseRole(args []string) (role, bool) {
	if len(args) != 2 || args[0] != operating && args[0] != working {
		return role{}, false
	}
	n, err := strconv.Atoi(args[1])
	return role{args[0], n}, err == nil
}

// A process is another run of this program, in a role.
type process struct {
	role
	cmd    *exec.Cmd
	stdin  io.Closer // the process ends when it is closed
	killed bool
	thaws  time.Time // the end of its last freeze
}

// start starts a process. It gets its setting on standard input: all users see the arguments of a
// process, and a DSN may have a password. Its events go to told; when it has ended, it goes to
// gone.
func (r role) start(s setting, told *ledger, gone chan<- *process) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, r.name, strconv.Itoa(r.n))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{role: r, cmd: cmd, stdin: stdin}
	go func() {
		told.listen(stdout)
		_ = cmd.Wait() // ProcessState has the details
		gone <- p
	}()
	_ = json.NewEncoder(stdin).Encode(s) // if the process has ended, it goes to gone
	return p, nil
}

// serve is the program in this role. It ends when its work is done or its standard input ends,
// which also happens if the process that started it is killed.
func (r role) serve(stdin io.Reader, stdout io.Writer) error {
	signal.Ignore(os.Interrupt) // the process that started this one handles it
	log.SetPrefix(r.String() + ": ")
	var s setting
	if err := json.NewDecoder(stdin).Decode(&s); err != nil {
		return fmt.Errorf("%v: read the setting from standard input: %w", r, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	st, closeAll, err := s.open(ctx)
	if err == nil {
		defer closeAll()
		if r.name == operating {
			err = operate(ctx, st, s, teller{stdout})
		} else {
			err = work(ctx, st, s, r.n, teller{stdout})
		}
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%v: %w", r, err)
	}
	return nil
}

// A teller reports events to the process that started this one, one line each. Events written
// before a kill are not lost.
type teller struct{ out io.Writer }

func (t teller) tell(what string, of ...any) { fmt.Fprintln(t.out, append([]any{what}, of...)...) }

// observer reports every request that an engine has answered.
func (t teller) observer() engine.Observer {
	return engine.Observer{
		Accepted: func(_ context.Context, r store.Record, _ time.Duration) { t.tell(r.Cause.String(), r.Request) },
		Refused: func(_ context.Context, r *engine.Refusal, _ time.Duration) {
			if r.Cause != 0 {
				t.tell(refused)
			} else {
				t.tell(late)
			}
		},
		Conflicted: func(context.Context, store.JobID, int, time.Duration) { t.tell(conflicted) },
		Failed: func(ctx context.Context, err error) {
			if ctx.Err() == nil {
				log.Print(err)
			}
		},
	}
}
