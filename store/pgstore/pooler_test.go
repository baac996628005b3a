package pgstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store/pgstore"
)

// A pooler stands between clients and a few sessions of a server. A client has a session for one
// transaction or, if it is sticky, for good.
type pooler struct {
	sticky   bool
	listener net.Listener
	tasks    sync.WaitGroup

	sessions chan net.Conn // that no client has
	last     chan net.Conn // the one that was given back last, which is the next to be taken; of one

	mu    sync.Mutex // guards all below
	conns []net.Conn
}

// newPooler returns a pooler with a number of sessions in the schema of dsn, which ends with t.
func newPooler(t *testing.T, dsn string, sessions int, sticky bool) *pooler {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pooler{sticky: sticky, listener: listener, sessions: make(chan net.Conn, sessions), last: make(chan net.Conn, 1)}
	for range sessions {
		conn, err := pgconn.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := conn.Hijack()
		if err != nil {
			t.Fatal(err)
		}
		p.sessions <- raw.Conn
		p.conns = append(p.conns, raw.Conn)
	}
	p.tasks.Go(p.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.tasks.Wait()
	})
	return p
}

// between leads a pool through p.
func (p *pooler) between(c *pgxpool.Config) {
	c.ConnConfig.TLSConfig, c.ConnConfig.Fallbacks = nil, nil
	c.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, p.listener.Addr().Network(), p.listener.Addr().String())
	}
}

func (p *pooler) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns = append(p.conns, client)
		p.mu.Unlock()
		p.tasks.Go(func() {
			defer client.Close()
			p.relay(client)
		})
	}
}

func (p *pooler) take() net.Conn {
	select {
	case session := <-p.last:
		return session
	default:
	}
	select {
	case session := <-p.last:
		return session
	case session := <-p.sessions:
		return session
	}
}

func (p *pooler) release(session net.Conn) {
	for {
		select {
		case p.last <- session:
			return
		case before := <-p.last:
			p.sessions <- before
		}
	}
}

// relay lets a client in and passes its messages on, from one end of a transaction to the next.
func (p *pooler) relay(client net.Conn) {
	if !welcome(client) {
		return
	}
	var session net.Conn
	defer func() {
		if session != nil && p.sticky {
			p.release(session)
		}
	}()
	var asked []byte
	for {
		message, err := next(client)
		if err != nil || message[0] == 'X' {
			return
		}
		asked = append(asked, message...)
		if message[0] != 'Q' && message[0] != 'S' { // more of the same comes
			continue
		}
		if session == nil {
			session = p.take()
		}
		if _, err := session.Write(asked); err != nil {
			return
		}
		asked = nil
		for {
			answer, err := next(session)
			if err != nil {
				return
			}
			if _, err := client.Write(answer); err != nil {
				return
			}
			if answer[0] != 'Z' {
				continue
			}
			if answer[5] == 'I' && !p.sticky {
				p.release(session)
				session = nil
			}
			break
		}
	}
}

// welcome answers the first message of a client, and reports whether it is one that stays.
func welcome(client net.Conn) bool {
	head := make([]byte, 4)
	if _, err := io.ReadFull(client, head); err != nil {
		return false
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(client, body); err != nil {
		return false
	}
	const version3 = 3
	if binary.BigEndian.Uint16(body) != version3 {
		return false // it wants to cancel something
	}
	message := func(kind byte, body string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body))), body...)
	}
	hello := message('R', "\x00\x00\x00\x00")
	for name, value := range map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": "on", "server_version": "15.0"} {
		hello = append(hello, message('S', name+"\x00"+value+"\x00")...)
	}
	hello = append(hello, message('K', "\x00\x00\x00\x01\x00\x00\x00\x01")...) // of no session
	_, err := client.Write(append(hello, message('Z', "I")...))
	return err == nil
}

// next reads a message.
func next(from io.Reader) ([]byte, error) {
	message := make([]byte, 5)
	if _, err := io.ReadFull(from, message); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(message[1:])-4)
	_, err := io.ReadFull(from, body)
	return append(message, body...), err
}

