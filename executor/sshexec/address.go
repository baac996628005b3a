package sshexec

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// An Address is the SSH server and the account of a target. Targets with equal addresses share
// connections.
type Address struct {
	Host string // a name that resolves, or an IP address
	Port int    // 0 means 22
	User string // the account; empty means Config.User

	// HostKeyAlias is the name of the host's key in known_hosts, as in ssh_config. Empty means
	// Host, or [Host]:Port for a port other than 22.
	HostKeyAlias string
}

const defaultPort = 22

// ParseAddress reads a target's name: host, host:port, user@host or user@host:port. An IPv6 address
// before a port needs brackets. Its error names these forms.
func ParseAddress(target string) (Address, error) {
	var a Address
	rest := target
	if user, host, ok := strings.Cut(target, "@"); ok {
		a.User, rest = user, host
		if user == "" {
			return Address{}, badAddress(target)
		}
	}
	a.Host = rest
	if strings.Count(rest, ":") == 1 || strings.HasPrefix(rest, "[") {
		host, port, err := net.SplitHostPort(rest)
		n, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil || n == 0 {
			return Address{}, badAddress(target)
		}
		a.Host, a.Port = host, int(n)
	}
	if err := a.check(); err != nil {
		return Address{}, badAddress(target)
	}
	return a, nil
}

func badAddress(target string) error {
	return fmt.Errorf("%q: want host, host:port, user@host or user@host:port", target)
}

// check returns an error if a is invalid.
func (a Address) check() error {
	switch {
	case net.ParseIP(a.Host) == nil && !isHostName(a.Host):
		return fmt.Errorf("host %q: want a name or an IP address", a.Host)
	case a.Port < 0 || a.Port > 65535:
		return fmt.Errorf("port %d: want 1 to 65535, or 0 for 22", a.Port)
	case a.HostKeyAlias != "" && !isHostName(a.HostKeyAlias):
		return fmt.Errorf("host key alias %q: want a name as in known_hosts", a.HostKeyAlias)
	}
	return nil
}

// isHostName reports whether s has only characters of host names and of IPv6 addresses with zones.
func isHostName(s string) bool {
	return s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._:%", r)
	})
}

// port returns the port to dial.
func (a Address) port() int {
	if a.Port == 0 {
		return defaultPort
	}
	return a.Port
}

// hostPort returns the address to dial.
func (a Address) hostPort() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.port())) }

// keyName returns the host's name in known_hosts, with a port as package knownhosts requires.
func (a Address) keyName() string {
	if a.HostKeyAlias != "" {
		return net.JoinHostPort(a.HostKeyAlias, strconv.Itoa(defaultPort))
	}
	return a.hostPort()
}
