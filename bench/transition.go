package main

import (
	"context"

	_ "github.com/looplab/fsm"
	_ "github.com/qmuntal/stateless"
)

func transitions(ctx context.Context, r *run) (section, error) { return section{}, nil }
