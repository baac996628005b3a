package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var malformedPromises = []promise{
	{"Commit/a malformed change fails alike in every store and changes nothing", commitMalformed},
}

// A defect makes a change malformed.
type defect struct {
	spoil func(c *store.Change)
	why   string // a part of the error of store.Change.Check
}

// ofCreations are the defects of a change that creates job 2, of two scripts and a confirmation.
var ofCreations = []defect{
	{func(c *store.Change) { c.Steps = c.Steps[:2] }, "2 steps and 3 definitions, want as many"},
	{func(c *store.Change) { c.Job.Steps = 4 }, "3 steps, want 4, as the header says"},
	{func(c *store.Change) { c.Steps[1].ID = 3 }, "step 3 in the place of step 2"},
	{func(c *store.Change) { c.Steps[1].Total = 3 }, "step 2 of 3 targets, want 2, as it is defined"},
	{func(c *store.Change) { c.Steps[1].Payload = "reboot" }, "step 2 is not as it is defined"},
	{func(c *store.Change) { c.Steps[1].Policy = &step.Policy{Delay: 1} }, "step 2 is not as it is defined"},
	{func(c *store.Change) { c.Steps[2].Confirmers = step.NamesOf([]string{"bob"}) }, "step 3 is not as it is defined"},
	{func(c *store.Change) { c.Steps[0].Attempt, c.Targets = 1, []store.Target{{Attempt: 1}} }, "results in a creation, want none"},
	{func(c *store.Change) { *c = keyed(*c, "k", 1); c.Turn = store.LeaveTurn }, "a creation moves a turn, want none"},
	{func(c *store.Change) { c.Records[0].Cause = step.Results }, "record 1 is results, want the first one and no other created"},
	{func(c *store.Change) { *c = shift(*c, 1) }, "record 2 is created, want the first one and no other created"},
}

// ofReports are the defects of a change to version 3 of job 1, which ends step 1 of three targets
// and enters step 2 of three.
var ofReports = []defect{
	{func(c *store.Change) { c.Job.ID = 0 }, "id 0, want 1 to 9007199254740991"},
	{func(c *store.Change) { c.Job.ID = store.MaxJobID + 1 }, "id 9007199254740992, want 1 to 9007199254740991"},
	{func(c *store.Change) { c.Records = nil }, "no record, want at least one"},
	{func(c *store.Change) { c.Job.Version = 0 }, "version 0 with 1 records, want no more than the version"},
	{func(c *store.Change) { c.Job.State = 63 }, "state 63, want one that is declared"},
	{func(c *store.Change) { c.Job.State = step.Failed }, "state failed, want running, where the last record led"},
	{func(c *store.Change) { c.Job.Moved = 4 }, "moved in version 4, want at most 3, its own"},
	{func(c *store.Change) { c.Job.Current = 4 }, "current step 4, want 1 to 3"},
	{func(c *store.Change) { c.Job.Ignored, c.Job.Tolerated = 1, 2 }, "2 steps tolerated, want at most 1, those that are ignored"},
	{func(c *store.Change) { c.Job.Origin = -1 }, "origin -1, want 0 to 9007199254740991"},
	{func(c *store.Change) { c.Job.Skipped, c.Job.Ignored = 2, 2 }, "2 steps skipped and 2 ignored, want at most 3"},
	{func(c *store.Change) { c.Job.Updated-- }, "updated at 999999, want 1000000, the time of the last record"},

	{func(c *store.Change) { *c = keyed(*c, "k", 1); c.Turn = 4 }, "move 4 of a turn, want one that is declared"},
	{func(c *store.Change) { c.Turn = store.LeaveTurn }, "a turn of a job without a key"},
	{func(c *store.Change) { c.Job.HasTurn = true }, "a turn of a job without a key"},
	{func(c *store.Change) { c.Job.Gate = step.TurnGate }, "a turn of a job without a key"},
	{func(c *store.Change) {
		*c = keyed(*c, "k", 1)
		c.Turn, c.Job.HasTurn, c.Job.Gate = store.TakeTurn, true, step.TurnGate
	}, "the job has a turn and waits for one"},
	{func(c *store.Change) { *c = keyed(*c, "k", 1); c.Turn = store.TakeTurn }, "move 1 of a turn, of a job that has one: false, that waits for one: false"},
	{func(c *store.Change) { *c = keyed(*c, "k", 1); c.Turn = store.WaitTurn }, "move 2 of a turn, of a job that has one: false, that waits for one: false"},
	{func(c *store.Change) { *c = keyed(*c, "k", 1); c.Turn, c.Job.HasTurn = store.LeaveTurn, true }, "move 3 of a turn, of a job that has one: true, that waits for one: false"},

	{func(c *store.Change) { c.Records[0].Job = 2 }, "record 3 is of job 2"},
	{func(c *store.Change) { c.Records[0].Seq = 4 }, "record 4 in the place of record 3"},
	{func(c *store.Change) { c.Records[0].To = 63 }, "record 3 leads from state 2 to 63, the job from 2 to 2, want declared ones"},
	{func(c *store.Change) { c.Records[0].Effect = 99 }, "record 3 has effect 99, want one that is declared"},
	{func(c *store.Change) { follow(c); c.Records[1].JobFrom = step.Failed }, "record 4 leads the job from failed, want from running, where the one before it led"},
	{func(c *store.Change) { follow(c); c.Records[0].At++ }, "record 4 is of time 1000000, want none before 1000001, that of the one before it"},
	{func(c *store.Change) { follow(c); c.Records[1].Request = c.Records[0].Request }, "records 3 and 4 of request 00000000-0000-0001-0000-000000000003"},

	{func(c *store.Change) { c.Specs = []step.Spec{script("a", 3)} }, "definitions of steps, want them in the creation alone"},
	{func(c *store.Change) { c.Steps[1].ID = 4 }, "step 4, want 1 to 3"},
	{func(c *store.Change) { c.Steps[1].ID = 1 }, "step 1 twice"},
	{func(c *store.Change) { c.Steps[1].State = 0 }, "step 2 in state 0, want one that is declared"},
	{func(c *store.Change) { c.Steps[1].Full = 2 }, "step 2 in attempt 1, which covers all since attempt 2"},
	{func(c *store.Change) { c.Steps[1].Unfinished = -1 }, "step 2 with 3 targets, 0 succeeded and -1 unfinished"},

	{func(c *store.Change) { c.Steps = nil }, "results without a step"},
	{func(c *store.Change) { c.Targets[2].Index = 3 }, "a result of target 3 of step 1, which has 3"},
	{func(c *store.Change) { c.Targets[2].Index = 9000 }, "a result of target 9000 of step 1, which has 3"},
	{func(c *store.Change) { c.Targets[0].Index = -1 }, "a result of target -1 of step 1, which has 3"},
	{func(c *store.Change) { c.Targets[2].Index = 0 }, "two results of target 0 of step 1"},
	{func(c *store.Change) { c.Targets[2].Attempt = 2 }, "a result of target 2 in attempt 2 of step 1, want 1 to 1"},
	{func(c *store.Change) { c.Targets[2].Success = 2 }, "a result of target 2 in attempt 1, its latest success in attempt 2"},
	{func(c *store.Change) { c.Targets[2].Name = "host" }, "a result of target 2 with its name"},
}

