package enginetest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// walker walks the states of one job.
type walker struct {
	Walk
	spec       engine.JobSpec
	checker    *Checker
	operations []move
	reports    []engine.Report // of the present state
	results    []model.Result  // of the present report
	snapshot   Snapshot        // of the state that is checked; its history is overwritten by the next
	states     []*state
	found      map[key]int32
	edges      []edge
	stats      WalkStats
}

// ofJob reports whether m is an operation on the job, which meets its current step.
func (m move) ofJob() bool {
	c, ok := m.command.(*engine.Operate)
	return ok && c.Cause.OfJob()
}

// edge is a transition between two states.
type edge struct {
	from, to int32
	by       way
}

// way is the kind of a transition.
type way uint8

const (
	byCommand way = iota
	byDelivery
	byClock  // a deadline passes; the Expire that applies it is a command
	byMoment // likewise, the moment of a gate
	inPlace  // a command that moves no state: a hold, its end where nothing waits for it, a stop before a step
)

// walkStart is the time of the creation of a job that is walked.
const walkStart step.Time = 1_000_000

// walk visits the states of one job, those with fewer moves first.
func (w Walk) walk(spec engine.JobSpec) (WalkStats, error) {
	g := &walker{
		Walk: w, spec: spec, checker: NewChecker(w.Rules), operations: operations(w.Rules, len(spec.Steps), gatedJob(&spec)), found: map[key]int32{},
	}
	g.stats.Jobs = 1
	if g.Attempts == 0 {
		g.Attempts = []int{0, 4, 2, 1}[min(len(spec.Steps), 3)]
	}
	at, by, err := g.explore()
	if err == nil {
		at, err = g.stuck()
	}
	if g.stats.States = len(g.states); g.stats.States > 0 {
		g.stats.Depth = g.states[len(g.states)-1].depth
	}
	if err != nil {
		return g.stats, &Violation{Spec: spec, Path: g.path(at, by), Err: err}
	}
	return g.stats, nil
}

// explore visits every state. With an error it returns the state and the move.
func (g *walker) explore() (at int32, by move, err error) {
	create := &engine.Create{Job: 1, Spec: g.spec, Request: engine.Request{By: "ann"}}
	d, err := g.Decide(g.Rules, store.View{}, create, walkStart)
	if err != nil {
		return -1, move{command: create}, err
	}
	first := &state{
		job: d.Change.Job, steps: slices.Clone(d.Change.Steps), made: slices.Clone(d.Change.Records),
		oracle: newModel(g.Expect, &g.spec), now: walkStart, parent: -1, by: move{command: create},
	}
	for _, s := range g.spec.Steps {
		var rows []store.Target
		for i, name := range s.Targets {
			rows = append(rows, store.Target{Index: int32(i), Name: name})
		}
		first.targets = append(first.targets, rows)
	}
	g.found[first.key(g.Attempts)] = 0
	g.states = append(g.states, first)
	if err := g.check(first); err != nil {
		return 0, move{}, err
	}
	for at := int32(0); int(at) < len(g.states); at++ {
		s := g.states[at]
		waits, err := s.waits()
		if err != nil {
			return at, move{}, err
		}
		g.stats.awaits(waits)
		for _, m := range g.operations {
			if m.aside(s.job.Current) {
				continue
			}
			if err := g.try(at, s, m); err != nil {
				return at, m, err
			}
		}
		for m := range s.happenings(&g.reports) {
			if err := g.try(at, s, m); err != nil {
				return at, m, err
			}
		}
	}
	return 0, move{}, nil
}

// try makes a move in a state and notes the next state.
func (g *walker) try(at int32, s *state, m move) error {
	by, next := byCommand, (*state)(nil)
	switch m.around {
	case timePasses:
		by, next = byClock, s.later()
		if _, gate := s.coming(); gate {
			by = byMoment
		}
	case deliver:
		by, next = byDelivery, s.delivered()
	default:
		var err error
		if next, err = g.command(s, m); err != nil || next == nil {
			return err
		}
		if r := &next.made[len(next.made)-1]; byPerson(r) && r.From == r.To && r.JobFrom == r.JobTo {
			by = inPlace
		}
	}
	g.stats.Transitions++
	next.parent, next.depth = at, s.depth+1
	k := next.key(g.Attempts)
	to, known := g.found[k]
	if !known {
		to = int32(len(g.states))
		next.by = m.clone()
		g.found[k] = to
		g.states = append(g.states, next)
	}
	if m.command != nil || !known {
		if err := g.check(next); err != nil { // a known state too: the way to it is new
			return err
		}
	}
	if to != at {
		g.edges = append(g.edges, edge{at, to, by})
	}
	return nil
}

