package executor

import (
	"context"
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Logs keeps the output of targets. Executors append to it; the console and the HTTP API read it.
// It is safe for concurrent use. [NewMemoryLogs] and [NewFileLogs] make implementations.
//
// Logs does not check scopes. Before a read for a client, read the job from an engine that is
// narrowed to the client's scope.
type Logs interface {
	// Append adds p to the end of l, and keeps no reference to p. Bytes above the maximum size
	// of a log are lost without an error, and count in [Excerpt.Written]. One process at a time
	// appends to a log. A host that runs again in the same attempt, as after a crash, appends to
	// the output of its first run.
	//
	// For an invalid Log, Append and Read return the error of [Log.Check]. After another error
	// of Append it is unknown how much of p was kept.
	Append(ctx context.Context, l Log, p []byte) error

	// Read returns at most limit bytes of l from offset on. A negative offset counts from the
	// end of the kept bytes: -65536 and a limit of 65536 return the last 64 KiB. Beyond the end,
	// and with a limit of 0, Data is empty. A log that was never written, or is gone, is empty.
	Read(ctx context.Context, l Log, offset int64, limit int) (Excerpt, error)
}

// A Log names the output of one target of one attempt to one stream.
type Log struct {
	Job     store.JobID `json:"job"`     // of the step
	Step    step.ID     `json:"step"`    // of the attempt
	Attempt int32       `json:"attempt"` // from 1
	Target  int32       `json:"target"`  // index in the step's definition, from 0
	Stream  Stream      `json:"stream"`  // Stdout or Stderr
}

// A Stream is standard output or standard error. The numbers are the wire values.
type Stream uint8

const (
	Stdout Stream = 1 // standard output, and the lines of a file transfer about each file
	Stderr Stream = 2 // standard error
)

// An Excerpt is a part of a log. The next read begins at Offset + len(Data).
type Excerpt struct {
	Data    []byte `json:"data"`    // owned by the caller
	Offset  int64  `json:"offset"`  // of Data in the log
	Kept    int64  `json:"kept"`    // number of bytes that can be read, from the beginning of the log
	Written int64  `json:"written"` // number of bytes that were appended; those from Kept on are lost
}

const (
	defaultPerLog  = 1 << 20  // bytes
	defaultAllLogs = 64 << 20 // bytes
)

var streamNames = enum.New("stream", []enum.Entry[Stream]{
	{Value: Stdout, Name: "stdout"},
	{Value: Stderr, Name: "stderr"},
})

// ParseStream returns the stream with a name or number. An unknown name or number is an error.
func ParseStream(s string) (Stream, error) { return streamNames.Parse(s) }

// Valid reports whether s is declared.
func (s Stream) Valid() bool { return streamNames.Known(s) }

func (s Stream) String() string { return streamNames.String(s) }

// MarshalText returns the name of s, or empty text for the zero Stream.
func (s Stream) MarshalText() ([]byte, error) { return streamNames.MarshalText(s) }

// UnmarshalText accepts what [ParseStream] accepts, and empty text for the zero Stream.
func (s *Stream) UnmarshalText(text []byte) error { return streamNames.UnmarshalText(s, text) }

func (l Log) String() string {
	return fmt.Sprintf("%v of job %d, step %d, attempt %d, target %d", l.Stream, l.Job, l.Step, l.Attempt, l.Target)
}

// Check returns nil if l can name a log, or an [*engine.Refusal] with reason operation.InvalidInput
// and the invalid field.
func (l Log) Check() error {
	for _, c := range []struct {
		field string
		value int64
		first int64
	}{
		{"job", int64(l.Job), 1},
		{"step", int64(l.Step), 1},
		{"attempt", int64(l.Attempt), 1},
		{"target", int64(l.Target), 0},
	} {
		if c.value < c.first {
			return l.invalid(c.field, "%d: want a number from %d on", c.value, c.first)
		}
	}
	if !l.Stream.Valid() {
		return l.invalid("stream", "%v: want %v or %v", l.Stream, Stdout, Stderr)
	}
	return nil
}

func (l Log) invalid(field, format string, args ...any) error {
	return &engine.Refusal{
		Reason: operation.InvalidInput, Job: max(l.Job, 0), Step: max(l.Step, 0),
		Field: field, Detail: fmt.Sprintf(format, args...),
	}
}

// checkRead checks the arguments of a Read.
func checkRead(ctx context.Context, l Log, limit int) error {
	if err := l.Check(); err != nil {
		return err
	}
	if limit < 0 {
		return l.invalid("limit", "%d: want a number of bytes from 0 on", limit)
	}
	return ctx.Err()
}

// checkAppend checks the arguments of an Append.
func checkAppend(ctx context.Context, l Log) error {
	if err := l.Check(); err != nil {
		return err
	}
	return ctx.Err()
}

// window returns the part of a log with kept bytes that a reader asks for.
func window(kept, offset int64, limit int) (from, to int64) {
	if offset < 0 {
		offset = max(0, kept+offset)
	}
	from = min(offset, kept)
	return from, from + min(int64(limit), kept-from)
}
