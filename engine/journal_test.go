package engine_test

// A journal is the content of a store of some version: the rules, the alphabets with their numbers,
// and a few jobs with all their rows. The journal of a release never changes. A version that reads it
// differently would also read its users' data differently.
//
// The folder first is older than any release, and is converted when it is read: see
// journal_convert_test.go.
//
// The folder unreleased is the journal of the unreleased version. It may be recorded again, as long as
// no user has such data:
//
//	go test ./engine -run TestJournals -journal unreleased
//
// A release records the journal under the version's name, in the commit that gives the changelog its
// heading:
//
//	go test ./engine -run TestJournals -journal v0.1.0
//
// A new field of stored data must be left out of JSON when it is zero, so that older journals stay as
// they are.

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var journal = flag.String("journal", "", "write the journal of this version, which must not have one, or of what is unreleased")

var recorded = flag.String("recorded", "", "fail unless the journal of this version is what would be written today: scripts/release asks")

const (
	journals   = "testdata/journals"
	unreleased = "unreleased" // in journals: the folder that may still change
)

// journaled is one job of a journal.
type journaled struct {
	Spec    engine.JobSpec   `json:"spec"`
	Job     store.Job        `json:"job"`
	Steps   []store.Step     `json:"steps"`
	Targets [][]store.Target `json:"targets"`          // by step
	Batches []store.Batch    `json:"batches,omitzero"` // of all steps
	History []store.Record   `json:"history"`
	Effects []store.Delivery `json:"effects"` // none was ever delivered; those that were given up are missing
}

// Every journal reads as it was written, and its histories replay to its headers and steps.
func TestJournals(t *testing.T) {
	if *journal != "" {
		writeJournal(t, *journal)
	}
	versions, err := os.ReadDir(journals)
	if err != nil || len(versions) == 0 {
		t.Fatalf("%s has no journals: %v", journals, err)
	}
	for _, version := range versions {
		t.Run(version.Name(), func(t *testing.T) {
			dir := filepath.Join(journals, version.Name())
			readRules(t, filepath.Join(dir, "rules.json"))
			words := readAlphabets(t, filepath.Join(dir, "alphabets.json"))
			jobs := readJobs(t, dir)
			for name, j := range jobs {
				t.Run(name, func(t *testing.T) { replays(t, j) })
			}
			covers(t, jobs, words)
		})
	}
}

// Every version in the changelog has a journal.
func TestEveryReleaseHasAJournal(t *testing.T) {
	changelog, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range releases(string(changelog)) {
		if _, err := os.Stat(filepath.Join(journals, version)); err != nil {
			t.Errorf("%s is released and has no journal: %v", version, err)
		}
	}
}

// A version is released when the changelog has a heading for it.
func TestReleases(t *testing.T) {
	for changelog, want := range map[string][]string{
		"# Changelog\n\n## Unreleased\n\n### Added\n- 1.2.3\n":                      nil,
		"## Unreleased\n## 1.10.0 - 2027-01-02\n### 9.9.9\n## [0.2.0]\n\n## v0.1.0": {"v1.10.0", "v0.2.0", "v0.1.0"},
		"## 2.0.0-rc.1\nsee ## 1.0.0\n":                                             {"v2.0.0-rc.1"},
	} {
		if got := releases(changelog); !slices.Equal(got, want) {
			t.Errorf("releases(%q) = %q, want %q", changelog, got, want)
		}
	}
}

var releaseHeading = regexp.MustCompile(`(?m)^## \[?v?(\d+\.\d+\.\d+[-.\w]*)`)

// releases returns the versions that a changelog has headings for, as their journals are
// called.
func releases(changelog string) (versions []string) {
	for _, heading := range releaseHeading.FindAllStringSubmatch(changelog, -1) {
		versions = append(versions, "v"+heading[1])
	}
	return versions
}

