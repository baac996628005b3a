package sqlitestore

import "time"

// An Option sets up a [Store].
type Option func(*options)

type options struct {
	readers int
	busy    time.Duration
}

func newOptions(opts []Option) options {
	o := options{readers: 4, busy: 10 * time.Second}
	for _, set := range opts {
		if set != nil {
			set(&o)
		}
	}
	return o
}

// WithReaders sets how many connections the store takes for reading, beside the one that
// writes; the default is 4, and fewer if the database allows fewer.
func WithReaders(n int) Option {
	return func(o *options) {
		if n > 0 {
			o.readers = n
		}
	}
}

// WithBusyTimeout sets how long the store waits for other processes, and other connections of
// this one, to end their transactions; the default is 10 s. A call waits for it once, and for
// that of the call before it in the queue at most. The end of its context ends the wait.
func WithBusyTimeout(d time.Duration) Option {
	return func(o *options) {
		if d > 0 {
			o.busy = d
		}
	}
}
