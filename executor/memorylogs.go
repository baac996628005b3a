package executor

import (
	"container/list"
	"context"
	"slices"
	"sync"
)

// MemoryLogs are [Logs] in memory, which end with the process. [NewMemoryLogs] makes them.
type MemoryLogs struct {
	perLog int64
	all    int64

	mu   sync.Mutex // guards all below
	logs map[Log]*list.Element
	age  list.List // of *memoryLog: the one that was appended to last is in front
	used int64     // by logs
}

var _ Logs = (*MemoryLogs)(nil)

type memoryLog struct {
	name    Log
	data    []byte
	written int64
}

// logOverhead is the memory of a log beside its data, in bytes: its entries in map and list.
const logOverhead = 256

// size returns the memory of l, in bytes.
func (l *memoryLog) size() int64 { return logOverhead + int64(cap(l.data)) }

// NewMemoryLogs returns logs in memory. The maximum is perLog bytes for each log, and all bytes for
// all together, with an overhead of 256 bytes for each log; 0 means 1 MiB and 64 MiB. To make room,
// an Append drops whole logs, those without an append for the longest time first. An Append to a
// dropped log begins it anew.
func NewMemoryLogs(perLog, all int64) *MemoryLogs {
	if perLog <= 0 {
		perLog = defaultPerLog
	}
	if all <= 0 {
		all = defaultAllLogs
	}
	return &MemoryLogs{perLog: max(0, min(perLog, all-logOverhead)), all: all, logs: map[Log]*list.Element{}}
}

// Append implements [Logs].
func (m *MemoryLogs) Append(ctx context.Context, name Log, p []byte) error {
	if err := checkAppend(ctx, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.logs[name]
	if !ok {
		e = m.age.PushFront(&memoryLog{name: name})
		m.logs[name] = e
		m.used += logOverhead
	}
	m.age.MoveToFront(e)
	l := e.Value.(*memoryLog)
	before := l.size()
	l.add(p, m.perLog)
	m.used += l.size() - before
	for m.used > m.all && m.age.Len() > 1 {
		m.drop(m.age.Back())
	}
	return nil
}

// add keeps as much of p as fits into a log of most bytes.
func (l *memoryLog) add(p []byte, most int64) {
	l.written += int64(len(p))
	p = p[:min(int64(len(p)), most-int64(len(l.data)))]
	if need := len(l.data) + len(p); need > cap(l.data) {
		grown := make([]byte, len(l.data), min(int64(max(need, 2*cap(l.data))), most))
		copy(grown, l.data)
		l.data = grown
	}
	l.data = append(l.data, p...)
}

func (m *MemoryLogs) drop(e *list.Element) {
	l := m.age.Remove(e).(*memoryLog)
	delete(m.logs, l.name)
	m.used -= l.size()
}

// Read implements [Logs].
func (m *MemoryLogs) Read(ctx context.Context, name Log, offset int64, limit int) (Excerpt, error) {
	if err := checkRead(ctx, name, limit); err != nil {
		return Excerpt{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.logs[name]
	if !ok {
		return Excerpt{}, nil
	}
	l := e.Value.(*memoryLog)
	kept := int64(len(l.data))
	from, to := window(kept, offset, limit)
	return Excerpt{Data: slices.Clone(l.data[from:to]), Offset: from, Kept: kept, Written: l.written}, nil
}
