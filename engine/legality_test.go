package engine_test

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// THE BOOK: what testdata/legality.txt says, read without asking the library what it
// thinks is legal.

// A book is a file of hand-written grids: one for each step type, and what follows.
type book struct {
	grids   map[step.Type]map[string]map[string]string // by type, row and column
	follows map[string]map[string]string               // by row and column
}

var columns = regexp.MustCompile(`\s{2,}`)

// readBook reads a file of testdata. A line is a section ("on script sql", "what
// follows"), the heading of a grid, or one of its rows; columns stand two spaces apart.
func readBook(t *testing.T, path string) book {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b := book{grids: map[step.Type]map[string]map[string]string{}, follows: map[string]map[string]string{}}
	var into []map[string]map[string]string
	var head []string
	for n, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		types, isTypes := strings.CutPrefix(line, "on ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == "what follows":
			into = []map[string]map[string]string{b.follows}
		case isTypes:
			into = nil
			for name := range strings.FieldsSeq(types) {
				typ, err := step.ParseType(name)
				if err != nil {
					t.Fatalf("%s:%d: %v", path, n+1, err)
				}
				b.grids[typ] = map[string]map[string]string{}
				into = append(into, b.grids[typ])
			}
		default:
			cells := columns.Split(line, -1)
			if first := cells[0]; first == "state" || first == "code" || first == "to" {
				head = cells
				continue
			}
			if len(cells) != len(head) {
				t.Fatalf("%s:%d: %d columns, want the %d of %q", path, n+1, len(cells), len(head), head)
			}
			for _, rows := range into {
				row := map[string]string{}
				for i, cell := range cells[1:] {
					row[head[i+1]] = cell
				}
				if rows[cells[0]] != nil {
					t.Fatalf("%s:%d: %s stands twice", path, n+1, cells[0])
				}
				rows[cells[0]] = row
			}
		}
	}
	return b
}

