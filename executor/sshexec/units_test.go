package sshexec_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/stepgate/stepgate/executor/sshexec"
)

func TestParseAddress(t *testing.T) {
	for name, want := range map[string]sshexec.Address{
		"h1":                  {Host: "h1"},
		"h1.example.com:2222": {Host: "h1.example.com", Port: 2222},
		"deploy@h1":           {Host: "h1", User: "deploy"},
		"deploy@h1:2222":      {Host: "h1", Port: 2222, User: "deploy"},
		"192.0.2.1":           {Host: "192.0.2.1"},
		"2001:db8::1":         {Host: "2001:db8::1"},
		"[2001:db8::1]:2222":  {Host: "2001:db8::1", Port: 2222},
		"a@[fe80::1%eth0]:22": {Host: "fe80::1%eth0", Port: 22, User: "a"},
	} {
		if got, err := sshexec.ParseAddress(name); got != want || err != nil {
			t.Errorf("ParseAddress(%q) = %+v, %v; want %+v", name, got, err, want)
		}
	}
	for _, name := range []string{
		"", "@h1", "a@", "h1:", "h1:0", "h1:65536", "h1:ssh", ":22", "-oProxyCommand=x", "-F", "a b", "h1/..", "[::1]", "[::1", "a@b@h1", "h1\x00",
	} {
		if got, err := sshexec.ParseAddress(name); err == nil {
			t.Errorf("ParseAddress(%q) = %+v, want an error", name, got)
		}
	}
}

func TestPayloads(t *testing.T) {
	content := new("text")
	file := func(f sshexec.File) error { return sshexec.Files{Files: []sshexec.File{f}}.Check() }
	for _, err := range []error{
		sshexec.Script{Script: "true"}.Check(),
		file(sshexec.File{Content: content, To: "/etc/app.ini"}),
		file(sshexec.File{From: "app/app.ini", To: "conf/..app/app.ini", Mode: "0644"}),
	} {
		if err != nil {
			t.Errorf("Check = %v, want nil", err)
		}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{sshexec.Script{Script: " \n"}.Check(), "payload: script: empty: want the text of a shell script"},
		{sshexec.Script{Script: "a\x00b"}.Check(), "payload: script: has a NUL character: want a text without one"},
		{sshexec.Files{}.Check(), "payload: files: none: want at least one file"},
		{file(sshexec.File{To: "to"}), "payload: files[0].from: empty, and so is content: want one of the two"},
		{file(sshexec.File{Content: content, From: "from", To: "to"}), "payload: files[0].from: not empty, and content is set too: want one of the two"},
		{file(sshexec.File{From: "../x", To: "to"}), `payload: files[0].from: "../x": want the path of a file below the sources, such as app/app.ini`},
		{file(sshexec.File{From: "/x", To: "to"}), `payload: files[0].from: "/x": want the path of a file below the sources, such as app/app.ini`},
		{file(sshexec.File{Content: content, To: "a/../b"}), `payload: files[0].to: "a/../b": want the path of a file on the host without .., such as /etc/app.ini`},
		{file(sshexec.File{Content: content, To: "a/"}), `payload: files[0].to: "a/": want the path of a file on the host without .., such as /etc/app.ini`},
		{file(sshexec.File{Content: content, To: "/"}), `payload: files[0].to: "/": want the path of a file on the host without .., such as /etc/app.ini`},
		{file(sshexec.File{Content: content, To: ""}), `payload: files[0].to: "": want the path of a file on the host without .., such as /etc/app.ini`},
		{file(sshexec.File{Content: content, To: "to", Mode: "rw"}), `payload: files[0].mode: "rw": want permissions in octal, such as 0644`},
		{sshexec.Files{Files: []sshexec.File{{Content: content, To: "a//b"}, {Content: content, To: "a/b"}}}.Check(), `payload: files[1].to: "a/b" is written by files[0] already`},
	} {
		if bad := (*sshexec.PayloadError)(nil); !errors.As(c.err, &bad) || c.err.Error() != c.want {
			t.Errorf("Check = %v, want %s", c.err, c.want)
		}
	}
}

// The error of a configuration names the field. Without known_hosts there is no Remote.
func TestConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	known, garbage, missing := write("known_hosts", ""), write("garbage", "garbage"), filepath.Join(dir, "missing")
	auth := []ssh.AuthMethod{ssh.Password("secret")}
	for field, c := range map[string]sshexec.Config{
		"KnownHosts":      {Auth: auth},
		"KnownHosts ":     {Auth: auth, KnownHosts: []string{missing}},
		"KnownHosts  ":    {Auth: auth, KnownHosts: []string{garbage}},
		"HostKeyCallback": {Auth: auth, KnownHosts: []string{known}, HostKeyCallback: ssh.InsecureIgnoreHostKey()},
		"Auth":            {KnownHosts: []string{known}},
		"KeyFiles":        {KnownHosts: []string{known}, KeyFiles: []string{missing}},
		"KeyFiles ":       {KnownHosts: []string{known}, KeyFiles: []string{garbage}},
		"Sources":         {Auth: auth, KnownHosts: []string{known}, Sources: missing},
		"PerHost":         {Auth: auth, KnownHosts: []string{known}, PerHost: -1},
		"Grace":           {Auth: auth, KnownHosts: []string{known}, Grace: -time.Second},
	} {
		_, err := sshexec.New(c)
		var bad *sshexec.ConfigError
		if !errors.As(err, &bad) || bad.Field != strings.TrimSpace(field) {
			t.Errorf("New = %v, want an error of %s", err, field)
		}
	}
	_, err := sshexec.New(sshexec.Config{Auth: auth, KnownHosts: []string{missing}})
	if want := "sshexec: KnownHosts: "; !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("New = %v, want %s and what package os says", err, want)
	}
	if _, err := sshexec.New(sshexec.Config{Auth: auth, KnownHosts: []string{known}}); err != nil {
		t.Errorf("New = %v, want a Remote", err)
	}
}
