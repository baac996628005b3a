package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// redraw is how often a terminal is drawn though nothing has changed but the time.
const redraw = 100 * time.Millisecond

// A session is one job being run, and the person at it.
type session struct {
	eng      *engine.Engine
	exec     *localexec.Executor
	job      store.JobID
	person   string
	screen   screen
	terminal bool // the screen is one, and has to be drawn as time goes by
	echo     bool // what is typed shows on it
	progress progress

	until    store.Seq // the history must show this before the next line is taken
	waiting  bool      // the next line is taken when the job awaits a person
	quitting bool
	eof      bool
}

// begin creates the job and starts it.
func (s *session) begin(ctx context.Context, spec engine.JobSpec) error {
	created, err := s.eng.Create(ctx, spec, engine.Request{By: s.person})
	if err != nil {
		return err
	}
	s.job = created.Job
	if s.progress.job, err = s.eng.Job(ctx, s.job); err != nil {
		return err
	}
	for i, spec := range spec.Steps {
		s.progress.steps = append(s.progress.steps, store.NewStep(step.ID(i+1), spec))
		s.progress.targets = append(s.progress.targets, spec.Targets)
	}
	record, err := s.eng.OperateJob(ctx, s.job, operation.StartJob, engine.Request{By: s.person})
	s.until = record.Seq
	return err
}

// run goes on until the job can do no more, or nobody is left who could have it do so.
func (s *session) run(ctx context.Context, stdin io.Reader) error {
	// What is under way is brought to an end even if ctx has ended.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	records, failed := s.watch(work)
	lines := read(work, stdin)
	var tick <-chan time.Time
	if s.terminal {
		ticker := time.NewTicker(redraw)
		defer ticker.Stop()
		tick = ticker.C
	}
	interrupted := ctx.Done()
	for !s.over() {
		var input <-chan string
		if s.progress.job.Version >= s.until && !s.eof && (!s.waiting || s.progress.awaitsPerson()) {
			input, s.waiting = lines, false
		}
		select {
		case r := <-records:
			s.progress.apply(r)
			s.screen.show(&s.progress, r.At)
			s.advise(work, r)
		case line, ok := <-input:
			if s.eof = !ok; !ok {
				break
			}
			if s.echo {
				s.screen.entered()
			}
			s.obey(work, line)
		case <-tick:
			s.screen.show(&s.progress, step.At(time.Now()))
		case <-interrupted:
			interrupted = nil
			s.obey(work, "quit")
		case err := <-failed:
			return err
		}
		if s.eof && !s.quitting && s.stuck() {
			s.screen.say("standard input has ended, and the job awaits a person: it is terminated")
			s.obey(work, "quit")
		}
	}
	return nil
}