func mustState(t *testing.T, name string) step.State {
	t.Helper()
	s, err := step.ParseState(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var effects = map[string]store.Effect{
	"none": store.NoEffect, "run": store.RunTargets, "stop": store.StopAttempt, "ask": store.AskConfirmers, "job_ended": store.JobEnded,
}

// outcome returns the job's state and the effect that a row of what follows gives. next
// is the type of the step that follows, or 0.
func (b book) outcome(t *testing.T, row string, next step.Type) (job step.State, effect store.Effect, entered bool) {
	t.Helper()
	f := b.follows[row]
	if f == nil {
		t.Fatalf("the book does not say what follows from %s", row)
	}
	jobText, effectText := f["job"], f["effect"]
	if next == 0 {
		jobText, effectText = f["last job"], f["last effect"]
	}
	if jobText == "next" {
		if next == step.Confirmation {
			return step.Waiting, store.AskConfirmers, true
		}
		return step.Running, store.RunTargets, true
	}
	effect, ok := effects[effectText]
	if !ok {
		t.Fatalf("the book has an unknown effect %s", effectText)
	}
	return mustState(t, jobText), effect, false
}

// reached returns where a cell leads, 0 for nowhere.
func reached(t *testing.T, cell string) step.State {
	t.Helper()
	if cell == "-" || cell == "x" {
		return 0
	}
	return mustState(t, cell)
}

func column(code operation.Code) string { return fmt.Sprint(uint8(code)) }

func jobColumn(code operation.JobCode) string { return fmt.Sprintf("j%d", uint8(code)) }

// jobRow is the row of what follows for a job code.
func jobRow(code operation.JobCode, typ step.Type) string {
	if typ == step.Confirmation {
		return jobColumn(code) + "C"
	}
	return jobColumn(code) + "W"
}

func TestTheBookOfLegalityIsWhole(t *testing.T) {
	b := readBook(t, "testdata/legality.txt")
	for _, typ := range []step.Type{1, 2, 3, 4} {
		if len(b.grids[typ]) != 12 {
			t.Errorf("the book has %d states of %v, want 12", len(b.grids[typ]), typ)
		}
		for _, s := range step.AllStates() {
			row := b.grids[typ][s.String()]
			for _, col := range []string{"2", "3", "6", "8", "9", "10", "11", "12", "j1", "j2"} {
				if row[col] == "" {
					t.Errorf("the book does not say what %s does to %v in %v", col, typ, s)
				}
				reached(t, row[col])
			}
		}
	}
}

// A situation is one place in the space of what can be asked.
type situation struct {
	typ     step.Type
	state   step.State
	current bool      // the step is the job's current one
	left    bool      // a target has not succeeded
	list    bool      // the step has a list of confirmers: ann
	next    step.Type // of the step that follows, or 0
}

func (s situation) String() string {
	return fmt.Sprintf("%v in %v (current %v, left to retry %v, list %v, next %d)", s.typ, s.state, s.current, s.left, s.list, s.next)
}

const (
	confirmer = "ann"
	stranger  = "bob"
	nobody    = ""
)

var people = []string{confirmer, stranger, nobody}

// eachSituation enumerates them all, until a test has failed in a handful.
func eachSituation(t *testing.T, f func(s situation)) {
	t.Helper()
	broken := 0
	flags := []bool{false, true}
	for _, typ := range []step.Type{1, 2, 3, 4} {
		for _, state := range []step.State{1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 14} {
			for _, current := range flags {
				for _, left := range flags {
					for _, list := range flags {
						for _, next := range []step.Type{0, step.SQL, step.Confirmation} {
							f(situation{typ, state, current, left, list, next})
							if t.Failed() {
								broken++
							}
							if broken == 5 {
								t.Fatal("and so on: the rest is left out")
							}
						}
					}
				}
			}
		}
	}
}

const (
	atVersion store.Seq = 40
	movedAt   store.Seq = 37
	atAttempt int32     = 4
	now       step.Time = 20_000
)

// view builds what a store would show of a situation: step 2 of a job of three steps, or
// of two.
func (s situation) view() store.View {
	v := store.View{
		Job: store.Job{
			ID: 7, Name: "release", State: step.Running, Version: atVersion, Moved: movedAt, Current: 1, Steps: 2,
			Skipped: 1, Ignored: 1, Created: 1_000, Started: 2_000,
		},
		Step: store.Step{
			ID: 2, Type: s.typ, Name: "copy", Timeout: 5 * time.Second, State: s.state,
			Attempt: atAttempt, Run: store.Run{Full: atAttempt - 1}, Started: 9_000,
		},
	}
	if s.list {
		v.Step.Confirmers = step.NamesOf([]string{confirmer})
	}
	if s.typ != step.Confirmation {
		v.Step.Total, v.Step.Succeeded = 3, 3
		if s.left {
			v.Step.Succeeded = 1
		}
	}
	switch s.state {
	case step.Pending:
		v.Step.Attempt, v.Step.Run, v.Step.Succeeded, v.Step.Started = 0, store.FirstRun, 0, 0
	case step.Running, step.Waiting, step.Terminating:
		v.Step.Unfinished, v.Step.Deadline = v.Step.Total-v.Step.Succeeded, now+1
	default:
		v.Step.Finished = 12_000
	}
	if s.next != 0 {
		v.Job.Steps = 3
		v.Next = store.Step{ID: 3, Type: s.next, Name: "after", State: step.Pending, Timeout: time.Second}
		if s.next != step.Confirmation {
			v.Next.Total = 5
		}
	}
	if s.current {
		v.Job.Current, v.Job.State = 2, s.state
		switch s.state {
		case step.Succeeded, step.Skipped, step.ErrorIgnored:
			v.Job.State = step.Succeeded
		}
		switch v.Job.State {
		case step.Pending, step.Running, step.Waiting, step.Terminating:
		default:
			v.Job.Finished = 12_000
		}
	}
	return v
}

// verdict says what the book makes of a code in a situation, asked for by a person: where
// the step goes, or the first reason why not.
func (b book) verdict(t *testing.T, s situation, v *store.View, code operation.Code, person string) (step.State, operation.Reason) {
	t.Helper()
	cell, needs := b.grids[s.typ][s.state.String()][column(code)], b.follows[column(code)]["needs"]
	switch {
	case cell == "x":
		return 0, operation.WrongType
	case !s.current:
		return 0, operation.NotCurrent
	case cell == "-":
		return 0, operation.WrongState
	case needs == "due" && v.Step.Succeeded == v.Step.Total:
		return 0, operation.NothingToRetry
	case needs == "confirmer" && s.list && person != confirmer:
		return 0, operation.NotConfirmer
	}
	return reached(t, cell), 0
}

// legal returns the set of operations that would pass for a person, on the step and on the job. A view
// of a step that is not the current one shows nothing of that one, so nothing is said then.
func (b book) legal(t *testing.T, s situation, v *store.View, person string) step.Causes {
	t.Helper()
	var legal step.Causes
	for _, code := range operation.AllCodes() {
		if _, reason := b.verdict(t, s, v, code, person); reason == 0 {
			legal = legal.With(code.Cause())
		}
	}
	for _, code := range operation.AllJobCodes() {
		if s.current && reached(t, b.grids[s.typ][s.state.String()][jobColumn(code)]) != 0 {
			legal = legal.With(code.Cause())
		}
	}
	return legal
}

// legalFrom returns the states in which a column is legal on steps of a type.
func (b book) legalFrom(t *testing.T, typ step.Type, col string) step.States {
	t.Helper()
	var from step.States
	for _, s := range step.AllStates() {
		if reached(t, b.grids[typ][s.String()][col]) != 0 {
			from = from.With(s)
		}
	}
	return from
}

// after returns the record and the change that the book promises when the step of v goes
// to a state as a row of what follows has it. What names the request is left to the caller.
func (b book) after(t *testing.T, v *store.View, row string, to step.State) (store.Record, store.Job, []store.Step) {
	t.Helper()
	jobTo, effect, entered := b.outcome(t, row, v.Next.Type)
	job, s, steps := v.Job, v.Step, []store.Step(nil)
	rec := store.Record{
		Job: job.ID, Seq: job.Version + 1, At: now, Step: s.ID, From: s.State, To: to,
		JobFrom: job.State, JobTo: jobTo, Effect: effect,
	}
	s.State = to
	switch attempt := b.follows[row]["attempt"]; {
	case attempt == "all" || attempt == "due":
		s.Attempt++
		if s.Started, s.Finished, s.Deadline = now, 0, now+5_000; attempt == "all" {
			s.Run.Full, s.Succeeded = s.Attempt, 0
		}
		s.Unfinished = s.Total - s.Succeeded
		rec.Targets = s.Unfinished
	case to == step.Terminating || to == v.Step.State: // the attempt is still under way
	default:
		s.Deadline = 0
		if s.Finished == 0 { // an attempt that ended earlier has not run until now
			s.Finished = now
		}
	}
	steps = append(steps, s)
	job.State, job.Version, job.Updated, job.Finished = jobTo, rec.Seq, rec.At, 0
	if to != v.Step.State {
		job.Moved = rec.Seq
	}
	switch to {
	case step.Skipped:
		job.Skipped++
	case step.ErrorIgnored:
		job.Ignored++
	}
	if effect == store.JobEnded {
		job.Finished = now
	}
	if entered {
		next := v.Next
		next.State, next.Attempt, next.Run, next.Unfinished = jobTo, 1, store.FirstRun, next.Total
		next.Started, next.Deadline = now, now+1_000
		steps = append(steps, next)
		job.Current = next.ID
		rec.Entered, rec.Targets = next.ID, next.Total
	}
	rec.Attempt, rec.Run, rec.Succeeded, rec.Unfinished = s.Attempt, s.Run, s.Succeeded, s.Unfinished
	return rec, job, steps
}

// checkDecision compares a decision with the record, header and steps that the book
// promises.
func checkDecision(t *testing.T, call string, d engine.Decision, rec store.Record, job store.Job, steps []store.Step) {
	t.Helper()
	if got := d.Record(); got != rec {
		t.Errorf("%s: the answer\n got %+v\nwant %+v", call, got, rec)
	}
	c := d.Change
	if len(c.Records) != 1 || c.Records[0] != rec {
		t.Errorf("%s: records\n got %+v\nwant %+v", call, c.Records, rec)
	}
	if c.Job != job {
		t.Errorf("%s: header\n got %+v\nwant %+v", call, c.Job, job)
	}
	if c.Specs != nil || len(c.Targets) != 0 {
		t.Errorf("%s: the change holds %d definitions and %d targets, want none", call, len(c.Specs), len(c.Targets))
	}
	if len(c.Steps) != len(steps) {
		t.Errorf("%s: %d steps change, want %d", call, len(c.Steps), len(steps))
		return
	}
	for i := range steps {
		if c.Steps[i] != steps[i] {
			t.Errorf("%s: step %d\n got %+v\nwant %+v", call, steps[i].ID, c.Steps[i], steps[i])
		}
	}
}

// checkRefusal compares an error with the refusal that the book promises.
func checkRefusal(t *testing.T, call string, d engine.Decision, err error, want engine.Refusal) {
	t.Helper()
	got, ok := err.(*engine.Refusal)
	if !ok || !reflect.DeepEqual(d, engine.Decision{}) {
		t.Errorf("%s = %+v, %v; want it refused as %v", call, d, err, want.Reason)
		return
	}
	want.Detail = got.Detail // in words, for people
	if *got != want {
		t.Errorf("%s: refusal\n got %+v\nwant %+v", call, *got, want)
	}
}

// refusal returns what a refusal in a situation must say.
func (b book) refusal(t *testing.T, s situation, v *store.View, col, person string) engine.Refusal {
	t.Helper()
	r := engine.Refusal{
		Job: 7, Step: 2, Actor: person, Type: s.typ, State: s.state, JobState: v.Job.State,
		Attempt: v.Step.Attempt, Current: v.Job.Current, Version: atVersion, LegalFrom: b.legalFrom(t, s.typ, col),
	}
	r.Legal = b.legal(t, s, v, person)
	return r
}

var someRequest = uuid.MustParse("0197c4f0-0000-7000-8000-000000000001")

// Every code, in every situation, for everybody: accepted if and only if the book says so,
// with everything that follows; refused for the first reason that applies.
func TestEveryOperationIsDecidedByTheBook(t *testing.T) {
	b, rules, cells := readBook(t, "testdata/legality.txt"), operation.Standard(), 0
	eachSituation(t, func(s situation) {
		for _, person := range people {
			for _, code := range []operation.Code{2, 3, 6, 8, 9, 10, 11, 12} {
				cells++
				v := s.view()
				cmd := &engine.Operate{Cause: code.Cause(), Request: engine.Request{ID: someRequest, By: person, Because: "because"}}
				call := fmt.Sprintf("%v by %q on %v", code, person, s)
				d, err := engine.Decide(rules, v, cmd, now)
				if v.Job != s.view().Job || v.Next != s.view().Next || *cmd != (engine.Operate{Cause: code.Cause(), Request: engine.Request{ID: someRequest, By: person, Because: "because"}}) {
					t.Errorf("%s: Decide changed its arguments", call)
				}
				to, reason := b.verdict(t, s, &v, code, person)
				if reason != 0 {
					want := b.refusal(t, s, &v, column(code), person)
					want.Reason, want.Cause = reason, code.Cause()
					checkRefusal(t, call, d, err, want)
					continue
				}
				if err != nil {
					t.Errorf("%s: %v; want %v", call, err, to)
					continue
				}
				rec, job, steps := b.after(t, &v, column(code), to)
				rec.Cause, rec.Request, rec.Actor, rec.Reason = code.Cause(), someRequest, person, "because"
				checkDecision(t, call, d, rec, job, steps)
			}
		}
	})
	if want := 4 * 12 * 2 * 2 * 2 * 3 * 3 * 8; cells != want {
		t.Errorf("looked at %d cells, want %d", cells, want)
	}
}

// The same for the job's codes, which are about its current step.
func TestEveryJobOperationIsDecidedByTheBook(t *testing.T) {
	b, rules := readBook(t, "testdata/legality.txt"), operation.Standard()
	eachSituation(t, func(s situation) {
		if !s.current {
			return // the view of a job operation is that of the current step
		}
		for _, person := range people {
			for _, code := range []operation.JobCode{1, 2} {
				v := s.view()
				call := fmt.Sprintf("%v by %q on %v", code, person, s)
				d, err := engine.Decide(rules, v, &engine.Operate{Cause: code.Cause(), Request: engine.Request{ID: someRequest, By: person, Because: "because"}}, now)
				to := reached(t, b.grids[s.typ][s.state.String()][jobColumn(code)])
				if to == 0 {
					want := b.refusal(t, s, &v, jobColumn(code), person)
					want.Reason, want.Cause = operation.WrongState, code.Cause()
					checkRefusal(t, call, d, err, want)
					continue
				}
				if err != nil {
					t.Errorf("%s: %v; want %v", call, err, to)
					continue
				}
				rec, job, steps := b.after(t, &v, jobRow(code, s.typ), to)
				rec.Cause, rec.Request, rec.Actor, rec.Reason = code.Cause(), someRequest, person, "because"
				checkDecision(t, call, d, rec, job, steps)
			}
		}
	})
}

// What the caller looked at comes before type, place, state and guards: a stale request is
// stale whatever else is wrong with it, and one that is not is decided as if it had not asked.
func TestStaleComesBeforeEveryOtherReasonOfTheState(t *testing.T) {
	b, rules := readBook(t, "testdata/legality.txt"), operation.Standard()
	eachSituation(t, func(s situation) {
		for _, person := range people {
			for _, code := range operation.AllCodes() {
				v := s.view()
				for _, c := range []struct {
					attempt int32
					version store.Seq
					stale   bool
				}{
					{0, movedAt - 1, true}, {0, movedAt, false}, {0, atVersion, false}, {0, atVersion + 1, true}, {0, 1, true},
					{v.Step.Attempt, 0, false}, {v.Step.Attempt + 1, 0, true}, {atAttempt - 1, atVersion, true}, {v.Step.Attempt, 1, true},
				} {
					call := fmt.Sprintf("%v by %q on %v, if attempt %d, if version %d", code, person, s, c.attempt, c.version)
					_, err := engine.Decide(rules, v, &engine.Operate{Cause: code.Cause(), Request: engine.Request{By: person, IfAttempt: c.attempt, IfVersion: c.version}}, now)
					_, reason := b.verdict(t, s, &v, code, person)
					if c.stale {
						reason = operation.Stale
					}
					checkReason(t, call, err, reason)
				}
			}
		}
	})
}

func checkReason(t *testing.T, call string, err error, want operation.Reason) {
	t.Helper()
	refusal, refused := err.(*engine.Refusal)
	switch {
	case want == 0 && err != nil:
		t.Errorf("%s: %v; want it accepted", call, err)
	case want != 0 && (!refused || refusal.Reason != want):
		t.Errorf("%s: %v; want it refused as %v", call, err, want)
	}
}

// A request that was carried out is answered with its record of then, whatever has become
// of the step since, and however stale the repetition; a different one with its id is not
// taken for it.
func TestAReplayComesBeforeStaleAndGivesTheRecordOfThen(t *testing.T) {
	rules := operation.Standard()
	eachSituation(t, func(s situation) {
		for _, code := range operation.AllCodes() {
			done := store.Record{
				Job: 7, Seq: 5, At: 3_000, Cause: code.Cause(), Request: someRequest, Actor: confirmer, Reason: "because",
				Step: 2, Attempt: 2, From: step.Failed, To: step.Running, JobFrom: step.Failed, JobTo: step.Running, Targets: 2, Effect: store.RunTargets,
			}
			for _, c := range []struct {
				change func(*store.Record)
				reason operation.Reason
			}{
				{func(*store.Record) {}, 0},
				{func(r *store.Record) { r.Cause = step.JobCause(uint8(code)) }, operation.RequestReused},
				{func(r *store.Record) { r.Step = 1 }, operation.RequestReused},
				{func(r *store.Record) { r.Cause = code.Cause() + 50 }, operation.RequestReused},
				{func(r *store.Record) { r.Actor = nobody }, operation.RequestReused},
				{func(r *store.Record) { r.Reason = "" }, operation.RequestReused},
			} {
				was := done
				c.change(&was)
				v := s.view()
				v.Replay = &was
				call := fmt.Sprintf("a repetition of %v on %v, carried out as %+v", code, s, was)
				d, err := engine.Decide(rules, v, &engine.Operate{Cause: code.Cause(), Request: engine.Request{ID: someRequest, By: confirmer, Because: "because", IfAttempt: 99, IfVersion: 1}}, now)
				checkReason(t, call, err, c.reason)
				if err == nil && (d.Changes() || d.Record() != done) {
					t.Errorf("%s: the answer\n got %+v, changes %v\nwant %+v, no changes", call, d.Record(), d.Changes(), done)
				}
			}
		}
	})
}

// THE SAME CELLS THROUGH AN ENGINE: each that a job can be brought to is brought about by
// public calls alone.

// A drive is a job on its way.
type drive struct {
	t    *testing.T
	eng  *engine.Engine
	job  store.JobID
	step step.ID // the step in question
}

// newDriveEngine returns an engine on a store of its own, with a clock that stands still.
func newDriveEngine() *engine.Engine {
	return engine.New(memstore.New(), engine.WithClock(func() time.Time { return time.UnixMilli(int64(now)) }))
}

func (d *drive) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("on the way: %v", err)
	}
}

