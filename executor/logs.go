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

// Logs keeps the output of targets: executors append to it; pages and the reference's calls read
// it. It is safe for concurrent use. See [NewMemoryLogs] and [NewFileLogs].
//
// Logs know no scopes: before a read for a client, ask the engine for the job within the scopes that
// the client may see.
type Logs interface {
	// Append adds p to the end of l, and keeps no reference to p. Bytes over the bound of a log
	// are lost, which is no error: they count in [Excerpt.Written]. One process at a time
	// appends to a log. A host that runs again in the same attempt, as after a crash, appends to
	// what its first run wrote.
	//
	// A Log that names nothing is an [operation.InvalidInput], here and in Read. After another
	// error it is unknown how much of p was kept.
	Append(ctx context.Context, l Log, p []byte) error

	// Read returns at most limit bytes of l from offset on. A negative offset counts from the
	// end of what is kept, -65536 and a limit of 65536 are the last 64 KiB. Beyond the end, and
	// with a limit of 0, there are no data. A log that was never written, or is gone, is empty.
	Read(ctx context.Context, l Log, offset int64, limit int) (Excerpt, error)
}

// A Log names what one target of one attempt has written to one stream.
type Log struct {
	Job     store.JobID `json:"job"`
	Step    step.ID     `json:"step"`
	Attempt int32       `json:"attempt"` // from 1
	Target  int32       `json:"target"`  // from 0
	Stream  Stream      `json:"stream"`
}

// A Stream is standard output or standard error. The numbers are the wire values.
type Stream uint8

const (
	Stdout Stream = 1 // standard output, and what a file transfer says of each file
	Stderr Stream = 2 // standard error
)

// An Excerpt is a part of a log. Read again from Offset + len(Data) on for what follows.
type Excerpt struct {
	Data    []byte `json:"data"`    // the caller's
	Offset  int64  `json:"offset"`  // of Data in the log
	Kept    int64  `json:"kept"`    // bytes that can be read: the first of the log
	Written int64  `json:"written"` // bytes that were appended; those from Kept on are lost
}

const (
	defaultPerLog  = 1 << 20  // bytes
	defaultAllLogs = 64 << 20 // bytes
)

var streamNames = enum.New("stream", []enum.Entry[Stream]{
	{Value: Stdout, Name: "stdout"},
	{Value: Stderr, Name: "stderr"},
})

// ParseStream reads a stream's name or number.
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

// Check returns nil, or an [*engine.Refusal] that names the field with which l names no log.
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

// checkRead is what every Read checks first.
func checkRead(ctx context.Context, l Log, limit int) error {
	if err := l.Check(); err != nil {
		return err
	}
	if limit < 0 {
		return l.invalid("limit", "%d: want a number of bytes from 0 on", limit)
	}
	return ctx.Err()
}

// checkAppend is what every Append checks first.
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
