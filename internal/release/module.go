package release

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Root is the path of the root module. The path of a nested module is Root, a slash and its folder.
const Root = "github.com/stepgate/stepgate"

// Untagged are the nested modules that no release has: what they test or measure is the repository
// itself, and they run in a clone of it. A module that is not listed here is released.
var Untagged = map[string]string{
	"bench":        "measures the library beside its peers",
	"test":         "tests several modules together",
	"test/browser": "tests examples/console in a browser",
}

// A Module is a module of the repository.
type Module struct {
	Path   string
	Folder string   // from the root of the repository, with slashes; "." for the root module
	Needs  []string // paths of the repository's modules that it requires, in the order of its go.mod
	local  []string // of this repository's modules, what its go.mod replaces: PATH or PATH@VERSION
}

// Tagged reports whether a release has m.
func (m Module) Tagged() bool { return Untagged[m.Folder] == "" }

// Tag is the tag that makes a commit the given version of m: the version, below the folder of a
// nested module.
func (m Module) Tag(version string) string { return path.Join(m.Folder, version) }

// Modules finds the modules that git tracks in a tree, and returns them in an order in which each
// comes after those that it needs: the root first, and otherwise by path.
func Modules(ctx context.Context, tree string) ([]Module, error) {
	out, err := run(ctx, tree, nil, "git", "-c", "safe.directory=*", "ls-files", "-z", "go.mod", "**/go.mod")
	if err != nil {
		return nil, err
	}
	var all []Module
	for file := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		if strings.Contains("/"+file, "/testdata/") {
			continue
		}
		m, err := readModule(ctx, tree, path.Dir(file))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return ordered(all)
}

// readModule reads the go.mod of a folder.
func readModule(ctx context.Context, tree, folder string) (Module, error) {
	m := Module{Folder: folder}
	out, err := run(ctx, filepath.Join(tree, folder), nil, "go", "mod", "edit", "-json")
	if err != nil {
		return m, err
	}
	var file struct {
		Module  struct{ Path string }
		Require []struct{ Path string }
		Replace []struct {
			Old struct{ Path, Version string }
		}
		Exclude []struct{ Path, Version string }
	}
	if err := json.Unmarshal([]byte(out), &file); err != nil {
		return m, fmt.Errorf("%s/go.mod: %w", folder, err)
	}
	if m.Path = file.Module.Path; m.Path != path.Join(Root, folder) {
		return m, fmt.Errorf("%s/go.mod declares %s: want %s, as a tag names a folder", folder, m.Path, path.Join(Root, folder))
	}
	for _, r := range file.Require {
		if own(r.Path) {
			m.Needs = append(m.Needs, r.Path)
		}
	}
	for _, r := range file.Replace {
		if !own(r.Old.Path) {
			return m, fmt.Errorf("%s/go.mod replaces %s: go get and go run ignore or refuse that, require a version of it", folder, r.Old.Path)
		}
		old := r.Old.Path
		if r.Old.Version != "" {
			old += "@" + r.Old.Version
		}
		m.local = append(m.local, old)
	}
	for _, e := range file.Exclude {
		return m, fmt.Errorf("%s/go.mod excludes %s %s: go get ignores and go run refuses that, require another version of it", folder, e.Path, e.Version)
	}
	return m, nil
}

func own(path string) bool { return path == Root || strings.HasPrefix(path, Root+"/") }

// ordered sorts modules so that each comes after those that it needs.
func ordered(all []Module) ([]Module, error) {
	slices.SortFunc(all, func(a, b Module) int { return cmp.Compare(a.Path, b.Path) })
	known, done := map[string]Module{}, map[string]bool{}
	for _, m := range all {
		known[m.Path] = m
	}
	var order []Module
	for len(order) < len(all) {
		before := len(order)
		for _, m := range all {
			if !done[m.Path] && !slices.ContainsFunc(m.Needs, func(path string) bool { return !done[path] }) {
				done[m.Path] = true
				order = append(order, m)
			}
		}
		if len(order) == before {
			return nil, fmt.Errorf("modules need each other, or one that is not here: %v", waiting(all, done))
		}
	}
	for _, m := range order {
		for _, path := range m.Needs {
			if m.Tagged() && !known[path].Tagged() {
				return nil, fmt.Errorf("%s needs %s, which is not released: it %s", m.Path, path, Untagged[known[path].Folder])
			}
		}
	}
	return order, nil
}

func waiting(all []Module, done map[string]bool) (paths []string) {
	for _, m := range all {
		if !done[m.Path] {
			paths = append(paths, m.Path)
		}
	}
	return paths
}
