package engine_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// giveUp gives an effect up, and returns the record.
func (d *desk) giveUp(id store.JobID, seq store.Seq, r engine.Request) store.Record {
	d.Helper()
	record, err := d.eng.GiveUp(d.Context(), id, seq, r)
	d.ok(err)
	return record
}

// failOnce claims one effect and reports that its handler failed.
func (d *desk) failOnce(q engine.ClaimQuery) engine.Delivery {
	d.Helper()
	x := d.claimOne(q)
	d.ok(d.eng.Fail(d.Context(), x.Claimed(), errBroken))
	return x
}

// left wants these effects of a job to wait, by their numbers.
func (d *desk) left(id store.JobID, want ...store.Seq) {
	d.Helper()
	var got []store.Seq
	for _, w := range d.waiting(id) {
		got = append(got, w.Seq)
	}
	if !slices.Equal(got, want) {
		d.Errorf("of job %d the effects %v wait, want %v", id, got, want)
	}
}

// refusedBecause wants a refusal for a reason that says this.
func (d *desk) refusedBecause(err error, reason operation.Reason, says string) {
	d.Helper()
	if !errors.Is(err, reason) || !strings.Contains(err.Error(), says) {
		d.Errorf("got %v, want a refusal as %v that says %q", err, reason, says)
	}
}

func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		c := d.claimOne(runs).Claimed()
		d.ok(d.eng.Release(t.Context(), c))
		w := d.waiting(id)
		if len(w) != 1 || w[0].Count != 1 || w[0].Failures != 0 || w[0].LastError != "" || w[0].NotBefore > step.At(time.Now()) {
			t.Errorf("what was released waits as %+v, want it due, without a failure", w)
		}
		d.ok(d.eng.Release(t.Context(), c)) // again
		if again := d.claimOne(runs); again.Count != 2 {
			t.Errorf("claimed again as %+v, want the second claim", again)
		}
		if err := d.eng.Release(t.Context(), c); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("Release of what another claim holds: %v, want a lost lease", err)
		}
	})
}

// A run that is given up leaves the same state as a report that it broke, except for the person and
// the reason.
func TestGiveUpOfARunIsAReportThatItBroke(t *testing.T) {
	for name, prepare := range map[string]func(*desk) store.JobID{
		"running":     func(d *desk) store.JobID { return d.script() },
		"terminating": func(d *desk) store.JobID { return d.terminating() },
		"released": func(d *desk) store.JobID {
			id := d.script()
			d.ok(d.eng.Release(d.Context(), d.claimOne(runs).Claimed()))
			return id
		},
		"with results": func(d *desk) store.JobID {
			id := d.script()
			_, err := d.eng.Report(d.Context(), engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0)}})
			d.ok(err)
			return id
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				given, reported := newDesk(t, memstore.New()), newDesk(t, memstore.New())
				a, b := prepare(given), prepare(reported)
				reported.outcome(b, 1, step.Broke)
				got := given.giveUp(a, 2, engine.Request{By: "ann", Because: "the host is gone"})
				history, err := reported.eng.History(t.Context(), b, got.Seq-1, 1)
				reported.ok(err)
				want := history[0]
				if got.Actor != "ann" || got.Reason != "the host is gone" {
					t.Errorf("the record %+v is without the person or the reason", got)
				}
				want.Job, want.Request, want.Actor, want.Reason = got.Job, got.Request, got.Actor, got.Reason
				if got != want {
					t.Errorf("given up:\n%+v, reported as broken:\n%+v", got, want)
				}
				for _, w := range given.waiting(a) {
					if w.Effect == store.RunTargets {
						t.Errorf("%+v still waits", w)
					}
				}
				_, err = given.eng.Report(t.Context(), engine.Report{Job: a, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(1)}})
				given.refusedBecause(err, operation.Stale, "attempt 1")
			})
		})
	}
}

