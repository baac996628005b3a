package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A terminal is what a block draws on: as much of one as the block makes use of.
type terminal struct {
	rows          [][]rune
	row, col      int
	kept, keptCol int
	unknown       []string
}

var escape = regexp.MustCompile(`^\x1b(\[\??[0-9]*[A-Za-z]|[78])`)

func (m *terminal) Write(p []byte) (int, error) {
	for text := string(p); text != ""; {
		if code := escape.FindString(text); code != "" {
			m.obey(code)
			text = text[len(code):]
			continue
		}
		r := []rune(text)[0]
		m.put(r)
		text = text[len(string(r)):]
	}
	return len(p), nil
}

func (m *terminal) obey(code string) {
	switch {
	case code == save:
		m.kept, m.keptCol = m.row, m.col
	case code == restore:
		m.row, m.col = m.kept, m.keptCol
	case code == wipeLine:
		m.rows[m.row] = nil
	case code == wipeDown:
		m.rows = m.rows[:m.row+1]
		m.rows[m.row] = m.rows[m.row][:min(m.col, len(m.rows[m.row]))]
	case code == noWrap, code == wrap:
	case strings.HasSuffix(code, "A"):
		n, _ := strconv.Atoi(code[2 : len(code)-1])
		m.row = max(0, m.row-n)
	default:
		m.unknown = append(m.unknown, fmt.Sprintf("%q", code))
	}
}

func (m *terminal) put(r rune) {
	for len(m.rows) <= m.row {
		m.rows = append(m.rows, nil)
	}
	switch r {
	case '\r':
		m.col = 0
	case '\n':
		m.row, m.col = m.row+1, 0
		m.put('\r')
	default:
		for len(m.rows[m.row]) <= m.col {
			m.rows[m.row] = append(m.rows[m.row], ' ')
		}
		m.rows[m.row][m.col] = r
		m.col++
	}
}

func (m *terminal) text() string {
	var b strings.Builder
	for _, row := range m.rows {
		fmt.Fprintln(&b, strings.TrimRight(string(row), " "))
	}
	return strings.TrimRight(b.String(), "\n")
}

func (m *terminal) shows(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := m.text(); got != strings.Join(want, "\n") || m.unknown != nil {
		t.Errorf("%s, the terminal shows\n%s\nwant\n%s\nunknown codes: %v", when, got, strings.Join(want, "\n"), m.unknown)
	}
}

func TestBlock(t *testing.T) {
	p := progress{
		job: store.Job{Name: "job\x1b[2J", State: step.Running, Current: 1},
		steps: []store.Step{
			{ID: 1, Name: "copy", Total: 4, State: step.Running, Attempt: 1, Succeeded: 1, Unfinished: 2, Started: 1000},
			{ID: 2, Name: "ask", State: step.Pending},
		},
	}
	m := &terminal{}
	b := &block{w: m}
	b.say("hello")
	b.show(&p, 2000)
	first := []string{
		"hello", "job?[2J: running",
		"* 1 copy  running  attempt 1  [#####!!!!!..........]  2 of 4 done, 1 failed  1.0s",
		"  2 ask   pending",
	}
	m.shows(t, "at first", append(first, ">")...)

	fmt.Fprint(m, "1 re") // the person types
	p.steps[0].Succeeded, p.steps[0].Unfinished = 2, 1
	b.show(&p, 2500)
	second := []string{
		"hello", "job?[2J: running",
		"* 1 copy  running  attempt 1  [##########!!!!!.....]  3 of 4 done, 1 failed  1.5s",
		"  2 ask   pending",
	}
	m.shows(t, "while typing", append(second, "> 1 re")...)

	fmt.Fprint(m, "try\n")
	b.entered()
	b.say("refused", "for a reason")
	second = append([]string{"hello", "refused", "for a reason"}, second[1:]...)
	m.shows(t, "after a line", append(second, ">")...)

	fmt.Fprint(m, "as bob\n")
	b.entered()
	b.show(&p, 2500)
	m.shows(t, "after a line without an answer", append(second, ">")...)
	b.close()
	m.shows(t, "in the end", second...)
}

