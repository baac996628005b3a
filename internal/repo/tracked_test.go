package repo

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// maxTracked, in bytes, is four times the largest picture.
const maxTracked = 500_000

// The repository tracks what people wrote: no large file and no compiled program.
func TestTrackedFiles(t *testing.T) {
	needsClone(t)
	files := strings.Split(strings.TrimSuffix(output(t, "git", "ls-files", "-z"), "\x00"), "\x00")
	if len(files) < 100 {
		t.Fatalf("git lists %d files: %q", len(files), files)
	}
	for _, name := range files {
		if fault := unfit(t, filepath.Join(root, name)); fault != "" {
			t.Errorf("%s: %s", name, fault)
		}
	}
}

// Large files and programs are found; scripts, pictures and texts are not.
func TestUnfitFilesAreFound(t *testing.T) {
	large := strings.Repeat("x", maxTracked)
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"text", "package repo\n", 0o644, ""},
		{"limit", large, 0o644, ""},
		{"script", "#!/bin/sh\n", 0o755, ""},
		{"picture", "\x89PNG\r\n", 0o644, ""},
		{"large", large + "x", 0o644, "500001 bytes, the maximum is 500000"},
		{"elf", "\x7fELF\x02", 0o644, "a compiled program"},
		{"windows", "MZ\x90\x00", 0o644, "a compiled program"},
		{"mac", "\xcf\xfa\xed\xfe", 0o644, "a compiled program"},
		{"archive", "!<arch>\n", 0o644, "a compiled program"},
		{"mode", "package repo\n", 0o755, "executable but not a script"},
	} {
		file := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if got := unfit(t, file); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Git ignores the programs that go build writes, in the root and beside their sources.
func TestBuildOutputsAreIgnored(t *testing.T) {
	needsClone(t)
	programs := strings.Fields(output(t, "go", "list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`, "work"))
	if len(programs) < 6 {
		t.Fatalf("go list finds %d programs: %q", len(programs), programs)
	}
	for _, program := range programs {
		name := path.Base(program)
		for _, built := range []string{name, path.Join(strings.TrimPrefix(program, module+"/"), name)} {
			if info, err := os.Stat(filepath.Join(root, built)); err == nil && info.IsDir() {
				continue // go build refuses to write here
			}
			for _, suffix := range []string{"", ".exe"} {
				if err := command("git", "check-ignore", "-q", "--no-index", built+suffix).Run(); err != nil {
					t.Errorf(".gitignore has no line for %s: %v", built+suffix, err)
				}
			}
		}
	}
}

// unfit says why the repository must not track a file, "" if it may.
func unfit(t *testing.T, name string) string {
	t.Helper()
	info, err := os.Lstat(name)
	if os.IsNotExist(err) || err == nil && !info.Mode().IsRegular() {
		return "" // deleted and not yet committed, or a link
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	head := make([]byte, 8)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		t.Fatal(err)
	}
	head = head[:n]
	for _, magic := range []string{
		"\x7fELF", "MZ", "!<arch>\n", // Linux, Windows, a library
		"\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xca\xfe\xba\xbe", // macOS: 64 bits, 32 bits, both
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return "a compiled program"
		}
	}
	switch {
	case info.Size() > maxTracked:
		return fmt.Sprintf("%d bytes, the maximum is %d", info.Size(), maxTracked)
	case info.Mode()&0o111 != 0 && !bytes.HasPrefix(head, []byte("#!")):
		return "executable but not a script"
	}
	return ""
}

// needsClone skips a test of sources that are no clone, but those of a module's zip.
func needsClone(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Skipf("no clone: %v", err)
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return string(out)
}

// command is a command that runs in the root. Git is told to read it whoever its owner is.
func command(name string, args ...string) *exec.Cmd {
	if name == "git" {
		args = append([]string{"-c", "safe.directory=*"}, args...)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	return cmd
}
