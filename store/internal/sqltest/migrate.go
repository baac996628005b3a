package sqltest

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// Current is the version of the schema.
const Current = 5

// A Database is an empty database to test migrations in.
type Database struct {
	Migrate   func(ctx context.Context) error                // the store's Migrate
	MigrateTo func(ctx context.Context, version int) error   // the store's MigrateTo
	New       func(ctx context.Context) (store.Store, error) // the store is closed at the end of the test
	Exec      func(sql string)                               // fails the test on an error
	Ask       func(sql string) string                        // the single value of a query; fails the test on an error
	Objects   func() []string                                // the definitions of all tables and indexes, sorted

	// Versions returns the fields of a SchemaError of the store; ok is false if err is no
	// SchemaError.
	Versions func(err error) (have, want int, ok bool)
}

// Migrations describes a store's migrations for [Migrations.Run].
type Migrations struct {
	Files embed.FS                    // the store's Migrations
	Open  func(t *testing.T) Database // returns an empty database

	Claims   string // the column of version 1 that counts claims
	None     string // part of the SchemaError of a database without a schema
	Older    string // part of the SchemaError of an older schema
	Newer    string // part of the SchemaError of a newer schema
	TakeBack string // part of the SchemaError of MigrateTo back from a newer schema
}

// Run tests the migrations, each promise as a subtest.
func (m Migrations) Run(t *testing.T) {
	for _, promise := range []struct {
		name string
		test func(*testing.T, Database)
	}{
		{"forward and back is as if nothing had been", m.forwardAndBack},
		{"rows of version 1 migrate", m.version1},
		{"effects of version 2 tell who asked for them", m.version2},
		{"effects of version 3 are held, unless every delivery has failed", m.version3},
		{"steps of version 4 are due at their deadlines", m.version4},
		{"back at version 4 nothing is gated", m.gatedBack},
		{"a batch that is under way keeps version 5", m.batchBack},
		{"there is no way to an unknown version", m.unknown},
		{"another version is a SchemaError and stays", m.otherVersions},
		{"the files are as good as Migrate", m.files},
		{"a later version that only adds suits", m.later},
		{"each migration but the first says whom it suits", m.suits},
	} {
		t.Run(promise.name, func(t *testing.T) { promise.test(t, m.Open(t)) })
	}
}

// must migrates to a version.
func (d Database) must(t *testing.T, version int) {
	t.Helper()
	if err := d.MigrateTo(t.Context(), version); err != nil {
		t.Fatalf("MigrateTo(%d): %v", version, err)
	}
}

