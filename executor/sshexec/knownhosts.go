package sshexec

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// knownHosts are the keys of hosts in files. They are read again when the files change.
type knownHosts struct {
	files []string

	mu    sync.Mutex // guards all below
	state []fileState
	read  *hostKeys
}

type fileState struct {
	size     int64
	modified time.Time
}

// hostKeys are the keys of hosts at one reading of the files.
type hostKeys struct {
	check       ssh.HostKeyCallback
	authorities map[place]bool // the lines with @cert-authority
}

type place struct {
	file string
	line int
}

func openKnownHosts(files []string) (*knownHosts, error) {
	if len(files) == 0 {
		return nil, errors.New("none: want files such as ~/.ssh/known_hosts, or a HostKeyCallback")
	}
	k := &knownHosts{files: slices.Clone(files)}
	_, err := k.current()
	return k, err
}

// current returns the keys in the files now.
func (k *knownHosts) current() (*hostKeys, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var state []fileState
	for _, name := range k.files {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		state = append(state, fileState{info.Size(), info.ModTime()})
	}
	if k.read != nil && slices.Equal(state, k.state) {
		return k.read, nil
	}
	known, err := knownhosts.New(k.files...)
	if err != nil {
		return nil, err
	}
	// Only the name counts: through a bastion, the remote address is nil or malformed for package
	// knownhosts.
	check := func(name string, _ net.Addr, key ssh.PublicKey) error { return known(name, &net.TCPAddr{}, key) }
	read := &hostKeys{check: check, authorities: map[place]bool{}}
	for _, name := range k.files {
		if err := read.findAuthorities(name); err != nil {
			return nil, err
		}
	}
	k.read, k.state = read, state
	return read, nil
}

// findAuthorities adds the lines of a file with @cert-authority.
func (h *hostKeys) findAuthorities(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		if bytes.HasPrefix(bytes.TrimSpace(lines.Bytes()), []byte("@cert-authority")) {
			h.authorities[place{name, n}] = true
		}
	}
	return lines.Err()
}

// errUnknownHost is the error of a host without a line in known_hosts.
var errUnknownHost = errors.New("the host is not in known_hosts")

// algorithms returns the host key algorithms to offer: those of the known keys. With others, the
// host could choose a correct key that known_hosts does not have.
func (h *hostKeys) algorithms(name string) ([]string, error) {
	err := h.check(name, nil, noKey{})
	mismatch := (*knownhosts.KeyError)(nil)
	if !errors.As(err, &mismatch) {
		return nil, fmt.Errorf("known_hosts: %w", err)
	}
	if len(mismatch.Want) == 0 {
		return nil, errUnknownHost
	}
	supported := ssh.SupportedAlgorithms().HostKeys
	var signed, plain []string
	for _, want := range mismatch.Want {
		if h.authorities[place{want.Filename, want.Line}] {
			signed = slices.DeleteFunc(slices.Clone(supported), func(a string) bool { return !isCertificate(a) })
			continue
		}
		switch typ := want.Key.Type(); typ {
		case ssh.KeyAlgoRSA:
			plain = append(plain, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			plain = append(plain, typ)
		}
	}
	all := slices.DeleteFunc(append(signed, plain...), func(a string) bool { return !slices.Contains(supported, a) })
	if len(all) == 0 {
		return nil, errors.New("known_hosts has only keys of unsupported types for the host")
	}
	return all, nil
}

// isCertificate reports whether an algorithm is for keys that an authority has signed.
func isCertificate(algorithm string) bool { return strings.Contains(algorithm, "-cert-v01@") }

// noKey is a key that no host has.
type noKey struct{}

// Type implements [ssh.PublicKey].
func (noKey) Type() string { return "none" }

// Marshal implements [ssh.PublicKey].
func (noKey) Marshal() []byte { return nil }

// Verify implements [ssh.PublicKey].
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }
