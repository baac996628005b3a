package localexec

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/store"
)

// A Config sets up an [Executor]. The zero value of each field is its default.
type Config struct {
	// Root is the directory that holds the targets; the default is the working
	// directory. Target NAME is the directory Root/NAME, which must exist. A directory
	// has one name: one that is not in its shortest form ([CheckTarget]) or leads through
	// a symbolic link is an invalid target.
	Root string

	// Sources is the directory that files are copied from: a path is relative to it and
	// leads out of it neither by itself nor through a symbolic link. The default is none:
	// a file that has no content is refused.
	Sources string

	// Logs is where scripts and their output are kept, readable by this process's user
	// alone; the default is Root with ".logs" appended. The executor deletes nothing
	// there: all of job 7 is in Logs/7.
	Logs string

	// Env is the environment of scripts, as NAME=VALUE, beside PWD and the STEPGATE
	// variables of [Script]. The default is [DefaultEnv]; to add to it, append to it.
	Env []string

	// OutputLimit is how many bytes are kept of what a target writes to stdout, and
	// as many of stderr; the default is 1 MiB. The rest is read and dropped.
	OutputLimit int

	// Parallel is how many targets are worked on at once, those of all attempts taken
	// together; the default is 8.
	Parallel int

	// Grace is how long a process has to end after SIGTERM before it gets a SIGKILL;
	// the default is 5 s.
	Grace time.Duration

	// By is the executor's name in the history; the default is "localexec".
	By string

	// Now is the clock that start and end of a target are read from; the default is
	// time.Now.
	Now func() time.Time

	// Asked is handed the AskConfirmers effects, and Ended the JobEnded effects once
	// nothing of what has ended runs any more. Their errors have the effect delivered
	// again. nil takes no notice.
	Asked, Ended func(ctx context.Context, d engine.Delivery) error

	// Failed is told of every report that failed and is tried again; it may be nil.
	Failed func(ctx context.Context, err error)
}

// An Executor does the work of steps on this machine. It is safe for concurrent use.
type Executor struct {
	c     Config
	eng   *engine.Engine
	slots chan struct{} // one for each target being worked on

	mu      sync.Mutex // guards all below
	running map[key]*attempt
}

// New returns an executor that reports to eng. Hand its Handle to eng.Dispatch.
func New(eng *engine.Engine, c Config) *Executor {
	if c.Root == "" {
		c.Root = "."
	}
	if root, err := filepath.Abs(c.Root); err == nil {
		c.Root = root // scripts run in other directories
	}
	if c.Logs == "" {
		c.Logs = c.Root + ".logs"
	}
	if logs, err := filepath.Abs(c.Logs); err == nil {
		c.Logs = logs
	}
	if c.Sources != "" {
		if sources, err := filepath.Abs(c.Sources); err == nil {
			c.Sources = sources
		}
	}
	if c.Env == nil {
		c.Env = DefaultEnv()
	}
	if c.OutputLimit <= 0 {
		c.OutputLimit = 1 << 20
	}
	if c.Parallel <= 0 {
		c.Parallel = 8
	}
	if c.Grace <= 0 {
		c.Grace = 5 * time.Second
	}
	if c.By == "" {
		c.By = "localexec"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Executor{c: c, eng: eng, slots: make(chan struct{}, c.Parallel), running: map[key]*attempt{}}
}

// Handle is an [engine.Handler]. For a run it returns when the attempt is over, for a
// stop when everything has ended and the engine knows. If ctx ends first, what runs is
// ended and not reported, and the error has the effect delivered again.
func (e *Executor) Handle(ctx context.Context, d engine.Delivery) error {
	switch d.Effect {
	case store.RunTargets:
		return e.run(ctx, d)
	case store.StopAttempt:
		return e.stop(ctx, d)
	case store.AskConfirmers:
		return notify(ctx, e.c.Asked, d)
	case store.JobEnded:
		return e.ended(ctx, d)
	}
	return fmt.Errorf("localexec: effect %v is unknown", d.Effect)
}

func notify(ctx context.Context, f func(context.Context, engine.Delivery) error, d engine.Delivery) error {
	if f == nil {
		return nil
	}
	return f(ctx, d)
}