func (d *drive) onJob(code operation.JobCode) {
	d.t.Helper()
	_, err := d.eng.OperateJob(d.t.Context(), d.job, code, engine.Request{})
	d.must(err)
}

func (d *drive) on(code operation.Code) {
	d.t.Helper()
	_, err := d.eng.Operate(d.t.Context(), d.job, d.step, code, engine.Request{By: confirmer})
	d.must(err)
}

// report has the step's three targets finish with these statuses; 0 stands for nothing yet.
func (d *drive) report(outcome step.Cause, statuses ...step.Status) {
	d.t.Helper()
	r := engine.Report{Job: d.job, Step: d.step, Attempt: 1, Outcome: outcome}
	for i, status := range statuses {
		r.Results = append(r.Results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: status}})
	}
	_, err := d.eng.Report(d.t.Context(), r)
	d.must(err)
}

// A journey brings a step to a state.
type journey struct {
	to    step.State
	left  bool // a target has not succeeded
	drive func(d *drive)
}

const (
	good  = step.TargetSucceeded
	wrong = step.TargetFailed
)

var journeysOfWork = []journey{
	{step.Pending, true, func(d *drive) {}},
	{step.Running, true, func(d *drive) { d.onJob(2) }},
	{step.Succeeded, false, func(d *drive) { d.onJob(2); d.report(0, good, good, good) }},
	{step.Failed, true, func(d *drive) { d.onJob(2); d.report(0, good, wrong, wrong) }},
	{step.Skipped, true, func(d *drive) { d.onJob(2); d.onJob(1); d.on(12) }},
	{step.Skipped, true, func(d *drive) { d.onJob(2); d.report(step.Stopped); d.on(11) }},
	{step.ErrorIgnored, true, func(d *drive) { d.onJob(2); d.report(0, wrong, wrong, wrong); d.on(3) }},
	{step.Abnormal, true, func(d *drive) { d.onJob(2); d.report(step.Broke) }},
	{step.Abnormal, false, func(d *drive) { d.onJob(2); d.report(step.Broke, good, good, good) }},
	{step.Terminating, true, func(d *drive) { d.onJob(2); d.onJob(1) }},
	{step.Terminated, true, func(d *drive) { d.onJob(2); d.onJob(1); d.report(step.Stopped, good) }},
	{step.Terminated, false, func(d *drive) { d.onJob(2); d.onJob(1); d.report(0, good, good, good) }},
	{step.Abandoned, true, func(d *drive) { d.onJob(2); d.report(step.Dropped) }},
}

