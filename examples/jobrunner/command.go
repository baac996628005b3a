package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A command is a line of standard input that is no operation on a step.
type command struct {
	name, args, does string
	needs            int // arguments, at least
	do               func(s *session, ctx context.Context, args []string) error
}

var commands []command

func init() { // help prints the table that it stands in
	commands = []command{
		{"allowed", "STEP", "list the operations that are legal on a step now", 1, (*session).allowed},
		{"explain", "STEP", "say of every operation on a step what it would do, or why it is illegal", 1, (*session).explain},
		{"targets", "STEP", "list the targets of a step with their status", 1, (*session).targets},
		{"output", "STEP TARGET", "print the output of a script on a target, from the latest attempt", 2, (*session).output},
		{"start", "[REASON]", "start the job; the program did so at the beginning", 0, (*session).start},
		{"terminate", "[REASON]", "terminate the job", 0, (*session).terminate},
		{"as", "PERSON", "operate as another person", 1, (*session).be},
		{"wait", "", "read the next line when the job awaits a person", 0, (*session).wait},
		{"help", "", "print this list", 0, (*session).help},
		{"quit", "", "terminate the job and end", 0, (*session).quit},
	}
}

var errUsage = errors.New("type help for the commands")

// obey does what one line asks for, and says what came of it.
func (s *session) obey(ctx context.Context, line string) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return
	}
	if err := s.dispatch(ctx, words); err != nil {
		s.screen.say(plain(err.Error()))
	}
}

func (s *session) dispatch(ctx context.Context, words []string) error {
	for _, c := range commands {
		if c.name != words[0] {
			continue
		}
		if len(words)-1 < c.needs {
			return fmt.Errorf("%s %s: %w", c.name, c.args, errUsage)
		}
		return c.do(s, ctx, words[1:])
	}
	code, err := operation.ParseCode(words[0])
	if err != nil {
		return fmt.Errorf("%q is no command and no operation: %w", words[0], errUsage)
	}
	if len(words) < 2 {
		return fmt.Errorf("%v STEP [REASON]: %w", code, errUsage)
	}
	id, err := stepID(words[1])
	if err != nil {
		return err
	}
	record, err := s.eng.Operate(ctx, s.job, id, code, s.request(words[2:]))
	return s.accept(record, err)
}

func stepID(word string) (step.ID, error) {
	id, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a step number: %w", word, errUsage)
	}
	return step.ID(id), nil
}

// request says who asks for an operation, and why.
func (s *session) request(reason []string) engine.Request {
	return engine.Request{By: s.person, Because: strings.Join(reason, " ")}
}

// accept says what an operation has done, and has the next line wait until that shows.
func (s *session) accept(r store.Record, err error) error {
	if err != nil {
		return fmt.Errorf("refused: %w", err)
	}
	s.until = r.Seq
	did := fmt.Sprintf("accepted: %v", r.Cause)
	if r.Cause.OfStep() {
		did += fmt.Sprintf(" on step %d", r.Step)
	}
	s.screen.say(did + consequences(r))
	return nil
}

// consequences says what an operation does, as in ": the step goes from failed to
// running, attempt 2, 1 target runs".
func consequences(r store.Record) string {
	text := fmt.Sprintf(": the step goes from %v to %v", r.From, r.To)
	switch {
	case r.Entered != 0:
		text += fmt.Sprintf(", step %d is entered", r.Entered)
	case r.Effect == store.RunTargets:
		text += fmt.Sprintf(", attempt %d", r.Attempt)
	}
	switch {
	case r.Targets == 1:
		text += ", 1 target runs"
	case r.Targets > 0:
		text += fmt.Sprintf(", %d targets run", r.Targets)
	}
	return text
}

func (s *session) start(ctx context.Context, reason []string) error {
	return s.accept(s.eng.OperateJob(ctx, s.job, operation.StartJob, s.request(reason)))
}

func (s *session) terminate(ctx context.Context, reason []string) error {
	return s.accept(s.eng.OperateJob(ctx, s.job, operation.TerminateJob, s.request(reason)))
}

