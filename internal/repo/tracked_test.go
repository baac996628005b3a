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

// The repository tracks written files: no large file, no compiled program, and no file that a test
// leaves behind.
func TestTrackedFiles(t *testing.T) {
	files := tracked(t)
	if len(files) < 100 {
		t.Fatalf("git lists %d files: %q", len(files), files)
	}
	for _, name := range files {
		if fault := unfit(t, filepath.Join(root, name)); fault != "" {
			t.Errorf("%s: %s", name, fault)
		}
	}
	ignored, err := git("ls-files", "-ci", "--exclude-per-directory=.gitignore").Output()
	if err != nil || len(ignored) > 0 {
		t.Errorf("git tracks files that .gitignore names, %v:\n%s", err, ignored)
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
	programs := map[string]bool{} // folders of package main
	for _, name := range tracked(t, "*.go") {
		folder := path.Dir(name)
		if text, err := os.ReadFile(filepath.Join(root, name)); err == nil && strings.Contains("\n"+string(text), "\npackage main\n") {
			programs[folder] = true
		}
	}
	if len(programs) < 5 {
		t.Fatalf("%d programs were found: %v", len(programs), programs)
	}
	for program := range programs {
		name := path.Base(program)
		for _, built := range []string{name, path.Join(program, name)} {
			if info, err := os.Stat(filepath.Join(root, built)); err == nil && info.IsDir() {
				continue // go build refuses to write here
			}
			for _, suffix := range []string{"", ".exe"} {
				if err := git("check-ignore", "-q", "--no-index", built+suffix).Run(); err != nil {
					t.Errorf(".gitignore has no line for %s: %v", built+suffix, err)
				}
			}
		}
	}
}

// unfit returns why the repository must not track a file, "" if it may.
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

// tracked returns the files that git tracks, of these patterns if there are any. It skips a
// test whose sources came without git, as in a module's zip.
func tracked(t *testing.T, patterns ...string) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Skipf("no clone: %v", err)
	}
	out, err := git(append([]string{"ls-files", "-z", "--"}, patterns...)...).Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// git is a git command in the root, of any owner, without what its user ignores everywhere.
func git(args ...string) *exec.Cmd {
	cmd := exec.Command("git", append([]string{"-c", "safe.directory=*", "-c", "core.excludesFile=" + os.DevNull}, args...)...)
	cmd.Dir = root
	return cmd
}
