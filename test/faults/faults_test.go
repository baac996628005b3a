package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	play = flag.Bool("play", false, "play the faults: run the command of each, with the fault in the code")
	only = flag.String("only", "", "play those faults whose `name` matches this expression")
)

const (
	root    = "../.."         // of the repository, seen from here
	least   = 200             // faults on the list
	mostOld = 10              // entries that are gone
	bound   = 3 * time.Minute // for the tests of one command
)

// A fault is one entry of the list.
type fault struct {
	name   string
	says   string   // which promise breaks, and how
	catch  []string // arguments of go test; one of them fails
	hunks  []hunk
	gone   string // why it can no longer exist, or ""
	source string // file and line
}

// A hunk replaces one piece of one file.
type hunk struct {
	file     string // from the root of the repository
	old, new string // whole lines
}

// TestFaultsApply checks that every entry of the list is complete and fits the code as it is.
func TestFaultsApply(t *testing.T) {
	names := make(map[string]string)
	gone := 0
	for _, f := range list(t) {
		if other, twice := names[f.name]; twice {
			t.Errorf("%s: %s has the name of %s", f.source, f.name, other)
		}
		names[f.name] = f.source
		if f.gone != "" {
			gone++
			continue
		}
		if _, err := f.patched(); err != nil {
			t.Errorf("%s: %s: %v", f.source, f.name, err)
		}
	}
	if gone > mostOld {
		t.Errorf("%d entries are gone, want at most %d", gone, mostOld)
	}
	if n := len(names) - gone; n < least {
		t.Errorf("the list has %d faults, want at least %d", n, least)
	}
	t.Logf("%d faults, and %d that are gone", len(names)-gone, gone)
}

// TestFaultsCaught plays the list: with a fault in the code, a test that its entry names fails.
// The same command passes without the fault.
func TestFaultsCaught(t *testing.T) {
	if !*play {
		t.Skip("-play plays the faults, one after the other")
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	sound := make(map[string]string) // catch -> why it fails without a fault, or ""
	var survived []string
	played := 0
	for _, f := range list(t) {
		if f.gone != "" || !wanted.MatchString(f.name) {
			continue
		}
		played++
		if !t.Run(f.name, func(t *testing.T) { f.play(t, sound) }) {
			survived = append(survived, f.name)
		}
	}
	t.Logf("%d faults played, %d not caught: %s", played, len(survived), strings.Join(survived, " "))
}

func (f *fault) play(t *testing.T, sound map[string]string) {
	patched, err := f.patched()
	if err != nil {
		t.Fatal(err)
	}
	overlay := overlayOf(t, patched)
	for _, catch := range f.catch {
		if _, known := sound[catch]; !known {
			sound[catch] = ""
			switch out, err := goTest(t, catch); {
			case err != nil:
				sound[catch] = fmt.Sprintf("%v without the fault\n%s", err, tail(out))
			case !tested.Match(out):
				sound[catch] = "runs no test"
			}
		}
		if why := sound[catch]; why != "" {
			t.Fatalf("go test %s: %s", catch, why)
		}
		out, err := goTest(t, catch, "-count=1", "-overlay", overlay)
		switch {
		case err == nil:
			continue
		case broken.Match(out):
			t.Fatalf("go test %s: the fault does not compile: %s", catch, tail(out))
		case failed.Match(out):
			t.Logf("%s\ncaught by go test %s: %s", f.says, catch, failed.Find(out))
			return
		}
		t.Fatalf("go test %s: %v, and no test failed: %s", catch, err, tail(out))
	}
	t.Errorf("%s: %s\nsurvives go test %s", f.source, f.says, strings.Join(f.catch, " and "))
}

var (
	tested = regexp.MustCompile(`(?m)^ok .*(s|\(cached\))$`)
	broken = regexp.MustCompile(`\[(build|setup) failed\]`)
	failed = regexp.MustCompile(`(?m)^\s*(--- FAIL|panic:|fatal error:).*$`)
)

// goTest runs go test in the root of the repository, with a bound for the tests.
func goTest(t *testing.T, catch string, flags ...string) ([]byte, error) {
	words, err := split(catch)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*bound) // building takes its time too
	defer cancel()
	args := slices.Concat([]string{"test", "-vet=off", "-timeout", bound.String()}, flags, words)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.WaitDelay = root, time.Second
	return cmd.CombinedOutput()
}

