package crash

import (
	"fmt"
	"io"
	"sync/atomic"
)

// An instant is when a child is killed.
type instant string

const (
	anytime instant = ""       // within half a second
	before  instant = "before" // a change that reports share is sent,
	during  instant = "during" // while it is carried out,
	after   instant = "after"  // or once it has been, before anyone is told
)

// instants are those of children that are killed, in turn.
var instants = []instant{anytime, before, during, after}

// A moment is an instant of a child that its parent waits for. The zero moment never comes, nor does
// a nil one.
type moment struct {
	instant
	due atomic.Bool // the next change that reports share brings it
}

// await makes the moment due once the parent writes.
func (m *moment) await(parent io.Reader) {
	if n, _ := parent.Read(make([]byte, 1)); n > 0 {
		m.due.Store(true)
	}
}

// reach says that a change that reports share is at this instant. If the moment is due, reach tells
// the parent and holds the change until the parent kills the process.
func (m *moment) reach(at instant) {
	if m == nil || m.instant != at && (m.instant != during || at != before) || !m.due.CompareAndSwap(true, false) {
		return
	}
	fmt.Println(m.instant)
	if m.instant != during {
		select {}
	}
}
