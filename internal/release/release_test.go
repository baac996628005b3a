package release

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A changelog is ready if its first version is the one to release, dated, and nothing is unreleased.
func TestCheckChangelog(t *testing.T) {
	for changelog, want := range map[string]string{
		"# Changelog\n\n## 0.1.0 - 2027-01-02\n\n- all\n":                         "",
		"# Changelog\n\n## Unreleased\n\n## 0.1.0 - 2027-01-02\n- all\n":          "",
		"## 0.1.0 - 2027-01-02\n- all\n## 0.0.9 - 2026-01-02\n- some\n":           "",
		"# Changelog\n\n## Unreleased\n- more\n\n## 0.1.0 - 2027-01-02\n- all\n":  "there are changes below Unreleased",
		"# Changelog\n\n## 0.2.0 - 2027-01-02\n- all\n## 0.1.0 - 2026-01-02\n- x": `the latest version is "0.2.0 - 2027-01-02"`,
		"# Changelog\n\n## 0.1.0\n- all\n":                                        `the latest version is "0.1.0"`,
		"# Changelog\n\n## 0.1.0-rc.1 - 2027-01-02\n- all\n":                      `the latest version is "0.1.0-rc.1 - 2027-01-02"`,
		"# Changelog\n\n## 0.1.0 - 2027-02-30\n- all\n":                           `has the date "2027-02-30": want YYYY-MM-DD`,
		"# Changelog\n\n## 0.1.0 - soon\n- all\n":                                 `has the date "soon": want YYYY-MM-DD`,
		"# Changelog\n\n## 0.1.0 - 2027-01-02\n\n## 0.0.9 - 2026-01-02\n- some\n": "the section of v0.1.0 is empty",
		"# Changelog\n\n## Unreleased\n":                                          "it has no version: want a section ## 0.1.0 - DATE",
		"":                                                                        "it has no version",
	} {
		wantError(t, changelog, checkChangelog(changelog, "v0.1.0"), want)
	}
}

// The changelog of this tree has a section for each version, the latest first, and one for what is
// unreleased above them, if there is any.
func TestChangelog(t *testing.T) {
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	heading := regexp.MustCompile(`^(\d+\.\d+\.\d+(?:-[\w.-]+)?) - (\d{4}-\d\d-\d\d)$`)
	versions, last := 0, ""
	for line := range strings.Lines(string(text)) {
		title, ok := strings.CutPrefix(strings.TrimSpace(line), "## ")
		if !ok || title == "Unreleased" && versions == 0 {
			continue
		}
		m := heading.FindStringSubmatch(title)
		if m == nil || last != "" && m[2] > last {
			t.Fatalf("the section %q: want VERSION - DATE, the latest first", title)
		}
		if versions++; versions == 1 && !strings.Contains(string(text), "## Unreleased") {
			if err := checkChangelog(string(text), "v"+m[1]); err != nil {
				t.Error(err)
			}
		}
		last = m[2]
	}
	if versions == 0 {
		t.Error("the changelog has no version")
	}
}

