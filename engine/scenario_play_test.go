package engine_test

// What the lines of a scenario file do; the format is described in scenario_test.go.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

func (p *play) restart() facts {
	p.stage.crash = ""
	p.eng = engine.New(p.stage,
		engine.WithClock(func() time.Time { return p.now }), engine.WithJobIDs(func(step.Time) store.JobID { return theJob }))
	return nil
}

func (p *play) do(text string, below []string) (facts, error) {
	w, ctx := word.FindAllString(text, -1), p.t.Context()
	person, isPerson := strings.CutSuffix(w[0], ":")
	switch {
	case w[0] == "job":
		return p.create(w[1], below)
	case isPerson:
		return p.operate(person, text)
	case w[0] == "report":
		return p.report(text)
	case w[0] == "expect":
		subject, _, _ := strings.Cut(strings.TrimPrefix(text, "expect "), ":")
		return p.look(strings.Fields(subject))
	case w[0] == "wait":
		p.now = p.now.Add(parsed(p, time.ParseDuration, w[1]))
		return nil, nil
	case w[0] == "sweep":
		n, err := p.eng.Sweep(ctx)
		return facts{"": fmt.Sprintf("%d expired", n)}, err
	case text == "deliver and die":
		at := step.At(p.now)
		all := []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}
		claimed, err := p.stage.Claim(ctx, store.Claim{Effects: all, Now: at, Until: at.Add(30 * time.Second), Limit: 100})
		return listed(claimed, delivery), err
	case w[0] == "deliver":
		return p.deliver(ctx, w[1:])
	case w[0] == "crash":
		p.stage.crash = w[1]
		return nil, nil
	case w[0] == "restart":
		return p.restart(), nil
	}
	return nil, fmt.Errorf("what does %q mean?", text)
}

func (p *play) create(name string, below []string) (facts, error) {
	p.spec = engine.JobSpec{Name: name}
	for _, b := range below {
		c := clause.FindAllString(b, -1)
		head := strings.Fields(c[0])
		s := step.Spec{Type: parsed(p, step.ParseType, head[0]), Name: head[1]}
		for _, more := range c[1:] {
			switch w := strings.Fields(more); w[0] {
			case "targets":
				s.Targets = w[1:]
			case "confirmers":
				s.Confirmers = w[1:]
			case "timeout":
				s.Timeout = parsed(p, time.ParseDuration, w[1])
			case "confirm_on_timeout":
				s.OnTimeout = step.ConfirmOnTimeout
			case "ignore_errors":
				s.IgnoreErrors = true
			default:
				return nil, fmt.Errorf("what does %q mean?", more)
			}
		}
		p.spec.Steps = append(p.spec.Steps, s)
	}
	_, err := p.eng.Create(p.t.Context(), p.spec)
	return nil, err
}

func asPerson(person string) []engine.OperateOption {
	if person == "nobody" {
		return nil
	}
	return []engine.OperateOption{engine.By(person)}
}

func (p *play) operate(person, text string) (facts, error) {
	c, opts := clause.FindAllString(text, -1), asPerson(person)
	for _, option := range c[1:] {
		switch w := word.FindAllString(option, -1); w[0] {
		case "because":
			opts = append(opts, engine.Because(unquote(w[1])))
		case "if_attempt":
			opts = append(opts, engine.IfAttempt(int32(parsed(p, strconv.Atoi, w[1]))))
		case "if_version":
			opts = append(opts, engine.IfVersion(store.Seq(parsed(p, strconv.Atoi, w[1]))))
		case "request":
			opts = append(opts, engine.RequestID(uuid.NewSHA1(uuid.UUID{}, []byte(w[1]))))
		case "dry_run":
			opts = append(opts, engine.DryRun())
		default:
			return nil, fmt.Errorf("what does %q mean?", option)
		}
	}
	var r engine.Receipt
	var err error
	if w := strings.Fields(c[0])[1:]; len(w) == 1 {
		r, err = p.eng.OperateJob(p.t.Context(), theJob, parsed(p, operation.ParseJobCode, w[0]), opts...)
	} else {
		r, err = p.eng.Operate(p.t.Context(), theJob, step.ID(parsed(p, strconv.Atoi, w[1])), parsed(p, operation.ParseCode, w[0]), opts...)
	}
	return factsOf(r), err
}

func (p *play) report(text string) (facts, error) {
	head, body, _ := strings.Cut(strings.TrimPrefix(text, "report "), ": ")
	id, attempt, _ := strings.Cut(head, ".")
	r := engine.Report{Job: theJob, Step: step.ID(parsed(p, strconv.Atoi, id)), Attempt: int32(parsed(p, strconv.Atoi, attempt))}
	targets := p.spec.Steps[r.Step-1].Targets
	for _, c := range clause.FindAllString(body, -1) {
		w := word.FindAllString(c, -1)
		if i := slices.Index(targets, w[0]); i >= 0 {
			r.Results = append(r.Results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: parsed(p, step.ParseStatus, w[1])}})
			continue
		}
		r.Outcome, r.Reason = parsed(p, step.ParseEvent, w[0]), unquote(strings.Join(w[1:], " "))
	}
	receipt, err := p.eng.Report(p.t.Context(), r)
	got := factsOf(receipt)
	got["rejected"] = fmt.Sprint(len(receipt.Rejected))
	return got, err
}

