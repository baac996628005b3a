//go:build unix

package release

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/internal/pages"
	"github.com/stepgate/stepgate/internal/release"
)

const (
	root    = "../.."
	version = "v1.999.0" // any that the go command takes for a release, and that is none yet
	bound   = 10 * time.Minute
)

// programs are those of the released modules that are started with more than -h.
var programs = map[string]struct {
	args   []string
	prints string
	serves bool // it goes on once it has printed that, and is then ended
}{
	"examples/quickstart": {nil, `job succeeded`, false},
	"examples/console":    {[]string{"-addr", "127.0.0.1:0"}, `http://127\.0\.0\.1:\d+`, true},
	"examples/service":    {[]string{"-addr", "127.0.0.1:0"}, `serving http://`, true},
}

// Every module of a release can be got alone, by its path, and used; every program runs by its
// path and version; and the hashes in the release's go.sum files are those of what is published.
func TestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles every module anew: the run without -short has it")
	}
	r := publish(t)
	t.Run("again", r.testAgain)
	t.Run("hashes", r.testHashes)
	for _, m := range r.Modules {
		t.Run("go get "+m.Path, func(t *testing.T) { r.testGet(t, m) })
		for _, program := range r.list(t, m, `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`) {
			t.Run("go run "+program, func(t *testing.T) { r.testRun(t, program) })
		}
	}
	t.Run("README", r.testREADME)
	t.Run("pages", r.testPages)
}

// A published release.
type published struct {
	release.Release
	tree   string   // that it was made of
	folder string   // of its commit
	proxy  string   // the module proxy
	env    []string // of the go command
}

// publish makes a release of the working tree, sets its tags, and fills a module proxy from them.
func publish(t *testing.T) *published {
	t.Helper()
	tree := t.TempDir()
	copyTree(t, tree)
	prepare(t, tree)
	origin := t.TempDir()
	command(t, origin, nil, "git", "init", "-q", "--bare")
	command(t, tree, nil, "git", "init", "-q")
	command(t, tree, nil, "git", "config", "user.name", "test")
	command(t, tree, nil, "git", "config", "user.email", "test")
	command(t, tree, nil, "git", "remote", "add", "origin", origin)
	command(t, tree, nil, "git", "add", "-A")
	command(t, tree, nil, "git", "commit", "-q", "-m", "tree")
	p := &published{tree: tree, folder: filepath.Join(t.TempDir(), "it's a release"), proxy: t.TempDir()}
	p.testEnds(t)
	p.make(t)
	var err error
	for _, m := range p.Modules {
		if err = release.Fetch(t.Context(), origin, p.proxy, m.Path, version); err != nil {
			t.Fatal(err)
		}
	}
	if p.env, err = release.Environ(t.Context(), t.TempDir(), filepath.Join(p.proxy, "cache", "download")); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "GOSUMDB=off") // other steps of the gate hold the hashes of others' modules
	return p
}

// make makes the release with the script, and sets and pushes its tags as the script says.
func (p *published) make(t *testing.T) {
	t.Helper()
	var tags, log bytes.Buffer
	start(t, p.tree, nil, &tags, &log, "scripts/release", version, p.folder)
	t.Log(&log)
	p.Tags = strings.Fields(tags.String())
	modules, err := release.Modules(t.Context(), p.tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range modules {
		if m.Tagged() {
			p.Modules = append(p.Modules, m)
		}
	}
	_, line, ok := strings.Cut(log.String(), "\n  for each of them: ")
	if !ok || len(p.Tags) != len(p.Modules) {
		t.Fatalf("scripts/release prints the tags %q and\n%s\nwant %d tags, and how to set them", p.Tags, &log, len(p.Modules))
	}
	for i, m := range p.Modules {
		if want := m.Tag(version); p.Tags[i] != want {
			t.Errorf("tag %d is %s, want %s", i, p.Tags[i], want)
		}
		command(t, t.TempDir(), nil, "sh", "-c", strings.ReplaceAll(line, "TAG", p.Tags[i]))
	}
}

// testEnds asserts that a SIGTERM ends the script, which leaves nothing then.
func (p *published) testEnds(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	scratch := t.TempDir()
	cmd := exec.CommandContext(ctx, "scripts/release", version, p.folder)
	cmd.Dir, cmd.Env = p.tree, append(os.Environ(), "TMPDIR="+scratch)
	out := &watched{want: regexp.MustCompile(`executor/sshexec: ` + version), came: sync.OnceFunc(func() { cmd.Process.Signal(syscall.SIGTERM) })}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if text := out.String(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(text, "release: terminated") {
		t.Errorf("scripts/release, with a SIGTERM, ends with %v and prints\n%s\nwant status 1 and the signal", err, text)
	}
	left, err := os.ReadDir(scratch)
	if err != nil || len(left) > 0 {
		t.Errorf("scripts/release, with a SIGTERM, leaves temporary %v, %v", left, err)
	}
	if _, err := os.Stat(p.folder); err == nil {
		t.Errorf("scripts/release, with a SIGTERM, leaves %s", p.folder)
	}
}

// testAgain releases the version a second time, of a clone without its tags.
func (p *published) testAgain(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "scripts/release", version, p.folder+" again")
	cmd.Dir = p.tree
	out, err := cmd.CombinedOutput()
	if want := "release: the tag " + version + " exists"; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("a second scripts/release: %v, it prints\n%s\nwant %q", err, out, want)
	}
}

