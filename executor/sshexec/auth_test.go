package sshexec

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh/agent"
)

// An agent that hangs is waited for once by all, and asked again later.
func TestAgentThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := true
		a := &agentKeys{dial: func(time.Duration) (net.Conn, error) {
			here, there := net.Pipe()
			if !hangs {
				go func() { _ = agent.ServeAgent(agent.NewKeyring(), there) }()
			}
			return here, nil
		}}
		start := time.Now()
		for range 64 { // in the order in which they get the lock
			_, err := a.signers()
			if here := (*credentialsError)(nil); !errors.As(err, &here) {
				t.Errorf("signers = %v, want a credentialsError", err)
			}
		}
		if took := time.Since(start); took != agentTimeout {
			t.Errorf("all wait for %v, want %v", took, agentTimeout)
		}
		hangs = false
		time.Sleep(agentTimeout)
		if _, err := a.signers(); err != nil {
			t.Errorf("signers = %v after the agent hung, want nil", err)
		}
		time.Sleep(2 * agentTimeout)
		a.dial = nil // the connection is kept
		if _, err := a.signers(); err != nil {
			t.Errorf("signers = %v over a connection that was idle, want nil", err)
		}
		_ = a.conn.Close()
	})
}
