package store

import (
	"slices"

	"github.com/stepgate/stepgate/step"
)

// THE TARGETS OF AN ATTEMPT. A retry of a million targets with a hundred failed ones writes one
// number. The step keeps it in its Run, each target keeps the attempt of its latest success, and
// a comparison of the two tells which targets are due, unfinished or failed. An attempt on the
// targets that have not succeeded leaves the Run as it is. An attempt on all targets raises Full
// to its own number: every earlier success ceases to count, and no target is written. Everything
// that depends on the targets of an attempt reads the Run: decisions, counts, classes, the results
// that reads show, replay, and the sets of the stores.

// A Run says which targets an attempt covers: those of its window that have not succeeded in attempt
// Full or later. A new step has FirstRun, or the run of its first batch; the zero Run covers no
// target.
type Run struct {
	Full  int32 `json:"full"`           // the last attempt that covered all targets of the window; successes before it do not count
	First int32 `json:"first,omitzero"` // index of the window's first target
	End   int32 `json:"end,omitzero"`   // index of the first target after the window; 0 means the end of the step
}

// FirstRun is the run of the first attempt of a step without batches: all targets.
var FirstRun = Run{Full: 1}

// FirstRunOf returns the run of the first attempt of the step that spec defines.
func FirstRunOf(spec *step.Spec) Run {
	run := FirstRun
	if spec.Rolling.Batches != "" {
		if ends, err := step.Batches(spec.Rolling.Batches, int32(len(spec.Targets))); err == nil && len(ends) > 0 {
			run.End = ends[0]
		}
	}
	return run
}

// Next returns the run of the attempt that follows one with r in the same window: on all targets if
// all is true, else on the targets that are due. attempt is the number of the new attempt.
func (r Run) Next(attempt int32, all bool) Run {
	if all {
		r.Full = attempt
	}
	return r
}

// Window returns the targets that r can cover in a step of total targets: from first to end-1.
func (r Run) Window(total int32) (first, end int32) {
	if r.End == 0 {
		return r.First, total
	}
	return r.First, r.End
}

// Size returns the number of targets in the window.
func (r Run) Size(total int32) int32 {
	first, end := r.Window(total)
	return end - first
}

// Has reports whether a target is in the window.
func (r Run) Has(index int32) bool { return index >= r.First && (r.End == 0 || index < r.End) }

// All reports whether the attempt of this number covers all targets of its window, given its run r.
func (r Run) All(attempt int32) bool { return r.Full == attempt }

// Due reports whether an attempt with r covers t: whether t is in the window and has not succeeded
// since the attempt that last covered all of it.
func (r Run) Due(t Target) bool { return r.Has(t.Index) && t.Success < r.Full }

// RunOf returns the number and the last run of the batch that has a target of s, given the batches of s
// that have begun, by number. Without batches that is number 0 and the run of s. ok is false if the batch
// has not begun: it has no run yet.
func (s *Step) RunOf(batches []Batch, index int32) (number int32, run Run, ok bool) {
	if index >= s.Run.First {
		return s.Batch, s.Run, s.Run.Has(index)
	}
	after, _ := slices.BinarySearchFunc(batches, index, func(b Batch, index int32) int {
		if b.First <= index {
			return -1
		}
		return 1
	})
	if after == 0 {
		return 0, Run{}, false
	}
	b := &batches[after-1]
	run = Run{Full: b.Full, First: b.First, End: b.End}
	return b.Number, run, run.Has(index)
}

// A Class selects targets of a step by their result in the last attempt that covered their batch. A
// target of a batch that has not begun belongs to no class but AllTargets.
type Class uint8

const (
	AllTargets        Class = 0 // every target
	DueTargets        Class = 1 // of the current or last batch, and not succeeded since the last attempt that covered all of it: a retry would run these
	UnfinishedTargets Class = 2 // due, without a finished result in this attempt
	FailedTargets     Class = 3 // due, and finished in this attempt without success; and not succeeded, of an earlier batch
	SucceededTargets  Class = 4 // succeeded since the last attempt that covered all targets of their batch
)

// Holds reports whether target t of step s belongs to the class, given the batches of s that have
// begun, by number; nil if it has none.
func (c Class) Holds(s Step, batches []Batch, t Target) bool {
	number, run, ok := s.RunOf(batches, t.Index)
	if c == AllTargets || s.Attempt == 0 || !ok {
		return c == AllTargets
	}
	succeeded, finished := word(!run.Due(t)), word(t.Attempt == s.Attempt && t.Status.Finished())
	if number != s.Batch {
		return c.Earlier(succeeded)&1 != 0
	}
	return c <= SucceededTargets && c.Members(succeeded, finished)&1 != 0
}

func word(holds bool) uint64 {
	if holds {
		return ^uint64(0)
	}
	return 0
}

// Members returns the set of those of 64 targets that belong to the class, for stores that keep
// bit sets. The targets are of the window of their step's run. succeeded has those that are not due,
// finished those with a finished result in the attempt of their step, which has begun.
func (c Class) Members(succeeded, finished uint64) uint64 {
	switch c {
	case DueTargets:
		return ^succeeded
	case UnfinishedTargets:
		return ^succeeded &^ finished
	case FailedTargets:
		return ^succeeded & finished
	case SucceededTargets:
		return succeeded
	}
	return ^uint64(0)
}

// Earlier is Members for 64 targets of a batch before the window. succeeded has those that have
// succeeded since the last attempt that covered all of their batch.
func (c Class) Earlier(succeeded uint64) uint64 {
	switch c {
	case AllTargets:
		return ^uint64(0)
	case FailedTargets:
		return ^succeeded
	case SucceededTargets:
		return succeeded
	}
	return 0
}