var journeysOfConfirmations = []journey{
	{step.Pending, false, func(d *drive) {}},
	{step.Waiting, false, func(d *drive) { d.onJob(2) }},
	{step.Succeeded, false, func(d *drive) { d.onJob(2); d.on(6) }},
	{step.Terminated, false, func(d *drive) { d.onJob(2); d.onJob(1) }},
	{step.ConfirmationTerminated, false, func(d *drive) { d.onJob(2); d.on(9) }},
}

// layouts are the jobs in which a step is looked at: alone, before each kind of step, and
// behind one.
var layouts = []struct {
	behind bool
	next   step.Type
}{{false, 0}, {false, step.SQL}, {false, step.Confirmation}, {true, 0}}

func plain(typ step.Type, name string) step.Spec {
	spec := step.Spec{Type: typ, Name: name}
	if typ != step.Confirmation {
		spec.Targets = []string{"a", "b", "c"}
	}
	return spec
}

// arrive creates a job and brings its step in question to the state of a journey.
func arrive(t *testing.T, eng *engine.Engine, s situation, behind bool, j journey) *drive {
	t.Helper()
	d := &drive{t: t, eng: eng, step: 1}
	subject := plain(s.typ, "subject")
	if s.list && s.typ == step.Confirmation {
		subject.Confirmers = []string{confirmer}
	}
	steps := []step.Spec{subject}
	if behind {
		steps, d.step = []step.Spec{plain(step.Script, "before"), subject}, 2
	}
	if s.next != 0 {
		steps = append(steps, plain(s.next, "after"))
	}
	created, err := eng.Create(t.Context(), engine.JobSpec{Name: "release", Steps: steps}, engine.Request{})
	d.must(err)
	d.job = created.Job
	j.drive(d)
	got, err := eng.Step(t.Context(), d.job, d.step)
	d.must(err)
	if got.State != j.to {
		t.Fatalf("the journey to %v ends in %v", j.to, got.State)
	}
	return d
}

