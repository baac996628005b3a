package sshexec

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentTimeout bounds an answer of the agent, which may ask a person for confirmation.
const agentTimeout = 10 * time.Second

// auth returns the methods to log in. Keys of files and of an agent are one method: package ssh
// tries each method once.
func (c *Config) auth() ([]ssh.AuthMethod, error) {
	var signers []ssh.Signer
	for _, name := range c.KeyFiles {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, &ConfigError{"KeyFiles", err}
		}
		signer, err := ssh.ParsePrivateKey(text)
		if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
			err = errors.New("has a passphrase: want a key without one, or an agent with the key")
		}
		if err != nil {
			return nil, &ConfigError{"KeyFiles", fmt.Errorf("%s: %w", name, err)}
		}
		signers = append(signers, signer)
	}
	switch {
	case c.Agent != "":
		a := newAgentKeys(c.Agent)
		return append([]ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			more, err := a.signers()
			if err != nil && len(signers) == 0 {
				return nil, err
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

// A credentialsError is the error of credentials that cannot be used.
type credentialsError struct{ error }

// Unwrap returns the cause.
func (e *credentialsError) Unwrap() error { return e.error }

// agentKeys are the keys of an agent. It keeps one connection to the agent and opens a new one
// after a failure. It sends one request at a time. After a request that hung, it sends none for
// agentTimeout: the callers behind it do not wait for the same time again, one after the other.
type agentKeys struct {
	dial func(timeout time.Duration) (net.Conn, error)

	mu       sync.Mutex // guards all below
	conn     *agentConn // nil for none
	hung     error      // the error of the last request that hung
	hungTill time.Time
}

func newAgentKeys(socket string) *agentKeys {
	return &agentKeys{dial: func(timeout time.Duration) (net.Conn, error) { return net.DialTimeout("unix", socket, timeout) }}
}

// An agentConn is a connection to the agent.
type agentConn struct {
	net.Conn
	broken error // of Read or Write; nil if the agent has answered every request
}

// Read implements io.Reader.
func (c *agentConn) Read(p []byte) (n int, err error) {
	n, err = c.Conn.Read(p)
	c.broken = cmp.Or(c.broken, err)
	return n, err
}

// Write implements io.Writer.
func (c *agentConn) Write(p []byte) (n int, err error) {
	n, err = c.Conn.Write(p)
	c.broken = cmp.Or(c.broken, err)
	return n, err
}

// ask calls f with a client of the agent. All requests of f together may take agentTimeout. If the
// kept connection is broken, as after a restart of the agent, it calls f again on a new one. Its
// errors are credentialsErrors.
func (a *agentKeys) ask(f func(agent.ExtendedAgent) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Before(a.hungTill) {
		return &credentialsError{a.hung}
	}
	end := now.Add(agentTimeout)
	for {
		kept := a.conn != nil
		err := a.askOnce(end, f)
		hung := errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err)
		switch {
		case err == nil:
			return nil
		case hung:
			a.hung, a.hungTill = err, time.Now().Add(agentTimeout)
		case kept && a.conn == nil:
			continue
		}
		return &credentialsError{err}
	}
}

// askOnce calls f with a client on the kept connection, or on a new one, which it keeps if the
// agent answers.
func (a *agentKeys) askOnce(end time.Time, f func(agent.ExtendedAgent) error) error {
	if a.conn == nil {
		conn, err := a.dial(time.Until(end))
		if err != nil {
			return err
		}
		a.conn = &agentConn{Conn: conn}
	}
	err := a.conn.SetDeadline(end)
	if err == nil {
		// With a Close, the client would start a goroutine that reads, and fails, between requests.
		err = f(agent.NewClient(struct{ io.ReadWriter }{a.conn}))
		err = cmp.Or(a.conn.broken, err)
	}
	if err != nil && a.conn.broken != nil {
		_ = a.conn.Close()
		a.conn = nil
	}
	return err
}

func isTimeout(err error) bool {
	timeout := net.Error(nil)
	return errors.As(err, &timeout) && timeout.Timeout()
}

// signers returns the agent's keys. Each signature uses the connection kept at that time.
func (a *agentKeys) signers() (signers []ssh.Signer, err error) {
	err = a.ask(func(keys agent.ExtendedAgent) error {
		list, err := keys.List()
		signers = nil
		for _, key := range list {
			signers = append(signers, agentSigner{a, key})
		}
		return err
	})
	return signers, err
}

// An agentSigner signs with a key of the agent.
type agentSigner struct {
	a   *agentKeys
	key ssh.PublicKey
}

var _ ssh.AlgorithmSigner = agentSigner{}

// PublicKey implements [ssh.Signer].
func (s agentSigner) PublicKey() ssh.PublicKey { return s.key }

// Sign implements [ssh.Signer].
func (s agentSigner) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) { return s.sign(data, 0) }

// SignWithAlgorithm implements [ssh.AlgorithmSigner].
func (s agentSigner) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	switch algorithm {
	case ssh.KeyAlgoRSASHA256, ssh.CertAlgoRSASHA256v01:
		return s.sign(data, agent.SignatureFlagRsaSha256)
	case ssh.KeyAlgoRSASHA512, ssh.CertAlgoRSASHA512v01:
		return s.sign(data, agent.SignatureFlagRsaSha512)
	}
	return s.sign(data, 0)
}

func (s agentSigner) sign(data []byte, flags agent.SignatureFlags) (signature *ssh.Signature, err error) {
	err = s.a.ask(func(keys agent.ExtendedAgent) error {
		signature, err = keys.SignWithFlags(s.key, data, flags)
		return err
	})
	return signature, err
}
