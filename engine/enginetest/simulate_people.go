package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A wish is one request of a person, however often it is made, and what is known of it.
type wish struct {
	id      store.RequestID
	spec    *engine.JobSpec // of a creation
	job     store.JobID
	step    step.ID // 0 for an operation on the job
	cause   step.Cause
	actor   string
	reason  string
	dry     bool
	version store.Seq // IfVersion, or 0
	attempt int32     // IfAttempt, or 0

	open    bool         // it may have been carried out, or be carried out yet
	granted bool         // it was accepted
	record  store.Record // then
	records int          // in the history
}

func (w *wish) String() string {
	text := fmt.Sprintf("request %v of %q: %s, job %d, step %d", w.id, w.actor, w.what(), w.job, w.step)
	if w.dry {
		text += ", dry"
	}
	if w.version != 0 {
		text += fmt.Sprint(", if version ", w.version)
	}
	if w.attempt != 0 {
		text += fmt.Sprint(", if attempt ", w.attempt)
	}
	return text
}

func (w *wish) what() string {
	switch {
	case w.spec != nil:
		return "create"
	}
	return w.cause.String()
}

// create has a person create a job.
func (s *simulation) create(e *engine.Engine) {
	spec := drawJob(s.T, s.Rules)
	spec.Scope = drawn(s, "scope", []store.Scope{{}, {Type: "biz", ID: "7"}})
	s.first(e, &wish{spec: &spec, actor: "ann"})
}

// operate has a person operate a job: mostly a legal operation.
func (s *simulation) operate(e *engine.Engine) {
	if len(s.jobs) == 0 {
		return
	}
	from := s.jobs
	if asking := slices.DeleteFunc(slices.Clone(s.jobs), func(j *watched) bool { return !s.asks(j) }); len(asking) > 0 && !s.oneIn(16, "any job") {
		from = asking
	}
	j := drawn(s, "job", from)
	now := s.load(j)
	w := &wish{job: j.id, actor: drawActor(s.T, &now)}
	if now.legal(now.current(), w.actor).Empty() && !s.oneIn(4, "whoever it is") {
		w.actor = now.confirmer()
	}
	likely := drawKind(s.T, &now, true)
	if (likely == reporting || likely == expiring) && !s.oneIn(4, "meddles") {
		s.busy().work(e) // it is not a person's turn
		return
	}
	switch {
	case likely == starting || now.Job.State == step.Pending && !s.oneIn(8, "too early"):
		w.cause = operation.StartJob.Cause()
	case likely == terminating:
		w.cause = operation.TerminateJob.Cause()
	default:
		w.step, w.cause = drawOperation(s.T, &now, w.actor)
	}
	w.reason = drawn(s, "reason", []string{"", "because"})
	w.dry = s.oneIn(16, "dry")
	switch {
	case s.oneIn(16, "if version"):
		w.version = max(now.Job.Version-store.Seq(s.below(3, "versions ago")), 1)
	case s.oneIn(16, "if attempt"):
		w.attempt = max(now.current().Attempt-int32(s.below(2, "attempts ago")), 1)
	}
	s.first(e, w)
	if s.oneIn(4, "double click") {
		s.again(e, w)
	}
}

func (s *simulation) first(e *engine.Engine, w *wish) {
	w.id = s.newRequest()
	s.wishes = append(s.wishes, w)
	s.wished[w.id] = w
	s.make(e, w)
}

// clickAgain repeats a request that was made some time ago, mostly one whose outcome is
// unknown.
func (s *simulation) clickAgain(e *engine.Engine) {
	from := s.wishes
	if open := slices.DeleteFunc(slices.Clone(s.wishes), func(w *wish) bool { return !w.open }); len(open) > 0 && !s.oneIn(4, "any request") {
		from = open
	}
	if len(from) > 0 {
		s.again(e, drawn(s, "request", from))
	}
}

func (s *simulation) again(e *engine.Engine, w *wish) {
	switch {
	case w.open:
		s.seen["request: made again, its outcome being unknown"]++
	case w.granted:
		s.seen["request: made again, having been accepted"]++
	default:
		s.seen["request: made again, having been refused"]++
	}
	s.make(e, w)
}

// make makes a request and sees whether the answer is true.
func (s *simulation) make(e *engine.Engine, w *wish) {
	s.muddled = false
	record, err := s.send(e, w)
	s.Logf("%v: %+v, %v", w, record, err)
	refusal := new(engine.Refusal)
	switch {
	case s.crashed: // nobody hears the answer
		w.open = w.open || !w.granted && !w.dry
		s.seen["answer: none, the engine has died"]++
	case err == nil && w.dry:
		s.seen["answer: dry"]++
		if record.Seq != 0 {
			s.Fatalf("promise 1: the dry run of %v: got %+v, want a record without a sequence number", w, record)
		}
	case err == nil:
		s.accepted(w, record)
	case errors.Is(err, engine.ErrUnknownOutcome):
		s.seen["answer: unknown"]++
		if w.dry || s.calm {
			s.Fatalf("promise 1: %v: got %v, want an answer", w, err)
		}
		w.open = w.open || !w.granted
	case s.muddled: // it may be about what was
		w.open = w.open || !w.granted && !w.dry
		s.seen["answer: none that holds"]++
	case errors.As(err, &refusal):
		s.seen["answer: refused"]++
		s.seen["refused: "+refusal.Reason.String()]++
		if w.granted {
			s.Fatalf("promise 1: %v was accepted, with the record %+v, and now is refused: %v", w, w.record, err)
		}
		w.open = false
	default:
		s.seen["answer: failed"]++
		if s.calm {
			s.Fatalf("promise 1: %v: got %v, want an answer", w, err)
		}
		if errors.Is(err, engine.ErrConflict) {
			s.seen["answer: given up"]++
		}
	}
}

func (s *simulation) send(e *engine.Engine, w *wish) (store.Record, error) {
	r := engine.Request{
		By: w.actor, Because: w.reason, ID: w.id, DryRun: w.dry, IfVersion: w.version, IfAttempt: w.attempt,
	}
	ctx := context.Background()
	switch {
	case w.spec != nil:
		return e.Create(ctx, *w.spec, r)
	case w.cause.OfJob():
		return e.OperateJob(ctx, w.job, operation.JobCode(w.cause.Code()), r)
	}
	return e.Operate(ctx, w.job, w.step, operation.Code(w.cause), r)
}

// accepted sees that an answer is true: the history has it so, and it is the same each time.
func (s *simulation) accepted(w *wish, record store.Record) {
	s.seen["answer: accepted"]++
	if w.granted && record != w.record {
		s.Fatalf("promise 1: %v again: got\n%+v, want\n%+v", w, record, w.record)
	}
	if w.open {
		s.seen["request: accepted after all"]++
	}
	w.open, w.granted, w.record = false, true, record
	history, err := s.good.History(context.Background(), store.Scope{}, record.Job, store.Page[store.Seq]{After: record.Seq - 1, Limit: 1})
	if err != nil || len(history) != 1 || history[0] != record || record.Request != w.id {
		s.Fatalf("promise 1: %v was accepted as\n%+v, the history has\n%+v (%v)", w, record, history, err)
	}
}

// isOf reports whether a record is what comes of w.
func (w *wish) isOf(r *store.Record) bool {
	if w.dry || r.Actor != w.actor || r.Reason != w.reason {
		return false
	}
	if r.Cause == step.Created {
		return w.spec != nil
	}
	return byPerson(r) && w.job == r.Job && w.cause == r.Cause && (w.cause.OfJob() || w.step == r.Step)
}
