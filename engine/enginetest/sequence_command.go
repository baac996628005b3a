package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A command is an act of a person, an executor or the clock on a job.
type command struct {
	kind   string
	run    func(*engine.Engine) answer
	at     step.Time // when it was drawn
	strict bool      // the authorizer is asked, and was strict

	oracle func(m *model.Job, now step.Time) (changed bool, refused operation.Reason) // the same to the model
}

// answer is the answer of an engine to a command.
type answer struct {
	seq   store.Seq // the version that was made, 0 if none or not known
	again bool      // it had to be asked again, as the outcome was unknown
	err   error
}

// reason returns why a command was refused, 0 if it was not.
func (a answer) reason() operation.Reason {
	if refusal, ok := errors.AsType[*engine.Refusal](a.err); ok {
		return refusal.Reason
	}
	return 0
}

// request is one of a person.
type request struct {
	player.Ask
	record store.Record // once it was accepted
}

// Promise 1: a creation makes one job, whatever the outcome of its commit is.
func (w *sequence) create() {
	spec := drawJob(w, w.Rules, step.At(w.now))
	r := request{Ask: player.Ask{Spec: &spec, Cause: step.Created, Request: engine.Request{By: "ann", ID: w.newRequest()}}}
	e := w.engine()
	_, err := w.insist(func() (err error) {
		r.record, err = r.Send(context.Background(), e)
		return err
	})
	if err != nil {
		w.Fatalf("Create(%+v): %v", spec, err)
	}
	w.land()
	j := &tracked{id: r.record.Job, spec: spec, requests: []request{r}, succeeded: map[step.ID]map[int32]bool{}}
	w.jobs = append(w.jobs, j)
	if all, err := w.engines[1].Jobs(context.Background(), engine.JobQuery{Limit: 10_000}); err != nil || len(all) != len(w.jobs) {
		w.Fatalf("promise 1: %d creations made %d jobs (%v)", len(w.jobs), len(all), err)
	}
	j.last = w.load(j)
	header, _, err := engine.Replay(w.Rules, spec, []store.Record{r.record})
	if is := j.last.Job; header.Policy.Equal(is.Policy) {
		header.Policy = is.Policy // which is another copy
	}
	if err != nil || j.last.Job != header {
		w.Fatalf("promise 1: job %d was said to be\n%+v (%v), it is\n%+v", j.id, header, err, j.last.Job)
	}
	if w.modelled {
		j.oracle = newModel(w.Expect, &spec)
	}
	w.check(j)
}

// command draws a command for j: one of any kind, or mostly one that is likely in its state.
func (w *sequence) command(j *tracked, likely bool) command {
	s := w.fresh(j)
	sight, habits, c := s.sight(), habits, command{at: step.At(w.now)}
	turn := sight.Turn(w, odds)
	if !likely {
		turn, habits.Anything, habits.OnJob = player.Of(w, "anyone", player.AllTurns), 1, 1
	}
	switch c.kind = string(turn); turn {
	case player.Person:
		r := request{Ask: sight.Ask(w, habits)}
		r.ID = w.newRequest()
		if len(s.Effects) > 0 && player.OneIn(w, 8, "about an effect") {
			r.Ask = r.About(w, s.Effects)
			w.onEffect(&c, j, r, s)
			break
		}
		if r.Cause.OfJob() {
			c.kind = r.Cause.String()
		}
		w.operation(&c, j, r)
	case player.Executor:
		w.report(&c, j, w.newReport(s))
	case player.Time:
		w.now = w.now.Add(time.Duration(w.Below(16, "seconds")) * time.Second)
		w.sweep(&c, j)
	}
	return c
}

// operation makes c carry out r, and note it if it was accepted.
func (w *sequence) operation(c *command, j *tracked, r request) {
	c.strict = w.strict
	c.oracle = func(m *model.Job, now step.Time) (bool, operation.Reason) {
		return apply(m, &store.Record{Step: r.Step, Cause: r.Cause, Actor: r.By, At: now}, engine.Report{})
	}
	c.run = func(e *engine.Engine) (a answer) {
		a.again, a.err = w.insist(func() (err error) {
			r.record, err = r.Send(context.Background(), e)
			return err
		})
		if a.err == nil {
			j.requests = append(j.requests, r)
		}
		a.seq = r.record.Seq
		return a
	}
}

// onEffect makes c give up or hurry an effect that waits in s, and note it if it was accepted.
func (w *sequence) onEffect(c *command, j *tracked, r request, s *Snapshot) {
	at := effect{j.id, r.Effect}
	d := s.Effects[slices.IndexFunc(s.Effects, func(d store.Delivery) bool { return d.Seq == r.Effect })]
	gone := false // another one has given it up
	c.oracle = func(m *model.Job, now step.Time) (bool, operation.Reason) {
		reason := operation.Reason(0)
		switch {
		case gone:
			reason = operation.Settled
		case r.Cause == step.Hurried && d.NotBefore > now && d.Held:
			reason = operation.Leased
		default:
			reason = m.OperateEffect(r.Cause, model.Effect(d.Effect.String()), d.Step, d.Attempt, now)
		}
		return reason == 0, reason
	}
	c.run = func(e *engine.Engine) (a answer) {
		if r.Cause == step.GivenUp {
			w.givers[r.ID] = true
		}
		a.again, a.err = w.insist(func() (err error) {
			r.record, err = r.Send(context.Background(), e)
			return err
		})
		gone = a.err != nil && w.givenUp[at]
		if a.err == nil {
			j.requests = append(j.requests, r)
			w.givenUp[at] = w.givenUp[at] || r.Cause == step.GivenUp
			w.seen[fmt.Sprintf("%v: %v", r.Cause, d.Effect)]++
		}
		a.seq = r.record.Seq
		return a
	}
}