// Anything else that is given up is settled, moves nothing, and leaves a record.
func TestGiveUpOfAnythingElseMovesNothing(t *testing.T) {
	ask := step.Spec{Type: step.Confirmation, Name: "sure?"}
	for name, c := range map[string]struct {
		prepare func(*desk) (store.JobID, store.Seq)
		subject string
	}{
		"an ask": {func(d *desk) (store.JobID, store.Seq) {
			id := d.script(ask)
			d.succeed(id)
			return id, 3
		}, "ask 3"},
		"a stop": {func(d *desk) (store.JobID, store.Seq) { return d.terminating(), 3 }, "stop 3"},
		"a stop of a step that has passed": {func(d *desk) (store.JobID, store.Seq) {
			id := d.script(ask)
			d.operateJob(id, operation.TerminateJob)
			d.operate(id, 1, operation.ForcedSkip)
			return id, 3
		}, "stop 3"},
		"the end of a job": {func(d *desk) (store.JobID, store.Seq) {
			id := d.script()
			d.succeed(id)
			return id, 3
		}, "job_ended 3"},
		"a run that has ended": {func(d *desk) (store.JobID, store.Seq) {
			id := d.script()
			d.outcome(id, 1, step.Stopped)
			return id, 2
		}, "run 2"},
		"a run that is over, and was started again": {func(d *desk) (store.JobID, store.Seq) {
			id := d.script()
			d.outcome(id, 1, step.Stopped)
			d.operate(id, 1, operation.RetryAll)
			return id, 2
		}, "run 2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, memstore.New())
				id, seq := c.prepare(d)
				before, err := d.eng.Snapshot(t.Context(), id, 100)
				d.ok(err)
				time.Sleep(time.Minute)
				record := d.giveUp(id, seq, engine.Request{By: "ann", Because: "no mail"})
				after, err := d.eng.Snapshot(t.Context(), id, 100)
				d.ok(err)
				j, was := after.Job, before.Job
				at := before.Steps[j.Current-1]
				want := store.Record{
					Job: id, Seq: was.Version + 1, At: step.At(time.Now()), Cause: step.GivenUp, Request: record.Request, Actor: "ann", Reason: c.subject + ": no mail",
					Step: at.ID, Attempt: at.Attempt, Run: at.Run, From: at.State, To: at.State, JobFrom: was.State, JobTo: was.State,
					Succeeded: at.Succeeded, Unfinished: at.Unfinished,
				}
				if record != want || record.Request == (store.RequestID{}) {
					t.Errorf("GiveUp:\n%+v, want\n%+v", record, want)
				}
				was.Version, was.Updated = want.Seq, want.At
				if j != was || !reflect.DeepEqual(after.Steps, before.Steps) {
					t.Errorf("it moved\n%+v to\n%+v", before, after)
				}
				for _, w := range d.waiting(id) {
					if w.Seq == seq {
						t.Errorf("%+v still waits", w)
					}
				}
				_, err = d.eng.GiveUp(t.Context(), id, seq, engine.Request{By: "ann"})
				d.refusedBecause(err, operation.Settled, "given_up is too late: "+c.subject+" is settled")
			})
		})
	}
}

// succeed has the first step succeed.
func (d *desk) succeed(id store.JobID) {
	d.Helper()
	_, err := d.eng.Report(d.Context(), engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0), success(1)}})
	d.ok(err)
}

// The holder of an effect that is given up loses its lease, as any other.
func TestGiveUpEndsAClaim(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.terminating()
	c := d.claimOne(stops).Claimed()
	d.giveUp(id, 3, engine.Request{})
	for what, err := range map[string]error{"Renew": d.eng.Renew(t.Context(), c, 0), "Settle": d.eng.Settle(t.Context(), c), "Fail": d.eng.Fail(t.Context(), c, errBroken)} {
		if !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("%s of a stop that was given up: %v, want a lost lease", what, err)
		}
	}
	d.left(id, 2)
}

// A run that is given up stays with the handler that is at work on it until the handler returns, so
// that no other process begins a retry beside it. The handler learns of it by the end of the job.
func TestGiveUpLeavesARunToItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		over, ended := make(chan struct{}), false
		stop := d.dispatch(func(ctx context.Context, x engine.Delivery) error {
			switch x.Effect {
			case store.RunTargets:
				select {
				case <-over:
				case <-ctx.Done():
					t.Errorf("the handler's context has ended: %v", context.Cause(ctx))
				}
			case store.JobEnded:
				ended = true
			}
			return nil
		})
		defer stop()
		synctest.Wait()
		d.giveUp(id, 2, engine.Request{})
		time.Sleep(time.Minute)
		synctest.Wait()
		if !ended {
			t.Error("the end of the job was not delivered")
		}
		d.left(id, 2)
		close(over)
		synctest.Wait()
		d.left(id)
	})
}

