package sqlitestore

import "time"

// An Option configures a [Store].
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

// WithReaders sets the number of the store's reading connections, in addition to the one that
// writes. The default is 4, or fewer if the database allows fewer connections. It ignores n < 1.
func WithReaders(n int) Option {
	return func(o *options) {
		if n > 0 {
			o.readers = n
		}
	}
}

// WithBusyTimeout sets the maximum wait for the transactions of other processes and of other
// connections; the default is 10 s. It ignores d <= 0. A call waits at most twice as long: behind
// the call before it, and for its own transaction. The end of its context ends the wait.
func WithBusyTimeout(d time.Duration) Option {
	return func(o *options) {
		if d > 0 {
			o.busy = d
		}
	}
}
