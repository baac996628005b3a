// Package release prepares a release of all modules of the repository: scripts/release runs it.
//
// In the tree a nested module replaces the others by their folders. The go command ignores a
// replacement in a module that is required, and refuses one in a module that is run by its
// version. So the commit of a release has none: it requires the versions that it is tagged with,
// and its go.sum files have the hashes of modules that are not published yet. [Make] gets them from
// the go command itself, which fetches each module from a repository with the tags of the release.
package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Plan says what to release, and where to work.
type Plan struct {
	Tree    string // a clone of the repository, which is only read
	Version string // as v0.1.0
	Folder  string // where the copy will be; it must not exist
	Cache   string // a module cache for this release alone: it learns modules that no other may take for published
	Log     io.Writer

	identity []string // of the author and the committer, as git's environment
}

// A Release is a commit that is ready for its tags.
type Release struct {
	Commit  string
	Modules []Module // those that are released, in the order in which to set their tags
	Tags    []string // of Modules
}

// Make checks that a tree is ready for a release, copies it to p.Folder, and commits there what the
// release differs in. It sets no tag. Once ctx ends, it removes the copy.
func Make(ctx context.Context, p Plan) (*Release, error) {
	modules, err := p.check(ctx)
	if err != nil {
		return nil, err
	}
	m := maker{Plan: p, modules: modules}
	if m.scratch, err = os.MkdirTemp("", "stepgate-release-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(m.scratch)
	r, err := m.make(ctx)
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() != nil:
		return nil, errors.Join(context.Cause(ctx), os.RemoveAll(p.Folder))
	}
	if _, missing := os.Stat(p.Folder); missing == nil {
		err = fmt.Errorf("%w\n%s is no release: remove it", err, p.Folder)
	}
	return nil, err
}

// A maker makes one release.
type maker struct {
	Plan
	modules []Module
	scratch string // a bare repository with tags that lead to trees of the release as far as it is made
}

func (m *maker) make(ctx context.Context) (*Release, error) {
	if err := m.copy(ctx); err != nil {
		return nil, err
	}
	for _, module := range m.modules {
		if err := m.pin(ctx, module); err != nil {
			return nil, fmt.Errorf("%s: %w", module.Path, err)
		}
	}
	if err := m.builds(ctx); err != nil {
		return nil, err
	}
	return m.commit(ctx)
}

// copy clones the tree. The origin of the clone is that of the tree, if it has one.
func (m *maker) copy(ctx context.Context) error {
	m.say("copying %s to %s", m.Tree, m.Folder)
	if _, err := run(ctx, m.Tree, nil, "git", "clone", "-q", "--no-tags", ".", m.Folder); err != nil {
		return err
	}
	if origin, err := run(ctx, m.Tree, nil, "git", "remote", "get-url", "origin"); err == nil {
		if _, err := m.git(ctx, "remote", "set-url", "origin", strings.TrimSpace(origin)); err != nil {
			return err
		}
	}
	_, err := run(ctx, m.scratch, nil, "git", "init", "-q", "--bare")
	return err
}

// pin writes the version into the go.mod of a module, whose needs are pinned already, and the
// hashes of these into its go.sum.
func (m *maker) pin(ctx context.Context, module Module) error {
	m.say("%s: %s", module.Path, m.Version)
	edit := []string{"mod", "edit"}
	for _, path := range module.Needs {
		edit = append(edit, "-require="+path+"@"+m.Version)
	}
	for _, path := range module.local {
		edit = append(edit, "-dropreplace="+path)
	}
	if len(edit) > 2 {
		before, err := m.foreign(ctx, module)
		if err != nil {
			return err
		}
		if err := m.goes(ctx, module, append(edit, "go.mod")...); err != nil {
			return err
		}
		if err := m.goes(ctx, module, "mod", "tidy"); err != nil {
			return err
		}
		after, err := m.foreign(ctx, module)
		if err != nil {
			return err
		}
		if before != after {
			return fmt.Errorf("go mod tidy changes what it requires of others: run it in the tree and commit that first\nwas:\n%sis:\n%s", before, after)
		}
	}
	if !module.Tagged() {
		return nil
	}
	pinned, err := readModule(ctx, m.Folder, module.Folder)
	if err != nil {
		return err
	}
	if len(pinned.local) > 0 {
		return fmt.Errorf("go.mod still replaces %v: go run refuses that", pinned.local)
	}
	return m.publish(ctx, module)
}

