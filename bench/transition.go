package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const (
	looplabNew    = "looplab/fsm, new for each call"
	looplabReused = "looplab/fsm, reused"
	statelessName = "qmuntal/stateless, state outside"
	mapName       = "a map keyed by type, state and operation"
	legalName     = "Stepgate, the rules alone (Legal)"
	decideName    = "Stepgate, the decision alone (Decide)"
	operateName   = "Stepgate, the whole operation (Operate on memstore)"
	denseName     = "the limit: a look-up in a dense table"
)

// transitions measures an accepted and a refused transition in memory, with one core and with two.
func transitions(ctx context.Context, r *run) (section, error) {
	s := section{
		title: "A transition in memory",
		words: []string{
			"May this operation pass, and where does it lead? Every machine has the table of Stepgate's standard rules, the lifecycle and the operations of all four step types, and moves a confirmation between *waiting* and *confirmation terminated*; the refused operation is *retry all*, which no confirmation allows. Each core has one caller; with two, the time is the wall time divided by the operations of both. The peers keep a state and nothing else: their counterpart in Stepgate is the decision; the whole operation also loads and stores the job.",
		},
	}
	brief := table{
		title: s.title,
		head:  []string{"one core", "accepted", "allocations", "times as fast as Operate", "refused", "times as fast as Operate"},
	}
	for _, accept := range []bool{true, false} {
		byCores, err := transitionResults(ctx, r, accept)
		if err != nil {
			return s, err
		}
		s.tables = append(s.tables, transitionTable(byCores, accept))
		for i, got := range byCores[0] {
			time, times := count(1e9/got.perSecond())+" ns", factor(ratio(got, named(byCores[0], operateName)))
			if accept {
				brief.rows = append(brief.rows, []string{got.name, time, whole(int(math.Round(got.allocs()))), times})
			} else {
				brief.rows[i] = append(brief.rows[i], time, times)
			}
		}
		if accept {
			s.words = append(s.words, units(byCores[0]))
		}
	}
	brief.note = "Accepted: " + s.tables[0].note + "\n\nRefused: " + s.tables[1].note
	s.brief = []table{brief}
	return s, nil
}

// transitionResults measures the subjects with one core and with two.
func transitionResults(ctx context.Context, r *run, accept bool) (byCores [2][]result, err error) {
	for i := range byCores {
		c := contest{callers: i + 1, cores: i + 1, rounds: 6, warm: 10 * time.Millisecond, each: 150 * time.Millisecond}
		if r.quick {
			c.rounds, c.warm, c.each = 2, time.Millisecond, 10*time.Millisecond
		}
		c.subjects = transitionSubjects(c.callers, accept)
		if byCores[i], err = c.run(ctx); err != nil {
			return byCores, err
		}
	}
	return byCores, nil
}

// transitionTable compares the subjects with Operate and with the limit.
func transitionTable(byCores [2][]result, accept bool) table {
	t := table{
		title: "Accepted",
		head:  []string{"", "ns, 1 core", "allocations", "times as fast as Operate", "of the limit", "ns, 2 cores", "times as fast as Operate", "of the limit"},
	}
	if !accept {
		t.title = "Refused"
	}
	var duels []duel
	for i, one := range byCores[0] {
		row := []string{one.name}
		for j, results := range byCores {
			got := results[i]
			if got.failed != nil {
				row = append(row, "failed: "+got.failed.Error())
				continue
			}
			row = append(row, count(1e9/got.perSecond()))
			if j == 0 {
				row = append(row, count(math.Round(100*got.allocs())/100))
			}
			times, where := ratio(got, named(results, operateName)), []string{"with one core", "with two"}[j]
			cell := factor(times)
			if isPeer(got.name) {
				whole := duel{got.name, "Operate", where, times}
				cell = whole.String()
				duels = append(duels, whole, duel{got.name, "Decide", where, ratio(got, named(results, decideName))})
			}
			row = append(row, cell, factor(ratio(got, named(results, denseName))))
		}
		t.rows = append(t.rows, row)
	}
	t.note = ahead(duels)
	return t
}

// isPeer reports whether a subject is neither Stepgate nor a limit.
func isPeer(name string) bool {
	switch name {
	case looplabNew, looplabReused, statelessName, mapName:
		return true
	}
	return false
}