// A run whose holder has died is settled when it is given up after the end of the lease.
func TestGiveUpEndsADeadClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		d.claimOne(runs)
		time.Sleep(14 * time.Second)
		record := d.giveUp(id, 2, engine.Request{})
		d.left(id, record.Seq)
	})
}

// A claim between the record and the settling of an effect that is given up loses its lease.
func TestGiveUpMeetsAClaim(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	id := d.terminating()
	faults.Add(storetest.Fault{Method: storetest.Settle, Do: func() { d.claimOne(stops) }})
	d.giveUp(id, 3, engine.Request{})
	d.left(id, 2)
}

func TestHurry(t *testing.T) {
	bubble := func(name string, f func(*testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }
	held := engine.ClaimQuery{Effects: runs.Effects, Lease: 30 * time.Second}
	hurry := func(d *desk, id store.JobID, seq store.Seq) error {
		_, err := d.eng.Hurry(d.Context(), id, seq, engine.Request{By: "ann", Because: "the host is back"})
		return err
	}

	bubble("has what failed due at once, and keeps the rest of it", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		for range 3 {
			d.failOnce(runs)
			time.Sleep(4 * time.Second)
		}
		d.failOnce(runs)
		before := d.waiting(id)[0]
		record, err := d.eng.Hurry(t.Context(), id, 2, engine.Request{By: "ann", Because: "the host is back"})
		d.ok(err)
		if record.Cause != step.Hurried || record.Actor != "ann" || record.Reason != "run 2: the host is back" || record.Seq != 3 || record.To != step.Running {
			t.Errorf("Hurry: %+v, want that ann hurried run 2", record)
		}
		want := before
		want.NotBefore = step.At(time.Now())
		if w := d.waiting(id); len(w) != 1 || w[0] != want {
			t.Errorf("hurried, it waits as %+v, want %+v", w, want)
		}
		if x := d.failOnce(runs); x.Count != 5 {
			t.Errorf("claimed as %+v, want the fifth delivery", x)
		}
		if w := d.waiting(id); w[0].NotBefore != step.At(time.Now().Add(16*time.Second)) {
			t.Errorf("after one more failure it rests until %v, want 16 s", w[0].NotBefore)
		}
	})
	bubble("leaves a claim what it holds", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		d.failOnce(runs)
		time.Sleep(time.Second)
		c := d.claimOne(held).Claimed()
		d.refusedBecause(hurry(d, id, 2), operation.Leased, "a claim holds run 2 until "+step.At(time.Now().Add(30*time.Second)).String())
		if got := d.claim(runs); len(got) > 0 {
			t.Errorf("Claim: %+v, want nothing", got)
		}
		d.ok(d.eng.Renew(t.Context(), c, 0))
		d.ok(d.eng.Fail(t.Context(), c, errBroken))
		d.ok(d.eng.Fail(t.Context(), c, errBroken)) // again, as its answer was lost
		if w := d.waiting(id); w[0].Failures != 2 {
			t.Errorf("after two claims that failed, and a repeated Fail, there are %d failures, want 2", w[0].Failures)
		}
		d.ok(hurry(d, id, 2))
		d.claimOne(held)
		d.refusedBecause(hurry(d, id, 2), operation.Leased, "a claim holds run 2")
	})
	for name, end := range map[string]func(*desk, engine.Claimed){
		"was released": func(d *desk, c engine.Claimed) { d.ok(d.eng.Release(d.Context(), c)) },
		"ran out":      func(*desk, engine.Claimed) { time.Sleep(30 * time.Second) },
		"was renewed after its release, and released again": func(d *desk, c engine.Claimed) {
			d.ok(d.eng.Release(d.Context(), c))
			d.ok(d.eng.Renew(d.Context(), c, 0))
			d.refusedBecause(hurry(d, c.Job, c.Seq), operation.Leased, "a claim holds run 2")
			d.ok(d.eng.Release(d.Context(), c))
		},
	} {
		bubble("tells a back-off from a lease, when a claim "+name+" before", func(t *testing.T) {
			d := newDesk(t, memstore.New())
			id := d.script()
			end(d, d.claimOne(held).Claimed())
			for range 12 {
				d.failOnce(runs)
				d.ok(hurry(d, id, 2))
			}
		})
	}
	bubble("has a stop that was delivered due at once", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.terminating()
		d.ok(d.eng.Settle(t.Context(), d.claimOne(stops).Claimed()))
		if got := d.claim(stops); len(got) > 0 {
			t.Errorf("Claim of a stop that was just delivered: %+v, want nothing", got)
		}
		d.ok(hurry(d, id, 3))
		if x := d.claimOne(stops); x.Count != 2 {
			t.Errorf("claimed as %+v, want the second delivery", x)
		}
	})
	bubble("meets a claim, and leaves it what it holds", func(t *testing.T) {
		faults := storetest.NewFaults(memstore.New())
		d := newDesk(t, faults)
		id := d.script()
		d.failOnce(runs)
		faults.Add(storetest.Fault{Method: storetest.Commit, Do: func() {
			time.Sleep(time.Second)
			d.claimOne(held)
		}})
		d.ok(hurry(d, id, 2))
		if got := d.claim(runs); len(got) > 0 {
			t.Errorf("Claim: %+v, want nothing", got)
		}
	})
	bubble("of what is due changes nothing but the history", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		before := d.waiting(id)
		d.ok(hurry(d, id, 2))
		if after := d.waiting(id); !slices.Equal(before, after) {
			t.Errorf("it waits as %+v, want %+v", after, before)
		}
		if got, want := d.records(id), []step.Cause{step.Created, operation.StartJob.Cause(), step.Hurried}; !slices.Equal(got, want) {
			t.Errorf("the history has %v, want %v", got, want)
		}
	})
	bubble("of what is settled is refused", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		d.ok(d.eng.Settle(t.Context(), d.claimOne(runs).Claimed()))
		d.refusedBecause(hurry(d, id, 2), operation.Settled, "run 2 is settled")
	})
}

