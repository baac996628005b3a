package store

// WHICH TARGETS AN ATTEMPT RUNS. A retry of a million targets of which a hundred have failed
// writes one number. The step keeps it in its Run, each target keeps the attempt of its latest
// success, and all else is a comparison of the two: what is due, what is unfinished, what has
// failed. An attempt on the targets that have not succeeded leaves the Run as it is; one on
// all targets raises Full to its own number, and with that every earlier success ceases to
// count, though no target was touched. Whatever depends on the targets of an attempt asks the
// Run: decisions, counts, classes, what a target shows, replay, and the sets of the stores.

// A Run says which targets an attempt covers, with no row for any of them. From the creation
// of its step on it is FirstRun; the zero Run covers none.
type Run struct {
	Full int32 `json:"full"` // the attempt that last covered all targets; successes before it do not count
}

// FirstRun is the run of a step's first attempt: all targets.
var FirstRun = Run{Full: 1}

// Next returns the run of an attempt that follows one with r: on all targets, or on those
// that are due.
func (r Run) Next(attempt int32, all bool) Run {
	if all {
		r.Full = attempt
	}
	return r
}

// All reports whether an attempt with r covers all targets.
func (r Run) All(attempt int32) bool { return r.Full == attempt }

// Due reports whether an attempt with r covers t: whether t has not succeeded since the
// attempt that last covered all targets.
func (r Run) Due(t Target) bool { return t.Success < r.Full }

// A Class says how a target stands in the current or last attempt of its step.
type Class uint8

const (
	AllTargets        Class = 0 // every target
	DueTargets        Class = 1 // has not succeeded since the attempt that last covered all: what a retry would run
	UnfinishedTargets Class = 2 // due, and no finished result in this attempt
	FailedTargets     Class = 3 // due, and finished in this attempt without success
	SucceededTargets  Class = 4 // not due
)

// Holds reports whether a target of step s belongs to the class.
func (c Class) Holds(s Step, t Target) bool {
	if s.Attempt == 0 {
		return c == AllTargets
	}
	due, finished := word(s.Run.Due(t)), word(t.Attempt == s.Attempt && t.Status.Finished())
	return c <= SucceededTargets && c.Members(^due, finished)&1 != 0
}

func word(holds bool) uint64 {
	if holds {
		return 1
	}
	return 0
}

// Members returns which of 64 targets of a step that has begun belong to the class, given which
// of them are not due and which have finished in its attempt. For stores that keep sets.
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