// Every plan that cannot be made is refused before anything is written, with a sentence that says
// what would have been right.
func TestRefusals(t *testing.T) {
	ready := map[string]string{"go.mod": "module " + Root + "\n", "CHANGELOG.md": "## 0.1.0 - 2027-01-02\n- all\n"}
	for _, c := range []struct {
		name, version, want string
		change              func(t *testing.T, tree string)
	}{
		{"no v", "0.1.0", `version "0.1.0": want one like v0.1.0`, nil},
		{"two numbers", "v0.1", `want one like v0.1.0`, nil},
		{"zero before a number", "v0.01.0", `want one like v0.1.0`, nil},
		{"build", "v0.1.0+1", `want one like v0.1.0`, nil},
		{"zero before a pre-release's number", "v0.1.0-01", `version "v0.1.0-01": want one like v0.1.0`, nil},
		{"empty pre-release", "v0.1.0-rc..1", `want one like v0.1.0`, nil},
		{"pseudo-version", "v0.1.1-0.20270102030405-abcdef012345", "the go command takes this one for a commit without a tag", nil},
		{"pseudo-version without a tag before it", "v0.0.0-20270102030405-abcdef012345", "the go command takes this one for a commit without a tag", nil},
		{"number, letters and hyphens", "v0.1.0-0.1a.-0", "has no journal", func(t *testing.T, tree string) {
			write(t, tree, "CHANGELOG.md", "## 0.1.0-0.1a.-0 - 2027-01-02\n- all\n")
			commit(t, tree)
		}},
		{"second major version", "v2.0.0", `would have to end in /v2`, nil},
		{"dirty", "v0.1.0", "commit, or remove,\n?? new", func(t *testing.T, tree string) { write(t, tree, "new", "") }},
		{"tag", "v0.1.0", "the tag v0.1.0 exists: a version is released once, choose the next one", func(t *testing.T, tree string) { git(t, tree, "tag", "v0.1.0") }},
		{"tag in origin", "v0.1.0", "the tag v0.1.0 exists", func(t *testing.T, tree string) {
			origin := t.TempDir()
			git(t, origin, "init", "-q", "--bare")
			git(t, tree, "remote", "add", "origin", origin)
			git(t, tree, "push", "-q", "origin", "HEAD:refs/tags/v0.1.0")
		}},
		{"an origin that does not answer", "v0.1.0", "has no journal", func(t *testing.T, tree string) {
			git(t, tree, "remote", "add", "origin", filepath.Join(tree, "gone"))
		}},
		{"no identity", "v0.1.0", "set user.name and user.email", func(t *testing.T, tree string) {
			git(t, tree, "config", "user.name", "")
		}},
		{"tag of a nested module", "v0.1.0", "the tag store/pgstore/v0.1.0 exists", func(t *testing.T, tree string) {
			write(t, tree, "store/pgstore/go.mod", "module "+Root+"/store/pgstore\n")
			commit(t, tree)
			git(t, tree, "tag", "store/pgstore/v0.1.0")
		}},
		{"changelog", "v0.2.0", `CHANGELOG.md: the latest version is "0.1.0 - 2027-01-02": want a section ## 0.2.0 - DATE above it`, nil},
		{"journal", "v0.1.0", "has no journal of v0.1.0: record it: go test ./engine -run TestJournals -journal v0.1.0", nil},
		{"path", "v0.1.0", "cli/go.mod declares example.com/cli: want " + Root + "/cli", func(t *testing.T, tree string) {
			write(t, tree, "cli/go.mod", "module example.com/cli\n")
			commit(t, tree)
		}},
		{"a version is excluded", "v0.1.0", "go.mod excludes example.com/x v1.2.3: go get ignores and go run refuses that", func(t *testing.T, tree string) {
			write(t, tree, "go.mod", "module "+Root+"\nexclude example.com/x v1.2.3\n")
			commit(t, tree)
		}},
		{"another's module is replaced", "v0.1.0", "cli/go.mod replaces example.com/x: go get and go run ignore or refuse that", func(t *testing.T, tree string) {
			write(t, tree, "cli/go.mod", "module "+Root+"/cli\nreplace example.com/x => ../x\n")
			commit(t, tree)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, folder := t.TempDir(), filepath.Join(t.TempDir(), "new")
			git(t, tree, "init", "-q")
			identify(t, tree)
			for name, text := range ready {
				write(t, tree, name, text)
			}
			commit(t, tree)
			if c.change != nil {
				c.change(t, tree)
			}
			_, err := Make(t.Context(), Plan{Tree: tree, Version: c.version, Folder: folder, Cache: t.TempDir()})
			wantError(t, c.version, err, c.want)
			if _, err := os.Stat(folder); err == nil {
				t.Errorf("%s is there, although the plan was refused", folder)
			}
		})
	}
	tree, folder := t.TempDir(), t.TempDir()
	git(t, tree, "init", "-q")
	if err := os.Symlink(tree, filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	for where, want := range map[string]string{
		folder:                             folder + " exists: name a folder that does not",
		filepath.Join(folder, "a/b"):       folder + "/a does not exist: make it",
		filepath.Join(tree, "new"):         "/new is inside the repository: name a folder outside",
		filepath.Join(folder, "link/new"):  "/new is inside the repository: name a folder outside",
		filepath.Join(tree, ".git", "new"): "/new is inside the repository: name a folder outside",
	} {
		_, err := Make(t.Context(), Plan{Tree: tree, Version: "v0.1.0", Folder: where})
		wantError(t, where, err, want)
	}
}

// small makes a tree that is ready for v0.1.0: the root module, and one that replaces it in a version.
func small(t *testing.T) (tree string) {
	t.Helper()
	tree = t.TempDir()
	git(t, tree, "init", "-q")
	identify(t, tree)
	for name, text := range map[string]string{
		"go.mod":                        "module " + Root + "\n\ngo 1.26.0\n",
		"CHANGELOG.md":                  "## 0.1.0 - 2027-01-02\n- all\n",
		"engine/engine.go":              "package engine\n",
		"engine/engine_test.go":         "package engine\n\nimport (\n\t\"flag\"\n\t\"testing\"\n)\n\nvar _ = flag.String(\"recorded\", \"\", \"\")\n\nfunc TestJournals(t *testing.T) {}\n",
		journals + "/v0.1.0/story.json": "{}\n",
		"cli/cli.go":                    "package cli\n\nimport _ \"" + Root + "/engine\"\n",
		"cli/go.mod":                    "module " + Root + "/cli\n\ngo 1.26.0\n\nrequire " + Root + " v0.0.0\n\nreplace " + Root + " v0.0.0 => ../\n",
	} {
		write(t, tree, name, text)
	}
	commit(t, tree)
	return tree
}

// A release has no replacement, with a version or without, and is committed in the name that the
// tree's own configuration gives.
func TestMake(t *testing.T) {
	tree, folder := small(t), filepath.Join(t.TempDir(), "new")
	r, err := Make(t.Context(), Plan{Tree: tree, Version: "v0.1.0", Folder: folder, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"v0.1.0", "cli/v0.1.0"}; !slices.Equal(r.Tags, want) {
		t.Errorf("the tags are %v, want %v", r.Tags, want)
	}
	log, err := run(t.Context(), folder, nil, "git", "log", "-1", "--format=%H %an <%ae> %cn <%ce> %s")
	if want := r.Commit + " Ann Other <ann@example.com> Ann Other <ann@example.com> release: v0.1.0\n"; err != nil || log != want {
		t.Errorf("the commit is %q, %v; want %q", log, err, want)
	}
	mod, err := os.ReadFile(filepath.Join(folder, "cli/go.mod"))
	if want := "module " + Root + "/cli\n\ngo 1.26.0\n\nrequire " + Root + " v0.1.0\n"; err != nil || string(mod) != want {
		t.Errorf("the nested go.mod is\n%s, %v; want\n%s", mod, err, want)
	}
}

// A release that is ended in the middle leaves nothing.
func TestMakeEnds(t *testing.T) {
	tree, folder, scratch := small(t), filepath.Join(t.TempDir(), "new"), t.TempDir()
	cache := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	ctx, end := context.WithCancelCause(t.Context())
	ended := errors.New("ended by this test")
	last := writer(func(line string) {
		if strings.HasPrefix(line, Root+"/cli: v0.1.0") {
			end(ended)
		}
	})
	if _, err := Make(ctx, Plan{Tree: tree, Version: "v0.1.0", Folder: folder, Cache: cache, Log: last}); !errors.Is(err, ended) {
		t.Errorf("Make: %v, want %v", err, ended)
	}
	if _, err := os.Stat(folder); err == nil {
		t.Errorf("%s is left", folder)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("in the folder of temporary files is left %v, %v", left, err)
	}
}

type writer func(string)

func (w writer) Write(b []byte) (int, error) {
	w(string(b))
	return len(b), nil
}

// Modules come after those that they need, and none that is released needs one that is not.
func TestOrder(t *testing.T) {
	module := func(folder string, needs ...string) Module {
		m := Module{Path: Root + "/" + folder, Folder: folder}
		if folder == "." {
			m.Path = Root
		}
		for _, n := range needs {
			m.Needs = append(m.Needs, strings.TrimSuffix(Root+"/"+n, "/."))
		}
		return m
	}
	order, err := ordered([]Module{module("b", "z", "."), module("z", "."), module("test", "b"), module("a", "."), module(".")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range order {
		if m.Tagged() {
			got = append(got, m.Tag("v0.1.0"))
		}
	}
	if want := "v0.1.0 a/v0.1.0 z/v0.1.0 b/v0.1.0"; strings.Join(got, " ") != want {
		t.Errorf("the tags are %v, want %s", got, want)
	}
	_, err = ordered([]Module{module("a", "b"), module("b", "a"), module(".")})
	wantError(t, "a circle", err, "modules need each other, or one that is not here: ["+Root+"/a "+Root+"/b]")
	_, err = ordered([]Module{module("a", "test"), module("test", "."), module(".")})
	wantError(t, "a released module on test", err, Root+"/a needs "+Root+"/test, which is not released: it tests several modules together")
}

// The modules of this tree are found, and all that are never released are among them.
func TestModules(t *testing.T) {
	const tree = "../.."
	if _, err := os.Stat(filepath.Join(tree, ".git")); err != nil {
		t.Skipf("no clone: %v", err)
	}
	modules, err := Modules(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range modules {
		found[m.Folder] = true
	}
	for folder := range Untagged {
		if !found[folder] {
			t.Errorf("%s is listed as never released, and is no module", folder)
		}
	}
	for _, folder := range []string{".", "store/sqlitestore", "store/pgstore/riverfx", "executor/sshexec", "examples/console"} {
		if !found[folder] {
			t.Errorf("the module in %s was not found", folder)
		}
	}
	work, err := run(t.Context(), tree, nil, "go", "list", "-m")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, m := range modules {
		paths = append(paths, m.Path)
	}
	slices.Sort(paths)
	if used := slices.Sorted(strings.FieldsSeq(work)); !slices.Equal(used, paths) {
		t.Errorf("go.work uses %v, want every module, %v", used, paths)
	}
	if modules[0].Path != Root {
		t.Errorf("the first module is %s, want %s", modules[0].Path, Root)
	}
}

func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%q: %v, want no error", what, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%q: error %v, want one with %q", what, err, want)
	}
}

func write(t *testing.T, tree, name, text string) {
	t.Helper()
	path := filepath.Join(tree, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func identify(t *testing.T, tree string) {
	t.Helper()
	git(t, tree, "config", "user.name", "Ann Other")
	git(t, tree, "config", "user.email", "ann@example.com")
}

func commit(t *testing.T, tree string) {
	t.Helper()
	git(t, tree, "add", "-A")
	git(t, tree, "-c", "user.name=test", "-c", "user.email=test", "commit", "-q", "-m", "test")
}

func git(t *testing.T, tree string, args ...string) {
	t.Helper()
	if _, err := run(t.Context(), tree, nil, "git", args...); err != nil {
		t.Fatal(err)
	}
}
