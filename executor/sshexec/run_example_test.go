//go:build unix

package sshexec_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// exampleFolder makes the folder that the Examples work in the current one.
func exampleFolder(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	for _, name := range []string{"keys", "artifacts"} {
		l.must(os.Mkdir(l.path(name), 0o700))
	}
	l.must(os.Link(l.path("key"), l.path("keys/id_ed25519")))
	here := fmt.Sprintf("[127.0.0.1]:%d ", l.sshd.port())
	l.must(os.WriteFile(l.path("keys/known_hosts"), []byte(strings.Replace(l.read("known_hosts"), "h* ", here, 1)), 0o600))
	t.Chdir(l.dir)
	return l
}

// The Example needs a host.
func TestExample(t *testing.T) {
	l := exampleFolder(t)
	t.Setenv("HOSTS", fmt.Sprintf("%s@127.0.0.1:%d", l.config.User, l.sshd.port()))
	r, w, err := os.Pipe()
	l.must(err)
	stdout := os.Stdout
	os.Stdout = w
	Example()
	os.Stdout = stdout
	l.must(w.Close())
	got, err := io.ReadAll(r)
	if want := "the job is succeeded\n"; err != nil || string(got) != want {
		t.Errorf("the Example prints %q, %v; want %q", got, err, want)
	}
}

// The Example of an inventory needs a folder with known hosts.
func TestExampleConfigAddress(t *testing.T) {
	l := exampleFolder(t)
	t.Setenv("SSH_AUTH_SOCK", l.path("agent"))
	ExampleConfig_address()
}
