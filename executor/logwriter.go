package executor

import (
	"bytes"
	"context"
	"sync"
	"time"
)

const (
	maxTail       = 1024             // bytes of a log's end that its writer remembers
	appendTimeout = 10 * time.Second // of one Append of a writer
)

// A LogWriter is an [io.Writer] that appends to one log. Write never fails, as an error would kill
// the script that writes: after an Append that fails, or takes more than 10 s, the rest is dropped.
// It is safe for concurrent use.
type LogWriter struct {
	logs Logs
	name Log

	mu   sync.Mutex // guards all below
	tail []byte     // the last maxTail bytes
	err  error
}

// NewLogWriter returns a writer to l. If logs is nil, it keeps only the last line, for LastLine.
func NewLogWriter(logs Logs, l Log) *LogWriter { return &LogWriter{logs: logs, name: l} }

// Write implements [io.Writer]. It returns len(p), nil.
func (w *LogWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tail = append(w.tail, p[max(0, len(p)-maxTail):]...)
	w.tail = append(w.tail[:0], w.tail[max(0, len(w.tail)-maxTail):]...)
	if w.logs != nil && w.err == nil && len(p) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), appendTimeout)
		defer cancel()
		w.err = w.logs.Append(ctx, w.name, p)
	}
	return len(p), nil
}

// LastLine returns the last line that is not blank, or ""; of a longer line, the last 1,024 bytes.
func (w *LogWriter) LastLine() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := bytes.TrimSpace(w.tail)
	return string(end[bytes.LastIndexByte(end, '\n')+1:])
}

// Err returns the error of the Append after which the rest was dropped, or nil.
func (w *LogWriter) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
