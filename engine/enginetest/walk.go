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

// A Walk is a model check: it goes through every state that small jobs can reach, breadth
// first, and in every state tries every command: each code on each step, on the current one
// by a confirmer and by somebody else, each job code, reports of the current and of other
// attempts with every kind of result and outcome, the passing of the deadline before and
// after its time, and the delivery of what waits. As deciding is pure, there is nothing else
// that could happen.
//
// It checks promises 1 to 7 on every transition and every [Invariant] on every state; that
// the model, which shares no code with the engine, says the same of each command (promise
// 8: what the document lists as accepted and dropped is something that the model does not
// know); that a state which is not ended has a move other than the passing of time; and
// that from every state a final one can be reached without a deadline.
//
// States are told apart by what can make a difference to what follows: numbers of attempts
// count relative to the current one, targets are alike, and of a step that has passed only
// its state counts. What a walk does not show: jobs with more steps and targets than those
// walked, the store, and two commits at once, which the compare-and-swap of the store makes
// one after the other, as the walk tries them.
type Walk struct {
	Jobs   []engine.JobSpec // see SmallJobs; at most 8 steps each, of at most 2 targets
	Rules  *operation.Rules // nil means the documented ones
	Expect *model.Rules     // what Rules are meant to be; nil means the documented rules

	// Decide decides; nil means engine.Decide. It is there for decisions that are broken
	// on purpose.
	Decide func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (*engine.Decision, error)

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

// SmallJobs returns the jobs of so many steps, in every mix of the declared types. A step
// that runs has two targets and a deadline; one that asks has a confirmer and a deadline.
// Jobs of one and two steps come in every variant (errors ignored or not, the deadline
// terminating or confirming), in longer ones the variant follows the position, as a
// variant's own behaviour has been seen by then.
func SmallJobs(rules *operation.Rules, steps int) []engine.JobSpec {
	var variants []step.Spec // two for each type
	for _, t := range rules.Types() {
		for second := range 2 {
			s := step.Spec{Name: "step", Type: t, Timeout: 10 * time.Second}
			if rules.Enters(t) == step.Running {
				s.Targets, s.IgnoreErrors = []string{"a", "b"}, second == 1
			} else {
				s.Confirmers, s.OnTimeout = []string{"ann"}, step.Decision(second)
			}
			variants = append(variants, s)
		}
	}
	jobs := []engine.JobSpec{{Name: "job"}}
	for position := range steps {
		var longer []engine.JobSpec
		for _, job := range jobs {
			for i, variant := range variants {
				if steps > 2 && i%2 != position%2 {
					continue
				}
				more := append(job.Steps[:position:position], variant)
				longer = append(longer, engine.JobSpec{Name: "job", Steps: more})
			}
		}
		jobs = longer
	}
	return jobs
}
