package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/store"
)

// hosts are the directories that steps run on. Any name is a host: its directory is made
// before a run.
type hosts struct {
	eng  *engine.Engine
	exec *localexec.Executor
	root string
}

// handle is an [engine.Handler].
func (h hosts) handle(ctx context.Context, d engine.Delivery) error {
	if d.Effect == store.RunTargets {
		if err := h.make(ctx, d); err != nil {
			return err
		}
	}
	return h.exec.Handle(ctx, d)
}

const pageSize = 1000 // targets that are read at once

// make makes the directories of the targets that a run is for. What cannot be one is left for
// the executor to report.
func (h hosts) make(ctx context.Context, d engine.Delivery) error {
	if err := os.MkdirAll(h.root, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(h.root)
	if err != nil {
		return err
	}
	defer root.Close()
	for from := int32(0); ; {
		targets, err := h.eng.Targets(ctx, d.Job.ID, d.Step.ID, engine.TargetQuery{Class: store.DueTargets, From: from, Limit: pageSize})
		if err != nil {
			return err
		}
		for _, t := range targets {
			if localexec.CheckTarget(t.Name) == nil {
				_ = root.MkdirAll(filepath.FromSlash(t.Name), 0o700)
			}
			from = t.Index + 1
		}
		if len(targets) < pageSize {
			return nil
		}
	}
}