// replays asserts that the history of j gives its header and steps, and that these count
// its targets.
func replays(t *testing.T, j journaled) {
	job, steps, err := engine.Replay(operation.Standard(), j.Spec, j.History)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(job, j.Job) {
		t.Errorf("the history replays to the header\n%+v, stored was\n%+v", job, j.Job)
	}
	for i := range steps {
		steps[i].Payload = j.Spec.Steps[i].Payload // which is no part of the replay
	}
	if !reflect.DeepEqual(steps, j.Steps) {
		t.Errorf("the history replays to the steps\n%+v, stored were\n%+v", steps, j.Steps)
	}
	for i, s := range j.Steps {
		batches := slices.DeleteFunc(slices.Clone(j.Batches), func(b store.Batch) bool { return b.Step != s.ID })
		var succeeded, unfinished, failed int32
		for _, target := range j.Targets[i] {
			for class, n := range map[store.Class]*int32{
				store.SucceededTargets: &succeeded, store.UnfinishedTargets: &unfinished, store.FailedTargets: &failed,
			} {
				if class.Holds(s, batches, target) {
					*n++
				}
			}
			if name := j.Spec.Steps[i].Targets[target.Index]; target.Name != name {
				t.Errorf("step %d, target %d is called %q, want %q", s.ID, target.Index, target.Name, name)
			}
		}
		got := [...]int32{int32(len(j.Targets[i])), succeeded, unfinished, failed}
		if want := [...]int32{s.Total, s.Before + s.Succeeded, s.Unfinished, s.Failed()}; got != want {
			t.Errorf("step %d has, of its targets, succeeded, unfinished and failed: %v, stored were %v", s.ID, got, want)
		}
	}
	var waiting []store.Delivery
	given := givenUp(j.History)
	for _, rec := range j.History {
		var subject *store.Step
		if id := rec.Subject(); id > 0 {
			subject = &j.Steps[id-1]
		}
		if d, ok := rec.Delivery(j.Job.Scope, subject); ok && !given(d) {
			waiting = append(waiting, d)
		}
	}
	if !slices.Equal(waiting, j.Effects) {
		t.Errorf("the history has the effects\n%+v, stored were\n%+v", waiting, j.Effects)
	}
}

// givenUp returns a function that reports whether an effect was given up in a history.
func givenUp(history []store.Record) func(store.Delivery) bool {
	return func(d store.Delivery) bool {
		return slices.ContainsFunc(history, func(r store.Record) bool {
			broke := r.Cause == step.Broke && r.Request != (store.RequestID{}) && r.Actor == "ann" && d.Effect == store.RunTargets && r.Step == d.Step && r.Attempt == d.Attempt
			return broke || r.Cause == step.GivenUp && strings.HasPrefix(r.Reason, fmt.Sprintf("%v %d: ", d.Effect, d.Seq))
		})
	}
}

// readRules asserts that rules of a journal still read, write and compile. They may differ from the
// rules of today: histories contain what was legal then.
func readRules(t *testing.T, path string) {
	t.Helper()
	data := readFile(t, path)
	table, err := operation.ParseTable(data)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if !isFirst(path) {
		wantSame(t, path, data, table)
	}
	then, err := table.Compile()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, d := range operation.Diff(then, operation.Standard()) {
		t.Logf("%s: since then, %v", path, d)
	}
	if !isFirst(path) {
		return
	}
	released, err := operation.ParseTable(readFile(t, filepath.Join(journals, "v0.1.0", "rules.json")))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range operation.Diff(then, released.MustCompile()) {
		t.Errorf("%s is converted wrong: %v", path, d)
	}
}

// readAlphabets asserts that each number of a journal still has the same name, and returns these
// names. Today's alphabets may have more.
func readAlphabets(t *testing.T, path string) map[string]map[string]string {
	t.Helper()
	var then map[string]map[string]string
	if file := read(t, path, &then); !isFirst(path) {
		wantSame(t, path, file, then)
	}
	today := alphabets()
	for alphabet, names := range then {
		for number, name := range names {
			if now := today[alphabet][number]; now != name {
				t.Errorf("%s %s was %q, and is %q", alphabet, number, name, now)
			}
		}
	}
	return then
}

func readJobs(t *testing.T, dir string) map[string]journaled {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "job-*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no jobs: %v", dir, err)
	}
	jobs := map[string]journaled{}
	for _, path := range files {
		var j journaled
		if file := read(t, path, &j); !isFirst(path) {
			wantSame(t, path, file, &j)
		}
		tolerated := int32(0)
		for i := range j.Steps { // as the migration of a database of version 0.1 does
			s := &j.Steps[i]
			if s.Due == 0 {
				s.Due = s.Deadline // there was no other moment
			}
			if ignores := func(r store.Record) bool { return r.Step == s.ID && r.Cause == operation.IgnoreError.Cause() }; slices.ContainsFunc(j.History, ignores) {
				s.Accepted = s.Total - s.Before - s.Succeeded
			}
			if slices.ContainsFunc(j.History, func(r store.Record) bool { return r.Step == s.ID && r.To == step.ErrorIgnored && r.Cause.IsEvent() }) && s.Accepted == 0 {
				tolerated++
			}
		}
		j.Job.Tolerated = tolerated
		jobs[strings.TrimSuffix(filepath.Base(path), ".json")] = j
	}
	return jobs
}

func isFirst(path string) bool { return filepath.Base(filepath.Dir(path)) == first }

// readFile returns a file of a journal, converted if it is of the first.
func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if isFirst(path) {
		return converted(t, filepath.Base(path), data)
	}
	return data
}

// read reads a file into v, in which each of its fields must have a place.
func read(t *testing.T, path string, v any) []byte {
	t.Helper()
	data := readFile(t, path)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("%s: data after the end", path)
	}
	return data
}