// The two methods, on the stop of a job that is told to terminate.
var onEffects = map[step.Cause]func(*engine.Engine, context.Context, store.JobID, store.Seq, engine.Request) (store.Record, error){
	step.GivenUp: (*engine.Engine).GiveUp, step.Hurried: (*engine.Engine).Hurry,
}

// Requests about effects keep the promises of all requests.
func TestRequestsAboutEffects(t *testing.T) {
	for cause, do := range onEffects {
		one := engine.Request{By: "ann", Because: "enough", ID: store.RequestID{1}}
		t.Run(cause.String()+" once by one id", func(t *testing.T) {
			d := newDesk(t, memstore.New())
			id := d.terminating()
			first, err := do(d.eng, t.Context(), id, 3, one)
			d.ok(err)
			again, err := do(d.eng, t.Context(), id, 3, one)
			if again != first || err != nil {
				t.Errorf("again: %+v, %v, want %+v", again, err, first)
			}
			for what, other := range map[string]engine.Request{
				"person": {By: "bob", Because: "enough", ID: one.ID}, "reason": {By: "ann", Because: "so", ID: one.ID},
			} {
				if _, err := do(d.eng, t.Context(), id, 3, other); !errors.Is(err, operation.RequestReused) {
					t.Errorf("by another %s: %v, want that the id is used", what, err)
				}
			}
			if _, err := do(d.eng, t.Context(), id, 2, one); !errors.Is(err, operation.RequestReused) {
				t.Errorf("of another effect: %v, want that the id is used", err)
			}
			if _, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, one); !errors.Is(err, operation.RequestReused) {
				t.Errorf("OperateJob by that id: %v, want that the id is used", err)
			}
			if n := len(d.records(id)); n != 4 {
				t.Errorf("%d records, want 4", n)
			}
		})
		t.Run(cause.String()+" dry", func(t *testing.T) {
			d := newDesk(t, memstore.New())
			id := d.terminating()
			before := d.waiting(id)
			dry, err := do(d.eng, t.Context(), id, 3, engine.Request{By: "ann", DryRun: true})
			if err != nil || dry.Seq != 0 || dry.Cause != cause || dry.Reason != "stop 3" {
				t.Errorf("dry: %+v, %v, want the record without a number", dry, err)
			}
			if after := d.waiting(id); !slices.Equal(before, after) || len(d.records(id)) != 3 {
				t.Errorf("a dry run changed %+v to %+v", before, after)
			}
		})
		t.Run(cause.String()+" on a condition", func(t *testing.T) {
			d := newDesk(t, memstore.New())
			id := d.terminating()
			for _, r := range []engine.Request{{IfVersion: 2}, {IfVersion: 4}, {IfAttempt: 2}} {
				if _, err := do(d.eng, t.Context(), id, 3, r); !errors.Is(err, operation.Stale) {
					t.Errorf("on the condition %+v: %v, want it stale", r, err)
				}
			}
			_, err := do(d.eng, t.Context(), id, 3, engine.Request{IfVersion: 3, IfAttempt: 1})
			d.ok(err)
			_, err = d.eng.Operate(t.Context(), id, 1, operation.ForcedSkip, engine.Request{IfVersion: 3})
			d.ok(err) // as version 3 is still where the job stands
		})
		t.Run(cause.String()+" by who may", func(t *testing.T) {
			var asked []engine.Access
			d := newDesk(t, memstore.New(), engine.WithAuthorizer(func(_ context.Context, a engine.Access) error {
				if asked = append(asked, a); a.Actor == "eve" {
					return engine.Public("not eve")
				}
				return nil
			}))
			id := d.terminating()
			before := d.waiting(id)
			asked = nil
			_, err := do(d.eng, t.Context(), id, 3, engine.Request{By: "eve"})
			d.refusedBecause(err, operation.Denied, fmt.Sprintf("%v denied to eve: not eve", cause))
			if a := asked[0]; a.Cause != cause || a.Effect != store.StopAttempt || a.Seq != 3 || a.Job.ID != id || a.Step.ID != 1 {
				t.Errorf("the authorizer was asked about %+v, want the stop", a)
			}
			_, err = do(d.eng, t.Context(), id, 3, engine.Request{Executor: true})
			d.refusedBecause(err, operation.Denied, "this is for a person")
			if after := d.waiting(id); !slices.Equal(before, after) || len(d.records(id)) != 3 {
				t.Errorf("what was denied changed %+v to %+v", before, after)
			}
		})
	}
}

