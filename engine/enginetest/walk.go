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

// A Walk is a model check. It visits the reachable states of small jobs, breadth first, and tries
// every command in each: each code on each step, on the current one by a confirmer and by another
// person, each job code, reports of the current and of other attempts with every kind of result and
// outcome, the expiry before and after the deadline, and the delivery of the waiting effect. It tries
// an accepted command also with conditions on an older state, and a second time under its request
// id.
//
// A Walk checks promises 1 to 7 on every transition and every [Invariant] on every state. The model,
// which shares no code with the engine, must agree on each command (promise 8; the model does not
// have codes that the document lists as accepted and dropped). It checks promise 9 where an attempt begins.
// A state that is not ended must have a move other than a deadline, and from every state a final one must
// be reachable without a deadline: a step that is under way awaits a report, a person, or the moment of
// its gate.
//
// To keep the number of states small, a Walk takes some states as equal: targets are
// interchangeable, but for those of different batches; only the state of a passed step counts; and attempts above a number (see
// Attempts) count as one. So it does not find an error that only shows in a later attempt, or only
// after a certain way through a passed step. Nor does it find an error that needs more steps and
// targets, or a store. Two commits at once are tried one after the other, as a store's
// compare-and-swap orders them.
type Walk struct {
	Jobs   []engine.JobSpec // see SmallJobs; at most 8 steps each, of at most 2 targets
	Rules  *operation.Rules // nil means the documented ones
	Expect *model.Rules     // the intended rules; nil means the documented ones

	// Attempts is the number of attempts of the current step that are different states; 0
	// means 4 for jobs of one step, 2 for jobs of two, and 1 for longer ones.
	Attempts int

	// Decide replaces engine.Decide, by a decision that is broken on purpose; nil keeps it.
	Decide func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error)

	alone bool // without the model, for tests of the other checks
}

// WalkStats are the figures of a walk.
type WalkStats struct {
	Jobs        int // number of jobs
	States      int // number of different states
	Transitions int // number of accepted commands, deliveries and expiries
	Refusals    int // number of refused commands, each for the model's reason
	Depth       int // moves from the creation of a job to its farthest state

	// The states under way, by what they await: a report of an executor, a person, or a moment.
	Reports, People, Moments int
}

// awaits counts a state by what it awaits.
func (s *WalkStats) awaits(what string) {
	switch what {
	case "report":
		s.Reports++
	case "person":
		s.People++
	case "moment":
		s.Moments++
	}
}

func (s WalkStats) String() string {
	return fmt.Sprintf("%d jobs: %d states, %d transitions, %d refusals, the farthest state %d moves away; %d states await a report, %d a person, %d a moment",
		s.Jobs, s.States, s.Transitions, s.Refusals, s.Depth, s.Reports, s.People, s.Moments)
}

// A Violation is a broken promise, with the shortest way to it.
type Violation struct {
	Spec engine.JobSpec // of the job
	Path []string       // the moves from the creation of the job to the broken promise
	Err  error          // the fault
}

// Error returns the fault, the job, and the moves, one per line.
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

// Unwrap returns the fault.
func (v *Violation) Unwrap() error { return v.Err }

// Run walks all jobs and returns the figures. The error is the *[Violation] of the first job with
// one, by the shortest way. If a job has more than 8 steps or a step more than 2 targets, Run
// returns another error at once. Jobs are walked in parallel, which does not change the result.
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
	s.Reports, s.People, s.Moments = s.Reports+t.Reports, s.People+t.People, s.Moments+t.Moments
	s.Depth = max(s.Depth, t.Depth)
}

// SmallJobs returns the jobs with a number of steps, in every mix of the declared types; nil rules
// mean the documented ones. A step that runs has two targets, a step that asks has a confirmer; both
// have a timeout. Jobs of one and two steps come in every variant: with and without IgnoreErrors,
// with each decision OnTimeout, and, for one step, without a timeout and without confirmers. In
// longer jobs the position decides on the variant, as shorter jobs have tried them all.
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
