package histories

import (
	"context"
	"fmt"
	"math"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// report sends a plausible report on the current attempt, a repeated report, or an impossible
// one.
func (p *performer) report(ctx context.Context, j *job, at *store.View) {
	r := engine.Report{Job: j.id, Step: at.Step.ID, Attempt: max(at.Step.Attempt, 1), By: one(p, words)}
	e := p.from(j)
	switch n := p.IntN(100); {
	case n < 6 && len(j.reports) > 0:
		r = one(p, j.reports)
	case n < 14:
		r.Results = p.results(p.anyTargets(at.Step.Total), p.IntN(101))
	case n < 20:
		r.Outcome, r.Reason = one(p, []step.Cause{step.Stopped, step.Stopped, step.Broke, step.Broke, step.Broke}), p.reason()
	case n < 21 && !j.endless && p.oneIn(3):
		r.Outcome = step.Dropped
	default:
		r.Results = p.results(p.unfinished(ctx, e, j, &at.Step), p.successes(j))
		if len(r.Results) == 0 {
			r.Outcome = step.Stopped
		}
	}
	switch p.IntN(30) {
	case 0:
		r.Attempt = max(r.Attempt-1, 1)
	case 1:
		r.Attempt++
	case 2:
		r.Outcome = step.Broke
	}
	p.ask("job %d: report on attempt %d of step %d: %v, %v", r.Job, r.Attempt, r.Step, described(&r), e)
	receipt, err := e.Report(ctx, r)
	answer(p.History, receipt, err)
	if err != nil {
		return
	}
	p.Tally["reported"]++
	if len(receipt.Rejected) > 0 {
		p.Tally["rejected"]++
	}
	if j.reports = append(j.reports, r); len(j.reports) > 8 {
		j.reports = j.reports[1:]
	}
}

// described returns a report as it stands in a history: with the results of a few targets.
func described(r *engine.Report) string {
	text := fmt.Sprintf("%d results", len(r.Results))
	if len(r.Results) <= 8 {
		text = fmt.Sprintf("%+q", fmt.Sprintf("%+v", r.Results))
	}
	if r.Outcome != 0 {
		text += fmt.Sprintf(" and %v", r.Outcome)
	}
	return text
}

// successes draws the percentage of targets that succeed.
func (p *performer) successes(j *job) int {
	switch {
	case j.endless:
		return one(p, []int{0, 20, 50})
	case j.stubborn:
		return one(p, []int{0, 50, 80, 95, 100})
	}
	return one(p, []int{0, 50, 90, 100, 100, 100})
}

// unfinished reads the unreported targets, as an executor does, and returns all or some of
// them.
func (p *performer) unfinished(ctx context.Context, e viewpoint, j *job, s *store.Step) []int32 {
	q := engine.TargetQuery{Class: store.UnfinishedTargets, Limit: one(p, []int{50, 300, engine.MaxResults})}
	if !p.oneIn(5) {
		q.IfAttempt = s.Attempt
	}
	p.ask("job %d: targets of step %d that are unfinished, if attempt %d, %v", j.id, s.ID, q.IfAttempt, e)
	targets, err := e.Targets(ctx, j.id, s.ID, q)
	answers(p.History, targets, err)
	every := one(p, []int{1, 1, 1, 2, 3, 10, 100})
	var some []int32
	for _, t := range targets {
		if p.oneIn(every) {
			some = append(some, t.Index)
		}
	}
	return some
}

// anyTargets draws some targets of a step, a few of them twice, and now and then one that does not
// exist.
func (p *performer) anyTargets(total int32) []int32 {
	targets := make([]int32, 1+p.IntN(12))
	for i := range targets {
		targets[i] = p.Int32N(max(total, 1))
	}
	if p.oneIn(10) {
		targets[0] = total
	}
	return targets
}

// results draws a result for each of these targets. The chance of a success is in percent.
func (p *performer) results(targets []int32, successes int) []engine.TargetResult {
	statuses := step.AllStatuses()
	results := make([]engine.TargetResult, len(targets))
	for i, target := range targets {
		r := engine.TargetResult{Target: target, Result: store.Result{Status: step.TargetSucceeded}}
		if p.IntN(100) >= successes {
			r.Status = one(p, statuses)
		}
		if p.oneIn(3) {
			r.ExitCode, r.Detail = p.exitCode(), p.detail()
			r.Started, r.Finished = p.moment(), p.moment()
			if r.Started > r.Finished && r.Finished != 0 {
				r.Started, r.Finished = r.Finished, r.Started
			}
		}
		results[i] = r
	}
	if len(results) > 0 && p.oneIn(40) { // an engine refuses the whole report
		r := &results[p.IntN(len(results))]
		r.Started, r.Finished = one(p, []step.Time{-1, 2, math.MaxInt64, math.MinInt64}), 1
	}
	return results
}

func (p *performer) exitCode() int32 {
	return one(p, []int32{0, 1, 2, 127, 255, -1, math.MaxInt32, math.MinInt32})
}

// moment draws a time that a host's clock may show.
func (p *performer) moment() step.Time {
	if p.oneIn(20) {
		return one(p, []step.Time{0, 1, step.MaxTime})
	}
	return step.At(p.now) - step.Time(p.IntN(100_000))
}

func (p *performer) detail() string {
	if p.oneIn(3) {
		return p.name()
	}
	return ""
}