// later returns s once its next moment has come.
func (s *state) later() *state {
	next := *s
	next.now, _ = s.coming()
	return &next
}

// delivered returns s once the effect that waits has reached an executor or the confirmers.
// A stop goes on waiting until the step has stopped.
func (s *state) delivered() *state {
	next := *s
	next.known = true
	if s.effect.Effect != store.StopAttempt {
		next.effect = store.Delivery{}
	}
	return &next
}

// command decides on a command and checks the decision by the promises and the oracle. It returns
// the next state, nil if there is no change.
func (g *walker) command(s *state, m move) (*state, error) {
	id := s.job.Current
	switch c := m.command.(type) {
	case *engine.Operate:
		if m.step != 0 {
			id = m.step
		}
	case *engine.Report:
		id = c.Step
	}
	asked := s
	s, err := g.beyondView(s, m, id)
	if err != nil {
		return nil, err
	}
	if m.ofJob() {
		id = s.job.Current
	}
	view := s.view(id)
	d, err := g.Decide(g.Rules, view, m.command, s.now)
	var refusal *engine.Refusal
	if err != nil && !errors.As(err, &refusal) {
		return nil, fmt.Errorf("promise 1: deciding fails: %w", err)
	}
	changes := err == nil && d.Changes()
	oracle := asked.oracle
	if changes && !g.alone {
		oracle = oracle.Clone()
	}
	if !g.alone {
		if err := g.sameVerdict(oracle, m, asked, changes, refusal); err != nil {
			return nil, err
		}
	}
	if !changes {
		g.stats.Refusals++
		return nil, nil
	}
	next, err := g.apply(s, m, view, &d)
	if err != nil {
		return nil, err
	}
	next.oracle = oracle
	if s != asked {
		next.made = slices.Concat(s.made, next.made)
	}
	if !g.alone {
		return next, sameState(oracle, next)
	}
	return next, nil
}

// beyondView returns s or, if a deadline has passed that Decide cannot apply, the state after its
// expiry. That is so for a command on a step that is not the current one, and on the job if the
// expiry enters a step. The engine does the same, as it loads both views.
func (g *walker) beyondView(s *state, m move, id step.ID) (*state, error) {
	if _, expires := m.command.(*engine.Expire); expires || !s.overdue() {
		return s, nil
	}
	current := s.current()
	d, err := g.Decide(g.Rules, s.view(current.ID), &engine.Expire{Job: s.job.ID, Step: current.ID, Attempt: current.Attempt}, s.now)
	if err != nil {
		return s, nil // compared with the oracle where time passes
	}
	if id == current.ID && !(m.ofJob() && d.Change.Job.Current != id) {
		return s, nil
	}
	return g.apply(s, move{command: &engine.Expire{}}, s.view(current.ID), &d)
}

// sameState compares the states of the job and of the oracle; check compares the rest, as a
// snapshot.
func sameState(oracle *model.Job, s *state) error {
	if got, want := s.job.State, oracle.State; got != want {
		return fmt.Errorf("promise 8: the job becomes %v, by the model %v", got, want)
	}
	if got, want := s.current().State, oracle.Steps[s.job.Current-1].State; got != want || s.job.Current != oracle.Current {
		return fmt.Errorf("promise 8: step %d becomes %v, by the model step %d becomes %v", s.job.Current, got, oracle.Current, want)
	}
	return nil
}

// sameVerdict carries out the command on the oracle, whose verdict must be the same.
func (g *walker) sameVerdict(oracle *model.Job, m move, s *state, changes bool, refusal *engine.Refusal) error {
	var want operation.Reason
	wantChange := true
	switch c := m.command.(type) {
	case *engine.Operate:
		if m.ofJob() {
			want = oracle.OperateJob(operation.JobCode(c.Cause.Code()), c.By, s.now)
			break
		}
		want = oracle.Operate(m.step, operation.Code(c.Cause), c.By, s.now)
	case *engine.Report:
		g.results = g.results[:0]
		for _, r := range c.Results {
			g.results = append(g.results, model.Result{Target: r.Target, Status: r.Status})
		}
		wantChange, want = oracle.Report(c.Step, c.Attempt, g.results, c.Outcome, s.now)
	case *engine.Expire:
		want = oracle.Expire(c.Step, c.Attempt, c.Window, s.now)
	}
	wantChange = wantChange && want == 0
	var got operation.Reason
	if refusal != nil {
		got = refusal.Reason
	}
	if got != want || changes != wantChange {
		return fmt.Errorf("promise 8: the command is %s, by the model it is %s", verdict(got, changes), verdict(want, wantChange))
	}
	return nil
}