func (s *session) allowed(ctx context.Context, args []string) error {
	id, err := stepID(args[0])
	if err != nil {
		return err
	}
	allowed, err := s.eng.Allowed(ctx, s.job, id, engine.Request{By: s.person})
	if err != nil {
		return err
	}
	s.screen.say(fmt.Sprintf("step %d, %s: %v", id, plain(s.person), numbered(allowed)))
	return nil
}

// numbered names the operations on a step among causes, with their numbers.
func numbered(causes step.Causes) string {
	var all []string
	for cause := range causes.All() {
		if cause.OfStep() {
			all = append(all, fmt.Sprintf("%v (%d)", cause, cause.Code()))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

func (s *session) explain(ctx context.Context, args []string) error {
	id, err := stepID(args[0])
	if err != nil {
		return err
	}
	x, err := s.eng.Explain(ctx, s.job, id, engine.Request{By: s.person})
	if err != nil {
		return err
	}
	for _, v := range x.Causes {
		if v.Legal {
			s.screen.say(fmt.Sprintf("yes  %v (%d)%s", v.Cause, v.Cause.Code(), consequences(v.Record)))
		} else {
			s.screen.say(plain(fmt.Sprintf("no   %v (%d): %v", v.Cause, v.Cause.Code(), v.Refusal)))
		}
	}
	return nil
}

func (s *session) targets(ctx context.Context, args []string) error {
	id, err := stepID(args[0])
	if err != nil {
		return err
	}
	for from := int32(0); ; {
		targets, err := s.eng.Targets(ctx, s.job, id, engine.TargetQuery{From: from, Limit: 1000})
		if err != nil {
			return err
		}
		if len(targets) == 0 {
			return nil
		}
		for _, t := range targets {
			s.screen.say(target(t))
		}
		from = targets[len(targets)-1].Index + 1
	}
}

// target says how a target fares.
func target(t store.Target) string {
	text := fmt.Sprintf("  %s: %v", t.Name, t.Status)
	if t.ExitCode != 0 {
		text += fmt.Sprintf(", exit code %d", t.ExitCode)
	}
	if t.Detail != "" {
		text += ": " + t.Detail
	}
	return plain(text)
}

func (s *session) output(ctx context.Context, args []string) error {
	id, err := stepID(args[0])
	if err != nil {
		return err
	}
	if id < 1 || int(id) > len(s.progress.targets) {
		return fmt.Errorf("step %d does not exist: %w", id, errUsage)
	}
	for i, name := range s.progress.targets[id-1] {
		if name != args[1] {
			continue
		}
		targets, err := s.eng.Targets(ctx, s.job, id, engine.TargetQuery{From: int32(i), Limit: 1})
		if err != nil {
			return err
		}
		out, err := s.exec.Output(s.job, id, max(targets[0].Attempt, 1), int32(i))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s has no output: no script ran there", name)
		}
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(out.Stdout) + string(out.Stderr)) {
			s.screen.say("  " + plain(strings.TrimRight(line, "\n")))
		}
		return nil
	}
	return fmt.Errorf("step %d has no target %s", id, args[1])
}

func (s *session) be(_ context.Context, args []string) error {
	s.person = strings.Join(args, " ")
	return nil
}

func (s *session) wait(context.Context, []string) error {
	s.waiting = true
	return nil
}

func (s *session) help(context.Context, []string) error {
	s.screen.say(
		"CODE STEP [REASON]  operate on a step; CODE is the name or the number of an operation:",
		"                    "+numbered(s.eng.Rules().Causes()),
	)
	for _, c := range commands {
		s.screen.say(fmt.Sprintf("%-18s  %s", strings.TrimSpace(c.name+" "+c.args), c.does))
	}
	return nil
}

// quit has the session end as soon as nothing runs any more.
func (s *session) quit(ctx context.Context, _ []string) error {
	s.quitting = true
	job, err := s.eng.Job(ctx, s.job) // which may be ahead of what is shown
	if err == nil && (job.State == step.Running || job.State == step.Waiting) {
		return s.terminate(ctx, []string{"quit"})
	}
	return err
}