// watch returns the job's history as it grows, or why it cannot be read.
func (s *session) watch(ctx context.Context) (<-chan store.Record, <-chan error) {
	records, failed := make(chan store.Record), make(chan error, 1)
	go func() {
		for r, err := range s.eng.Watch(ctx, s.job, 0) {
			if err != nil {
				failed <- err
				return
			}
			select {
			case records <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return records, failed
}

// read returns the lines of r, and closes the channel after the last one.
func read(ctx context.Context, r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(r); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// over reports whether the session has come to its end.
func (s *session) over() bool {
	state := s.progress.job.State
	switch {
	case s.progress.job.Version < s.until || !state.Finished():
		return false
	case s.eof || s.quitting:
		return true
	}
	return s.legal().Empty() // final
}

// legal returns what the rules admit on the current step.
func (s *session) legal() step.Causes {
	current := s.progress.current()
	legal := s.eng.Rules().Legal(operation.Standing{Type: current.Type, State: current.State, Sealed: s.progress.job.Sealed})
	for cause := range legal.All() {
		if !cause.OfStep() {
			legal = legal.Without(cause)
		}
	}
	return legal
}

// stuck reports whether the job waits for a person, and for nothing else.
func (s *session) stuck() bool {
	return s.progress.job.Version >= s.until && s.progress.job.State == step.Waiting && s.progress.current().Timeout == 0
}

// mostFailures is how many failed targets are named without being asked for.
const mostFailures = 5

// advise says what a person can do about a job that has come to need one.
func (s *session) advise(ctx context.Context, r store.Record) {
	current := s.progress.current()
	if s.quitting || !r.Moves() || !s.progress.awaitsPerson() || s.legal().Empty() {
		return
	}
	if failed, err := s.eng.Targets(ctx, s.job, current.ID, engine.TargetQuery{Class: store.FailedTargets, Limit: mostFailures}); err == nil {
		for _, t := range failed {
			s.screen.say(target(t))
		}
	}
	if r.Reason != "" && isReport(r) {
		s.screen.say("  " + plain(r.Reason))
	}
	who := "a person"
	if current.State == step.Waiting && current.Confirmers.IsSet() {
		names := []string{}
		for name := range current.Confirmers.All() {
			names = append(names, name)
		}
		who = strings.Join(names, " or ")
	}
	s.screen.say(fmt.Sprintf("step %d is %v and awaits %s: type %s", current.ID, current.State, plain(who), s.choices(current.ID)))
}

// choices writes the legal operations as lines that can be typed.
func (s *session) choices(id step.ID) string {
	text, left := "", s.legal()
	for cause := range left.All() {
		switch left = left.Without(cause); {
		case text == "":
		case left.Empty():
			text += " or "
		default:
			text += ", "
		}
		text += fmt.Sprintf("%q", fmt.Sprintf("%v %d", cause, id))
	}
	return text
}

// end says what the job has gone through, and returns the state that it has ended in.
func (s *session) end(ctx context.Context) (step.State, error) {
	job, err := s.eng.Job(ctx, s.job)
	if err != nil {
		return 0, err
	}
	s.screen.say(outcome(job), "history:")
	for after := store.Seq(0); ; {
		records, err := s.eng.History(ctx, s.job, after, 1000)
		if err != nil || len(records) == 0 {
			return job.State, err
		}
		for _, r := range records {
			s.screen.say(event(r, s.progress.job.Created))
			after = r.Seq
		}
	}
}

// outcome says how the job stands, and what its success hides.
func outcome(job store.Job) string {
	text := fmt.Sprintf("the job is %v", job.State)
	if job.Skipped > 0 {
		text += fmt.Sprintf(", %s skipped", number(job.Skipped, "step"))
	}
	if job.Ignored > 0 {
		text += fmt.Sprintf(", %s with errors ignored", number(job.Ignored, "step"))
	}
	return text
}

// isReport reports whether r tells of a report, and not of a deadline.
func isReport(r store.Record) bool {
	expired := r.Cause == step.Expired || r.Cause == step.ExpiredConfirmed
	return r.Cause == step.Results || r.Cause.IsEvent() && !expired
}

// event is one line of the history.
func event(r store.Record, created step.Time) string {
	text := fmt.Sprintf("%4d %8s  ", r.Seq, seconds(r.At.Sub(created)))
	switch {
	case r.Cause.OfStep():
		text += fmt.Sprintf("step %d %v", r.Step, r.Cause)
	case isReport(r):
		text += fmt.Sprintf("step %d reported", r.Step)
		if r.Results > 0 {
			text += " " + number(r.Results, "result")
		}
		if r.Cause != step.Results {
			text += fmt.Sprintf(" %v", r.Cause)
		}
	case r.Cause.IsEvent():
		text += fmt.Sprintf("step %d expired", r.Step)
	default:
		text += r.Cause.String()
	}
	if r.Actor != "" {
		text += " by " + r.Actor
	}
	if r.From != r.To {
		text += fmt.Sprintf(", step %d %v -> %v", r.Step, r.From, r.To)
	}
	if r.Effect == store.RunTargets && r.Entered == 0 {
		text += fmt.Sprintf(", attempt %d on %s", r.Attempt, number(r.Targets, "target"))
	}
	if r.Entered != 0 {
		text += fmt.Sprintf(", step %d entered", r.Entered)
	}
	if r.JobFrom != r.JobTo {
		text += fmt.Sprintf(", job %v", r.JobTo)
	}
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return plain(text)
}
