package executor

import (
	"context"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Log names what one target of one attempt has written to one stream.
type Log struct {
	Job     store.JobID
	Step    step.ID
	Attempt int32
	Target  int32
	Stream  Stream
}

// A Stream is standard output or standard error.
type Stream uint8

const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// Logs keeps the output of targets. See NewMemoryLogs and NewFileLogs.
type Logs interface {
	// Append adds p to l. What is over the bound of a log is dropped, and counts in its size.
	Append(ctx context.Context, l Log, p []byte) error
	// Read returns up to limit bytes of l from offset on, and how many were written in all. A log that was never written is empty.
	Read(ctx context.Context, l Log, offset int64, limit int) (p []byte, size int64, err error)
}