func transitionSubjects(callers int, accept bool) []subject {
	return []subject{
		{name: looplabNew, times: inCall, op: calls(looplab(callers, false, accept)),
			unit: "making a machine and sending it one event; nothing is stored or authorized"},
		{name: looplabReused, times: inCall, op: calls(looplab(callers, true, accept)),
			unit: "SetState and one event, on a machine of the caller's own"},
		{name: statelessName, times: inCall, op: calls(statelessMachines(callers, accept)),
			unit: "FireCtx in the immediate mode, on a machine of the caller's own, with the state in a variable"},
		{name: mapName, times: inCall, op: typedMap(accept),
			unit: "one look-up; there is nothing but the state"},
		{name: legalName, times: inCall, op: legal(accept),
			unit: "one look-up in the compiled rules"},
		{name: decideName, times: inCall, op: decisions(accept),
			unit: "the rules, guards, roll-up to the job, record, effect and receipt, or a refusal that names the legal operations; nothing is stored"},
		memoryOperations(callers, accept),
		{name: denseName, times: inCall, op: denseTable().lookUps(accept),
			unit: "one array element"},
	}
}

// decisions returns an op that decides on the two states in turn.
func decisions(accept bool) func(ctx context.Context, caller, n int) error {
	rules, causes := operation.Standard(), causes(accept)
	var views [2]store.View
	for i := range views {
		views[i] = store.View{
			Job:  store.Job{ID: 1, Name: "bench", State: moves[i].from, Version: 7, Moved: 7, Current: 1, Steps: 5, Created: 1, Started: 1},
			Step: store.Step{ID: 1, Type: step.Confirmation, Name: "ask", State: moves[i].from, Attempt: 3},
			Next: store.Step{ID: 2, Type: step.Confirmation, Name: "ask", State: step.Pending},
		}
	}
	return func(context.Context, int, int) error {
		command := engine.Operate{Request: engine.Request{By: "ann"}}
		for i := range inCall {
			command.Cause = causes[i&1]
			d, err := engine.Decide(rules, views[i&1], &command, 1_000)
			if (err == nil) != accept || accept && d.Change.Job.State != moves[i&1].to {
				return errors.Join(errWrong, err)
			}
		}
		return nil
	}
}

const (
	jobsInMemory = 512     // of each caller, so that they do not all fit in the nearest cache
	settledEvery = 4       // calls
	mostRecords  = 1 << 19 // in a store, before a new one takes its place
)

// memoryOperations operates on memstore. Its effects are settled outside the timed part.
func memoryOperations(callers int, accept bool) subject {
	var (
		eng  *engine.Engine
		st   *memstore.Store
		jobs []store.JobID
		done int
	)
	codes := codes(accept)
	renew := func(ctx context.Context) (err error) {
		st, done = memstore.New(), 0
		eng = engine.New(st)
		jobs, err = started(ctx, eng, callers*jobsInMemory, 1, asking(5))
		if err != nil {
			return err
		}
		return settle(ctx, st)
	}
	return subject{
		name: operateName, times: inCall, every: settledEvery,
		unit: "load, decide, commit, with record and effect, and the receipt, or the refusal",
		op: func(ctx context.Context, caller, _ int) error {
			mine := jobs[caller*jobsInMemory:][:jobsInMemory]
			for i := range inCall { // twice through the jobs: there and back again
				_, err := eng.Operate(ctx, mine[i%jobsInMemory], 1, codes[i/jobsInMemory], engine.Request{By: "ann"})
				if (err == nil) != accept {
					return errors.Join(errWrong, err)
				}
			}
			return nil
		},
		begin: renew,
		pause: func(ctx context.Context) error {
			if done += settledEvery * inCall * callers; done > mostRecords && accept {
				return renew(ctx)
			}
			return settle(ctx, st)
		},
	}
}

// asking returns a job whose steps are confirmations.
func asking(steps int) engine.JobSpec {
	spec := engine.JobSpec{Name: "bench"}
	for range steps {
		spec.Steps = append(spec.Steps, step.Spec{Type: step.Confirmation, Name: "ask"})
	}
	return spec
}

// started creates and starts jobs, atOnce of them at a time.
func started(ctx context.Context, eng *engine.Engine, jobs, atOnce int, spec engine.JobSpec) ([]store.JobID, error) {
	ids := make([]store.JobID, jobs)
	err := inParallel(atOnce, jobs, func(i int) error {
		created, err := eng.Create(ctx, spec, engine.Request{})
		if err != nil {
			return fmt.Errorf("create a job: %w", err)
		}
		ids[i] = created.Job
		_, err = eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{})
		return err
	})
	return ids, err
}

// settle settles all effects that wait.
func settle(ctx context.Context, st store.Store) error {
	for {
		claimed, err := st.Claim(ctx, store.Claim{
			Effects: []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded},
			Now:     1 << 60, Until: 1<<60 + 1, Limit: 10_000,
		})
		if err != nil || len(claimed) == 0 {
			return err
		}
		for _, d := range claimed {
			if err := st.Settle(ctx, d); err != nil {
				return err
			}
		}
	}
}