// wantSame asserts that a value that was read from a file is written as the same file.
func wantSame(t *testing.T, path string, file []byte, v any) {
	t.Helper()
	was, is := bytes.Split(file, []byte("\n")), bytes.Split(written(t, v), []byte("\n"))
	for i := range max(len(was), len(is)) {
		line := func(lines [][]byte) string {
			if i >= len(lines) {
				return "nothing"
			}
			return string(lines[i])
		}
		if line(was) != line(is) {
			t.Fatalf("%s:%d: reads and is written differently\nwas %s\nis  %s", path, i+1, line(was), line(is))
		}
	}
}

func written(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// writeJournal writes the journal of today's version.
func writeJournal(t *testing.T, version string) {
	t.Helper()
	dir := filepath.Join(journals, version)
	if version == unreleased {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatalf("a journal is written once: %v", err)
	}
	files := map[string]any{"rules.json": operation.StandardTable(), "alphabets.json": alphabets()}
	for name, j := range playJournal(t) {
		files[name+".json"] = j
	}
	for name, v := range files {
		if err := os.WriteFile(filepath.Join(dir, name), written(t, v), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// alphabets returns today's alphabets: of each, the numbers and their names.
func alphabets() map[string]map[string]string {
	return map[string]map[string]string{
		"step type": spelled[step.Type](), "state": spelled[step.State](), "cause": spelled[step.Cause](),
		"target status": spelled[step.Status](), "timeout decision": spelled[step.Decision](),
		"consequence": spelled[step.Do](), "guard": spelled[operation.Guard](), "reason": spelled[operation.Reason](),
		"effect": spelled[store.Effect](),
	}
}

// spelled returns the declared values of an alphabet: those whose names read back.
func spelled[T interface {
	~uint8 | ~uint16
	MarshalText() ([]byte, error)
}, P interface {
	*T
	UnmarshalText([]byte) error
}]() map[string]string {
	names := map[string]string{}
	for i := range 1000 {
		if uint64(T(i)) != uint64(i) {
			break
		}
		name, err := T(i).MarshalText()
		if err == nil {
			err = P(new(T)).UnmarshalText(name)
		}
		if err == nil && len(name) > 0 && !strings.HasPrefix(string(name), "custom-") {
			names[strconv.Itoa(i)] = string(name)
		}
	}
	return names
}

// covers asserts that the jobs of a journal together use all values that a store can keep: each type,
// state, status, decision, cause and effect of its version.
func covers(t *testing.T, jobs map[string]journaled, words map[string]map[string]string) {
	t.Helper()
	used := map[string]map[string]bool{}
	use := func(alphabet string, letters ...fmt.Stringer) {
		if used[alphabet] == nil {
			used[alphabet] = map[string]bool{}
		}
		for _, letter := range letters {
			used[alphabet][letter.String()] = true
		}
	}
	use("target status", step.TargetWaiting) // is not stored: it is the status of a target without a result
	for _, j := range jobs {
		use("state", j.Job.State)
		for i, s := range j.Steps {
			use("step type", s.Type)
			use("state", s.State)
			use("timeout decision", s.OnTimeout)
			for _, target := range j.Targets[i] {
				use("target status", target.Status)
			}
		}
		for _, rec := range j.History {
			use("cause", rec.Cause)
			use("state", rec.From, rec.To, rec.JobFrom, rec.JobTo)
			use("effect", rec.Effect)
			if rec.Entered != 0 {
				use("cause", step.Entered) // which has no record of its own
			}
		}
	}
	for _, alphabet := range slices.Sorted(maps.Keys(words)) {
		if alphabet == "guard" || alphabet == "reason" || alphabet == "consequence" {
			continue // are not kept with a job
		}
		for _, name := range words[alphabet] {
			if !used[alphabet][name] {
				t.Errorf("no job of the journal has the %s %s", alphabet, name)
			}
		}
	}
}

// The journal that would be written today covers today's alphabets, is the same each time,
// and replays.
func TestTodaysJournal(t *testing.T) {
	jobs, again := playJournal(t), playJournal(t)
	if !reflect.DeepEqual(jobs, again) {
		t.Error("two journals of one version differ")
	}
	covers(t, jobs, alphabets())
	for name, j := range jobs {
		t.Run(name, func(t *testing.T) { replays(t, j) })
	}
	if *recorded != "" {
		wantRecorded(t, filepath.Join(journals, *recorded), jobs)
	}
}

// wantRecorded asserts that a folder is the journal of jobs.
func wantRecorded(t *testing.T, dir string, jobs map[string]journaled) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(jobs)+2 {
		t.Errorf("%s has %d files, want %d: %v", dir, len(files), len(jobs)+2, err)
	}
	wantSame(t, filepath.Join(dir, "rules.json"), readFile(t, filepath.Join(dir, "rules.json")), operation.StandardTable())
	wantSame(t, filepath.Join(dir, "alphabets.json"), readFile(t, filepath.Join(dir, "alphabets.json")), alphabets())
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		path := filepath.Join(dir, name+".json")
		wantSame(t, path, readFile(t, path), jobs[name])
	}
}