// ofBatches are the defects of a change to version 3 of job 3, whose results end the first of three
// batches of step 1, of two targets, and which begins the second, of one.
var ofBatches = []defect{
	{func(c *store.Change) { c.Steps[0].Run.End = 5 }, "step 1 of 4 targets with a run from target 2 to 5"},
	{func(c *store.Change) { c.Steps[0].Run.End = 2 }, "step 1 of 4 targets with a run from target 2 to 2"},
	{func(c *store.Change) { c.Steps[0].Run.First = -1 }, "step 1 of 4 targets with a run from target -1 to 3"},
	{func(c *store.Change) { c.Steps[0].Run.End = 0 }, "step 1 of 4 targets with a run from target 2 to 0"},
	{func(c *store.Change) { c.Steps[0].Batch = 0 }, "step 1 in batch 0 and attempt 2 with a run up to target 3, want all or none, and at most 500 batches"},
	{func(c *store.Change) { c.Steps[0].Batch = 501 }, "step 1 in batch 501 and attempt 2 with a run up to target 3, want all or none, and at most 500 batches"},
	{func(c *store.Change) { c.Steps[0].Before = 3 }, "step 1 with 3 successes before target 2"},
	{func(c *store.Change) { c.Steps[0].Before = -1 }, "step 1 with -1 successes before target 2"},
	{func(c *store.Change) { c.Steps[0].Accepted = -1 }, "step 1 with -1 failures accepted and 0 automatic attempts"},
	{func(c *store.Change) { c.Steps[0].Automatic = -1 }, "step 1 with 0 failures accepted and -1 automatic attempts"},
	{func(c *store.Change) { c.Records[0].Run.First = -1 }, "record 3 is of a run from target -1 to 3"},
	{func(c *store.Change) { c.Records[0].Run.End = 1 }, "record 3 is of a run from target 2 to 1"},
	{func(c *store.Change) { c.Records[0].Before = -1 }, "record 3 with -1 successes before its run"},

	{func(c *store.Change) { c.Batches[0].Step = 2 }, "batch 1 of step 2, which is not in the change"},
	{func(c *store.Change) { c.Batches[0].Number = 0 }, "batch 0 of step 1, want 1 to 500"},
	{func(c *store.Change) { c.Batches[1].Number = 501 }, "batch 501 of step 1, want 1 to 500"},
	{func(c *store.Change) { c.Batches[0].First = -1 }, "batch 1 of step 1 from target -1 to 2, want some of 4"},
	{func(c *store.Change) { c.Batches[0].End = 0 }, "batch 1 of step 1 from target 0 to 0, want some of 4"},
	{func(c *store.Change) { c.Batches[1].End = 5 }, "batch 2 of step 1 from target 2 to 5, want some of 4"},
	{func(c *store.Change) { c.Batches[0].State = 12 }, "batch 1 of step 1 in state 12, want one that is declared"},
	{func(c *store.Change) { c.Batches[0].Full = 0 }, "batch 1 of step 1 in attempt 1 of 2, which covers all since attempt 0"},
	{func(c *store.Change) { c.Batches[0].Full = 2 }, "batch 1 of step 1 in attempt 1 of 2, which covers all since attempt 2"},
	{func(c *store.Change) { c.Batches[1].Attempt = 3 }, "batch 2 of step 1 in attempt 3 of 2, which covers all since attempt 2"},
	{func(c *store.Change) { c.Batches[0].Unfinished = -1 }, "batch 1 of step 1 with 2 succeeded and -1 unfinished"},
	{func(c *store.Change) { c.Batches[1].Full = 1 }, "batch 2 of step 1 is from target 2 to 3 since attempt 1, want as the run of the step"},
	{func(c *store.Change) { c.Batches[1].End = 4 }, "batch 2 of step 1 is from target 2 to 4 since attempt 2, want as the run of the step"},
	{func(c *store.Change) { c.Batches[1].Number = 3 }, "batch 3 of step 1 up to target 3, in batch 2 from target 2"},
	{func(c *store.Change) { c.Batches[0].End = 3 }, "batch 1 of step 1 up to target 3, in batch 2 from target 2"},
	{func(c *store.Change) { slices.Reverse(c.Batches) }, "batch 1 of step 1 after batch 2 of step 1"},
	{func(c *store.Change) { c.Batches[1] = c.Batches[0] }, "batch 1 of step 1 after batch 1 of step 1"},

	{func(c *store.Change) { c.Batches = c.Batches[1:] }, "a result of target 0 of step 1, whose batch is not in the change"},
	{func(c *store.Change) { c.Batches[0].First = 1 }, "a result of target 0 of step 1, whose batch is not in the change"},
	{func(c *store.Change) { c.Targets[1].Index = 3 }, "a result of target 3 of step 1, whose batch is not in the change"},
	{func(c *store.Change) { c.Targets[1].Batch = 1 }, "a result of target 1 with its batch"},
}