// The id of a run that was given up stands for that run.
func TestTheRequestOfARunThatWasGivenUp(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	one := engine.Request{By: "ann", Because: "enough", ID: store.RequestID{1}}
	first := d.giveUp(id, 2, one)
	d.operate(id, 1, operation.RetryAll)
	if again := d.giveUp(id, 2, one); again != first {
		t.Errorf("again: %+v, want %+v", again, first)
	}
	for seq, what := range map[store.Seq]string{4: "the run of the next attempt", 3: "the end of the job"} {
		if _, err := d.eng.GiveUp(t.Context(), id, seq, one); !errors.Is(err, operation.RequestReused) {
			t.Errorf("of %s: %v, want that the id is used", what, err)
		}
	}
	if _, err := d.eng.GiveUp(t.Context(), id, 2, engine.Request{By: "ann", Because: "other", ID: one.ID}); !errors.Is(err, operation.RequestReused) {
		t.Errorf("for another reason: %v, want that the id is used", err)
	}
	d.left(id, 3, 4)
}

// A crash after the record leaves an effect that waits; the same request settles it.
func TestACrashBetweenTheRecordAndTheEffect(t *testing.T) {
	for cause, do := range onEffects {
		synctest.Test(t, func(t *testing.T) {
			faults := storetest.NewFaults(memstore.New())
			d := newDesk(t, faults)
			id := d.script()
			d.failOnce(runs)
			method := map[step.Cause]storetest.Method{step.GivenUp: storetest.Settle, step.Hurried: storetest.Defer}[cause]
			faults.Add(storetest.Fault{Method: method, Err: errBroken})
			one := engine.Request{By: "ann", ID: store.RequestID{1}}
			_, err := do(d.eng, t.Context(), id, 2, one)
			if unknown := (*engine.UnknownOutcomeError)(nil); !errors.As(err, &unknown) || unknown.Request != one.ID || !errors.Is(err, errBroken) {
				t.Errorf("%v, whose effect could not be changed: %v, want that the outcome is unknown", cause, err)
			}
			if w := d.waiting(id); w[0].NotBefore <= step.At(time.Now()) {
				t.Fatalf("it waits as %+v, want it as before", w[0])
			}
			record, err := do(d.eng, t.Context(), id, 2, one)
			if err != nil || record.Seq != 3 {
				t.Errorf("again: %+v, %v, want record 3", record, err)
			}
			if w := d.waiting(id); cause == step.GivenUp && w[0].Seq == 2 || cause == step.Hurried && w[0].NotBefore > step.At(time.Now()) {
				t.Errorf("then it waits as %+v", w[0])
			}
		})
	}
}

