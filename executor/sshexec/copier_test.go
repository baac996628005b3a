package sshexec

import (
	"io"
	"net"
	"testing"

	"github.com/pkg/sftp"
)

// A server that renames over no file, and has no extension for it, has files replaced as well.
func TestRenameWithoutTheExtension(t *testing.T) {
	all := []string{"hardlink@openssh.com", "posix-rename@openssh.com", "statvfs@openssh.com"}
	if err := sftp.SetSFTPExtensions(all[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sftp.SetSFTPExtensions(all...) })
	here, there := net.Pipe()
	server := sftp.NewRequestServer(there, sftp.InMemHandler())
	go func() { _ = server.Serve() }()
	client, err := sftp.NewClientPipe(here, here)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	c := copier{x: &Remote{c: Config{FileLimit: 100}}, client: client}
	for _, text := range []string{"first", "second"} {
		if n, err := c.copy(t.Context(), File{Content: &text, To: "/to"}, ".temporary"); n != int64(len(text)) || err != nil {
			t.Errorf("copy = %d, %v", n, err)
		}
		if got, err := contentOf(client, "/to"); got != text || err != nil {
			t.Errorf("the file holds %q, %v; want %q", got, err, text)
		}
	}
	if entries, err := client.ReadDir("/"); len(entries) != 1 {
		t.Errorf("the folder has %d entries, %v; want the file alone", len(entries), err)
	}
}

func contentOf(client *sftp.Client, name string) (string, error) {
	file, err := client.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	return string(text), err
}