func (p *play) deliver(ctx context.Context, failing []string) (facts, error) {
	seen := make(chan store.Delivery, 100)
	_, err := p.eng.Deliver(ctx, func(_ context.Context, d engine.Delivery) error {
		seen <- store.Delivery{Seq: d.Seq, Effect: d.Effect, Step: d.Step.ID, Attempt: d.Attempt, All: d.All, JobTo: d.Ended}
		if len(failing) > 0 {
			return errors.New(unquote(failing[1]))
		}
		return nil
	})
	close(seen)
	var all []store.Delivery
	for d := range seen {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b store.Delivery) int { return cmp.Compare(a.Seq, b.Seq) })
	return listed(all, delivery), err
}

// look returns the facts of a subject.
func (p *play) look(w []string) (facts, error) {
	ctx, number := p.t.Context(), func(s string) int { return parsed(p, strconv.Atoi, s) }
	switch {
	case w[0] == "job":
		job, err := p.eng.Job(ctx, theJob)
		return factsOf(job), err
	case w[0] == "step":
		s, err := p.eng.Step(ctx, theJob, step.ID(number(w[1])))
		got := factsOf(s)
		got["failed"] = fmt.Sprint(s.Failed())
		return got, err
	case w[0] == "target":
		id, name, _ := strings.Cut(w[1], ".")
		i := slices.Index(p.spec.Steps[number(id)-1].Targets, name)
		targets, err := p.eng.Targets(ctx, theJob, step.ID(number(id)), engine.TargetQuery{From: int32(i), Limit: 1})
		if err != nil {
			return nil, err
		}
		got := factsOf(targets[0])
		got["state"] = got["status"]
		return got, nil
	case w[0] == "history":
		records, err := p.eng.History(ctx, theJob, 0, 1000)
		return listed(records, deed), err
	case w[0] == "record":
		records, err := p.eng.History(ctx, theJob, store.Seq(number(w[1])-1), 1)
		if err != nil || len(records) == 0 {
			return nil, fmt.Errorf("no record: %w", err)
		}
		got := factsOf(records[0])
		got["state"] = deed(records[0])
		return got, nil
	case w[0] == "effects":
		effects, err := p.eng.Effects(ctx, theJob, 0, 1000)
		return listed(effects, delivery), err
	case len(w) > 2 && w[1] == "on":
		x, err := p.eng.Explain(ctx, theJob, step.ID(number(w[2])), asPerson(w[0])...)
		return verdicts(x, len(w) > 3), err
	}
	return nil, fmt.Errorf("what is %q?", w)
}

// audit replays the history: it must give the header and the steps that are stored.
func (p *play) audit() {
	ctx := p.t.Context()
	history, err := p.eng.History(ctx, theJob, 0, 1000)
	job, steps, err2 := engine.Replay(p.eng.Rules(), p.spec, history)
	stored, err3 := p.eng.Job(ctx, theJob)
	storedSteps, err4 := p.eng.Steps(ctx, theJob, 0, 1000)
	if err := errors.Join(err, err2, err3, err4); err != nil || job != stored || !reflect.DeepEqual(steps, storedSteps) {
		p.t.Errorf("%s: the history (%v) replays to\n%+v\n%+v\nbut stored are\n%+v\n%+v", p.at, err, job, steps, stored, storedSteps)
	}
}

func deed(r store.Record) string {
	switch {
	case r.Code != 0:
		return r.Code.String()
	case r.JobCode != 0:
		return r.JobCode.String()
	case r.Event != 0:
		return r.Event.String()
	}
	return r.Kind.String()
}

func delivery(d store.Delivery) string {
	text := fmt.Sprintf("%v %d.%d", d.Effect, d.Step, d.Attempt)
	switch d.Effect {
	case store.RunTargets:
		text += map[bool]string{true: " all", false: " due"}[d.All]
	case store.JobEnded:
		text = fmt.Sprintf("%v %v", d.Effect, d.JobTo)
	}
	if d.LastError != "" {
		text += fmt.Sprintf(" tried %d: %s", d.Count, d.LastError)
	}
	return text
}

func verdicts(x engine.Explanation, full bool) facts {
	var all []string
	add := func(code fmt.Stringer, refusal *engine.Refusal) {
		switch {
		case refusal == nil:
			all = append(all, code.String())
		case full:
			all = append(all, fmt.Sprintf("%v is %v", code, refusal.Reason))
		}
	}
	for _, v := range x.Codes {
		add(v.Code, v.Refusal)
	}
	for _, v := range x.JobCodes {
		add(v.Code, v.Refusal)
	}
	return listed(all, func(s string) string { return s })
}

// stage is a store on which things happen at the worst moment.
type stage struct {
	store.Store
	between []func()
	crash   string
}

var errDown = errors.New("the store is down")

func (s *stage) View(ctx context.Context, q store.Query) (store.View, error) {
	if s.crash == "down" {
		return store.View{}, errDown
	}
	return s.Store.View(ctx, q)
}

func (s *stage) Commit(ctx context.Context, c store.Change) error {
	for between := s.between; len(between) > 0; between = between[1:] {
		s.between = nil
		between[0]()
	}
	crash := s.crash
	if crash == "before" || crash == "after" {
		s.crash = "down"
	}
	if crash == "" || crash == "after" {
		if err := s.Store.Commit(ctx, c); err != nil || crash == "" {
			return err
		}
	}
	return errDown
}
