package enginetest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The documented rules are those of the model, which was written from the document.
func TestCheckRulesPassesTheDocumentedRules(t *testing.T) {
	t.Parallel()
	if err := CheckRules(nil, nil); err != nil {
		t.Error(err)
	}
	if err := CheckRules(operation.Standard(), model.Documented()); err != nil {
		t.Error(err)
	}
	c := newRulesCheck(nil, nil)
	c.decisions()
	t.Logf("rules: %d decisions compared in %d situations", c.compared, c.situated)
	if c.situated < 500 || c.compared < 10_000 {
		t.Errorf("%d decisions were compared in %d situations, want 10000 in 500", c.compared, c.situated)
	}
}

// The error of CheckRules has one readable line per cell, for any number of look-ups and decisions that
// are wrong because of it.
func TestCheckRulesSaysWhatDiffers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		table  func(*operation.Table)
		expect func(*model.Rules)
		want   []string
	}{
		{
			name: "a code became legal", table: func(t *operation.Table) { t.Rows[6].From = t.Rows[6].From.With(step.Failed) },
			want: []string{
				"script in failed: next_step: got legal, pass to skipped, want illegal",
				"file_transfer in failed: next_step: got legal, pass to skipped, want illegal",
				"sql in failed: next_step: got legal, pass to skipped, want illegal",
			},
		},
		{
			name: "a row is gone", table: func(t *operation.Table) { t.Rows = slices.Delete(t.Rows, 5, 6) },
			want: []string{"confirmation in confirmation_terminated: restart_confirmation: got illegal, want legal, ask to waiting"},
		},
		{
			name: "a guard is gone", table: func(t *operation.Table) { t.Rows[2].Guard = operation.Free },
			want: []string{"confirmation in waiting: confirm: got legal, vote to succeeded, want legal, vote to succeeded, guard approver"},
		},
		{
			name: "a job row leads elsewhere", table: func(t *operation.Table) { t.Rows[16].To = step.Abandoned },
			want: []string{"confirmation in waiting: terminate_job: got legal, end to abandoned, want legal, end to terminated"},
		},
		{
			name: "a report leads elsewhere", table: func(t *operation.Table) { t.Kinds[3].Lifecycle[7].To = step.Failed },
			want: []string{"sql in running: broke: got end to failed, want end to abnormal"},
		},
		{
			name: "something else follows", table: func(t *operation.Table) { t.Rows[1].Do = step.Pass },
			want: []string{
				"script in failed: ignore_error: got legal, pass to error_ignored, want legal, accept to error_ignored",
				"script in abnormal: ignore_error: got legal, pass to error_ignored, want legal, accept to error_ignored",
				"file_transfer in failed: ignore_error: got legal, pass to error_ignored, want legal, accept to error_ignored",
				"file_transfer in abnormal: ignore_error: got legal, pass to error_ignored, want legal, accept to error_ignored",
				"sql in failed: ignore_error: got legal, pass to error_ignored, want legal, accept to error_ignored",
				"sql in abnormal: ignore_error: got legal, pass to error_ignored, want legal, accept to error_ignored",
			},
		},
		{
			name: "the whole job can be sealed", table: func(t *operation.Table) {
				t.Rows = append(t.Rows, operation.Row{Cause: step.JobCause(32), From: step.StatesOf(step.Failed), Do: step.Seal})
			},
			want: []string{"the whole job in failed: custom-job-32: got legal, seal, want illegal"},
		},
		{
			name: "the whole job cannot be sealed", expect: func(r *model.Rules) { r.AllowWhole(step.Succeeded, step.JobCause(32), step.Seal, operation.Free) },
			want: []string{"the whole job in succeeded: custom-job-32: got illegal, want legal, seal"},
		},
		{
			name: "a type is expected and not declared", expect: func(r *model.Rules) { r.Like(40, step.Confirmation) },
			want: []string{"custom-40: the type: got none, want one that is entered in waiting"},
		},
		{
			name: "a type is declared and not expected", expect: func(r *model.Rules) { r.Drop(step.SQL) },
			want: []string{"sql: the type: got one that is entered in running, want none"},
		},
		{
			name: "what there is not is expected", expect: func(r *model.Rules) {
				r.Allow(step.Script, step.Failed, 64, step.Running, step.RunAll, operation.Free)
				r.Allow(step.Script, 70, operation.RetryAll.Cause(), step.Running, step.RunAll, operation.Free)
				r.Allow(step.Script, step.Failed, 133, step.Running, step.RunAll, operation.Free)
				r.Lead(70, step.Pending, step.Entered, step.Running, step.Enter)
			},
			want: []string{
				"script in failed: cause(133), to running: there is no such cause",
				"script in failed: cause(64), to running: there is no such cause",
				"script in state(70): retry_all, to running: there is no such state",
				"step type(70) in pending: entered, to running: the type cannot be entered",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, expect := operation.StandardTable(), model.Documented()
			if c.table != nil {
				c.table(&table)
			}
			if c.expect != nil {
				c.expect(expect)
			}
			rules, err := table.Compile()
			if err != nil {
				t.Fatal(err)
			}
			var got *RulesError
			if err := CheckRules(rules, expect); !errors.As(err, &got) || !slices.Equal(got.Cells, c.want) {
				t.Errorf("CheckRules = %v\nwant %s", err, strings.Join(c.want, "\n"))
			}
		})
	}
}