// Without a repetition, a run is settled unseen, and a stop can be given up again.
func TestACrashWithoutARepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := storetest.NewFaults(memstore.New())
		d := newDesk(t, faults)
		run, stop := d.script(), d.terminating()
		for id, seq := range map[store.JobID]store.Seq{run: 2, stop: 3} {
			faults.Add(storetest.Fault{Method: storetest.Settle, Err: errBroken})
			if _, err := d.eng.GiveUp(t.Context(), id, seq, engine.Request{}); !errors.Is(err, engine.ErrUnknownOutcome) {
				t.Errorf("GiveUp: %v, want that the outcome is unknown", err)
			}
		}
		if got := d.claim(runs); len(got) > 0 {
			t.Errorf("Claim: %+v, want nothing", got)
		}
		d.left(run, 3)
		d.giveUp(stop, 3, engine.Request{})
		d.left(stop)
	})
}

// A deadline that has passed comes first.
func TestGiveUpAfterADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, memstore.New())
		created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Script, Name: "run", Targets: []string{"a"}, Timeout: time.Minute}}}, engine.Request{})
		d.ok(err)
		id := created.Job
		d.operateJob(id, operation.StartJob)
		time.Sleep(time.Minute)
		d.giveUp(id, 2, engine.Request{By: "ann"})
		if got, want := d.records(id), []step.Cause{step.Created, operation.StartJob.Cause(), step.Expired, step.GivenUp}; !slices.Equal(got, want) {
			t.Errorf("the history has %v, want %v", got, want)
		}
		d.left(id, 3)
	})
}

// Both requests lose a race, and then pass on the state that the other change left.
func TestGiveUpMeetsAReport(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	id := d.script()
	other := newDesk(t, faults)
	faults.Add(storetest.Fault{Method: storetest.Commit, Do: func() { other.succeed(id) }})
	if record := d.giveUp(id, 2, engine.Request{By: "ann"}); record.Cause != step.GivenUp || record.To != step.Succeeded {
		t.Errorf("GiveUp of a run that has succeeded meanwhile: %+v, want a record that moves nothing", record)
	}
	d.left(id, 3)
}

// Decide takes the view of the job's current step for a request about an effect, and no other one.
func TestDecideOnAnEffectMeetsTheCurrentStep(t *testing.T) {
	v := situation{typ: step.Script, state: step.Succeeded, left: true}.view()
	cmd := &engine.OperateEffect{Cause: step.GivenUp, Effect: store.Delivery{Seq: 2, Effect: store.StopAttempt, Step: v.Step.ID, Attempt: 1}}
	if v.Step.ID == v.Job.Current {
		t.Fatalf("step %d is current", v.Step.ID)
	}
	if d, err := engine.Decide(operation.Standard(), v, cmd, now); !errors.Is(err, operation.NotCurrent) {
		t.Errorf("Decide on an earlier step: %+v, %v, want that it is not current", d, err)
	}
}