// overlayOf writes the patched files and returns the file that tells the go command of them.
func overlayOf(t *testing.T, patched map[string]string) string {
	dir := t.TempDir()
	replace := make(map[string]string)
	for i, file := range slices.Sorted(maps.Keys(patched)) {
		original, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, fmt.Sprint(i)+"_"+filepath.Base(file))
		write(t, copied, []byte(patched[file]))
		replace[original] = copied
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	write(t, overlay, text)
	return overlay
}

func write(t *testing.T, name string, data []byte) {
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tail returns the last lines of an output.
func tail(out []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-20):], []byte("\n"))
}

// patched returns the files of f with the fault in them, by their name.
func (f *fault) patched() (map[string]string, error) {
	patched := make(map[string]string)
	for _, h := range f.hunks {
		data, err := os.ReadFile(filepath.Join(root, h.file))
		if err != nil {
			return nil, err
		}
		if _, n := h.plant(string(data)); n != 1 {
			return nil, fmt.Errorf("%s has this %d times, want once:\n%s", h.file, n, h.old)
		}
		if _, begun := patched[h.file]; !begun {
			patched[h.file] = string(data)
		}
		text, n := h.plant(patched[h.file])
		if n != 1 {
			return nil, fmt.Errorf("two hunks of %s meet", h.file)
		}
		patched[h.file] = text
	}
	for file, text := range patched {
		if filepath.Ext(file) != ".go" {
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution); err != nil {
			return nil, err
		}
	}
	return patched, nil
}

// plant returns text with the new lines of h in the place of the old ones, and how often it has
// the old ones. If it does not have them as they are, comments, blanks and empty lines are not
// compared, so that an entry outlives a better sentence in the code.
func (h *hunk) plant(text string) (planted string, n int) {
	if strings.Count("\n"+text, "\n"+h.old) == 1 {
		return strings.Replace("\n"+text, "\n"+h.old, "\n"+h.new, 1)[1:], 1
	}
	old := code(h.file, h.old)
	lines := code(h.file, text)
	for i := range lines {
		if len(lines)-i < len(old) || !slices.EqualFunc(lines[i:i+len(old)], old, func(a, b line) bool { return a.code == b.code }) {
			continue
		}
		n++
		planted = text[:lines[i].from] + h.new + text[lines[i+len(old)-1].to:]
	}
	return planted, n
}

// A line is one with code, and where it stands in its text.
type line struct {
	code     string
	from, to int
}

// code returns the lines of a text that have any. Only in Go a comment begins with two slashes; those
// in a string are taken for one, which can make two lines equal and is then told.
func code(file, text string) (lines []line) {
	at := 0
	for l := range strings.Lines(text) {
		bare := " " + l
		if filepath.Ext(file) == ".go" {
			bare = comment.ReplaceAllString(bare, "")
		}
		if bare = strings.Join(strings.Fields(bare), " "); bare != "" {
			lines = append(lines, line{bare, at, at + len(l)})
		}
		at += len(l)
	}
	return lines
}

var comment = regexp.MustCompile(`(?s)\s//.*`)

// An entry fits code whose comments and blanks have changed since, and no other code.
func TestAnEntryOutlivesASentence(t *testing.T) {
	h := hunk{file: "a.go", old: "\tlimit = 3 // a sentence\n\tnext()\n", new: "\tlimit = 4\n\tnext()\n"}
	for text, want := range map[string]string{
		"x\n\tlimit = 3 // a sentence\n\tnext()\ny\n":                 "x\n\tlimit = 4\n\tnext()\ny\n",
		"x\n\tlimit   = 3 // a better one\n\n\t// why\n\tnext()\ny\n": "x\n\tlimit = 4\n\tnext()\ny\n",
		"\tlimit = 5 // a sentence\n\tnext()\n":                       "",
		"\tlimit = 3\n\tnext()\n\tlimit = 3\n\tnext()\n":              "",
	} {
		if got, n := h.plant(text); (n == 1) != (want != "") || n == 1 && got != want {
			t.Errorf("in %q: %d times, %q; want %q", text, n, got, want)
		}
	}
}

