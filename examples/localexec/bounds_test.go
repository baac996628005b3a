//go:build unix

package localexec_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
)

// environment runs a script that prints its environment.
func (l *lab) environment() []string {
	l.Helper()
	l.result(l.begin(l.ctx, l.d.Script, localexec.Script{Script: "env"}.Payload(), 1, "a"), step.TargetSucceeded)
	return strings.Split(strings.TrimSpace(l.log("a", executor.Stdout)), "\n")
}

func TestScriptsGetAChosenEnvironment(t *testing.T) {
	t.Setenv("PGPASSWORD", "secret")
	t.Setenv("PATH", "/usr/bin:/bin")
	l := newLab(t, localexec.Config{})
	got := l.environment()
	for _, entry := range got {
		if strings.Contains(entry, "secret") {
			t.Errorf("the script sees %s", entry)
		}
	}
	for _, want := range []string{"PATH=/usr/bin:/bin", "PWD=" + filepath.Join(l.config.Root, "a"), "STEPGATE_TARGET=a"} {
		if !slices.Contains(got, want) {
			t.Errorf("the script sees\n %s\nwant %s among it", strings.Join(got, "\n "), want)
		}
	}

	l = newLab(t, localexec.Config{Env: []string{"KEY=value"}})
	got = slices.DeleteFunc(l.environment(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		shells := name == "_" || name == "SHLVL" || name == "OLDPWD"
		return shells || name == "PWD" || strings.HasPrefix(name, "STEPGATE_")
	})
	if !slices.Equal(got, []string{"KEY=value"}) {
		t.Errorf("beside PWD and the STEPGATE variables the script sees %q, want KEY=value only", got)
	}
}

// Other users cannot read copied files, unless the payload says so.
func TestFilesAreTheOwnersAlone(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // which would help
	l := newLab(t, localexec.Config{})
	up, gate := l.pipe("up"), l.pipe("gate")
	l.copy([]localexec.File{{Content: new("secret"), To: "own/secret"}, {Content: new("page"), To: "open/page", Mode: "644"}}, "a", step.TargetSucceeded)
	done, _ := l.start(`echo up >$LAB/up; read x <$LAB/gate`, "a")
	up.get()
	seen := 0
	for _, root := range []string{l.config.State, filepath.Join(l.config.Root, "a")} {
		l.must(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || path == filepath.Join(l.config.Root, "a") { // the test's own
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			seen++
			want := fs.FileMode(0)
			switch name, _ := filepath.Rel(root, path); name {
			case "open":
				want = 0o055
			case "open/page":
				want = 0o044
			}
			if got := info.Mode() & 0o077; got != want {
				t.Errorf("%s: others have the rights %03o, want %03o", path, got, want)
			}
			return nil
		}))
	}
	if seen != 6 {
		t.Errorf("%d files and directories were written, want 4 in the target and 2 for the script that runs", seen)
	}
	gate.put()
	l.result(done, step.TargetSucceeded)
}

// A directory is a target by one name only, so that no step runs twice in it.
func TestATargetIsOneDirectory(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.must(os.Symlink("a", filepath.Join(l.config.Root, "alias")))
	l.must(os.Symlink(".", filepath.Join(l.config.Root, "root")))
	for i, name := range []string{"a", "b/../a", "./a", "a/", "a/.", "b//../a", "alias", "root/a"} {
		r := l.d.Script(l.ctx, task(l.text(`echo ran >>$LAB/ran`), 1), executor.Host{Index: int32(i), Name: name})
		if want := step.InvalidTarget; i > 0 && (r.Status != want || r.Detail == "") {
			t.Errorf("target %s: %+v, want %v and why", name, r, want)
		}
	}
	if got := l.read("ran"); got != "ran\n" {
		t.Errorf("%q ran, want one script", got)
	}
}

// An executor without sources copies content alone.
func TestWithoutSourcesNothingIsRead(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.write("secret", "secret")
	t.Chdir(l.dir)
	l.config.Sources = ""
	l.d = localexec.New(l.config)
	if got := l.copy([]localexec.File{{From: "secret", To: "y"}}, "a", step.FetchFailed); got.Detail != "secret: Config.Sources is empty, want content" {
		t.Errorf("detail = %q, want it to say what would be right", got.Detail)
	}
	if got := l.read("targets/a/y"); got != "" {
		t.Errorf("y holds %q", got)
	}
}
