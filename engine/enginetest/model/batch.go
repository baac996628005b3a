package model

import (
	"slices"
	"strconv"
	"strings"

	"github.com/stepgate/stepgate/step"
)

// A Batch is one batch of a step that has begun.
type Batch struct {
	First, End int        // its targets: from First to End-1
	Full       int32      // the last attempt that covered all of them
	Since      int32      // its first attempt
	Attempt    int32      // its current or last attempt
	State      step.State // of the step during the batch, and how the batch ended
	Succeeded  int        // number of its targets that have succeeded
	Unfinished int        // number of its targets without a result when its last attempt ended
	Started    step.Time  // of its first attempt
	Finished   step.Time  // of its last attempt; 0 while that is under way
}

// Batches returns the batches of s that have begun, batch 1 first; none if s has no batches.
func (s *Step) Batches() (all []Batch) {
	for i := range s.Runs {
		run, n := &s.Runs[i], int32(i+1)
		if run.Batch == 0 {
			continue
		}
		if run.Batch > len(all) {
			all = append(all, Batch{First: run.First, End: run.End, Since: n, Started: run.Started, State: s.Ends[run.Batch-1]})
		}
		b := &all[run.Batch-1]
		if run.All {
			b.Full = n
		}
		b.Attempt, b.Finished, b.Succeeded, b.Unfinished = n, run.Finished, 0, 0
		for _, t := range run.Targets[run.First:run.End] {
			switch {
			case success(t.Status):
				b.Succeeded++
			case !finished(t.Status):
				b.Unfinished++
			}
		}
	}
	for i := range all {
		if b := &all[i]; b.State == step.ErrorIgnored && b.Succeeded == b.End-b.First {
			b.State = step.Succeeded // only earlier batches have failures
		}
	}
	return all
}

// Batch returns the number of the current or last batch, from 1; 0 before the first, and without
// batches.
func (s *Step) Batch() int {
	if len(s.Runs) == 0 {
		return 0
	}
	return s.Runs[len(s.Runs)-1].Batch
}

// Window returns the targets of the current or last attempt, or of the first: from first to end-1.
func (s *Step) Window() (first, end int) {
	if len(s.Runs) > 0 {
		run := &s.Runs[len(s.Runs)-1]
		return run.First, run.End
	}
	if plan := s.plan(); len(plan) > 0 {
		return 0, plan[0]
	}
	return 0, len(s.Spec.Targets)
}

// batchLeft reports whether a batch has not begun.
func (s *Step) batchLeft() bool {
	plan := s.plan()
	return len(plan) > s.Batch()
}

// plan returns the index after the last target of each batch; none for a step without batches. It
// deals out the targets one by one.
func (s *Step) plan() (ends []int) {
	if s.Spec.Rolling.Batches == "" {
		return nil
	}
	total := len(s.Spec.Targets)
	parts := strings.Split(s.Spec.Rolling.Batches, " ")
	before, next := 0, 0
	for n := 0; next < total; n++ {
		part := parts[min(n, len(parts)-1)]
		number, err := strconv.Atoi(strings.Trim(part, "+*%"))
		if err != nil || number < 1 {
			panic("a plan that no engine accepts: " + s.Spec.Rolling.Batches)
		}
		size := 0
		for next < total && !enough(part, number, size, before, total, n == 0) {
			size++
			next++
		}
		before = size
		ends = append(ends, next)
	}
	return ends
}

// enough reports whether a batch of this size is what a part of an expression asks for.
func enough(part string, number, size, before, total int, first bool) bool {
	switch {
	case strings.HasSuffix(part, "%"):
		return size*100 >= number*total
	case part[0] == '+':
		return size-before >= number
	case part[0] == '*' && !first:
		return size/before >= number
	}
	return size >= number
}

// Before returns the number of targets of earlier batches that have succeeded.
func (s *Step) Before() int {
	n := 0
	if len(s.Runs) > 0 {
		run := &s.Runs[len(s.Runs)-1]
		for _, t := range run.Targets[:run.First] {
			if success(t.Status) {
				n++
			}
		}
	}
	return n
}

// Accepted returns the number of failures that a person has accepted.
func (s *Step) Accepted() int {
	n := 0
	if len(s.Runs) > 0 {
		for _, t := range s.Runs[len(s.Runs)-1].Targets {
			if t.Accepted {
				n++
			}
		}
	}
	return n
}

// accept accepts the failures of all batches so far.
func (s *Step) accept() {
	if len(s.Runs) == 0 {
		return
	}
	run := &s.Runs[len(s.Runs)-1]
	for i := range run.Targets[:run.End] {
		t := &run.Targets[i]
		t.Accepted = !success(t.Status)
	}
}

// failures returns the number of targets, of all batches so far, that have not succeeded, and of those
// that no person has accepted.
func (s *Step) failures() (all, counted int) {
	run := &s.Runs[len(s.Runs)-1]
	for _, t := range run.Targets[:run.End] {
		if !success(t.Status) {
			all++
			if !t.Accepted {
				counted++
			}
		}
	}
	return all, counted
}

// borne reports whether the step bears that many failures.
func (s *Step) borne(failures int) bool {
	bears := int(s.Spec.Tolerate.Count)
	if percent := int(s.Spec.Tolerate.Percent); percent > 0 {
		bears = len(s.Spec.Targets) * percent / 100
	}
	return s.Spec.IgnoreErrors || failures <= bears
}

// Mendable reports whether some failure of the current or last attempt leads to a retry by itself.
func (s *Step) Mendable() bool {
	if len(s.Runs) == 0 || s.Spec.Retry.Attempts == 0 {
		return false
	}
	run := &s.Runs[len(s.Runs)-1]
	return slices.ContainsFunc(run.Targets[run.First:run.End], func(t Target) bool {
		return t.Ran == s.Attempt() && finished(t.Status) && !success(t.Status) && !slices.Contains(s.Spec.Retry.Except, t.Status)
	})
}

// note notes the state of the last batch after a move from a state and a gate. While a step waits for its
// next batch, or has ended there, the last one stays as it has ended.
func (s *Step) note(from step.State, was Gate) {
	ongoing := underway(from) || from == step.Gated && was.Then != step.RunNext ||
		underway(s.State) || s.State == step.Gated && s.Gate.Then != step.RunNext
	if len(s.Ends) > 0 && s.State != from && ongoing {
		s.Ends[len(s.Ends)-1] = s.State
	}
}