// list returns all entries of testdata.
func list(t *testing.T) []fault {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []fault
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		faults, err := parse(filepath.Base(file), string(data))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, faults...)
	}
	if len(all) == 0 {
		t.Fatal("testdata has no faults")
	}
	return all
}

var name = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// parse returns the entries of a file in the format that the package's comment tells.
func parse(file, text string) ([]fault, error) {
	var faults []fault
	entries := strings.Split("\n"+text, "\n== ")
	line := strings.Count(entries[0], "\n") + 1
	for head := range strings.Lines(entries[0]) {
		if head != "\n" && head[0] != '#' {
			return nil, fmt.Errorf("%s: %q stands before the first entry", file, head)
		}
	}
	for _, entry := range entries[1:] {
		f, err := parseEntry(entry)
		f.source = fmt.Sprintf("%s:%d", file, line)
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", f.source, f.name, err)
		}
		faults = append(faults, f)
		line += strings.Count(entry, "\n") + 1
	}
	return faults, nil
}

func parseEntry(text string) (fault, error) {
	first, text, _ := strings.Cut(text, "\n")
	f := fault{name: first}
	if !name.MatchString(f.name) {
		return f, fmt.Errorf("the name must be words in small letters, joined by hyphens")
	}
	head, text, patched := strings.Cut("\n"+text, "\n@ ")
	for line := range strings.Lines(head) {
		line = strings.TrimSpace(line)
		if catch, ok := strings.CutPrefix(line, "catch: "); ok {
			if _, err := split(catch); err != nil {
				return f, err
			}
			f.catch = append(f.catch, catch)
		} else if gone, ok := strings.CutPrefix(line, "gone: "); ok {
			f.gone = gone
		} else {
			f.says = strings.TrimSpace(f.says + " " + line)
		}
	}
	if patched {
		for part := range strings.SplitSeq(text, "\n@ ") {
			h, err := parseHunk(part)
			if err != nil {
				return f, err
			}
			f.hunks = append(f.hunks, h)
		}
	}
	switch {
	case !strings.HasSuffix(f.says, "."):
		return f, fmt.Errorf("%q is no sentence", f.says)
	case f.gone != "" && len(f.catch)+len(f.hunks) > 0:
		return f, fmt.Errorf("it is gone, and has a catch or a hunk")
	case f.gone == "" && (len(f.catch) == 0 || len(f.hunks) == 0):
		return f, fmt.Errorf("it lacks a catch or a hunk")
	}
	return f, nil
}

func parseHunk(text string) (hunk, error) {
	file, text, _ := strings.Cut(text, "\n")
	h := hunk{file: strings.TrimSpace(file)}
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		switch line[0] {
		case '\n':
			h.old, h.new = h.old+line, h.new+line
		case ' ':
			h.old, h.new = h.old+line[1:], h.new+line[1:]
		case '-':
			h.old += line[1:]
		case '+':
			h.new += line[1:]
		default:
			return h, fmt.Errorf("a line of a hunk begins with a space, - or +, not so %q", line)
		}
	}
	if h.old == "" || h.old == h.new {
		return h, fmt.Errorf("a hunk of %s changes nothing", h.file)
	}
	return h, nil
}

// split returns the words of a command; single quotes keep one together.
func split(command string) ([]string, error) {
	var words []string
	for i, part := range strings.Split(command, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	if strings.Count(command, "'")%2 != 0 || len(words) == 0 {
		return nil, fmt.Errorf("the command %q lacks a word or a quote", command)
	}
	return words, nil
}