// Explain, DryRun and Operate give the same answer to the same person on the same state, in
// every cell that a job can be brought to, and it is the answer of the book.
func TestExplainDryRunAndOperateAgreeInEveryReachableCell(t *testing.T) {
	b := readBook(t, "testdata/legality.txt")
	for _, typ := range []step.Type{1, 2, 3, 4} {
		journeys := journeysOfWork
		if typ == step.Confirmation {
			journeys = journeysOfConfirmations
		}
		for _, j := range journeys {
			for _, layout := range layouts {
				if layout.behind && j.to != step.Pending {
					continue
				}
				for _, list := range []bool{false, true} {
					if list && typ != step.Confirmation {
						continue
					}
					passed := j.to == step.Succeeded || j.to == step.Skipped || j.to == step.ErrorIgnored
					s := situation{typ: typ, state: j.to, left: j.left, list: list, next: layout.next}
					s.current = !layout.behind && !(passed && layout.next != 0)
					for _, person := range people {
						agree(t, b, s, layout.behind, j, person)
					}
				}
			}
		}
	}
}

func agree(t *testing.T, b book, s situation, behind bool, j journey, person string) {
	t.Helper()
	eng := newDriveEngine()
	d := arrive(t, eng, s, behind, j)
	x, err := eng.Explain(t.Context(), d.job, d.step, engine.Request{By: person})
	if err != nil {
		t.Fatalf("Explain of %v to %q: %v", s, person, err)
	}
	split := slices.IndexFunc(x.Causes, func(v engine.Verdict) bool { return v.Cause.OfJob() })
	if len(x.Causes) != 10 || split != 8 {
		t.Fatalf("Explain of %v tells of %d operations, those on the job from %d on, want 10 and 8", s, len(x.Causes), split)
	}
	v := store.View{Job: x.Job, Step: x.Step}
	var legal step.Causes
	for _, verdict := range x.Causes[:split] {
		code := operation.Code(verdict.Cause)
		call := fmt.Sprintf("%v by %q on %v", code, person, s)
		to, reason := b.verdict(t, s, &v, code, person)
		if verdict.Legal != (reason == 0) || verdict.Refusal != nil && verdict.Refusal.Reason != reason || verdict.Legal && verdict.Record.To != to {
			t.Errorf("%s: Explain says %+v; want %v or %v", call, verdict, to, reason)
		}
		if verdict.Legal {
			legal = legal.With(verdict.Cause)
		}
		compare(t, call, verdict.Record, verdict.Refusal, d, arrive(t, eng, s, behind, j), func(d *drive, r engine.Request) (store.Record, error) {
			r.By = person
			return eng.Operate(t.Context(), d.job, d.step, code, r)
		})
	}
	for _, verdict := range x.Causes[split:] {
		code := operation.JobCode(verdict.Cause.Code())
		if verdict.Legal {
			legal = legal.With(verdict.Cause)
		}
		call := fmt.Sprintf("%v by %q on %v", code, person, s)
		current, err := eng.Step(t.Context(), d.job, x.Job.Current)
		d.must(err)
		if to := reached(t, b.grids[current.Type][current.State.String()][jobColumn(code)]); verdict.Legal != (to != 0) || verdict.Record.To != to {
			t.Errorf("%s: Explain says %+v, want %v", call, verdict, to)
		}
		compare(t, call, verdict.Record, verdict.Refusal, d, arrive(t, eng, s, behind, j), func(d *drive, r engine.Request) (store.Record, error) {
			r.By = person
			return eng.OperateJob(t.Context(), d.job, code, r)
		})
	}
	if codes, err := eng.Allowed(t.Context(), d.job, d.step, engine.Request{By: person}); codes != legal || err != nil {
		t.Errorf("Allowed to %q on %v = %v, %v; want %v", person, s, codes, err, legal)
	}
}

