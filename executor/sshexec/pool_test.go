package sshexec

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
)

// stalled is a connection whose Close returns when the test ends, as through a bastion that has
// stalled.
type stalled struct {
	ssh.Conn
	end chan struct{}
}

func (s stalled) Close() error {
	<-s.end
	return nil
}

// A connection that cannot be closed keeps no other work from its own, and is not used again.
func TestStalledConnection(t *testing.T) {
	for name, f := range map[string]func(p *pool, c *conn){
		"no room":   func(p *pool, c *conn) { p.put(c); p.places = 1; _, _ = p.take(Address{Host: "h1"}) },
		"to be put": func(p *pool, c *conn) { c.close(); p.put(c) },
		"expired":   func(p *pool, c *conn) { p.put(c); time.Sleep(p.keep) },
		"closed":    func(p *pool, c *conn) { p.put(c); p.close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end, p := make(chan struct{}), newPool(1, 1, time.Minute)
				defer close(end)
				c := &conn{
					address: Address{Host: "h0"}, client: &ssh.Client{Conn: stalled{end: end}},
					dead: make(chan struct{}), closed: make(chan struct{}),
				}
				done := make(chan struct{})
				go func() { f(p, c); close(done) }()
				synctest.Wait()
				for range 2 { // while it is closed, and after it
					if !p.mu.TryLock() {
						t.Fatal("the pool is locked")
					}
					p.mu.Unlock()
					time.Sleep(p.keep)
					synctest.Wait()
				}
				<-done
				if got, _ := p.take(c.address); got != nil {
					t.Error("the connection is used again")
				}
			})
		})
	}
}
