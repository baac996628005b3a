package engine

import (
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// DecideFunc is the decision function of an engine.
type DecideFunc = func(r *operation.Rules, v *store.View, c Command, move operation.Move, now step.Time, d *Decision) *Refusal

// Break wraps the decisions of e. Tests build engines with it that are broken on purpose.
func (e *Engine) Break(wrap func(DecideFunc) DecideFunc) { e.decide = wrap(e.decide.on) }

// CheckName returns why text is no name, or nil.
func CheckName(text string) *Refusal { return checkName("name", text) }

// NewJobIDs returns the source of job ids of one engine.
func NewJobIDs() func(now step.Time, random uint64) store.JobID { return new(jobIDs).next }

// Kept returns the numbers of jobs and of targets whose state e keeps after reports.
func (e *Engine) Kept() (jobs, targets int) {
	l := e.lines
	l.mu.Lock()
	defer l.mu.Unlock()
	for in := l.oldest; in != nil; in = in.newer {
		jobs++
		targets += len(in.kept.targets)
	}
	if jobs != l.rest || targets != l.targets || len(l.all) < jobs {
		panic("the lines that rest are miscounted")
	}
	return jobs, targets
}
