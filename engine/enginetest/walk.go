package enginetest

import (
	"cmp"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Walk is a model check: it goes through the states that small jobs can reach, breadth
// first, and tries in every one what can happen to a job: each code on each step, on the
// current one by a confirmer and by another person, each job code, reports of the current and
// of other attempts with every kind of result and outcome, the passing of the deadline before
// and after its time, and the delivery of what waits. What is accepted is also tried on the
// conditions of a caller who has looked too early, and a second time under its request id.
//
// It checks promises 1 to 7 on every transition and every [Invariant] on every state; that
// the model, which shares no code with the engine, says the same of each command (promise
// 8: what the document lists as accepted and dropped is something that the model does not
// know); that a state which is not ended has a move other than the passing of time; and
// that from every state a final one can be reached without a deadline.
//
// The states are few enough to visit because some are taken for one: targets are
// alike; of a step that has passed only its state counts; and attempts are told apart up to a
// number (see Attempts), beyond which they count as the same. So an error that only shows in
// a later attempt than that, or only after a certain way through a step that has passed, is
// not found. Nor is one that needs more steps and targets than those walked, or a store; and
// two commits at once are taken for one after the other, which is what a store's
// compare-and-swap makes of them.
type Walk struct {
	Jobs   []engine.JobSpec // see SmallJobs; at most 8 steps each, of at most 2 targets
	Rules  *operation.Rules // nil means the documented ones
	Expect *model.Rules     // what Rules are meant to be; nil means the documented rules

	// Attempts is how many attempts of the current step are told apart; 0 means 4 for jobs
	// of one step, 2 for jobs of two, and 1 for longer ones.
	Attempts int

	// Decide decides; nil means engine.Decide. It is there for decisions that are broken
	// on purpose.
	Decide func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error)

	alone bool // without the model: the tests of the walk show what it finds by itself
}

// WalkStats are the figures of a walk.
type WalkStats struct {
	Jobs        int // walked
	States      int // told apart
	Transitions int // accepted commands, deliveries and passings of a deadline
	Refusals    int // commands refused, each for the reason that the model has
	Depth       int // of the state farthest from the creation of its job
}

func (s WalkStats) String() string {
	return fmt.Sprintf("%d jobs: %d states, %d transitions, %d refusals, the farthest state %d moves away",
		s.Jobs, s.States, s.Transitions, s.Refusals, s.Depth)
}

// A Violation is a promise that a walk has seen broken, and the shortest way there.
type Violation struct {
	Spec engine.JobSpec
	Path []string // the moves from the creation of the job on, the last one being at fault
	Err  error
}

// Error says what is wrong and prints the job and the way there, a line a move.
func (v *Violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\na job of", v.Err)
	for i, s := range v.Spec.Steps {
		fmt.Fprintf(&b, "%s %v", map[bool]string{true: ","}[i > 0], s.Type)
		if s.IgnoreErrors {
			b.WriteString(" (ignores errors)")
		}
		if s.OnTimeout != 0 {
			fmt.Fprintf(&b, " (%v on timeout)", s.OnTimeout)
		}
	}
	for i, m := range v.Path {
		fmt.Fprintf(&b, "\n%3d. %s", i+1, m)
	}
	return b.String()
}

// Unwrap returns what is wrong.
func (v *Violation) Unwrap() error { return v.Err }

// Run walks. The error is the *[Violation] of the first of the jobs that has one, by the
// shortest way; or another one, at once, if a job has more than 8 steps or a step more than
// 2 targets. Jobs are walked in parallel; the result does not depend on that.
func (w Walk) Run() (WalkStats, error) {
	for i, job := range w.Jobs {
		if len(job.Steps) > len(key{}.passed) {
			return WalkStats{}, fmt.Errorf("walk: job %d has %d steps, at most %d can be walked", i, len(job.Steps), len(key{}.passed))
		}
		for _, s := range job.Steps {
			if len(s.Targets) > len(key{}.targets) {
				return WalkStats{}, fmt.Errorf("walk: job %d has a step of %d targets, at most %d can be walked", i, len(s.Targets), len(key{}.targets))
			}
		}
	}
	w.Rules = cmp.Or(w.Rules, operation.Standard())
	w.Expect = cmp.Or(w.Expect, model.Documented())
	if w.Decide == nil {
		w.Decide = engine.Decide
	}
	var (
		mu    sync.Mutex // guards all below
		next  int
		first = len(w.Jobs) // the first job with a violation
		found error
		total WalkStats
	)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				done := i >= first
				mu.Unlock()
				if done {
					return
				}
				stats, err := w.walk(w.Jobs[i])
				mu.Lock()
				total.add(stats)
				if err != nil && i < first {
					first, found = i, err
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return total, found
}

func (s *WalkStats) add(t WalkStats) {
	s.Jobs += t.Jobs
	s.States += t.States
	s.Transitions += t.Transitions
	s.Refusals += t.Refusals
	s.Depth = max(s.Depth, t.Depth)
}

// SmallJobs returns the jobs of that many steps, in every mix of the declared types; nil rules
// are the documented ones. A step that runs has two targets, and one that asks a confirmer;
// both have a deadline. Jobs of one and two steps come in every variant: errors ignored or
// not, the deadline confirming or not, and jobs of one step without a deadline and without
// confirmers as well. In longer jobs the variant follows the position, as a variant's own
// behaviour has been seen by then.
func SmallJobs(rules *operation.Rules, steps int) []engine.JobSpec {
	rules = cmp.Or(rules, operation.Standard())
	jobs := []engine.JobSpec{{Name: "job"}}
	for position := range steps {
		var longer []engine.JobSpec
		for _, job := range jobs {
			for _, t := range rules.Types() {
				variants := variantsOf(rules, t)
				switch {
				case steps > 2:
					variants = variants[position%2 : position%2+1]
				case steps == 2:
					variants = variants[:2]
				}
				for _, variant := range variants {
					more := append(job.Steps[:position:position], variant)
					longer = append(longer, engine.JobSpec{Name: "job", Steps: more})
				}
			}
		}
		jobs = longer
	}
	return jobs
}

// variantsOf returns the steps of a type that are walked.
func variantsOf(rules *operation.Rules, t step.Type) []step.Spec {
	plain := step.Spec{Name: "step", Type: t, Timeout: 10 * time.Second}
	if rules.Enters(t) == step.Running {
		plain.Targets = []string{"a", "b"}
	} else {
		plain.Confirmers = []string{"ann"}
	}
	other, bare := plain, plain
	if rules.Enters(t) == step.Running {
		other.IgnoreErrors = true
	} else {
		other.OnTimeout = step.ConfirmOnTimeout
	}
	bare.Timeout, bare.Confirmers = 0, nil
	return []step.Spec{plain, other, bare}
}
