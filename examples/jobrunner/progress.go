package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A progress is where a job stands, as its history tells. It is built from records
// alone, so that what is shown never runs ahead of itself.
type progress struct {
	job     store.Job
	steps   []store.Step
	targets [][]string // names, by step
}

// apply goes on to the state after r.
func (p *progress) apply(r store.Record) {
	p.job.Version, p.job.State = r.Seq, r.JobTo
	if r.Cause == step.Created {
		return
	}
	s := &p.steps[r.Step-1]
	s.Attempt, s.Succeeded, s.Unfinished = r.Attempt, r.Succeeded, r.Unfinished
	begins := r.Entered == 0 && (r.Effect == store.RunTargets || r.Effect == store.AskConfirmers)
	switch {
	case begins:
		s.Started, s.Finished = r.At, 0
	case r.From != r.To && r.To.Finished():
		s.Finished = r.At
	}
	s.State, p.job.Current = r.To, r.Step
	if r.Entered != 0 {
		next := &p.steps[r.Entered-1]
		next.State, next.Attempt, next.Unfinished, next.Started = r.JobTo, 1, next.Total, r.At
		p.job.Current = r.Entered
	}
}

// current returns the step that is, or was last, under way.
func (p *progress) current() store.Step { return p.steps[p.job.Current-1] }

// awaitsPerson reports whether nothing goes on unless a person does something.
func (p *progress) awaitsPerson() bool {
	return p.job.State.Finished() || p.job.State == step.Waiting
}

// counts says how far the targets of a step are.
func counts(s store.Step) string {
	if s.Attempt == 0 || s.Total == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d done, %d failed", s.Total-s.Unfinished, s.Total, s.Failed())
}

// elapsed says how long the attempt of a step has taken, or takes so far.
func elapsed(s store.Step, now step.Time) string {
	switch {
	case s.Started == 0:
		return ""
	case s.Finished != 0:
		now = s.Finished
	}
	return seconds(now.Sub(s.Started))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", max(d, 0).Seconds()) }

// number counts things.
func number(n int32, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// attempt says which attempt of a step it is.
func attempt(s store.Step) string {
	if s.Attempt == 0 {
		return ""
	}
	return fmt.Sprintf("attempt %d", s.Attempt)
}

// plain returns text without what a terminal would act upon.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
