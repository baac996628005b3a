package scenario_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/scenario"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Config that does not keep what it promises is told, and not as a wrong scenario.
func TestConfigsThatCannotBeUsed(t *testing.T) {
	used := memstore.New()
	play(t, "x.txt", release, scenario.Config{Open: func() store.Store { return used }})
	rules := ownRules(t)
	with := func(opt engine.Option) func(store.Store, ...engine.Option) *engine.Engine {
		return func(st store.Store, opts ...engine.Option) *engine.Engine {
			return engine.New(st, append(opts, opt)...)
		}
	}
	engines := 0
	for _, c := range []struct {
		scenario.Config
		want string
	}{
		{scenario.Config{Open: func() store.Store { return nil }}, "x.txt: Config.Open returned no store"},
		{scenario.Config{Open: func() store.Store { return used }}, "x.txt: Config.Open returned a store that holds jobs, want an empty one"},
		{scenario.Config{Open: func() store.Store { return broken{} }}, "x.txt: Config.Open returned a store that fails: it is broken"},
		{scenario.Config{Engine: func(store.Store, ...engine.Option) *engine.Engine { return nil }}, "x.txt: Config.Engine returned no engine"},
		{scenario.Config{Engine: func(st store.Store, opts ...engine.Option) *engine.Engine {
			if engines++; engines > 2 {
				return nil
			}
			return engine.New(st, opts...)
		}}, "x.txt:3: restart: want it to be accepted; got Config.Engine returned no engine"},
		{scenario.Config{Engine: with(engine.WithRules(rules))}, "x.txt: Config.Engine returned an engine with rules of its own, want those of its options"},
		{scenario.Config{Engine: with(engine.WithClock(time.Now))}, "x.txt:1: job release: want it to be accepted; got the engine has a clock of its own, and not that of Config.Engine's options"},
		{scenario.Config{Engine: with(engine.WithJobIDs(func(step.Time) store.JobID { return 7 }))}, "x.txt:1: job release: want it to be accepted; got the engine gave the job the id 7, and not one of Config.Engine's options"},
	} {
		result, err := scenario.Play(t.Context(), parse(t, "x.txt", release+"restart\n"), c.Config)
		if err == nil || err.Error() != c.want || result.Golden != release+"restart\n" {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
}

// broken is a store that cannot even be asked for its jobs.
type broken struct{ store.Store }

func (broken) Jobs(context.Context, store.JobFilter) ([]store.Job, error) {
	return nil, errors.New("it is broken")
}

// A scenario that was not read, or was changed since, is an error and no panic.
func TestScenariosThatCannotBePlayed(t *testing.T) {
	made := &scenario.Scenario{Actions: []scenario.Action{{Line: 1, Command: &scenario.Sweep{}, Want: []scenario.Clause{{Line: 2, Key: scenario.Fill}}}}}
	moved, emptied, longer := parse(t, "x.txt", release), parse(t, "x.txt", release), parse(t, "x.txt", release)
	moved.Actions = append(moved.Actions, scenario.Action{Line: 2, Command: &scenario.Sweep{}})
	emptied.Actions[0].Command = nil
	longer.Actions[0].Want = []scenario.Clause{{Line: 30, Key: "state", Value: "running"}}
	for _, s := range []*scenario.Scenario{nil, made, moved, emptied, longer} {
		result, err := scenario.Play(t.Context(), s, scenario.Config{})
		if err == nil || err.Error() != "a scenario must be one that Parse returned, unchanged" || result == nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	play(t, "x.txt", "", scenario.Config{})
}

// A play whose context ends on the way is told as that, and not as a history that is wrong.
func TestPlayEndsWithItsContextOnTheWay(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := scenario.Config{Open: func() store.Store { return cancelling{memstore.New(), cancel} }}
	result, err := scenario.Play(ctx, parse(t, "x.txt", release), c)
	if err != context.Canceled || len(result.Timeline) != 1 || result.Golden != release {
		t.Errorf("got %+v, %v", result, err)
	}
}

// cancelling is a store that ends a context as it commits.
type cancelling struct {
	store.Store
	cancel func()
}

func (s cancelling) Commit(ctx context.Context, c store.Change) error {
	defer s.cancel()
	return s.Store.Commit(ctx, c)
}

// That there is no job is told once: the rest follows from it.
func TestNoJobIsToldOnce(t *testing.T) {
	_, err := scenario.Play(t.Context(), parse(t, "x.txt", "job r\n  script s\nann: start_job\nreport 1.1: a succeeded\nexpect job: running\nsweep\n  1 expired\n"), scenario.Config{})
	var lines []int
	for _, err := range split(err) {
		var m *scenario.Mismatch
		if errors.As(err, &m) {
			lines = append(lines, m.Line)
		}
	}
	if len(lines) != 3 || lines[0] != 1 || lines[1] != 3 || lines[2] != 6 || !strings.Contains(err.Error(), "x.txt:3: ann: start_job: want it to be accepted; got there is no job") {
		t.Errorf("mismatches in lines %v, want 1, 3, 6:\n%v", lines, err)
	}
}

// What moved a step is what was written, whatever was asked for.
func TestEntriesTellWhatWasWritten(t *testing.T) {
	c := scenario.Config{Open: func() store.Store {
		return lying{memstore.New(), func(_ *store.View, _ []store.Step, h []store.Record) {
			if r := &h[len(h)-1]; r.Cause.OfJob() {
				r.Cause = operation.ForcedSkip.Cause()
			}
		}}
	}}
	result, _ := mismatches(t, release+"ann: start_job\n", c)
	if e := result.Timeline[1]; e.Record == nil || e.Cause != operation.ForcedSkip.Cause() {
		t.Errorf("the entry is %+v", e)
	}
}