func TestBlockOfManySteps(t *testing.T) {
	p := progress{job: store.Job{Name: "j", State: step.Running, Current: 50}}
	for i := range 100 {
		p.steps = append(p.steps, store.Step{ID: step.ID(i + 1), Name: "s", State: step.Pending})
	}
	for current, want := range map[step.ID][2]string{
		1: {"* 1 s   pending", "  ... 84 steps after"}, 50: {"  ... 42 steps before", "  ... 42 steps after"}, 100: {"  ... 84 steps before", "* 100 s  pending"},
	} {
		p.job.Current = current
		got := drawing(&p, 0)
		first, last := strings.Join(strings.Fields(got[1]), " "), strings.Join(strings.Fields(got[len(got)-1]), " ")
		if first != strings.Join(strings.Fields(want[0]), " ") || last != strings.Join(strings.Fields(want[1]), " ") || len(got) > mostRows+3 {
			t.Errorf("at step %d: %d lines from %q to %q, want %q to %q", current, len(got), got[1], got[len(got)-1], want[0], want[1])
		}
	}
}

// What is shown, which is built from the history, is what the engine knows.
func TestProgressAgreesWithTheEngine(t *testing.T) {
	ctx, now := t.Context(), step.Time(1000)
	clock := func() step.Time { now += 1000; return now }
	eng := engine.New(memstore.New(), engine.WithClock(func() time.Time { return clock().Std() }))
	specs := []step.Spec{
		{Type: step.Script, Name: "one", Targets: []string{"a", "b"}},
		{Type: step.Confirmation, Name: "two"},
		{Type: step.SQL, Name: "three", Targets: []string{"a"}},
	}
	created, err := eng.Create(ctx, engine.JobSpec{Name: "j", Steps: specs}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	job, err := eng.Job(ctx, created.Job)
	if err != nil {
		t.Fatal(err)
	}
	p := progress{job: job}
	for i, spec := range specs {
		p.steps = append(p.steps, store.NewStep(step.ID(i+1), spec))
	}
	agrees := func() {
		t.Helper()
		records, err := eng.History(ctx, job.ID, p.job.Version, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			p.apply(r)
		}
		known, err := eng.Job(ctx, job.ID)
		if err != nil {
			t.Fatal(err)
		}
		if known.State != p.job.State || known.Current != p.job.Current || known.Version != p.job.Version {
			t.Errorf("job = %+v, want %+v", p.job, known)
		}
		steps, err := eng.Steps(ctx, job.ID, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range steps {
			got := p.steps[i]
			got.Run = want.Run // not shown
			if got != want {
				t.Errorf("after %v: step = %+v\nwant %+v", records, got, want)
			}
		}
	}
	operate := func(id step.ID, code operation.Code) {
		t.Helper()
		if _, err := eng.Operate(ctx, job.ID, id, code, engine.Request{}); err != nil {
			t.Fatal(err)
		}
		agrees()
	}
	operateJob := func(code operation.JobCode) {
		t.Helper()
		if _, err := eng.OperateJob(ctx, job.ID, code, engine.Request{}); err != nil {
			t.Fatal(err)
		}
		agrees()
	}
	report := func(r engine.Report) {
		t.Helper()
		r.Job = job.ID
		if _, err := eng.Report(ctx, r); err != nil {
			t.Fatal(err)
		}
		agrees()
	}
	result := func(target int32, status step.Status) engine.TargetResult {
		return engine.TargetResult{Target: target, Result: store.Result{Status: status}}
	}
	agrees()
	operateJob(operation.StartJob)
	report(engine.Report{Step: 1, Attempt: 1, Results: []engine.TargetResult{result(0, step.TargetSucceeded)}})
	report(engine.Report{Step: 1, Attempt: 1, Results: []engine.TargetResult{result(1, step.TargetFailed)}})
	operate(1, operation.RetryFailed)
	operateJob(operation.TerminateJob)
	report(engine.Report{Step: 1, Attempt: 2, Outcome: step.Stopped})
	operate(1, operation.RetryAll)
	report(engine.Report{Step: 1, Attempt: 3, Results: []engine.TargetResult{result(0, step.TargetSucceeded), result(1, step.TargetSucceeded)}})
	operate(2, operation.TerminateConfirmation)
	operate(2, operation.RestartConfirmation)
	operate(2, operation.Confirm)
	operateJob(operation.TerminateJob)
	operate(3, operation.ForcedSkip)
}