// copyTree copies what git tracks or would track.
func copyTree(t *testing.T, to string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Skipf("no clone: %v", err)
	}
	names := command(t, root, nil, "git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	for name := range strings.SplitSeq(strings.TrimSuffix(names, "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted and not yet committed
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(to, name), string(text), info.Mode().Perm())
	}
}

// prepare makes a tree ready for the release of version: what a person does, who also writes what
// is in it.
func prepare(t *testing.T, tree string) {
	t.Helper()
	write(t, filepath.Join(tree, "CHANGELOG.md"), "# Changelog\n\n## "+version[1:]+" - 2027-01-02\n\n- all there is\n", 0o644)
	command(t, tree, nil, "go", "test", "./engine", "-run", "^TestJournals$", "-journal", version)
}

// The go.sum files of the release have the hash that each module has as it is published.
func (p *published) testHashes(t *testing.T) {
	for _, m := range p.Modules {
		hash, err := os.ReadFile(filepath.Join(p.proxy, "cache/download", m.Path, "@v", version+".ziphash"))
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%s %s %s\n", m.Path, version, strings.TrimSpace(string(hash)))
		for _, user := range p.Modules {
			if !slices.Contains(user.Needs, m.Path) {
				continue
			}
			sums, err := os.ReadFile(filepath.Join(p.folder, user.Folder, "go.sum"))
			if err != nil || !strings.Contains(string(sums), want) {
				t.Errorf("%s/go.sum lacks the line %q: %v", user.Folder, want, err)
			}
		}
	}
}

// list returns what go list prints of the packages of a module.
func (p *published) list(t *testing.T, m release.Module, format string) []string {
	t.Helper()
	return strings.Fields(command(t, filepath.Join(p.folder, m.Folder), p.env, "go", "list", "-f", format, "./..."))
}

// testGet gets a module by its path alone, and runs a program with the packages that it has for others.
func (p *published) testGet(t *testing.T, m release.Module) {
	packages := slices.DeleteFunc(p.list(t, m, `{{if and (ne .Name "main") .GoFiles}}{{.ImportPath}}{{end}}`), func(path string) bool {
		return strings.Contains(path+"/", "/internal/")
	})
	user := t.TempDir()
	command(t, user, p.env, "go", "mod", "init", "example.com/user")
	command(t, user, p.env, "go", "get", m.Path)
	if got := strings.TrimSpace(command(t, user, p.env, "go", "list", "-m", m.Path)); got != m.Path+" "+version {
		t.Fatalf("go get gives %s, want %s %s", got, m.Path, version)
	}
	if len(packages) == 0 {
		return // a program: it is run
	}
	program := "package main\n\nimport (\n"
	for _, path := range packages {
		if strings.HasSuffix(path, "test") || strings.Contains(path, "/enginetest/") {
			continue // kits for tests need more: go mod tidy gets it
		}
		program += fmt.Sprintf("\t_ %q\n", path)
	}
	write(t, filepath.Join(user, "main.go"), program+")\n\nfunc main() { println(\"runs\") }\n", 0o666)
	if got := combined(t, user, p.env, "go", "run", "."); !strings.HasSuffix(got, "runs\n") {
		t.Errorf("a program with %v prints %q, want runs", packages, got)
	}
}

// testRun runs the latest version of a program by its path, in a folder that knows no module.
func (p *published) testRun(t *testing.T, program string) {
	folder := strings.TrimPrefix(program, release.Root+"/")
	if !strings.HasPrefix(folder, "examples/") {
		t.Skipf("%s is for this repository", folder)
	}
	run, ok := programs[folder]
	if !ok {
		combined(t, t.TempDir(), p.env, "go", "run", program+"@latest", "-h")
		return
	}
	args := append([]string{"run", program + "@latest"}, run.args...)
	if !run.serves {
		if got := combined(t, t.TempDir(), p.env, "go", args...); !regexp.MustCompile(run.prints).MatchString(got) {
			t.Errorf("it prints\n%s\nwant %q", got, run.prints)
		}
		return
	}
	p.serves(t, run.prints, args)
}

// serves runs a program until its output matches prints.
func (p *published) serves(t *testing.T, prints string, args []string) {
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run and the program
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out := &watched{want: regexp.MustCompile(prints), came: cancel}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if text := out.String(); !out.want.MatchString(text) {
		t.Errorf("it ends with %v and prints\n%s\nwant %q", err, text, prints)
	}
}

