package enginetest

import (
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

var (
	errDead   = errors.New("the process has died")
	errUndone = fmt.Errorf("the store is read-only: %w", store.ErrUndone)
)

// plan draws the faults of the next command.
func (s *simulation) plan(command string) {
	if player.OneIn(s, 12, "crash?") {
		s.planCrash()
	}
	for range player.Of(s, "faults", []int{1, 0, 2, 0, 1}) {
		s.planFault(command)
	}
}

// planCrash makes the engine die at some call, before or after it took effect. Later calls and
// answers of a dead engine have no effect.
func (s *simulation) planCrash() {
	n := 1 + s.Below(8, "dies at call")
	die := func() {
		s.crashed = true
		s.Logf("fault: the engine has died")
	}
	if player.OneIn(s, 2, "dies after it took effect") {
		s.faults.Add(storetest.Fault{Method: storetest.Any, Call: n, After: true, Err: errDead, Do: die})
		n++
	}
	s.faults.Add(storetest.Fault{Method: storetest.Any, Call: n, Forever: true, Err: errDead, Do: die})
}

// A trouble is a kind of fault of simulations.
type trouble string

const (
	failsBefore trouble = "fail before"
	failsAfter  trouble = "fail after"
	failsOn     trouble = "fail on and on"
	undone      trouble = "fail, known to be undone"
	toldFirst   trouble = "duplicate, told the first"
	toldSecond  trouble = "duplicate, told the second"
	delayed     trouble = "delay"
	stale       trouble = "stale"
	staleOn     trouble = "stale on and on"
	overtaken   trouble = "overtaken"
)

var troubles = []trouble{failsBefore, failsAfter, failsOn, undone, toldFirst, toldSecond, delayed, stale, staleOn, overtaken}

// planFault adds one fault of some method that the command calls.
func (s *simulation) planFault(command string) {
	m := player.Of(s, "method", calledBy[command])
	f := storetest.Fault{Method: m, Call: 1 + s.Below(3, "call"), Lag: s.Below(9, "lag"), Err: errLost}
	kind := player.Of(s, "fault", s.troubles)
	if kind == staleOn && command == "work" {
		kind = stale // a report would back off a hundred times
	}
	note := func() {
		s.Logf("fault: %s: %s, lag %d", kind, m, f.Lag)
		s.seen[fmt.Sprintf("fault: %s: %s", kind, m)]++
	}
	f.Do = note
	switch kind {
	case failsAfter:
		f.After = true
	case failsOn:
		f.Forever, f.After = true, f.Lag%2 == 0
	case undone:
		f.Err = errUndone
	case toldFirst:
		f.Kind, f.After, f.Err = storetest.Duplicate, true, nil
	case toldSecond:
		f.Kind, f.Err = storetest.Duplicate, nil
		if m == storetest.Commit {
			f.Do = func() { s.muddled = true; note() }
		}
	case delayed:
		f.Kind = storetest.Delay
	case stale, staleOn:
		f.Kind, f.Err, f.Forever = storetest.Stale, nil, kind == staleOn
		f.Do = func() { s.muddled = true; note() }
	case overtaken:
		f.Method, f.Err, f.Do = storetest.Commit, nil, s.overtake
	}
	s.faults.Add(f)
}

// calledBy has the methods that the commands call, the important ones more than once.
var calledBy = map[string][]storetest.Method{
	"create":  {storetest.Commit, storetest.Created, storetest.View, storetest.Steps, storetest.Targets, storetest.Commit},
	"ask":     {storetest.Commit, storetest.View, storetest.Commit, storetest.View},
	"again":   {storetest.Commit, storetest.View, storetest.Created, storetest.Steps, storetest.Targets},
	"work":    {storetest.Commit, storetest.View, storetest.Commit, storetest.Targets},
	"deliver": {storetest.Settle, storetest.Claim, storetest.View, storetest.Defer, storetest.Effects},
	"clock":   {storetest.Commit, storetest.Overdue, storetest.View},
}

// overtake plays a command on another engine while one is about to commit.
func (s *simulation) overtake() {
	if s.nested || s.crashed {
		return
	}
	muddled := s.muddled
	s.nested = true
	s.seen["fault: overtaken"]++
	s.act(player.Of(s, "by", []string{"ask", "ask", "work", "clock", "again"}), s.engines[2])
	s.nested = false
	s.muddled = s.muddled || muddled
}
