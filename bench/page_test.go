package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	got := table{title: "Title", head: []string{"", "n", "m"}, rows: [][]string{{"a|b", "1", "2"}, {"c", "failed:\nwhy"}}, note: "Note."}.String()
	want := `### Title

|  | n | m |
| :-- | --: | --: |
| a\|b | 1 | 2 |
| c | failed: why |  |

Note.
`
	if got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(1234567.2), "1,234,567"}, {count(999.6), "1,000"}, {count(123.4), "123"}, {count(99.96), "100"}, {count(12.34), "12.3"},
		{count(1.234), "1.23"}, {count(0.01234), "0.0123"}, {count(0), "0"}, {count(-1234), "-1,234"}, {count(nan), "–"},
		{factor(0.0423), "0.042"}, {factor(0.531), "0.53"}, {factor(3.14), "3.1"}, {factor(41.2), "41"}, {factor(1234), "1,234"}, {factor(nan), "–"}, {factor(0), "–"},
		{duration(0), "–"}, {duration(120), "120 ns"}, {duration(1530), "1.53 µs"}, {duration(25 * time.Millisecond), "25.0 ms"}, {duration(2 * time.Second), "2.00 s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestAhead(t *testing.T) {
	for _, c := range []struct {
		name  string
		duels []duel
		want  string
	}{
		{"none", nil, "No figures to compare here."},
		{"unknown", []duel{{"A", "S", "", nan}}, "No figures to compare here."},
		{"behind", []duel{{"A", "S", "", 0.9}, {"B", "S", "", nan}}, "No peer is ahead here."},
		{"level", []duel{{"A", "S", "", 1.04}}, "No peer is ahead here."},
		{"ahead", []duel{{"A", "S", "", 1.5}, {"B", "S", "", 0.2}}, "**A peer is ahead**: *A* of *S* (1.5 times)."},
		{"twice", []duel{{"A", "S", "with one core", 1.5}, {"B", "T", "", 30}, {"A", "S", "with two", 2}},
			"**A peer is ahead**: *A* of *S* (1.5 times with one core, 2.0 times with two); *B* of *T* (30 times)."},
	} {
		if got := ahead(c.duels); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := (duel{times: 2}).String() + (duel{times: 0.5}).String(); got != "**2.0**0.50" {
		t.Errorf("the cells are %s", got)
	}
}

// The words follow the figures: the text below a table names each peer that is ahead in it, and no
// other.
func TestInterventionTableSaysWhoIsAhead(t *testing.T) {
	var results []result
	for _, e := range interventions.entrants {
		rate := 100.0
		switch e.name {
		case insertName:
			rate = 150
		case dbosName:
			rate = 50
		case honestName:
			rate = 200
		case groupedName:
			rate = 400
		}
		results = append(results, result{name: e.name, samples: []sample{{perSecond: rate, p50: time.Millisecond}}})
	}
	results[0] = result{name: memoryName, failed: os.ErrPermission}
	got := interventions.table(8, results)
	if want := "**A peer is ahead**: *" + insertName + "* of *" + postgresName + "* (1.5 times)."; got.note != want {
		t.Errorf("the note is %s, want %s", got.note, want)
	}
	page := got.String()
	for _, want := range []string{"### 8 callers", memoryName + " | permission denied |", insertName + " | 150 | 1.00 ms | – | 0 | 1.5 | 0.75 | 0.38 | **1.5** |",
		dbosName + " | 50.0 | 1.00 ms | – | 0 | 0.50 | 0.25 | 0.12 | 0.50 |", sqliteName + " | 100 | 1.00 ms | – | 0 | 1.0 |  |  |  |"} {
		if !strings.Contains(page, want) {
			t.Errorf("the table does not say %q:\n%s", want, page)
		}
	}
}

func TestPage(t *testing.T) {
	p := page{
		on: machine{{"Go", "go1.26"}}, began: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), took: 61 * time.Second,
		left:     []string{"growth"},
		sections: []section{{title: "One", words: []string{"Words."}, tables: []table{{title: "T", head: []string{"", "n"}}}, plots: []string{"one.svg"}}, {title: "Two"}},
	}
	got := p.String()
	for _, want := range []string{"25 November 2026, 12:00 UTC in 1m1s", "Left out of this run: growth.", "| Go | go1.26 |\n", "\n\n## One\n\nWords.\n\n### T\n", "\n\n![one](one.svg)\n", "\n\n## Two\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not have %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "quick") {
		t.Error("it says that it was a quick run")
	}
}

// The summary has the short tables with their notes, and plots as a page in docs links to them.
func TestSummary(t *testing.T) {
	p := page{
		on: machine{{"Go", "go1.26"}}, began: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), took: 61 * time.Second,
		sections: []section{
			{title: "One", brief: []table{{title: "T", head: []string{"", "n"}, note: "Note."}, {title: "U", head: []string{""}}}, plots: []string{"one.svg"}},
			{title: "Two", tables: []table{{title: "V", head: []string{""}}}},
		},
	}
	want := "Measured on 25 November 2026 in 1m1s, with go1.26.\n\n### T\n\n|  | n |\n| :-- | --: |\n\nNote.\n\n### U\n\n|  |\n| :-- |\n\n![one](../bench/results/one.svg)\n"
	if got := p.summary(); got != want {
		t.Errorf("the summary is\n%s\nwant\n%s", got, want)
	}
}

// A whole run writes its summary into the page that shows it, and nothing else of the page.
func TestShow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	for _, c := range []struct{ text, want, err string }{
		{"a\n<!-- generated: bench -->\nold\n<!-- end -->\nb\n<!-- end -->\n", "a\n<!-- generated: bench -->\nnew\n<!-- end -->\nb\n<!-- end -->\n", ""},
		{"a\n<!-- generated: bench -->\nold\n", "a\n<!-- generated: bench -->\nold\n", "has no place for the figures"},
		{"a\n<!-- end -->\n", "a\n<!-- end -->\n", "has no place for the figures"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		err := show(path, "new\n")
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("show on %q: %v, want %q", c.text, err, c.err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != c.want {
			t.Errorf("show on %q wrote %q, %v; want %q", c.text, got, err, c.want)
		}
	}
}

func TestUnits(t *testing.T) {
	got := units([]result{{name: "A", unit: "this"}, {name: "B"}, {name: "C", unit: "that"}})
	if want := "One operation is\n- of *A*: this\n- of *C*: that"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A plot leaves out points that a logarithmic axis cannot show. Without points there is no file.
func TestPlot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.svg")
	drawn, err := plotLines(file, "Title", "x", "y", []series{{"none", []point{{1, nan}, {0, 3}}}})
	if _, stat := os.Stat(file); err != nil || drawn || !os.IsNotExist(stat) {
		t.Errorf("plot of nothing: drawn %v, %v, %v", drawn, err, stat)
	}
	drawn, err = plotLines(file, "Title", "x", "y", []series{{"some", []point{{1, 10}, {10, nan}, {100, 2000}}}, {"flat", []point{{1, 10}}}})
	if err != nil || !drawn {
		t.Fatalf("plot: drawn %v, %v", drawn, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "Title", "some", ">1000<"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the plot does not have %q", want)
		}
	}
}
