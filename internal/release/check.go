package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// journals is the folder of what each release leaves in a store: see engine/journal_test.go.
const journals = "engine/testdata/journals"

var (
	versionForm   = regexp.MustCompile(`^v[01]\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-` + identifier + `(\.` + identifier + `)*)?$`)
	pseudoVersion = regexp.MustCompile(`[-.]\d{14}-[0-9A-Za-z]+$`)
)

// identifier is a part of a pre-release: a number without a zero before it, or one with a letter or hyphen.
const identifier = `(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)`

// patience bounds the question for the tags of origin.
const patience = 30 * time.Second

// check returns the modules of the tree, or an error that says why p cannot be made. It sets
// p.identity.
func (p *Plan) check(ctx context.Context) ([]Module, error) {
	if !versionForm.MatchString(p.Version) {
		return nil, fmt.Errorf("version %q: want one like v0.1.0 or v0.1.0-rc.1; from v2 on the path of each module would have to end in /v2", p.Version)
	}
	if pseudoVersion.MatchString(p.Version) {
		return nil, fmt.Errorf("version %q: want one like v0.1.0 or v0.1.0-rc.1; the go command takes this one for a commit without a tag", p.Version)
	}
	if err := p.checkFolder(ctx); err != nil {
		return nil, err
	}
	if err := p.identify(ctx); err != nil {
		return nil, err
	}
	changed, err := run(ctx, p.Tree, nil, "git", "status", "--porcelain")
	if err != nil {
		return nil, err
	}
	if changed != "" {
		return nil, fmt.Errorf("the tree differs from its last commit, which is what a release copies: commit, or remove,\n%s", changed)
	}
	modules, err := Modules(ctx, p.Tree)
	if err != nil {
		return nil, err
	}
	if err := p.checkTags(ctx, modules); err != nil {
		return nil, err
	}
	changelog, err := os.ReadFile(filepath.Join(p.Tree, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	if err := checkChangelog(string(changelog), p.Version); err != nil {
		return nil, fmt.Errorf("CHANGELOG.md: %w", err)
	}
	return modules, p.checkJournal(ctx)
}

// checkFolder returns why the copy cannot be made in p.Folder.
func (p *Plan) checkFolder(ctx context.Context) error {
	if _, err := os.Lstat(p.Folder); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s exists: name a folder that does not, as the copy is made there", p.Folder)
	}
	top, err := run(ctx, p.Tree, nil, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	top, err = filepath.EvalSymlinks(strings.TrimSuffix(top, "\n"))
	if err != nil {
		return err
	}
	parent := filepath.Dir(p.Folder)
	resolved, err := filepath.EvalSymlinks(parent)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s does not exist: make it, or name another folder", parent)
	}
	if err != nil {
		return err
	}
	if below, err := filepath.Rel(top, resolved); err == nil && filepath.IsLocal(below) {
		return fmt.Errorf("%s is inside the repository: name a folder outside, as the copy would be a change of the tree", p.Folder)
	}
	return nil
}

// identify finds out in whose name the tree commits. The copy commits in the same: it does not have
// the tree's own configuration.
func (p *Plan) identify(ctx context.Context) error {
	form := regexp.MustCompile(`^(.*) <(.*)> \d+ [+-]\d{4}\n$`)
	for _, role := range []string{"AUTHOR", "COMMITTER"} {
		out, err := run(ctx, p.Tree, nil, "git", "var", "GIT_"+role+"_IDENT")
		if err != nil {
			return fmt.Errorf("git does not know in whose name to commit the release: set user.name and user.email\n%w", err)
		}
		m := form.FindStringSubmatch(out)
		if m == nil {
			return fmt.Errorf("git var GIT_%s_IDENT prints %q: want NAME <EMAIL> TIME", role, out)
		}
		p.identity = append(p.identity, "GIT_"+role+"_NAME="+m[1], "GIT_"+role+"_EMAIL="+m[2])
	}
	return nil
}

// checkTags returns which tag of the release exists, in the tree or in its origin. An origin that
// does not answer is named in the log.
func (p *Plan) checkTags(ctx context.Context, modules []Module) error {
	all, err := run(ctx, p.Tree, nil, "git", "for-each-ref", "--format=%(refname)", "refs/tags")
	if err != nil {
		return err
	}
	if _, err := run(ctx, p.Tree, nil, "git", "remote", "get-url", "origin"); err == nil {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		remote, err := run(ctx, p.Tree, []string{"GIT_TERMINAL_PROMPT=0"}, "git", "ls-remote", "--tags", "--refs", "origin")
		if err != nil {
			p.say("the tags of origin are not checked, only those of this clone: %v", err)
		}
		all += remote
	}
	known := map[string]bool{}
	for word := range strings.FieldsSeq(all) {
		known[word] = true
	}
	for _, m := range modules {
		if tag := m.Tag(p.Version); m.Tagged() && known["refs/tags/"+tag] {
			return fmt.Errorf("the tag %s exists: a version is released once, choose the next one", tag)
		}
	}
	return nil
}

// checkChangelog returns why a changelog is not ready for a version: its first section must be
// that of the version, with a date, and what is unreleased must be nothing.
func checkChangelog(changelog, version string) error {
	want := "## " + strings.TrimPrefix(version, "v") + " - "
	_, sections, _ := strings.Cut("\n"+changelog, "\n## ")
	for section := range strings.SplitSeq(sections, "\n## ") {
		heading, body, _ := strings.Cut(section, "\n")
		date, ok := strings.CutPrefix("## "+heading, want)
		switch {
		case heading == "Unreleased" && strings.TrimSpace(body) != "":
			return fmt.Errorf("there are changes below Unreleased: move them into a section %sDATE", want)
		case heading == "Unreleased", heading == "": // nothing, or no section at all
			continue
		case !ok:
			return fmt.Errorf("the latest version is %q: want a section %sDATE above it", heading, want)
		}
		if _, err := time.Parse(time.DateOnly, date); err != nil {
			return fmt.Errorf("the section of %s has the date %q: want YYYY-MM-DD", version, date)
		}
		if strings.TrimSpace(body) == "" {
			return fmt.Errorf("the section of %s is empty: say what the release has", version)
		}
		return nil
	}
	return fmt.Errorf("it has no version: want a section %sDATE", want)
}

// checkJournal returns why the journal of the version is not what the tree leaves in a store.
func (p *Plan) checkJournal(ctx context.Context) error {
	dir := filepath.Join(p.Tree, journals, p.Version)
	record := "record it: go test ./engine -run TestJournals -journal " + p.Version
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("%s has no journal of %s: %s", journals, p.Version, record)
	}
	if _, err := run(ctx, p.Tree, nil, "go", "test", "./engine", "-run", "^(TestJournals|TestTodaysJournal|TestEveryReleaseHasAJournal)$", "-recorded", p.Version); err != nil {
		return fmt.Errorf("the journal of %s is not what this tree leaves in a store: remove the folder and %s\n%w", p.Version, record, err)
	}
	return nil
}
