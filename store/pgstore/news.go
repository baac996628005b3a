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

// news tells listeners of commits: those of this process at once, those of others by NOTIFY.
// A NOTIFY inside of a commit would have all commits of the database wait for each other, so
// it is sent after it. One that is lost, as its process has died in between, costs a listener
// the time until it polls.
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
	notifyEvery = 10 * time.Millisecond // at the most; what comes meanwhile is told together
	mostTold    = 100                   // jobs that one notification names
	anyJob      = "*"                   // stands for jobs that are too many to name

	// relisten is how long a listener rests before it connects again.
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

// changed tells of a commit to a job.
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

// notify tells other processes of what is pending, until nothing is. It needs no disk: a
// notification that a crash of the server loses is of no use any more.
func (n *news) notify() {
	for payload := n.next(); payload != ""; payload = n.next() {
		_ = n.link.Write(n.ctx, func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`, n.channel, payload)
			return err
		})
		rest(n.ctx, notifyEvery)
	}
}

// next takes what is pending; "" ends the sending.
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

// Wake implements store.Waker. Commits of other processes wake as soon as the server tells of
// them, which it does of none while its connection is down.
func (s *Store) Wake(job store.JobID) (changed <-chan struct{}, stop func()) {
	s.listening.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.start(s.listen)
	})
	return s.listeners.Listen(job)
}

// listen wakes listeners as other processes commit. It holds a connection, outside of the
// pool, and finds another when that fails.
func (n *news) listen() {
	for n.ctx.Err() == nil {
		n.listenOnce()
		n.listeners.WakeAll() // whatever was missed
		rest(n.ctx, relisten)
	}
}

// listenOnce listens until something fails. A connection that is silent for the store's timeout is
// asked whether it is alive.
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
	n.listeners.WakeAll() // of what was committed before
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

// within runs f for as long as one call may take.
func (n *news) within(f func(context.Context) error) error { return within(n.ctx, n.link.Timeout(), f) }

// within runs f for d at most.
func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}

// wake wakes the listeners to the jobs of a notification.
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
