package engine_test

// A scenario file tells a story about one job. Comments begin with #. A line at the margin
// does something or looks at something; the lines indented below it say what must have come
// of it. What is refused must be said to be.
//
//	job NAME                             creates the job, of the steps indented below it:
//	  TYPE NAME, targets T ..., confirmers P ..., timeout 10m, confirm_on_timeout, ignore_errors
//	PERSON: CODE STEP [, because "..."] [, if_attempt N] [, if_version N] [, request WORD] [, dry_run]
//	PERSON: start_job | terminate_job    with the same options; "nobody" gives no name
//	report STEP.ATTEMPT: TARGET STATUS, ... | stopped | abnormal "why" | abandoned "why"
//	wait DURATION                        moves the clock
//	sweep                                expires what is overdue
//	deliver [failing "why"]              hands every effect that is due to a handler
//	deliver and die                      takes every effect that is due, and is never heard of again
//	in between, ACTION                   happens while the next action is decided, before its commit
//	crash before | crash after           the store goes down before or after the next commit
//	restart                              the store is back, with a new engine on it
//	expect job | step N | target N.NAME | record N: STATE, KEY VALUE, ...
//	expect history | effects: ENTRY, ... the whole list
//	expect PERSON on N: CODE, ...        what is legal; with "in full", every code and why not
//
// Below an action stand clauses KEY VALUE: the fields of the receipt, of the refusal ("refused
// REASON" for its reason, says "part of its text"), or "unknown outcome"; below sweep and
// deliver, what was expired or delivered.

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
)

// Each of the 18 shortfalls of the reference has a scenario, and it comes out right.
func TestEveryShortfallOfTheReferenceComesOutRight(t *testing.T) {
	for n := 1; n <= 18; n++ {
		paths, err := filepath.Glob(fmt.Sprintf("testdata/scenarios/%02d-*.txt", n))
		if err != nil || len(paths) != 1 {
			t.Errorf("testdata/scenarios has %q for shortfall %d, want one file", paths, n)
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(paths[0]), ".txt"), func(t *testing.T) { perform(t, paths[0]) })
	}
}

// facts are what there is to say of an action or a subject, by key; a list has the key "".
type facts map[string]string

// factsOf returns the fields of a struct as facts, FieldName as field_name.
func factsOf(v any) facts {
	f := facts{}
	for field, value := range reflect.ValueOf(v).Fields() {
		switch {
		case field.Anonymous:
			maps.Copy(f, factsOf(value.Interface()))
		case field.IsExported():
			f[strings.ToLower(hump.ReplaceAllString(field.Name, "${1}_$2"))] = strings.ReplaceAll(fmt.Sprint(value.Interface()), ", ", " ")
		}
	}
	return f
}

func listed[T any](rows []T, text func(T) string) facts {
	all := make([]string, len(rows))
	for i, row := range rows {
		all[i] = text(row)
	}
	return facts{"": cmp.Or(strings.Join(all, ", "), "none")}
}

var (
	hump   = regexp.MustCompile(`([a-z])([A-Z])`)
	clause = regexp.MustCompile(`(?:"[^"]*"|[^,"])+`)
	word   = regexp.MustCompile(`"[^"]*"|[^\s,"]+`)
)

// A play performs one scenario.
type play struct {
	t     *testing.T
	at    string // file:line of the action
	stage *stage
	eng   *engine.Engine
	now   time.Time
	spec  engine.JobSpec
}

const theJob store.JobID = 1

func perform(t *testing.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(data), "# "+filepath.Base(path)[:2]+" ") {
		t.Fatalf("%s:1: %v: the first line must be a comment with the number of the shortfall", path, err)
	}
	p := &play{t: t, stage: &stage{Store: memstore.New()}, now: time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC)}
	p.restart()
	lines := slices.Collect(strings.Lines(string(data)))
	for n := 0; n < len(lines); {
		text, first := strings.TrimSpace(lines[n]), n
		var below []string
		for n++; n < len(lines) && strings.HasPrefix(lines[n], " "); n++ {
			below = append(below, strings.TrimSpace(lines[n]))
		}
		at := fmt.Sprintf("%s:%d: %s", path, first+1, text)
		action, between := strings.CutPrefix(text, "in between, ")
		switch {
		case (text == "" || text[0] == '#') && below != nil:
			t.Fatalf("%s: what is indented below it, %q, belongs to nothing", at, below[0])
		case text == "" || text[0] == '#':
		case between:
			p.stage.between = append(p.stage.between, func() {
				defer func(was string) { p.at = was }(p.at)
				p.at = at
				p.check(action, below)
			})
		default:
			p.at = at
			p.check(action, below)
			if len(p.stage.between) > 0 && !strings.HasPrefix(text, "crash") {
				t.Fatalf("%s: nothing was committed, so nothing happened in between", at)
			}
		}
	}
	p.audit()
}

// check does what a line says and compares what came of it with the lines below.
func (p *play) check(text string, below []string) {
	p.t.Helper()
	got, err := p.do(text, below)
	var r *engine.Refusal
	switch {
	case strings.HasPrefix(text, "job "):
		below = nil
	case errors.As(err, &r):
		got = factsOf(*r)
		got["refused"] = got["reason"]
	case errors.Is(err, engine.ErrUnknownOutcome):
		got = facts{"unknown": "outcome"}
	}
	if want, ok := strings.CutPrefix(text, "expect "); ok {
		_, want, _ = strings.Cut(want, ": ")
		below = append(below, want)
	}
	if err != nil && (len(below) == 0 || !strings.HasPrefix(below[0], "refused ") && below[0] != "unknown outcome") {
		p.t.Fatalf("%s: %v", p.at, err)
	}
	for _, b := range below {
		if all, ok := got[""]; ok && all != b {
			p.t.Errorf("%s: want %s; got %s", p.at, b, all)
		} else if !ok {
			for _, want := range clause.FindAllString(b, -1) {
				p.compare(strings.TrimSpace(want), got, err)
			}
		}
	}
}

func (p *play) compare(want string, got facts, err error) {
	p.t.Helper()
	key, value, paired := strings.Cut(want, " ")
	if !paired {
		key, value = "state", want
	}
	switch is, ok := got[key]; {
	case key == "says" && err != nil && strings.Contains(err.Error(), unquote(value)):
	case !ok || is != value:
		p.t.Errorf("%s: want %s; got %q (%v) in %v", p.at, want, is, err, got)
	}
}

func unquote(s string) string { return strings.Trim(s, `"`) }

func parsed[T any](p *play, read func(string) (T, error), text string) T {
	p.t.Helper()
	v, err := read(text)
	if err != nil {
		p.t.Fatalf("%s: %v", p.at, err)
	}
	return v
}
