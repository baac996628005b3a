package pgstore

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stepgate/stepgate/internal/wake"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore/internal/link"
)

// news announces commits to listeners: those of this process at once, those of other processes by
// NOTIFY. It sends the NOTIFY after the commit: inside the commit, it would make all commits of the
// database wait for each other. If the process dies between the two, listeners find the commit
// with their next poll.
type news struct {
	link      *link.Link // the store's
	channel   string
	listeners wake.List
	listening sync.Once

	mu      sync.Mutex // guards all below
	pending map[store.JobID]bool
	sending bool
	closed  bool

	ctx   context.Context // ends with the store
	end   context.CancelFunc
	tasks sync.WaitGroup
}

const (
	notifyEvery = 10 * time.Millisecond // minimum interval; one notification announces the commits of an interval
	mostTold    = 100                   // maximum number of jobs in one notification
	anyJob      = "*"                   // payload for more than mostTold jobs

	// relisten is the pause of a listener before it connects again.
	relisten = time.Second
)

func (n *news) open(channel string) {
	n.channel = channel
	n.pending = map[store.JobID]bool{}
	n.ctx, n.end = context.WithCancel(context.Background())
}

func (n *news) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.end()
	n.tasks.Wait()
}

// start runs f in the background until the store is closed.
func (n *news) start(f func()) {
	if !n.closed {
		n.tasks.Go(f)
	}
}

// changed announces a commit of a job.
func (n *news) changed(job store.JobID) {
	n.listeners.Wake(job)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.pending[job] = true
	if !n.sending {
		n.sending = true
		n.start(n.notify)
	}
}

// notify announces the pending jobs to other processes until none is left. It does not flush: a
// notification is useless after a crash of the server.
func (n *news) notify() {
	for payload := n.next(); payload != ""; payload = n.next() {
		_ = n.link.Write(n.ctx, func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`, n.channel, payload)
			return err
		})
		rest(n.ctx, notifyEvery)
	}
}

// next takes the pending jobs as a payload; "" means none.
func (n *news) next() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.pending) == 0 || n.ctx.Err() != nil {
		n.sending = false
		return ""
	}
	payload := anyJob
	if len(n.pending) <= mostTold {
		var jobs []string
		for job := range n.pending {
			jobs = append(jobs, strconv.FormatInt(int64(job), 10))
		}
		payload = strings.Join(jobs, ",")
	}
	clear(n.pending)
	return payload
}

// Wake implements store.Waker. A commit of another process wakes when the server's notification
// arrives; while the listening connection is down, none does, and the reconnection wakes all.
func (s *Store) Wake(job store.JobID) (changed <-chan struct{}, stop func()) {
	s.listening.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.start(s.listen)
	})
	return s.listeners.Listen(job)
}

// listen wakes listeners when other processes commit. It holds a connection outside the pool, and
// replaces it when it fails.
func (n *news) listen() {
	for n.ctx.Err() == nil {
		n.listenOnce()
		n.listeners.WakeAll() // for missed notifications
		rest(n.ctx, relisten)
	}
}

// listenOnce listens until its connection fails. It pings a connection that is silent for the
// store's timeout.
func (n *news) listenOnce() {
	conn, err := n.link.Take(n.ctx)
	if err != nil {
		return
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	if err := n.within(func(ctx context.Context) error { _, err := conn.Exec(ctx, `LISTEN `+n.channel); return err }); err != nil {
		return
	}
	n.listeners.WakeAll() // for earlier commits
	for {
		var told *pgconn.Notification
		err := n.within(func(ctx context.Context) (err error) { told, err = conn.WaitForNotification(ctx); return err })
		switch {
		case err == nil:
			n.wake(told.Payload)
		case conn.IsClosed() || n.within(conn.Ping) != nil:
			return
		}
	}
}

// within runs f with the timeout of one call.
func (n *news) within(f func(context.Context) error) error { return within(n.ctx, n.link.Timeout(), f) }

// within runs f with the timeout d.
func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}

// wake wakes the listeners for the jobs of a notification.
func (n *news) wake(payload string) {
	if payload == anyJob {
		n.listeners.WakeAll()
		return
	}
	for text := range strings.SplitSeq(payload, ",") {
		if job, err := strconv.ParseInt(text, 10, 64); err == nil {
			n.listeners.Wake(store.JobID(job))
		}
	}
}

// rest waits for d or the end of ctx.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