// open opens a store.
func (d Database) open(t *testing.T) store.Store {
	t.Helper()
	st, err := d.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// same asserts that the definitions are want.
func (d Database) same(t *testing.T, when string, want []string) {
	t.Helper()
	if got := d.Objects(); !slices.Equal(got, want) {
		t.Errorf("%s there are\n%s\nwant\n%s", when, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// It does not touch other tables.
func (m Migrations) forwardAndBack(t *testing.T, d Database) {
	d.Exec("CREATE TABLE own (x int)")
	before := d.Objects()
	var first []string
	for range 2 {
		for range 2 { // the second time there is nothing to do
			if err := d.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		jobkit.Create(t, engine.New(d.open(t)), jobkit.Asking(1))
		if first == nil {
			first = d.Objects()
		}
		d.same(t, "forward, back and forward", first)
		d.must(t, 0)
		d.same(t, "back at version 0", before)
	}
}

// The Updated of a migrated job is the latest time of its records. The claims of its effects have
// no token.
func (m Migrations) version1(t *testing.T, d Database) {
	const latest step.Time = 4_000_000_000_000
	d.must(t, Current)
	eng := engine.New(d.open(t))
	ids := []store.JobID{jobkit.Create(t, eng, jobkit.Asking(1)), jobkit.Start(t, eng, jobkit.Asking(1))}
	d.must(t, 1)
	d.Exec(fmt.Sprintf("UPDATE stepgate_records SET at = %d WHERE job = %d AND seq = 1", latest, ids[1])) // by a clock that was ahead
	d.Exec(fmt.Sprintf("UPDATE stepgate_effects SET %s = 1, not_before = %d", m.Claims, latest))
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := d.open(t)
	for i, id := range ids {
		v, err := st.View(t.Context(), store.Query{Job: id})
		want := []step.Time{v.Job.Created, latest}[i]
		if err != nil || v.Job.Updated != want || want == 0 {
			t.Errorf("job %d of version 1: got Updated %v and error %v, want %v", id, v.Job.Updated, err, want)
		}
	}
	effects, err := st.Effects(t.Context(), store.Scope{}, ids[1], store.Page[store.Seq]{Limit: 9})
	if err != nil || len(effects) != 1 || effects[0].Count != 1 || effects[0].Token != (store.Token{}) {
		t.Errorf("effects of version 1: got %+v and error %v, want one that was claimed once, without a token", effects, err)
	}
}

// The cause, actor and reason of an effect come from its record: at the migration, and for effects
// that a program of version 2 writes to the schema of version 3.
func (m Migrations) version2(t *testing.T, d Database) {
	d.must(t, Current)
	eng := engine.New(d.open(t))
	var jobs []store.JobID
	for range 2 {
		jobs = append(jobs, jobkit.StartFor(t, eng, jobkit.Running(store.Scope{}, 1, 1), engine.Request{By: "ann", Because: "the release"}))
	}
	started, err := eng.History(t.Context(), jobs[0], 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	cause := started[0].Cause
	d.must(t, 2)
	d.must(t, 3)
	d.Exec(fmt.Sprintf("UPDATE stepgate_effects SET cause = 0, actor = '', reason = '' WHERE job = %d", jobs[1]))
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := d.open(t)
	check := func(call string, effects []store.Delivery, err error) {
		t.Helper()
		if err != nil || len(effects) == 0 {
			t.Errorf("%s: got %d effects and error %v", call, len(effects), err)
		}
		for _, e := range effects {
			if e.Cause != cause || e.Actor != "ann" || e.Reason != "the release" {
				t.Errorf("%s: got %v by %q because of %q, want what its record says", call, e.Cause, e.Actor, e.Reason)
			}
		}
	}
	for _, id := range jobs {
		effects, err := st.Effects(t.Context(), store.Scope{}, id, store.Page[store.Seq]{Limit: 9})
		check(fmt.Sprint("Effects of job ", id), effects, err)
	}
	claimed, err := st.Claim(t.Context(), store.Claim{Effects: []store.Effect{store.RunTargets}, Now: 1, Until: 2, Limit: 9})
	check("Claim", claimed, err)
}

// Version 3 does not say whether a claim holds an effect: it may, if not every one has failed.
func (m Migrations) version3(t *testing.T, d Database) {
	d.must(t, Current)
	eng := engine.New(d.open(t))
	cases := []struct{ count, failures, notBefore int }{{0, 0, 0}, {1, 0, 50}, {13, 12, 50}, {13, 13, 50}}
	var jobs []store.JobID
	for range cases {
		jobs = append(jobs, jobkit.Start(t, eng, jobkit.Asking(1)))
	}
	d.must(t, 3)
	for i, c := range cases {
		d.Exec(fmt.Sprintf("UPDATE stepgate_effects SET count = %d, failures = %d, not_before = %d WHERE job = %d", c.count, c.failures, c.notBefore, jobs[i]))
	}
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := d.open(t)
	for i, want := range []bool{false, true, true, false} {
		effects, err := st.Effects(t.Context(), store.Scope{}, jobs[i], store.Page[store.Seq]{Limit: 9})
		if err != nil || len(effects) != 1 || effects[0].Held != want {
			t.Errorf("an effect of version 3 with count, failures and not_before %+v: got %+v and error %v, want one, held %t", cases[i], effects, err, want)
		}
	}
}

// A step of version 4 that is under way moves at its deadline, and who went on without the failures of a
// step has accepted them.
func (m Migrations) version4(t *testing.T, d Database) {
	d.must(t, Current)
	eng := engine.New(d.open(t))
	spec := jobkit.Running(store.Scope{}, 2, 3)
	spec.Steps[0].Timeout = time.Hour
	running, ignored := jobkit.Start(t, eng, spec), jobkit.Start(t, eng, spec)
	if _, err := eng.Report(t.Context(), engine.Report{Job: ignored, Step: 1, Attempt: 1, Outcome: step.Broke}); err != nil {
		t.Fatal(err)
	}
	if _, err := eng.Operate(t.Context(), ignored, 1, operation.IgnoreError, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	d.must(t, Current-1)
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := d.open(t)
	due, err := st.Overdue(t.Context(), store.Scope{}, never, 9)
	v, _ := st.View(t.Context(), store.Query{Job: running})
	if err != nil || len(due) != 1 || due[0].Job != running || due[0].Due != v.Step.Deadline || v.Step.Deadline == 0 || v.Step.Due != v.Step.Deadline {
		t.Errorf("Overdue: got %+v and error %v, want step 1 of job %d at its deadline, %v", due, err, running, v.Step.Deadline)
	}
	if v, err := st.View(t.Context(), store.Query{Job: ignored, Step: 1}); err != nil || v.Step.Accepted != 3 || v.Job.Tolerated != 0 {
		t.Errorf("View of a step whose error was ignored: got %d failures accepted, %d steps tolerated and error %v, want 3 and none", v.Step.Accepted, v.Job.Tolerated, err)
	}
}

// never is after each moment of these tests.
const never = step.Time(1) << 52

// Each step at a gate is terminated, or its question is, and so are the job and its history, whose records
// still follow each other. A job that has ended within its batches is sealed.
func (m Migrations) gatedBack(t *testing.T, d Database) {
	d.must(t, Current)
	eng := engine.New(d.open(t))
	first := jobkit.Running(store.Scope{}, 2, 3)
	first.Steps[0].StopBefore = true
	first.Steps[1].Type, first.Steps[1].Targets, first.Steps[1].StopBefore = step.Confirmation, nil, true
	rolling := jobkit.Running(store.Scope{}, 1, 3)
	rolling.Steps[0].Rolling.Batches = "1"
	jobs := map[store.JobID]step.State{}
	jobs[jobkit.Start(t, eng, first)] = step.Terminated
	asked, failed := jobkit.Start(t, eng, first), jobkit.Start(t, eng, rolling)
	jobs[asked], jobs[failed] = step.ConfirmationTerminated, step.Abnormal
	for _, operate := range []func() error{
		func() error {
			return second(eng.OperateJob(t.Context(), asked, operation.HoldJob, engine.Request{}))
		},
		func() error {
			return second(eng.Operate(t.Context(), asked, 1, operation.ForcedSkip, engine.Request{}))
		},
		func() error {
			return second(eng.Report(t.Context(), engine.Report{Job: failed, Step: 1, Attempt: 1, Outcome: step.Broke}))
		},
	} {
		if err := operate(); err != nil {
			t.Fatal(err)
		}
	}
	for id := range jobs {
		if job, err := eng.Job(t.Context(), id); err != nil || id != failed && job.State != step.Gated {
			t.Fatalf("job %d: %v, %v, want it gated", id, job.State, err)
		}
	}
	d.must(t, Current-1)
	d.must(t, Current)
	st := d.open(t)
	for id, want := range jobs {
		v, err := st.View(t.Context(), store.Query{Job: id})
		if err != nil || v.Job.State != want || v.Step.State != want || v.Job.Finished == 0 || v.Job.Sealed != (id == failed) || v.Job.Held || v.Step.Due != 0 {
			t.Errorf("job %d after version 4: got %+v, its step %v, and error %v, want both %v", id, v.Job, v.Step.State, err, want)
		}
		records, err := st.History(t.Context(), store.Scope{}, id, store.Page[store.Seq]{Limit: 99})
		if err != nil || len(records) == 0 || records[len(records)-1].JobTo != want {
			t.Errorf("job %d after version 4: its history ends with %+v, %v, want %v", id, records, err, want)
		}
		for i := range records {
			r := &records[i]
			if r.JobTo == step.Gated || r.To == step.Gated || i > 0 && r.JobFrom != records[i-1].JobTo {
				t.Errorf("job %d after version 4: record %d leads from %v to %v, the job from %v to %v", id, r.Seq, r.From, r.To, r.JobFrom, r.JobTo)
			}
		}
	}
	if _, err := engine.New(st).Operate(t.Context(), asked, 2, operation.RestartConfirmation, engine.Request{}); err != nil {
		t.Errorf("restart of the question after version 4: %v", err)
	}
}

// The migration back says what is to be done first, and changes nothing.
func (m Migrations) batchBack(t *testing.T, d Database) {
	d.must(t, Current)
	eng := engine.New(d.open(t))
	spec := jobkit.Running(store.Scope{}, 1, 3)
	spec.Steps[0].Rolling.Batches = "1"
	id := jobkit.Start(t, eng, spec)
	if err := d.MigrateTo(t.Context(), Current-1); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "_", " "), "terminate its job") {
		t.Errorf("MigrateTo(%d) while a batch runs: got error %v, want one that says what to do", Current-1, err)
	}
	if v, err := d.open(t).View(t.Context(), store.Query{Job: id}); err != nil || v.Step.Run.End != 1 {
		t.Errorf("View after it: got %+v and error %v, want the first batch", v.Step, err)
	}
}

func (m Migrations) unknown(t *testing.T, d Database) {
	d.must(t, Current)
	for _, version := range []int{-1, 99} {
		err := d.MigrateTo(t.Context(), version)
		if want := fmt.Sprintf("no version %d, only 0 to %d", version, Current); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("MigrateTo(%d): got error %v, want one that says %q", version, err, want)
		}
	}
	d.open(t) // nothing has changed
}

func (m Migrations) otherVersions(t *testing.T, d Database) {
	check := func(call string, err error, have int, says string) {
		t.Helper()
		if was, want, ok := d.Versions(err); !ok || was != have || want != Current || !strings.Contains(err.Error(), says) {
			t.Errorf("%s on version %d: got error %v, want a SchemaError that says %q", call, have, err, says)
		}
	}
	open := func() error {
		_, err := d.New(t.Context())
		return err
	}
	check("New", open(), 0, m.None)
	d.must(t, 1)
	check("New", open(), 1, m.Older)
	d.must(t, Current)
	d.Exec("UPDATE stepgate_version SET version = 7, oldest = 7")
	before := d.Objects()
	check("New", open(), 7, m.Newer)
	check("Migrate", d.Migrate(t.Context()), 7, m.Newer)
	check("MigrateTo(0)", d.MigrateTo(t.Context(), 0), 7, m.TakeBack)
	d.same(t, "after calls that are refused", before)
	if version := d.Ask("SELECT CAST(version AS text) FROM stepgate_version"); version != "7" {
		t.Errorf("after calls that are refused the schema is at version %s, want 7", version)
	}
}

// run runs the files of a pattern, as a migration tool would.
func (m Migrations) run(t *testing.T, d Database, pattern string, back bool) {
	t.Helper()
	names, err := fs.Glob(m.Files, pattern)
	if err != nil || len(names) != Current {
		t.Fatalf("the files %s: %v, %v", pattern, names, err)
	}
	if back {
		slices.Reverse(names)
	}
	for _, name := range names {
		text, err := m.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d.Exec("BEGIN; " + string(text) + "; COMMIT")
	}
}

func (m Migrations) files(t *testing.T, d Database) {
	ours := m.Open(t)
	ours.must(t, Current)
	m.run(t, d, "migrations/*.up.sql", false)
	d.same(t, "after the files", ours.Objects())
	jobkit.Create(t, engine.New(d.open(t)), jobkit.Asking(1))
	if err := d.Migrate(t.Context()); err != nil {
		t.Errorf("Migrate after the files: %v", err)
	}
	m.run(t, d, "migrations/*.down.sql", true)
	d.same(t, "after the files back", nil)
}

// lives are promises that use every table.
var lives = []string{
	"Commit/applies all of a change", "Claim/raises Count and leases until Until", "Settle/removes an effect for good",
	"Snapshot/has the header, all steps without payloads and all targets with names",
}

// tables are all tables with rows of jobs.
var tables = []string{"jobs", "creations", "steps", "step_texts", "target_names", "results", "target_sets", "batches", "records", "effects"}

// A program can use tables of a later version that only adds columns with defaults, and that names
// the program's version as able to use it: processes restart during a rolling deployment.
func (m Migrations) later(t *testing.T, _ Database) {
	later := func(t *testing.T, oldest int) Database {
		d := m.Open(t)
		d.must(t, Current)
		all := strings.Join(d.Objects(), "\n")
		for _, table := range tables {
			if strings.Contains(all, "stepgate_"+table+" ") {
				d.Exec("ALTER TABLE stepgate_" + table + " ADD COLUMN novelty integer NOT NULL DEFAULT 7")
			}
		}
		d.Exec(fmt.Sprintf("UPDATE stepgate_version SET version = %d, oldest = %d", Current+1, oldest))
		return d
	}
	for _, promise := range lives {
		t.Run(promise, func(t *testing.T) {
			d := later(t, Current)
			if err := d.Migrate(t.Context()); err != nil {
				t.Errorf("Migrate: %v", err)
			}
			for _, f := range storetest.Check(t, func(testing.TB) store.Store { return d.open(t) }, promise) {
				t.Error(f.Message)
			}
		})
	}
	d := later(t, Current)
	before := d.Objects()
	if _, _, ok := d.Versions(d.MigrateTo(t.Context(), Current)); !ok {
		t.Errorf("MigrateTo from a later version: got no SchemaError")
	}
	d.Exec(fmt.Sprint("UPDATE stepgate_version SET oldest = ", Current+1))
	_, err := d.New(t.Context())
	for call, err := range map[string]error{"New": err, "Migrate": d.Migrate(t.Context())} {
		if have, _, ok := d.Versions(err); !ok || have != Current+1 {
			t.Errorf("%s on a later version that does not suit: got error %v, want a SchemaError", call, err)
		}
	}
	d.same(t, "after calls on a later version", before)
}

func (m Migrations) suits(t *testing.T, d Database) {
	for version := 2; version <= Current; version++ {
		names, err := fs.Glob(m.Files, fmt.Sprintf("migrations/%04d_*.sql", version))
		if err != nil || len(names) != 2 {
			t.Fatalf("the files of version %d: %v, %v", version, names, err)
		}
		for _, name := range names {
			if text, err := m.Files.ReadFile(name); err != nil || !strings.Contains(string(text), "oldest") {
				t.Errorf("%s does not say oldest, %v", name, err)
			}
		}
		d.must(t, version)
		var oldest int
		if _, err := fmt.Sscan(d.Ask("SELECT CAST(oldest AS text) FROM stepgate_version"), &oldest); err != nil || oldest < 1 || oldest > version {
			t.Errorf("version %d suits programs of version %d and later, %v, want one from 1 to %[1]d", version, oldest, err)
		}
	}
}