// compare runs one operation dry on a job that was explained and in earnest on its twin.
func compare(t *testing.T, call string, explained store.Record, refused *engine.Refusal, d, twin *drive, run func(d *drive, r engine.Request) (store.Record, error)) {
	t.Helper()
	before, err := d.eng.Job(t.Context(), d.job)
	d.must(err)
	dry, dryErr := run(d, engine.Request{DryRun: true})
	got, err := run(twin, engine.Request{})
	if dry.Seq != 0 || dry.Request != (store.RequestID{}) {
		t.Errorf("%s: a dry run has request %v and record %d, want neither", call, dry.Request, dry.Seq)
	}
	if err == nil && got.Seq != before.Version+1 {
		t.Errorf("%s: record %d after version %d", call, got.Seq, before.Version)
	}
	for _, r := range []*store.Record{&explained, &dry, &got} {
		r.Request, r.Seq, r.Job = store.RequestID{}, 0, 0
	}
	if explained != dry || dry != got {
		t.Errorf("%s:\nexplained %+v\nthe dry run %+v\nin earnest %+v", call, explained, dry, got)
	}
	dryRefusal, _ := dryErr.(*engine.Refusal)
	refusal, _ := err.(*engine.Refusal)
	if (refused == nil) != (dryErr == nil) || (refused == nil) != (err == nil) {
		t.Errorf("%s: explained as %v, run dry as %v, in earnest as %v", call, refused, dryErr, err)
	} else if refused != nil {
		twinned := *refusal
		twinned.Job = refused.Job
		if *refused != *dryRefusal || *refused != twinned || refused.Error() != dryRefusal.Error() {
			t.Errorf("%s:\nexplained as %+v\nrun dry as %+v\nin earnest as %+v", call, *refused, *dryRefusal, twinned)
		}
	}
	if after, err := d.eng.Job(t.Context(), d.job); after != before || err != nil {
		t.Errorf("%s: the dry run left %+v, %v; want %+v", call, after, err, before)
	}
}

