package scenario

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var update = flag.Bool("update", false, "write what comes into the scenarios")

// Every scenario has the results that it says.
func TestScenarios(t *testing.T) {
	Test(t, "testdata/*.txt", Config{Update: *update})
}

// A type and a code of an embedder's own are played like any other.
func TestScenariosOfOnesOwnRules(t *testing.T) {
	Test(t, "testdata/own/*.txt", Config{Rules: ownRules(t), Update: *update})
}

func ownRules(t *testing.T) *operation.Rules {
	data, err := os.ReadFile("testdata/own/rules.json")
	if err != nil {
		t.Fatal(err)
	}
	table, err := operation.ParseTable(data)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := table.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// Each of the 18 shortfalls of the reference has one scenario, every scenario has a number of
// its own and says what it is about, and there are at least 70. Three series have numbers of their own:
// gates, rolling and operators. rolling 01 to 04 are tests of step.Batches, and 22 is one of httpapi.
func TestEveryShortfallOfTheReferenceHasAScenario(t *testing.T) {
	count, plain := map[string]int{}, 0
	for _, path := range files(t, "testdata/*.txt") {
		m := numbered.FindStringSubmatch(filepath.Base(path))
		if m == nil {
			t.Errorf("%s: want a name such as 01-ignore-an-abnormal-step.txt or gates-01-hold-while-a-step-runs.txt", path)
			continue
		}
		if count[m[1]+m[2]]++; m[1] == "" {
			plain++
		}
		if number := strings.ReplaceAll(m[1], "-", " ") + m[2]; !strings.HasPrefix(read(t, path), "# "+number+" ") {
			t.Errorf("%s:1: the first line must be a comment that begins with the number %s", path, number)
		}
	}
	for n := 1; n <= max(70, plain); n++ {
		if number := fmt.Sprintf("%02d", n); count[number] != 1 {
			t.Errorf("testdata has %d scenarios %s-*.txt, want one", count[number], number)
		}
	}
	for number, n := range count {
		if n != 1 {
			t.Errorf("testdata has %d scenarios %s-*.txt, want one", n, number)
		}
	}
}

// numbered is the name of a scenario: the series, the number, and what it is about.
var numbered = regexp.MustCompile(`^(|gates-|rolling-|operators-)([0-9]{2})-[a-z0-9-]+\.txt$`)

// All scenarios together exercise every cell of the legality table, every cell of the
// lifecycles, and every reason of a refusal.
func TestScenariosShowEveryRule(t *testing.T) {
	c := NewCoverage(nil)
	for _, path := range files(t, "testdata/*.txt") {
		c.Add(play(t, path, read(t, path), Config{}).Timeline)
	}
	for _, cell := range c.Missing() {
		t.Errorf("no scenario shows %v", cell)
	}
	for _, reason := range c.MissingReasons() {
		t.Errorf("no scenario is refused as %v", reason)
	}
	t.Logf("%d scenarios, %d cells, %d reasons", len(files(t, "testdata/*.txt")), len(c.Cells), len(c.Reasons))
}

// The cells are those of the rules, one by one, without unreachable states.
func TestCellsAreThoseOfTheRules(t *testing.T) {
	for _, rules := range []*operation.Rules{operation.Standard(), ownRules(t)} {
		want := map[Cell]bool{}
		for _, typ := range rules.Types() {
			for _, state := range step.AllStates() {
				for cause := range step.Created {
					if (cause == step.Expired || cause == step.ExpiredConfirmed) && state == step.Gated && typ == step.Confirmation {
						continue // its deadline begins with its first attempt, after which it waits or has ended
					}
					if _, ok := rules.Move(typ, state, cause); ok {
						want[Cell{Cause: cause, Type: typ, From: state}] = true
					}
				}
			}
		}
		for _, state := range step.AllStates() {
			if state != state.OfJob(true) && state != state.OfJob(false) {
				continue // of steps alone
			}
			for cause := range rules.Legal(operation.Standing{Job: state}).All() { // of no step: in the rows for the whole job
				want[Cell{Cause: cause, From: state}] = true
			}
		}
		got := map[Cell]bool{}
		for _, cell := range Cells(rules) {
			got[cell] = true
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Cells has %d cells, want the %d of the rules", len(got), len(want))
		}
	}
	table := operation.StandardTable()
	table.Rows = slices.DeleteFunc(table.Rows, func(row operation.Row) bool { return row.Do == step.Stop })
	for _, kind := range table.Kinds {
		for i, row := range kind.Lifecycle {
			if row.Do == step.Stop { // at the deadline of the job
				kind.Lifecycle[i].To, kind.Lifecycle[i].Do = step.Terminated, step.End
			}
		}
	}
	rules, err := table.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range Cells(rules) {
		if cell.From == step.Terminating {
			t.Errorf("Cells has %v, to which nothing leads", cell)
		}
	}
}

// A coverage counts the rows, and names the missing cells of each.
func TestCoverageIsATable(t *testing.T) {
	c := NewCoverage(ownRules(t))
	c.Add(play(t, "x.txt", release+"ann: start_job\nann: start_job\n  refused wrong_state\n", Config{}).Timeline)
	for _, line := range []string{
		"count  row                     on                 from                          to                       missing\n",
		"\n0      custom-40               custom-32          failed, abnormal              succeeded                all\n",
		"\n1      start_job               script, custom-32  pending                       running                  custom-32 in pending\n",
		"\n1      wrong_state\n", "\n0      stale             missing\n",
		fmt.Sprintf("\n1 of %d cells, 1 of 14 reasons\n", len(Cells(ownRules(t)))),
	} {
		if !strings.Contains(c.String(), line) {
			t.Errorf("it lacks %q:\n%v", line, c)
		}
	}
}

// A play is the same each time, in every entry of its timeline.
func TestPlayIsDeterministic(t *testing.T) {
	for _, path := range files(t, "testdata/*.txt") {
		text := read(t, path)
		if a, b := play(t, path, text, Config{}), play(t, path, text, Config{}); !reflect.DeepEqual(records(a), records(b)) || a.Timeline.String() != b.Timeline.String() {
			t.Errorf("%s: one play is\n%v\nand another\n%v", path, a.Timeline, b.Timeline)
		}
	}
}

// The rules, the store and the engine are those of the Config.
func TestPlayUsesWhatTheConfigSays(t *testing.T) {
	var stores, engines int
	rules := ownRules(t)
	c := Config{
		Rules: rules,
		Open:  func() store.Store { stores++; return memstore.New() },
		Engine: func(st store.Store, opts ...engine.Option) *engine.Engine {
			engines++
			eng := engine.New(st, append(opts, engine.WithLimits(engine.Limits{Reason: 5}))...)
			if eng.Rules() != rules {
				t.Error("the engine's rules are not those of the Config")
			}
			return eng
		},
	}
	play(t, "x.txt", `job release
  script copy, targets a
ann: start_job, because "short"
ann: terminate_job, because "too long"
  refused invalid_input, field reason
restart
`, c)
	if stores != 1 || engines != 4 {
		t.Errorf("opened %d stores and made %d engines, want 1 store and 2 engines each time it is up", stores, engines)
	}
}

// records returns the stored records, request ids included.
func records(r *Result) []store.Record {
	var all []store.Record
	for _, e := range r.Timeline {
		if e.Record != nil {
			all = append(all, *e.Record)
		}
	}
	return all
}
