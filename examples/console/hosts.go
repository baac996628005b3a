package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// hosts are the directories of the targets. Every name is a host: its directory is created before a
// step runs on it.
type hosts struct {
	root string
	*localexec.Directories
}

// executor returns an executor of the jobs of src.
func (h hosts) executor(src executor.Source) *executor.Executor {
	return executor.New(src, executor.By("localexec"),
		executor.Hosts(step.Script, h.made(h.Script)), executor.Hosts(step.FileTransfer, h.made(h.Copy)))
}

// made creates the directory of the host before it calls f. f reports an invalid name.
func (h hosts) made(f executor.HostFunc) executor.HostFunc {
	return func(ctx context.Context, t *executor.Task, host executor.Host) store.Result {
		if err := os.MkdirAll(h.root, 0o700); err != nil {
			return store.Result{Status: step.TargetFailed, Detail: err.Error()}
		}
		if root, err := os.OpenRoot(h.root); err == nil {
			_ = root.MkdirAll(filepath.FromSlash(host.Name), 0o700)
			_ = root.Close()
		}
		return f(ctx, t, host)
	}
}