// modes are the exec modes of pgx, and whether they stand a pooler of transactions.
var modes = map[pgx.QueryExecMode]bool{
	pgx.QueryExecModeCacheStatement: false, pgx.QueryExecModeDescribeExec: false,
	pgx.QueryExecModeCacheDescribe: true, pgx.QueryExecModeExec: true, pgx.QueryExecModeSimpleProtocol: true,
}

// execMode sets the exec mode of a pool.
func execMode(mode pgx.QueryExecMode) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode }
}

// New refuses an exec mode that a pooler between cannot stand, and says which ones it does. Without a
// pooler, or with one that keeps a session for each connection, it refuses none.
func TestPooler(t *testing.T) {
	dsn, direct := shared(t, hasty)
	for what, c := range map[string]struct {
		through func(*pgxpool.Config)
		refuses func(mode pgx.QueryExecMode) bool
	}{
		"a server":                   {func(*pgxpool.Config) {}, func(pgx.QueryExecMode) bool { return false }},
		"a pooler of transactions":   {newPooler(t, dsn, 3, false).between, func(mode pgx.QueryExecMode) bool { return !modes[mode] }},
		"a pooler of sessions":       {newPooler(t, dsn, 6, true).between, func(pgx.QueryExecMode) bool { return false }},
		"a pooler with one session":  {newPooler(t, dsn, 1, false).between, func(mode pgx.QueryExecMode) bool { return mode == pgx.QueryExecModeCacheStatement }},
		"pgbouncer, of transactions": {pgbouncer(t, direct.Config().ConnConfig), func(mode pgx.QueryExecMode) bool { return !modes[mode] }},
	} {
		if c.through == nil {
			continue
		}
		for mode := range modes {
			if what == "a pooler with one session" && mode == pgx.QueryExecModeDescribeExec {
				continue // it is not recognized
			}
			pool := connect(t, dsn, c.through, conns(2), execMode(mode))
			st, err := pgstore.New(t.Context(), pool, pgstore.WithTimeout(4*bound))
			var pooler *pgstore.PoolerError
			switch refuses := c.refuses(mode); {
			case refuses != errors.As(err, &pooler) || !refuses && err != nil:
				t.Errorf("New through %s in mode %v: got error %v, want a PoolerError: %v", what, mode, err, refuses)
			case refuses:
				refused(t, "New", err, "pgstore: a transaction pooler", fmt.Sprintf("exec mode %v", mode), "cache_describe, exec or simple_protocol")
			default:
				eng := engine.New(st)
				id := jobkit.Start(t, eng, jobkit.Asking(1))
				if _, err := eng.Operate(t.Context(), id, 1, operation.TerminateConfirmation, engine.Request{}); err != nil {
					t.Errorf("Operate through %s in mode %v: %v", what, mode, err)
				}
				st.Close()
			}
			pool.Close()
		}
	}
}

// pgbouncer returns a setup of a pool through a pgbouncer in transaction mode, or nil if none is
// installed.
func pgbouncer(t *testing.T, to *pgx.ConnConfig) func(*pgxpool.Config) {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Logf("no pgbouncer is installed: %v", err)
		return nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	ini := filepath.Join(t.TempDir(), "pgbouncer.ini")
	password := ""
	if to.Password != "" {
		password = "password=" + to.Password
	}
	text := fmt.Sprintf(`[databases]
%s = host=%s port=%d user=%s %s connect_query='SET search_path TO %s'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
ignore_startup_parameters = search_path,synchronous_commit
`, to.Database, to.Host, to.Port, to.User, password, to.RuntimeParams["search_path"], port)
	if os.Geteuid() == 0 { // as which it refuses to run
		text += "user = nobody\n"
	}
	if err := os.WriteFile(ini, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), path, "-q", ini)
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run.Process.Kill()
		_ = run.Wait()
	})
	address := net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	jobkit.Eventually(t, "pgbouncer answers", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return func(c *pgxpool.Config) {
		c.ConnConfig.TLSConfig, c.ConnConfig.Fallbacks = nil, nil
		c.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
}
