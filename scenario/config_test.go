package scenario

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A broken Config is an error of its own, and no mismatch of the scenario.
func TestConfigsThatCannotBeUsed(t *testing.T) {
	used := memstore.New()
	play(t, "x.txt", release, Config{Open: func() store.Store { return used }})
	rules := ownRules(t)
	with := func(opt engine.Option) func(store.Store, ...engine.Option) *engine.Engine {
		return func(st store.Store, opts ...engine.Option) *engine.Engine {
			return engine.New(st, append(opts, opt)...)
		}
	}
	engines := 0
	for _, c := range []struct {
		Config
		want string
	}{
		{Config{Open: func() store.Store { return nil }}, "x.txt: Config.Open returned no store"},
		{Config{Open: func() store.Store { return used }}, "x.txt: Config.Open returned a store that holds jobs, want an empty one"},
		{Config{Open: func() store.Store { return broken{} }}, "x.txt: Config.Open returned a store that fails: it is broken"},
		{Config{Engine: func(store.Store, ...engine.Option) *engine.Engine { return nil }}, "x.txt: Config.Engine returned no engine"},
		{Config{Engine: func(st store.Store, opts ...engine.Option) *engine.Engine {
			if engines++; engines > 2 {
				return nil
			}
			return engine.New(st, opts...)
		}}, "x.txt:3: restart: want it to be accepted; got Config.Engine returned no engine"},
		{Config{Engine: with(engine.WithRules(rules))}, "x.txt: Config.Engine returned an engine with rules of its own, want those of its options"},
		{Config{Engine: with(engine.WithClock(time.Now))}, "x.txt:1: job release: want it to be accepted; got the engine has a clock of its own, and not that of Config.Engine's options"},
		{Config{Engine: with(engine.WithJobIDs(func(step.Time) store.JobID { return 7 }))}, "x.txt:1: job release: want it to be accepted; got the engine gave the job the id 7, and not one of Config.Engine's options"},
	} {
		result, err := Play(t.Context(), parse(t, "x.txt", release+"restart\n"), c.Config)
		if err == nil || err.Error() != c.want || result.Golden != release+"restart\n" {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
}

// broken is a store whose list of jobs fails.
type broken struct{ store.Store }

func (broken) Jobs(context.Context, store.JobFilter) ([]store.Job, error) {
	return nil, errors.New("it is broken")
}

// Play without a scenario is an error.
func TestPlayWithoutAScenario(t *testing.T) {
	if result, err := Play(t.Context(), nil, Config{}); err == nil || err.Error() != "no scenario: Play takes one that Parse returned" || result == nil {
		t.Errorf("got %v, %v", result, err)
	}
	play(t, "x.txt", "", Config{})
}

// The end of the context during a play is an error of its own, and no wrong history.
func TestPlayEndsWithItsContextOnTheWay(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := Config{Open: func() store.Store { return cancelling{memstore.New(), cancel} }}
	result, err := Play(ctx, parse(t, "x.txt", release), c)
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

// A missing job is one error: the rest follows from it.
func TestNoJobIsToldOnce(t *testing.T) {
	_, err := Play(t.Context(), parse(t, "x.txt", "job r\n  script s\nann: start_job\nreport 1.1: a succeeded\nexpect job: running\nsweep\n  1 expired\n"), Config{})
	var lines []int
	for _, err := range split(err) {
		var m *Mismatch
		if errors.As(err, &m) {
			lines = append(lines, m.Line)
		}
	}
	if len(lines) != 3 || lines[0] != 1 || lines[1] != 3 || lines[2] != 6 || !strings.Contains(err.Error(), "x.txt:3: ann: start_job: want it to be accepted; got there is no job") {
		t.Errorf("mismatches in lines %v, want 1, 3, 6:\n%v", lines, err)
	}
}

// An entry has the cause of the stored record, even if the request had another.
func TestEntriesTellWhatWasWritten(t *testing.T) {
	c := Config{Open: func() store.Store {
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