// ofGates are the defects of a change to version 2 of job 4, which lets step 1 wait until t0+5.
var ofGates = []defect{
	{func(c *store.Change) { c.Steps[0].Gate.Reason = 0 }, "step 1 at a gate of reason 0 that does 1, want a reason, and something that starts"},
	{func(c *store.Change) { c.Steps[0].Gate.Reason = 63 }, "step 1 at a gate of reason 63 that does 1, want a reason, and something that starts"},
	{func(c *store.Change) { c.Steps[0].Gate.Then = step.Stop }, "step 1 at a gate of reason 2 that does 11, want a reason, and something that starts"},
	{func(c *store.Change) { c.Steps[0].Gate.Then = 0 }, "step 1 at a gate of reason 2 that does 0, want a reason, and something that starts"},
	{func(c *store.Change) { c.Steps[0].State = step.Running }, "step 1 with a gate, and running"},
	{func(c *store.Change) { c.Steps[0].Gate = store.Gate{} }, "step 1 at a gate of reason 0 that does 0, want a reason, and something that starts"},
	{func(c *store.Change) { c.Job.Gate = 63 }, "gate of reason 63, want one that is declared"},
	{func(c *store.Change) { c.Job.Gate = 0 }, `the job waits for "none", and step 1, the current one, for "time"`},
	{func(c *store.Change) { c.Job.Gate = step.HoldGate }, `the job waits for "hold", and step 1, the current one, for "time"`},
	{func(c *store.Change) { c.Job.Current = 2 }, "step 1 is gated, and due at 1000005: want the current step, while it is under way"},
	{func(c *store.Change) { c.Steps[0].State, c.Steps[0].Gate, c.Job.Gate = step.Failed, store.Gate{}, 0 },
		"step 1 is failed, and due at 1000005: want the current step, while it is under way"},
	{func(c *store.Change) { c.Records[0].To = step.Running }, "record 2 has a gate, and leads to running"},
	{func(c *store.Change) { c.Records[0].Gate.Reason = 0 }, "record 2 has a gate of reason 0 that does 1, want a reason, and something that starts"},
	{func(c *store.Change) { c.Records[0].Gate.Then = step.Open }, "record 2 has a gate of reason 2 that does 6, want a reason, and something that starts"},
}

