package sshexec

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentTimeout bounds an answer of the agent, a person's confirmation included.
const agentTimeout = 10 * time.Second

// auth returns the ways to log in. Keys of files and of an agent are one way, as package ssh tries
// each way once.
func (c *Config) auth() ([]ssh.AuthMethod, error) {
	var signers []ssh.Signer
	for _, name := range c.KeyFiles {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, &ConfigError{"KeyFiles", err}
		}
		signer, err := ssh.ParsePrivateKey(text)
		if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
			err = errors.New("has a passphrase: want a key without, or an agent that holds it")
		}
		if err != nil {
			return nil, &ConfigError{"KeyFiles", fmt.Errorf("%s: %w", name, err)}
		}
		signers = append(signers, signer)
	}
	switch {
	case c.Agent != "":
		a := &agentKeys{socket: c.Agent}
		return append([]ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			more, err := a.signers()
			if err != nil && len(signers) == 0 {
				return nil, &credentialsError{err}
			}
			return append(signers[:len(signers):len(signers)], more...), nil
		})}, c.Auth...), nil
	case len(signers) > 0:
		return append([]ssh.AuthMethod{ssh.PublicKeys(signers...)}, c.Auth...), nil
	case len(c.Auth) == 0:
		return nil, &ConfigError{"Auth", errors.New("none: want KeyFiles, an Agent or Auth")}
	}
	return c.Auth, nil
}

// A credentialsError says why there are no credentials to show to a host.
type credentialsError struct{ error }

// agentKeys are the keys of an agent. The connection to it is kept, and opened anew after a failure.
type agentKeys struct {
	socket string

	mu   sync.Mutex // guards all below
	conn net.Conn
	keys agent.ExtendedAgent
}

func (a *agentKeys) signers() ([]ssh.Signer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn != nil {
		if signers, err := a.keys.Signers(); err == nil {
			return signers, nil
		}
		_ = a.conn.Close() // the agent was started anew
		a.conn = nil
	}
	conn, err := net.DialTimeout("unix", a.socket, agentTimeout)
	if err != nil {
		return nil, err
	}
	keys := agent.NewClient(boundedConn{conn})
	signers, err := keys.Signers()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	a.conn, a.keys = conn, keys
	return signers, nil
}

// A boundedConn bounds the time from each question to its answer.
type boundedConn struct{ net.Conn }

func (c boundedConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(agentTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
