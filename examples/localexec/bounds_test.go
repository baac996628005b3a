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
	"github.com/stepgate/stepgate/step"
)

// environment runs a script that prints its environment.
func (l *lab) environment() []string {
	l.Helper()
	job := l.start(step.Spec{Type: step.Script, Name: "env", Targets: []string{"a"}, Payload: localexec.Script{Script: "env"}.Payload()})
	l.settles(l.run(job, 1))
	l.is(job, 1, 0, step.TargetSucceeded)
	out, err := l.x.Output(job, 1, 1, 0)
	l.must(err)
	return strings.Split(strings.TrimSpace(string(out.Stdout)), "\n")
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

// What is written cannot be read by others, unless the payload says so.
func TestFilesAreTheOwnersAlone(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // which would help
	l := newLab(t, localexec.Config{})
	l.dispatch()
	job := l.start(
		l.script(`echo secret; echo secret >&2`, "a"),
		l.files([]localexec.File{{Content: new("secret"), To: "own/secret"}, {Content: new("page"), To: "open/page", Mode: "644"}}, "a"),
	)
	l.untilState(job, 2, step.Succeeded)
	seen := 0
	for _, root := range []string{l.config.Logs, filepath.Join(l.config.Root, "a")} {
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
	if seen < 12 {
		t.Errorf("%d files and directories were written, want 12", seen)
	}
}

// A directory is a target by one name only, so that no step runs twice in it.
func TestATargetIsOneDirectory(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.must(os.Symlink("a", filepath.Join(l.config.Root, "alias")))
	l.must(os.Symlink(".", filepath.Join(l.config.Root, "root")))
	names := []string{"a", "b/../a", "./a", "a/", "a/.", "b//../a", "alias", "root/a"}
	job := l.start(l.script(`echo ran >>$LAB/ran`, names...))
	l.settles(l.run(job, 1))
	l.lines("ran", 1)
	l.is(job, 1, 0, step.TargetSucceeded)
	for i := range names[1:] {
		if got := l.is(job, 1, int32(i+1), step.InvalidTarget); got.Detail == "" {
			t.Errorf("target %s: no detail says why", got.Name)
		}
	}
	if got, want := localexec.CheckTarget("b/../a"), `"b/../a": want the shortest path of the directory, "a"`; got == nil || got.Error() != want {
		t.Errorf("CheckTarget = %v, want %s", got, want)
	}
}

// An executor without sources copies content alone.
func TestWithoutSourcesNothingIsRead(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.write("secret", "secret")
	t.Chdir(l.dir)
	l.config.Sources = ""
	l.x = localexec.New(l.eng, l.config)
	job := l.start(l.files([]localexec.File{{Content: new("x"), To: "x"}, {From: "secret", To: "y"}}, "a"))
	l.settles(l.run(job, 1))
	l.untilState(job, 1, step.Abnormal)
	history, err := l.eng.History(l.ctx, job, 0, 0)
	l.must(err)
	if got, want := history[len(history)-1].Reason, `payload: files[1].from: "secret": this executor has no sources: want content`; got != want {
		t.Errorf("the step is abnormal for %q, want %q", got, want)
	}
	if got := l.read("targets/a/y"); got != "" {
		t.Errorf("y holds %q", got)
	}
}