// follow adds a record to c that changes nothing else.
func follow(c *store.Change) {
	last := c.Records[len(c.Records)-1]
	r := store.Record{Job: last.Job, Seq: last.Seq + 1, At: last.At, Cause: step.Results, Step: last.Step, JobFrom: last.JobTo, JobTo: last.JobTo}
	c.Records = append(slices.Clone(c.Records), r)
	c.Job.Version++
}

func commitMalformed(x trial) {
	j := x.started(1, teamA, t0, script("a", 3), script("b", 3), confirmation("c"))
	before := x.dump()
	check := func(d defect, c store.Change) {
		d.spoil(&c)
		err := x.Commit(x.Context(), c)
		x.is(err, store.ErrMalformed, "Commit of a change with %s", d.why)
		x.is(err, store.ErrUndone, "Commit of a change with %s", d.why)
		want := fmt.Sprintf("store: malformed change of job %d: %s", c.Job.ID, d.why)
		equal(x, "Commit of a malformed change, the error", fmt.Sprint(err), want)
		same(x, "all there is after a Commit of a change with "+d.why, x.dump(), before)
	}
	for _, d := range ofCreations {
		check(d, create(2, teamA, t0, script("a", 2), script("b", 2), confirmation("c", "alice")))
	}
	for _, d := range ofReports {
		check(d, j.report(t0, all(step.TargetSucceeded, 0, 3)))
	}
	rolled, gated := x.started(3, teamA, t0, rolling(script("a", 4), "2 1"), confirmation("b")), x.create(create(4, teamA, t0, script("a", 1), script("b", 1)))
	before = x.dump()
	for _, d := range ofBatches {
		check(d, rolled.report(t0, all(step.TargetSucceeded, 0, 2)))
	}
	gate := store.Gate{Reason: step.TimeGate, Then: step.Enter, Until: t0 + 5}
	for _, d := range ofGates {
		check(d, shut(gated.view(1), t0, operation.StartJob.Cause(), gate))
	}
	x.do(rolled, rolled.report(t0, all(step.TargetSucceeded, 0, 2)))
	x.do(gated, shut(gated.view(1), t0, operation.StartJob.Cause(), gate))
	x.holds(rolled)
	x.holds(gated)
	c := j.report(t0, all(step.TargetSucceeded, 0, 3))
	follow(&c)
	x.do(j, c) // what is left once there is no defect
	x.holds(j)
	x.holds(x.create(create(2, teamA, t0, script("a", 2), script("b", 2), confirmation("c", "alice"))))
}

var brokenMalformed = []Breakage{
	{"forgiving", "it drops the results of targets that the step does not have, and commits the rest", []string{
		"Commit/a malformed change fails alike in every store and changes nothing",
	}, changing(func(c *store.Change) { *c = forgiven(*c) })},

	{"checked too late", "it refuses a malformed change once it has committed what fits of it", []string{
		"Commit/a malformed change fails alike in every store and changes nothing",
	}, committing(func(ctx context.Context, s store.Store, c store.Change) error {
		err := s.Commit(ctx, forgiven(c))
		if malformed := c.Check(); malformed != nil {
			return malformed
		}
		return err
	})},

	{"malformed told as a conflict", "it calls a malformed change a conflict, which its caller would try again", []string{
		"Commit/a malformed change fails alike in every store and changes nothing",
	}, committing(func(ctx context.Context, s store.Store, c store.Change) error {
		err := s.Commit(ctx, c)
		if errors.Is(err, store.ErrMalformed) {
			return store.ErrConflict
		}
		return err
	})},

	{"words of its own", "it says in words of its own what is wrong with a change", []string{
		"Commit/a malformed change fails alike in every store and changes nothing",
	}, committing(func(ctx context.Context, s store.Store, c store.Change) error {
		err := s.Commit(ctx, c)
		if errors.Is(err, store.ErrMalformed) {
			return fmt.Errorf("commit: %w", err)
		}
		return err
	})},
}

// forgiven returns c without the results of targets that its step does not have.
func forgiven(c store.Change) store.Change {
	if len(c.Steps) > 0 {
		c.Targets = slices.DeleteFunc(slices.Clone(c.Targets), func(t store.Target) bool { return t.Index >= c.Steps[0].Total })
	}
	return c
}