func verdict(reason operation.Reason, changes bool) string {
	switch {
	case reason != 0:
		return fmt.Sprintf("refused as %v", reason)
	case !changes:
		return "accepted and changes nothing"
	}
	return "accepted"
}

// apply checks a change by the promises and returns the next state.
func (g *walker) apply(s *state, m move, view store.View, d *engine.Decision) (*state, error) {
	c := &d.Change
	most := 1
	if _, expires := m.command.(*engine.Expire); !expires && s.overdue() && view.Step.ID == s.job.Current {
		most = 2 // the expiry came first
	}
	if n := len(c.Records); n != most || c.Base() != s.job.Version || c.Job.Version != c.Records[n-1].Seq {
		return nil, fmt.Errorf("promise 1: a change of version %d makes %d records, and version %d", s.job.Version, n, c.Job.Version)
	}
	for _, changed := range c.Steps {
		if changed.State == step.Pending && changed.ID > s.job.Current { // a stop is set or cleared before it
			continue
		}
		if changed.ID < s.job.Current || changed.ID > s.job.Current+step.ID(most) {
			return nil, fmt.Errorf("promise 2: step %d is current, and step %d changes", s.job.Current, changed.ID)
		}
	}
	if err := told(d); err != nil {
		return nil, err
	}
	next := s.after(c)
	switch op := m.command.(type) {
	case *engine.Operate:
		if err := g.repeated(m, view, d, s.now); err != nil {
			return nil, err
		}
		if err := g.onCondition(m, view, d, s.now); err != nil {
			return nil, err
		}
		if err := g.keepsSuccesses(s, next, op.Cause); err != nil {
			return nil, err
		}
	case *engine.Report:
		if err := g.countsOnce(s, next, op); err != nil {
			return nil, err
		}
	}
	if err := g.opensOnce(s, next, m); err != nil {
		return nil, err
	}
	if running := next.job.State == step.Running || next.job.State == step.Waiting || next.job.State == step.Gated; running && s.stopped && next.stopped {
		return nil, fmt.Errorf("promise 7: the job was told to terminate, no other operation has followed, and it is %v", next.job.State)
	}
	return next, nil
}

// told checks that the answer agrees with the record.
func told(d *engine.Decision) error {
	rec := &d.Change.Records[len(d.Change.Records)-1]
	if r := d.Report; byReport(rec) && (r.Seq != rec.Seq || r.State != rec.To || r.JobState != rec.JobTo) {
		return fmt.Errorf("promise 1: the answer to the report is %+v, and the record says version %d, %v, %v", r, rec.Seq, rec.To, rec.JobTo)
	}
	return nil
}

// repeated repeats the command with the same request id: the answer is the same, and nothing changes.
func (g *walker) repeated(m move, view store.View, d *engine.Decision, now step.Time) error {
	view.Replay = &d.Change.Records[len(d.Change.Records)-1]
	again, err := g.Decide(g.Rules, view, m.command, now)
	if err != nil || again.Changes() || again.Record() != d.Record() {
		return fmt.Errorf("promise 1: the request was accepted, and repeated with its id it is not answered in the same way: %v", err)
	}
	return nil
}

// onCondition repeats the command with conditions: on this version and this attempt the decision is
// the same, and on any other the request is refused.
func (g *walker) onCondition(m move, view store.View, d *engine.Decision, now step.Time) error {
	ask := func(attempt int32, version store.Seq) (engine.Decision, error) {
		asked := *m.command.(*engine.Operate)
		asked.IfAttempt, asked.IfVersion = attempt, version
		return g.Decide(g.Rules, view, &asked, now)
	}
	moved, version := view.Job.Moved, view.Job.Version
	if len(d.Change.Records) > 1 { // an expiry that came first moved the job
		version = d.Change.Job.Version - 1
		moved = version
	}
	if same, err := ask(view.Step.Attempt, moved); err != nil || same.Record() != d.Record() {
		return fmt.Errorf("promise 6: the request passes, and not on the condition that nothing has moved: %v", err)
	}
	for _, stale := range []struct {
		attempt int32
		version store.Seq
	}{{view.Step.Attempt + 1, 0}, {0, moved - 1}, {0, version + 1}} {
		if stale.attempt == 0 && stale.version == 0 {
			continue // no condition: the job has just been created
		}
		if _, err := ask(stale.attempt, stale.version); !errors.Is(err, operation.Stale) {
			return fmt.Errorf("promise 6: the request passes on a condition that does not hold, attempt %d and version %d: %v", stale.attempt, stale.version, err)
		}
	}
	return nil
}