// An error of many cells prints the first ten.
func TestRulesErrorIsBounded(t *testing.T) {
	expect := model.Documented()
	for s := range otherStates(step.Waiting) {
		expect.Allow(step.Confirmation, s, operation.Confirm.Cause(), step.Skipped, step.Vote, operation.Free)
	}
	err := CheckRules(nil, expect)
	if err == nil {
		t.Fatal("CheckRules = nil, want an error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 12 || lines[0] != "rules: not what is expected of them, cells that differ: 12" || lines[11] != "  and 2 more" {
		t.Errorf("CheckRules = %v\nwant a heading, ten cells, and 2 more", err)
	}
}

// Look-ups and decisions are checked separately: if only a decision is wrong, the error shows it in
// full.
func TestDecisionsAreComparedByThemselves(t *testing.T) {
	for _, broken := range []struct {
		name  string
		table func(*operation.Table)
		want  string
	}{
		{
			name: "a retry of all", table: func(t *operation.Table) { t.Rows[0].Do = step.RunAll },
			want: `script in failed, 1 of 2 targets has succeeded, the last step, by "ann": retry_failed: ` +
				`got to running, the job to running, targets to run: 2, effect run, want to running, the job to running, targets to run: 1, effect run`,
		},
		{
			name: "a confirmation that is passed over", table: func(t *operation.Table) { t.Rows[2].To = step.Skipped },
			want: `confirmation in waiting, ann confirms, the last step, by "ann": confirm: ` +
				`got to skipped, the job to succeeded, effect job_ended, want to succeeded, the job to succeeded, effect job_ended`,
		},
		{
			name: "a code that is illegal", table: func(t *operation.Table) { t.Rows[7].From = step.StatesOf(step.Terminating) },
			want: `script in terminated, 1 of 2 targets has succeeded, the last step, by "ann": forced_skip: ` +
				`got refused, wrong_state, want to skipped, the job to succeeded, effect job_ended`,
		},
		{
			name: "an executor that is believed", table: func(t *operation.Table) {
				t.Kinds[0].Lifecycle[6].To, t.Kinds[0].Lifecycle[6].Do = step.Succeeded, step.Accept
			},
			want: `script in running, 1 of 2 targets has succeeded, the last step, attempt 2 of 2: stopped: stopped: ` +
				`got to succeeded, the job to succeeded, effect job_ended, want to terminated, the job to terminated, effect job_ended`,
		},
	} {
		t.Run(broken.name, func(t *testing.T) {
			table := operation.StandardTable()
			broken.table(&table)
			rules, err := table.Compile()
			if err != nil {
				t.Fatal(err)
			}
			c := newRulesCheck(rules, nil)
			c.decisions()
			if !slices.Contains(c.cells, broken.want) {
				t.Errorf("decisions differ:\n %s\nwant among them\n %s", strings.Join(c.cells, "\n "), broken.want)
			}
		})
	}
}

// Every field of a decision is compared: CheckRules finds a decision with one wrong field.
func TestEveryPartOfADecisionIsCompared(t *testing.T) {
	for _, broken := range []struct {
		name string
		harm func(*engine.Decision)
	}{
		{"no effect", func(d *engine.Decision) { d.Change.Records[0].Effect = store.NoEffect }},
		{"no event", func(d *engine.Decision) { d.Change.Records[0].Cause = step.Results }},
		{"another state", func(d *engine.Decision) { d.Change.Steps[0].State = step.Abandoned }},
		{"another job state", func(d *engine.Decision) { d.Change.Job.State = step.Abandoned }},
		{"another attempt", func(d *engine.Decision) { d.Change.Steps[0].Attempt++ }},
		{"not on all targets", func(d *engine.Decision) { d.Change.Steps[0].Run.Full = 1 }},
		{"a success too many", func(d *engine.Decision) { d.Change.Steps[0].Succeeded++ }},
		{"a target too few", func(d *engine.Decision) { d.Change.Steps[0].Unfinished-- }},
		{"no deadline", func(d *engine.Decision) { d.Change.Steps[0].Deadline = 0 }},
		{"a deadline left", func(d *engine.Decision) { d.Change.Steps[0].Deadline = 5 }},
		{"no end of the step", func(d *engine.Decision) { d.Change.Steps[0].Finished = 0 }},
		{"no end of the job", func(d *engine.Decision) { d.Change.Job.Finished = 0 }},
		{"an end of the job", func(d *engine.Decision) { d.Change.Job.Finished = 5 }},
		{"sealed", func(d *engine.Decision) { d.Change.Job.Sealed = true }},
		{"no skip counted", func(d *engine.Decision) { d.Change.Job.Skipped = 0 }},
		{"no ignored counted", func(d *engine.Decision) { d.Change.Job.Ignored = 0 }},
		{"no next step", func(d *engine.Decision) { d.Change.Steps = d.Change.Steps[:1] }},
		{"the step still on", func(d *engine.Decision) { d.Change.Job.Current = 1 }},
		{"no step entered", func(d *engine.Decision) { d.Change.Records[0].Entered = 0 }},
		{"targets to run", func(d *engine.Decision) { d.Change.Records[0].Targets++ }},
		{"results dropped", func(d *engine.Decision) { d.Change.Targets = nil }},
		{"results not counted", func(d *engine.Decision) { d.Change.Records[0].Results = 0 }},
		{"nothing repeated", func(d *engine.Decision) { d.Report.Repeated = 0 }},
		{"nothing rejected", func(d *engine.Decision) { d.Report.Rejected = nil }},
		{"nothing accepted", func(d *engine.Decision) { d.Report.Accepted = 0 }},
	} {
		t.Run(broken.name, func(t *testing.T) {
			differs(t, func(d *engine.Decision, _ error) {
				if d != nil && d.Changes() {
					broken.harm(d)
				}
			})
		})
	}
}

// So is every field of a refusal that depends on the rules.
func TestEveryPartOfARefusalIsCompared(t *testing.T) {
	for _, broken := range []struct {
		name string
		harm func(*engine.Refusal)
	}{
		{"another reason", func(r *engine.Refusal) { r.Reason = operation.Denied }},
		{"nothing legal", func(r *engine.Refusal) { r.Legal = step.Causes{} }},
		{"legal from nowhere", func(r *engine.Refusal) { r.LegalFrom = step.States{} }},
		{"nothing legal on the job", func(r *engine.Refusal) { r.Legal = r.Legal.Minus(starts) }},
	} {
		t.Run(broken.name, func(t *testing.T) {
			differs(t, func(_ *engine.Decision, err error) {
				var refusal *engine.Refusal
				if errors.As(err, &refusal) {
					broken.harm(refusal)
				}
			})
		})
	}
}

// differs asserts that damaged decisions do not pass.
func differs(t *testing.T, harm func(*engine.Decision, error)) {
	t.Helper()
	c := newRulesCheck(nil, nil)
	c.most = 1
	c.decider = func(r *operation.Rules, v store.View, command engine.Command, now step.Time) (engine.Decision, error) {
		d, err := engine.Decide(r, v, command, now)
		harm(&d, err)
		return d, err
	}
	if c.decisions(); len(c.cells) == 0 {
		t.Error("nothing differs, want something")
	}
}