// foreign lists what a module requires that is not of this repository.
func (m *maker) foreign(ctx context.Context, module Module) (string, error) {
	text, err := os.ReadFile(filepath.Join(m.Folder, module.Folder, "go.mod"))
	if err != nil {
		return "", err
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require ")); len(f) >= 2 && strings.HasPrefix(f[1], "v") && !own(f[0]) {
			lines = append(lines, f[0]+" "+f[1]+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), nil
}

// publish puts a module into the cache as it will be published: the go command fetches it by its
// tag from the scratch repository, which stands in for the one that the module's path names.
func (m *maker) publish(ctx context.Context, module Module) error {
	if _, err := m.git(ctx, "add", "-A"); err != nil {
		return err
	}
	tree, err := m.git(ctx, "write-tree")
	if err != nil {
		return err
	}
	commit, err := m.git(ctx, "-c", "user.name=scratch", "-c", "user.email=scratch", "commit-tree", "-m", "scratch", strings.TrimSpace(tree))
	if err != nil {
		return err
	}
	tag := "refs/tags/" + module.Tag(m.Version)
	if _, err := m.git(ctx, "push", "-q", "file://"+m.scratch, strings.TrimSpace(commit)+":"+tag); err != nil {
		return err
	}
	return Fetch(ctx, m.scratch, m.Cache, module.Path, m.Version)
}

// builds compiles every module that is released against the published ones, with its tests. It does not
// run them: the code and the versions of others' modules are those of the tree, where .ci/run does.
func (m *maker) builds(ctx context.Context) error {
	for _, module := range m.modules {
		if !module.Tagged() {
			continue
		}
		m.say("%s: go vet", module.Path)
		if err := m.goes(ctx, module, "vet", "./..."); err != nil {
			return fmt.Errorf("%s: %w", module.Path, err)
		}
	}
	return nil
}

func (m *maker) commit(ctx context.Context) (*Release, error) {
	if _, err := m.git(ctx, "add", "-A"); err != nil {
		return nil, err
	}
	if _, err := run(ctx, m.Folder, m.identity, "git", "commit", "-q", "--allow-empty", "-m", "release: "+m.Version); err != nil {
		return nil, err
	}
	head, err := m.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return nil, err
	}
	r := &Release{Commit: strings.TrimSpace(head)}
	for _, module := range m.modules {
		if module.Tagged() {
			r.Modules, r.Tags = append(r.Modules, module), append(r.Tags, module.Tag(m.Version))
		}
	}
	return r, nil
}

func (m *maker) git(ctx context.Context, args ...string) (string, error) {
	return run(ctx, m.Folder, nil, "git", args...)
}

// goes runs the go command in the copy of a module, as a user of the release would.
func (m *maker) goes(ctx context.Context, module Module, args ...string) error {
	env, err := Environ(ctx, m.Cache)
	if err != nil {
		return err
	}
	_, err = run(ctx, filepath.Join(m.Folder, module.Folder), env, "go", args...)
	return err
}

func (p *Plan) say(format string, args ...any) {
	if p.Log != nil {
		fmt.Fprintf(p.Log, format+"\n", args...)
	}
}

// Fetch puts a module into a module cache as the go command fetches it from a repository whose
// tags are those of the release. What lies in the cache's folder cache/download is a module proxy.
func Fetch(ctx context.Context, repository, cache, path, version string) error {
	_, err := run(ctx, repository, []string{
		"GOWORK=off", "GOFLAGS=-modcacherw", "GOMODCACHE=" + cache,
		"GOPROXY=direct", "GONOSUMDB=" + Root, "GOPRIVATE=", "GONOPROXY=none", "GOVCS=",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url.file://" + repository + ".insteadOf", "GIT_CONFIG_VALUE_0=https://" + Root,
	}, "go", "mod", "download", path+"@"+version)
	return err
}

// Environ returns what the go command needs to take modules of the repository from the proxies, folders
// on this machine, and all others from the user's module cache or the user's proxies.
// Modules are kept in the folder cache.
func Environ(ctx context.Context, cache string, proxies ...string) ([]string, error) {
	out, err := run(ctx, "", nil, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return nil, err
	}
	users, proxy, _ := strings.Cut(strings.TrimSpace(out), "\n")
	from := append(slices.Clone(proxies), "file://"+filepath.ToSlash(filepath.Join(users, "cache/download")), proxy)
	for i := range proxies {
		from[i] = "file://" + filepath.ToSlash(proxies[i])
	}
	return []string{
		"GOWORK=off", "GOFLAGS=-modcacherw -trimpath", // so that the build cache knows modules by their versions, not by their folders
		"GOMODCACHE=" + cache, "GOPROXY=" + strings.Join(from, ","),
		"GONOSUMDB=" + Root, "GOPRIVATE=", "GONOPROXY=none",
	}, nil
}

// run runs a command in a folder and returns what it prints. Once ctx ends, the command is interrupted,
// so that git and go remove what they have begun.
func run(ctx context.Context, folder string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second // then it is killed
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, log.Bytes())
	}
	return out.String(), nil
}