// keepsSuccesses checks that an operation runs no target again that has succeeded, unless it runs
// all targets.
func (g *walker) keepsSuccesses(s, next *state, cause step.Cause) error {
	before, after := s.current(), &next.steps[s.job.Current-1]
	move, _ := g.Expect.Move(before.Type, next.made[len(next.made)-1].From, cause)
	if move.Do == step.Open {
		move.Do = before.Gate.Then
	}
	if move.Do == step.RunAll || move.Do == step.Enter {
		return nil
	}
	for i, t := range s.targets[before.ID-1] {
		if t.Success > 0 && !before.Run.Due(t) && after.Run.Due(next.targets[before.ID-1][i]) {
			return fmt.Errorf("promise 5: target %d has succeeded, and %v has it run again", i, cause)
		}
	}
	return nil
}

// countsOnce sends a report a second time: it changes nothing, or comes too late.
func (g *walker) countsOnce(s, next *state, r *engine.Report) error {
	if r.Step != s.job.Current || r.Attempt != s.current().Attempt {
		return fmt.Errorf("promise 4: a report of attempt %d.%d counts, while it is %d.%d", r.Step, r.Attempt, s.job.Current, s.current().Attempt)
	}
	d, err := g.Decide(g.Rules, next.view(r.Step), r, next.now)
	if err == nil && d.Changes() {
		return fmt.Errorf("promise 4: the report changes something a second time")
	}
	return nil
}

// check checks a state by the invariants and the oracle.
func (g *walker) check(s *state) error {
	g.snapshot = Snapshot{
		Rules: g.Rules, Spec: g.spec, Job: s.job, Steps: s.steps, Targets: s.targets, Batches: s.batches,
		History: g.history(s), Effects: g.snapshot.Effects[:0],
	}
	if s.effect.Effect != 0 {
		g.snapshot.Effects = append(g.snapshot.Effects, s.effect)
	}
	if err := g.checker.Check(&g.snapshot); err != nil {
		return err
	}
	if c := s.current(); c.State.Attempting() && !s.known && s.effect.Effect == 0 {
		return fmt.Errorf("promise 1: step %d is %v, no effect that says so was delivered, and none waits", c.ID, c.State)
	}
	if g.alone {
		return nil
	}
	if err := Compare(s.oracle, g.snapshot); err != nil {
		return fmt.Errorf("promise 8: %w", err)
	}
	return nil
}

// history returns the records on the way to s. The next call overwrites them.
func (g *walker) history(s *state) []store.Record {
	history := append(g.snapshot.History[:0], make([]store.Record, s.job.Version)...)
	for {
		for _, r := range s.made {
			history[r.Seq-1] = r
		}
		if s.parent < 0 {
			return history
		}
		s = g.states[s.parent]
	}
}

// path returns the moves to a state, and one more if there is one.
func (g *walker) path(at int32, by move) []string {
	var moves []string
	if by != (move{}) {
		moves = append(moves, by.String())
	}
	for ; at >= 0; at = g.states[at].parent {
		moves = append(moves, g.states[at].by.String())
	}
	slices.Reverse(moves)
	return moves
}

// stuck looks for a state of a job that has not ended which at most time could move, and for one from
// which no final state can be reached without a deadline.
func (g *walker) stuck() (at int32, err error) {
	moves := make([]bool, len(g.states))
	into := make([][]int32, len(g.states))
	for _, e := range g.edges {
		if e.by != byClock {
			moves[e.from] = moves[e.from] || e.by != inPlace
			into[e.to] = append(into[e.to], e.from)
		}
	}
	ends := make([]bool, len(g.states)) // a final state can be reached
	var reached []int32
	for i, s := range g.states {
		switch {
		case moves[i]:
		case !s.job.State.Finished():
			return int32(i), fmt.Errorf("promise 2: the job is %v, and nothing but a deadline can happen to it any more", s.job.State)
		default:
			ends[i] = true
			reached = append(reached, int32(i))
		}
	}
	for len(reached) > 0 {
		last := reached[len(reached)-1]
		reached = reached[:len(reached)-1]
		for _, from := range into[last] {
			if !ends[from] {
				ends[from] = true
				reached = append(reached, from)
			}
		}
	}
	if i := slices.Index(ends, false); i >= 0 {
		return int32(i), fmt.Errorf("promise 2: the job is %v, and without a deadline it never comes to an end", g.states[i].job.State)
	}
	return 0, nil
}
