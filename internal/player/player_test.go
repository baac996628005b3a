package player_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var dice = player.Rand{Rand: rand.New(rand.NewPCG(1, 2))}

// sight returns a job of three steps at its second one, which has two targets.
func sight(state step.State) player.Sight {
	s := store.NewStep(2, step.Spec{Type: step.Script, Targets: []string{"a", "b"}})
	s.State, s.Attempt = state, 2
	return player.Sight{
		Rules: operation.Standard(),
		Job:   store.Job{ID: 7, Current: 2, Steps: 3, State: state, Version: 9},
		Step:  s,
	}
}

// A report is never empty, and its targets exist. A stray report is sometimes of another attempt.
// Outcomes occur beside results.
func TestReportsSaySomething(t *testing.T) {
	words := player.Usual
	words.Astray = 4
	astray, both := 0, 0
	for range 1000 {
		r := sight(step.Running).Report(dice, words)
		if len(r.Results) == 0 && r.Outcome == 0 {
			t.Fatalf("nothing is said by %+v", r)
		}
		for _, result := range r.Results {
			if result.Target < 0 || result.Target > 1 || !result.Status.Valid() {
				t.Fatalf("there is no such target or status: %+v", result)
			}
		}
		if r.Attempt != 2 {
			astray++
		}
		if len(r.Results) > 0 && r.Outcome != 0 {
			both++
		}
	}
	if astray < 50 || both < 50 {
		t.Errorf("of 1000 reports %d are astray, and %d have results and an outcome", astray, both)
	}
}

// People ask for legal operations unless a habit says otherwise, and each habit occurs.
func TestHabitsShow(t *testing.T) {
	failed := sight(step.Failed)
	legal := failed.Legal("ann")
	for range 100 {
		if a := failed.Ask(dice, player.Habits{}); !legal.Has(a.Cause) || a.Step != 2 || a.Job != 7 || a.By != "ann" || a.ID != (store.RequestID{}) {
			t.Fatalf("without a habit: %v", a)
		}
	}
	retry := operation.RetryFailed.Cause()
	for name, c := range map[string]struct {
		habits player.Habits
		shows  func(player.Ask) bool
	}{
		"people":     {player.Habits{People: []string{"bob"}}, func(a player.Ask) bool { return a.By == "bob" }},
		"reasons":    {player.Habits{Reasons: []string{"", "because"}}, func(a player.Ask) bool { return a.Because == "because" }},
		"anything":   {player.Habits{Anything: 2}, func(a player.Ask) bool { return !legal.Has(a.Cause) }},
		"elsewhere":  {player.Habits{Elsewhere: 2}, func(a player.Ask) bool { return a.Step == 3 }},
		"with an id": {player.Habits{WithID: 2}, func(a player.Ask) bool { return a.ID != store.RequestID{} }},
		"dry":        {player.Habits{DryRun: 2}, func(a player.Ask) bool { return a.DryRun }},
		"if version": {player.Habits{IfVersion: 2}, func(a player.Ask) bool { return a.IfVersion == 8 }},
		"if attempt": {player.Habits{IfAttempt: 2}, func(a player.Ask) bool { return a.IfAttempt == 1 }},
		"on the job": {player.Habits{Anything: 2, OnJob: 2}, func(a player.Ask) bool { return a.Cause.OfJob() }},
	} {
		shown := 0
		for range 1000 {
			if c.shows(failed.Ask(dice, c.habits)) {
				shown++
			}
		}
		if shown < 50 {
			t.Errorf("%s: shown by %d of 1000 requests", name, shown)
		}
	}
	for range 100 {
		if a := failed.Ask(dice, player.Habits{Avoided: step.CausesOf(retry), Anything: 2}); a.Cause == retry {
			t.Fatalf("what is avoided is asked for: %v", a)
		}
	}
}

// A request about an effect is about one that waits. Its record in the history tells it from a request
// about another effect.
func TestRequestsAboutEffects(t *testing.T) {
	waiting := []store.Delivery{{Seq: 3, Effect: store.RunTargets}, {Seq: 12, Effect: store.StopAttempt}}
	seen := map[step.Cause]map[store.Seq]int{step.GivenUp: {}, step.Hurried: {}}
	for range 1000 {
		a := sight(step.Running).Ask(dice, player.Habits{Reasons: []string{"because"}}).About(dice, waiting)
		if a.Job != 7 || a.Step != 0 || a.Because != "because" || seen[a.Cause] == nil {
			t.Fatalf("%v is not about an effect", a)
		}
		seen[a.Cause][a.Effect]++
	}
	for cause, effects := range seen {
		if len(effects) != 2 || effects[3] < 100 || effects[12] < 100 {
			t.Errorf("%v is asked for of effects %v, want both that wait", cause, effects)
		}
	}
	a := player.Ask{Job: 7, Effect: 12, Cause: step.GivenUp, Request: engine.Request{By: "ann", Because: "because"}}
	for _, c := range []struct {
		what string
		r    store.Record
		made bool
	}{
		{"its record", store.Record{Job: 7, Cause: step.GivenUp, Actor: "ann", Reason: "stop 12: because"}, true},
		{"that of a run", store.Record{Job: 7, Cause: step.Broke, Actor: "ann", Reason: "because"}, true},
		{"that of another effect", store.Record{Job: 7, Cause: step.GivenUp, Actor: "ann", Reason: "run 3: because"}, false},
		{"that of another person", store.Record{Job: 7, Cause: step.GivenUp, Actor: "bob", Reason: "stop 12: because"}, false},
		{"that of another request", store.Record{Job: 7, Cause: step.Hurried, Actor: "ann", Reason: "stop 12: because"}, false},
	} {
		if got := a.Made(&c.r); got != c.made {
			t.Errorf("%s is made by %v: %v, want %v", c.what, a, got, c.made)
		}
	}
}

// A repetition is the same request, or differs from it in one field that makes it another.
func TestRepetitions(t *testing.T) {
	a := sight(step.Failed).Ask(dice, player.Habits{WithID: 1})
	differ := map[string]int{}
	for range 1000 {
		switch b := a.Again(dice, 2); {
		case b == a:
			differ["nothing"]++
		case b.ID != a.ID:
			t.Fatalf("%v again: %v", a, b)
		case b.By != a.By:
			differ["person"]++
		case b.Because != a.Because:
			differ["reason"]++
		case b.Step != a.Step:
			differ["step"]++
		case b.Cause != a.Cause:
			differ["cause"]++
		}
	}
	for _, what := range []string{"nothing", "person", "reason", "step", "cause"} {
		if differ[what] < 50 {
			t.Errorf("of 1000 repetitions %d differ in %s", differ[what], what)
		}
	}
}

// Turns are mostly of a role that can act, and of a person if an operation is legal.
func TestTurns(t *testing.T) {
	odds := map[step.State]player.Odds{step.Running: {Executor: 3, Person: 1}}
	for state, want := range map[step.State]player.Turn{step.Running: player.Executor, step.Failed: player.Person} {
		turns := map[player.Turn]int{}
		for range 1000 {
			turns[sight(state).Turn(dice, odds)]++
		}
		if turns[want] < 500 || len(turns) != len(player.AllTurns) {
			t.Errorf("in %v: %v, want mostly %s, and each", state, turns, want)
		}
	}
	if sight(step.Failed).Final() || sight(step.Running).Final() || !sight(step.Skipped).Final() {
		t.Error("a job is final where nothing is legal and nothing runs")
	}
}