// testREADME does what the README says, from its top, with each command as it is printed: in an empty
// folder, and in the clone that it makes. The forge's address stands for the release here.
func (p *published) testREADME(t *testing.T) {
	all, err := pages.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	readme := all[0]
	env := append(slices.Clone(p.env),
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url."+p.folder+".insteadOf", "GIT_CONFIG_VALUE_0=https://"+release.Root)
	at := t.TempDir()
	module := "" // the folder of the reader's module
	var ran []string
	for _, c := range readme.Commands() {
		kind := strings.Join(strings.Fields(c.Text)[:2], " ")
		folder := at
		switch {
		case c.Text == "go test ./...":
			continue // the gate runs it
		case kind == "go get" || c.Text == "go run .":
			folder = module
		}
		if folder == "" {
			t.Fatalf("README.md:%d: %s: no module is made before", c.Line, c.Text)
		}
		if c.Text == "go run ." {
			write(t, filepath.Join(folder, "main.go"), program(t, readme), 0o666)
		}
		where := filepath.Join(t.TempDir(), "pwd")
		out := combined(t, folder, append(env, "WHERE="+where), "sh", "-c", c.Text+` && pwd >"$WHERE"`)
		text, err := os.ReadFile(where)
		if err != nil {
			t.Fatal(err)
		}
		switch left := strings.TrimSuffix(string(text), "\n"); {
		case strings.Contains(c.Text, "go mod init"):
			module = left
		case kind == "git clone":
			at = left
		case c.Text == "go run .":
			if want := output(t, readme); out != want {
				t.Errorf("README.md:%d: %s: it prints\n%s\nwant\n%s", c.Line, c.Text, out, want)
			}
		}
		ran = append(ran, c.Text)
	}
	if !slices.Contains(ran, "go run .") || len(ran) < 5 {
		t.Errorf("README.md has the commands %q: want a module, its program, a clone and more", ran)
	}
}

// program returns the program of the README.
func program(t *testing.T, readme pages.Page) string {
	t.Helper()
	for _, b := range readme.Blocks() {
		if b.Language == "go" && strings.Contains("\n"+b.Text, "\npackage main\n") {
			return b.Text
		}
	}
	t.Fatal("README.md has no program")
	return ""
}

// output returns what the README says that its program prints.
func output(t *testing.T, readme pages.Page) string {
	t.Helper()
	for _, b := range readme.Blocks() {
		if b.Part == "first" {
			return b.Text
		}
	}
	t.Fatal("README.md does not say what its program prints")
	return ""
}

// testPages gets what the pages of docs tell to get, each into a module of the reader's, and looks for the
// programs that they run by path.
func (p *published) testPages(t *testing.T) {
	all, err := pages.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range all {
		for _, c := range page.Commands() {
			words := strings.Fields(c.Text)
			if len(words) < 3 || words[0] != "go" || !strings.HasPrefix(words[2], release.Root) {
				continue
			}
			switch {
			case words[1] == "run":
				p.known(t, page.Name, words[2])
			case page.Name != "README.md":
				user := t.TempDir()
				command(t, user, p.env, "go", "mod", "init", "example.com/user")
				command(t, user, p.env, "go", words[1:]...)
			}
		}
	}
}

// known asserts that a program of a page, with its version, is one that this test runs.
func (p *published) known(t *testing.T, page, program string) {
	t.Helper()
	at, v, _ := strings.Cut(program, "@")
	if v != "latest" {
		t.Errorf("%s runs %s: want the version latest", page, program)
	}
	for _, m := range p.Modules {
		if strings.HasPrefix(at, m.Path) && slices.Contains(p.list(t, m, `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`), at) {
			return
		}
	}
	t.Errorf("%s runs %s, which no module of the release has", page, program)
}

// The script says what would have been right, and takes a folder from where it is called.
func TestScript(t *testing.T) {
	script, err := filepath.Abs(filepath.Join(root, "scripts/release"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "release: want two arguments, VERSION and FOLDER, as in: scripts/release v0.1.0 /tmp/stepgate-0.1.0\n"},
		{[]string{"v0.1", "new"}, `release: version "v0.1": want one like v0.1.0 or v0.1.0-rc.1`},
		{[]string{version, "old"}, "/old exists: name a folder that does not"},
	} {
		cmd := exec.CommandContext(t.Context(), script, c.args...)
		cmd.Dir = t.TempDir()
		write(t, filepath.Join(cmd.Dir, "old", "file"), "", 0o666)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("scripts/release %q: %v, it prints\n%s\nwant %q", c.args, err, out, c.want)
		}
	}
}

// command runs a command and returns its standard output.
func command(t *testing.T, folder string, env []string, name string, args ...string) string {
	t.Helper()
	var out, log bytes.Buffer
	start(t, folder, env, &out, &log, name, args...)
	return out.String()
}

// combined runs a command and returns all that it prints.
func combined(t *testing.T, folder string, env []string, name string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	start(t, folder, env, &out, &out, name, args...)
	return out.String()
}

func start(t *testing.T, folder string, env []string, out, log io.Writer, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = folder, append(os.Environ(), env...), out, log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s in %s: %v\n%v%v", name, strings.Join(args, " "), path.Base(folder), err, out, log)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// A watched is the output of a program, and calls came once it matches want.
type watched struct {
	want *regexp.Regexp
	came func()

	mu   sync.Mutex // guards all below
	text bytes.Buffer
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	if w.want.Match(w.text.Bytes()) {
		w.came()
	}
	return len(b), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