// nudged is a store in which something happens right after a view was taken.
type nudged struct {
	store.Store
	nudge func()
}

func (n *nudged) View(ctx context.Context, q store.Query) (store.View, error) {
	v, err := n.Store.View(ctx, q)
	if nudge := n.nudge; nudge != nil {
		n.nudge = nil
		nudge()
	}
	return v, err
}

// An explanation is of one moment: what it says of the job agrees with the header that it
// shows, even if the job moves on meanwhile.
func TestExplainIsOfOneMoment(t *testing.T) {
	for _, id := range []step.ID{1, 2} {
		st := &nudged{Store: memstore.New()}
		eng := engine.New(st)
		d := arrive(t, eng, situation{typ: step.Script, next: step.SQL}, false, journeysOfWork[1]) // running
		st.nudge = func() { d.report(0, good, good, good) }                                        // the next step is entered
		x, err := eng.Explain(t.Context(), d.job, id, engine.Request{By: confirmer})
		if err != nil {
			t.Fatal(err)
		}
		for _, verdict := range x.Causes {
			if !verdict.Cause.OfJob() {
				continue
			}
			if want := verdict.Cause == operation.TerminateJob.Cause(); verdict.Legal != want {
				t.Errorf("Explain of step %d while step 1 ends: the job is %v at version %d, and %v is legal: %v (%v); want %v",
					id, x.Job.State, x.Job.Version, verdict.Cause, verdict.Legal, verdict.Refusal, want)
			}
			if r := verdict.Refusal; r != nil && (r.Version != x.Job.Version || r.Current != x.Job.Current) {
				t.Errorf("Explain of step %d while step 1 ends: the header is of version %d, step %d, the verdict on %v of version %d, step %d",
					id, x.Job.Version, x.Job.Current, verdict.Cause, r.Version, r.Current)
			}
		}
	}
}
