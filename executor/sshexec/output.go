package sshexec

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/stepgate/stepgate/executor"
)

// noticeSize is the maximum size of the line that reports dropped output, in bytes.
const noticeSize = 64

// A quota is Logs with a maximum number of bytes for one target.
type quota struct {
	executor.Logs
	limit int64 // bytes of output, without the notice

	mu   sync.Mutex // guards all below
	used int64
}

// Append appends the bytes within the quota, and a line that reports dropped output.
func (q *quota) Append(ctx context.Context, l executor.Log, p []byte) error {
	q.mu.Lock()
	fits := min(int64(len(p)), max(0, q.limit-q.used))
	last := fits < int64(len(p)) && q.used <= q.limit
	q.used += fits
	if last {
		q.used = q.limit + 1
	}
	q.mu.Unlock()
	if last {
		p = fmt.Appendf(bytes.Clone(p[:fits]), "\n[output beyond %d bytes is not kept]\n", q.limit)
	} else {
		p = p[:fits]
	}
	if len(p) == 0 {
		return nil
	}
	return q.Logs.Append(ctx, l, p)
}

// newQuota returns a quota of limit bytes, the notice included: a log with that limit keeps all of
// them.
func newQuota(logs executor.Logs, limit int64) *quota {
	return &quota{Logs: logs, limit: max(0, limit-noticeSize)}
}

// maxNoise is the maximum output of a log-in shell before the script begins, in bytes.
const maxNoise = 64 << 10

// afterMark passes on the bytes after the line with the mark. It drops the bytes before, which the
// log-in shell writes by itself.
type afterMark struct {
	to    *executor.LogWriter
	mark  string
	begun chan struct{} // closed when the mark was found
	noise []byte
	found bool
}

// Write implements io.Writer.
func (w *afterMark) Write(p []byte) (int, error) {
	if w.found {
		return w.to.Write(p)
	}
	w.noise = append(w.noise, p...)
	_, rest, ok := bytes.Cut(w.noise, []byte(w.mark+"\n"))
	if !ok {
		w.noise = w.noise[max(0, len(w.noise)-maxNoise):]
		return len(p), nil
	}
	w.found, w.noise = true, nil
	close(w.begun)
	if len(rest) > 0 {
		_, _ = w.to.Write(rest) // a LogWriter never fails
	}
	return len(p), nil
}
