package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// hooked is the first engine's store. Others act around its commits, and some commits return an
// error to the engine, whether they take effect, never do, or do so later.
type hooked struct {
	store.Store
	sequence *sequence
}

var errLost = errors.New("the connection was lost")

func (h hooked) Commit(ctx context.Context, c store.Change) error {
	w := h.sequence
	w.land()
	fault := w.fault()
	if fault == "" {
		w.meet(c)
		return h.Store.Commit(ctx, c)
	}
	w.faults++
	w.seen["fault: "+fault]++
	first := player.OneIn(w, 2, "competitor first")
	if first {
		w.meet(c)
	}
	switch fault {
	case "took effect":
		_ = h.Store.Commit(ctx, c) // or it was a conflict
	case "takes effect later":
		late := c.Clone()
		w.late = &late
	}
	if !first {
		w.meet(c)
	}
	return errLost
}

// fault draws the fault of a commit, "" for none; faults come in rows.
func (w *sequence) fault() string {
	faults := []string{"", "took effect", "no effect", "takes effect later"}
	if !w.failing {
		faults = slices.Concat(make([]string, 16), faults)
	}
	fault := player.Of(w, "fault", faults)
	w.failing = fault != ""
	return fault
}

// meet lets a competitor act on the job of c.
func (w *sequence) meet(c store.Change) {
	if f := w.between; f != nil && c.Job.ID == w.raced && c.Base() == w.racedOn {
		w.between = nil
		f()
	}
}

// land lets a late commit take effect, if it still can.
func (w *sequence) land() {
	if c := w.late; c != nil {
		w.late = nil
		if err := w.store.Commit(context.Background(), *c); err != nil && !errors.Is(err, store.ErrConflict) {
			w.Fatalf("Commit: %v", err)
		}
	}
}

// startOrStop is a command to start j, or to terminate it.
func (w *sequence) startOrStop(j *tracked) command {
	cause := player.Of(w, "start or stop", []step.Cause{operation.StartJob.Cause(), operation.TerminateJob.Cause()})
	r := request{Ask: player.Ask{Job: j.id, Step: j.last.Job.Current, Cause: cause, Request: engine.Request{By: "ann", ID: w.newRequest()}}}
	c := command{at: step.At(w.now), kind: r.Cause.String()}
	w.operation(&c, j, r)
	return c
}

// Promise 6: while one command is between its decision and its commit, others pass. Then it does not
// pass, or passes after them, or before them if its commit took effect although the store returned
// an error. Each command follows the rules in the state that the one before has left.
func (w *sequence) race(j *tracked) {
	before := j.version()
	first, second := w.command(j, true), w.command(j, player.OneIn(w, 2, "likely"))
	if player.OneIn(w, 6, "on the job") { // rare otherwise, as it is seldom legal, or soon
		second = w.startOrStop(j)
	}
	var versions []store.Seq
	var refusals []refusal
	run := func(c command, engine int) {
		a := c.run(w.engines[engine])
		w.expect(a.err)
		if a.seq != 0 {
			versions = append(versions, a.seq)
		}
		if a.err != nil && !a.again {
			refusals = append(refusals, refusal{c, a.reason()})
		}
	}
	met := false
	w.raced, w.racedOn = j.id, before
	w.between = func() {
		met = true
		run(second, 1)
		if player.OneIn(w, 2, "and another") {
			run(w.command(j, true), 1)
		}
	}
	run(first, 0)
	w.between = nil
	w.land()

	w.checkAccepted()
	now := w.load(j)
	for _, r := range now.History[before:] {
		if byTime(&r) { // a sweep does not say what it did
			versions = append(versions, r.Seq)
		}
	}
	slices.Sort(versions)
	for i, version := range versions {
		if version != before+store.Seq(i+1) {
			w.Fatalf("promise 6: commands raced on version %d and passed as %v", before, versions)
		}
	}
	if made := int(now.Job.Version - before); made != len(versions) || met && made == 0 {
		w.Fatalf("promise 6: commands raced, %d passed, and %d versions were made", len(versions), made)
	}
	if met {
		w.seen[fmt.Sprintf("race: %s meets %s", first.kind, second.kind)]++
		w.seen[fmt.Sprintf("race: %d passed", len(versions))]++
	}
	w.check(j)
	for _, r := range refusals {
		r.check(w, j)
	}
	w.checkOthers(j)
}

// refusal is a command that was refused in a race.
type refusal struct {
	command
	reason operation.Reason
}

// check looks for a state of the race in which the model refuses the command for the same reason, at
// the time before the race or after it.
func (r refusal) check(w *sequence, j *tracked) {
	if j.oracle == nil {
		return
	}
	if !slices.ContainsFunc(j.passed, func(m *model.Job) bool {
		_, before := r.oracle(m.Clone(), r.at)
		_, after := r.oracle(m.Clone(), step.At(w.now))
		return denied(before, r.strict) == r.reason || denied(after, r.strict) == r.reason
	}) {
		w.Fatalf("promise 8: in a race on job %d, a command to %s is refused as %v, by the model in none of the %d states passed", j.id, r.kind, r.reason, len(j.passed))
	}
}