// newReport draws a report of an executor that has sent none before, so that its name identifies its
// record.
func (w *sequence) newReport(s *Snapshot) engine.Report {
	r := s.sight().Report(w, player.Usual)
	r.By = fmt.Sprint("executor ", w.number())
	return r
}

// report makes c send r and note its results.
func (w *sequence) report(c *command, j *tracked, r engine.Report) {
	w.sent[r.By] = r
	c.oracle = func(m *model.Job, now step.Time) (bool, operation.Reason) {
		return m.Report(r.Step, r.Attempt, modelled(r.Results), r.Outcome, now)
	}
	c.run = func(e *engine.Engine) (a answer) {
		var receipt engine.ReportReceipt
		faults := w.faults
		a.again, a.err = w.insist(func() (err error) {
			receipt, err = e.Report(context.Background(), r)
			return err
		})
		if a.err == nil {
			j.reports = append(j.reports, r)
			if w.faults == faults { // after an unknown outcome the answer does not list rejected results
				j.note(r, receipt)
			}
		}
		a.seq = receipt.Seq
		if a.again { // the answer is about the repetition, which may have come too late
			w.land()
			if rec, ok := w.recordOf(j, func(rec store.Record) bool { return rec.Actor == r.By }); ok {
				a.seq, a.err = rec.Seq, nil
			}
		}
		return a
	}
}

func modelled(results []engine.TargetResult) []model.Result {
	own := make([]model.Result, len(results))
	for i, r := range results {
		own[i] = model.Result{Target: r.Target, Status: r.Status, ExitCode: r.ExitCode}
	}
	return own
}

// note remembers the successes that a report brought. One that repeats known results brings none: all may
// be about to run again, behind a gate.
func (j *tracked) note(r engine.Report, receipt engine.ReportReceipt) {
	if receipt.Seq == 0 {
		return
	}
	if j.succeeded[r.Step] == nil {
		j.succeeded[r.Step] = map[int32]bool{}
	}
	for _, result := range r.Results {
		rejected := slices.ContainsFunc(receipt.Rejected, func(x engine.Rejection) bool {
			return x.Target == result.Target && x.Rejected == result.Status
		})
		if result.Status.Success() && !rejected {
			j.succeeded[r.Step][result.Target] = true
		}
	}
}

// sweep makes c expire overdue attempts. Promise 6: others may do so at the same time.
func (w *sequence) sweep(c *command, j *tracked) {
	c.oracle = func(m *model.Job, now step.Time) (bool, operation.Reason) {
		at := &m.Steps[m.Current-1]
		reason := m.Expire(m.Current, at.Attempt(), step.At(window(at.Spec.Window, now.Std())), now)
		return reason == 0, 0 // a sweep refuses nothing
	}
	c.run = func(e *engine.Engine) (a answer) {
		a.again, a.err = w.insist(func() error {
			_, err := e.Sweep(context.Background())
			return err
		})
		if a.err != nil {
			w.Fatalf("promise 6: Sweep: %v", a.err)
		}
		return a
	}
}

// insist repeats a request while its outcome is unknown, and reports whether it did. Promise 1: that
// is safe, and the outcome is known after two failures of the store. The authorizer then permits
// everything, as a denial comes before the answer to a repetition.
func (w *sequence) insist(request func() error) (again bool, err error) {
	defer func(strict bool) { w.strict = strict }(w.strict)
	for {
		faults := w.faults
		if err = request(); !errors.Is(err, engine.ErrUnknownOutcome) {
			return again, err
		}
		if w.faults-faults < 3 {
			w.Fatalf("promise 1: the store failed %d times, then it answered, and still: %v", w.faults-faults, err)
		}
		w.seen["unknown outcome"]++
		again, w.strict = true, false
	}
}

// Promise 1: an accepted command made one version, and a refused one none. Promise 8: the model has
// the same verdict.
func (w *sequence) act(j *tracked) {
	c := w.command(j, true)
	a := c.run(w.engine())
	w.land()
	if c.kind == string(player.Time) { // a sweep does not say what it did
		rec, _ := w.recordOf(j, func(rec store.Record) bool { return byTime(&rec) })
		a.seq = rec.Seq
	}
	if j.oracle != nil {
		changed, refused := c.oracle(j.oracle.Clone(), step.At(w.now))
		got, want := a.reason(), denied(refused, c.strict && !a.again)
		if got != want || (a.seq != 0) != changed {
			w.Fatalf("promise 8: on job %d, a command to %s is %s, by the model it is %s", j.id, c.kind, verdict(got, a.seq != 0), verdict(want, changed))
		}
	}
	w.after(j, a)
	if c.kind == string(player.Time) {
		w.checkSwept()
	}
}

// Promise 2: a step whose moment has come changes at a sweep, by one moment: the step may be due again.
func (w *sequence) checkSwept() {
	for _, j := range w.jobs {
		r := &j.last.History[len(j.last.History)-1]
		swept := byTime(r) && r.At == step.At(w.now)
		if d := j.last.current().Due; d != 0 && d <= step.At(w.now) && !swept {
			w.Fatalf("promise 2: job %d was due at %v, it was swept at %v, and still waits since %+v", j.id, d, step.At(w.now), *r)
		}
	}
}
