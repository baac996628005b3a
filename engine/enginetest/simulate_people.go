package enginetest

import (
	"context"
	"errors"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A wish is one request of a person, with its repetitions and their answers.
type wish struct {
	player.Ask
	open    bool         // it may have been carried out, or be carried out later
	granted bool         // it was accepted
	record  store.Record // of the answer, if granted
	records int          // its number of records in the history
}

// create creates a job as a person.
func (s *simulation) create(e *engine.Engine) {
	spec := drawJob(s, s.Rules, step.At(s.now))
	spec.Scope = player.Of(s, "scope", []store.Scope{{}, {Type: "biz", ID: "7"}})
	s.first(e, player.Ask{Spec: &spec, Cause: step.Created, Request: engine.Request{By: "ann"}})
}

// operate operates a job as a person: mostly by a legal operation.
func (s *simulation) operate(e *engine.Engine) {
	if len(s.jobs) == 0 {
		return
	}
	from := s.jobs
	if asking := slices.DeleteFunc(slices.Clone(s.jobs), func(j *watched) bool { return !s.asks(j) }); len(asking) > 0 && !player.OneIn(s, 16, "any job") {
		from = asking
	}
	now := s.load(player.Of(s, "job", from))
	sight := now.sight()
	if sight.Turn(s, odds) != player.Person && !player.OneIn(s, 4, "meddles") {
		s.busy().work(e) // it is not a person's turn
		return
	}
	habits := habits
	habits.Reasons, habits.DryRun, habits.IfVersion, habits.IfAttempt = []string{"", "because"}, 16, 16, 16
	ask := sight.Ask(s, habits)
	// A stop is left alone: once it is given up, nothing else ends its step.
	lively := slices.DeleteFunc(slices.Clone(now.Effects), func(d store.Delivery) bool { return d.Effect == store.StopAttempt })
	if len(lively) > 0 && player.OneIn(s, 8, "about an effect") {
		ask = ask.About(s, lively)
	}
	w := s.first(e, ask)
	if player.OneIn(s, 4, "double click") {
		s.again(e, w)
	}
}

func (s *simulation) first(e *engine.Engine, a player.Ask) *wish {
	a.ID = s.newRequest()
	w := &wish{Ask: a}
	s.wishes = append(s.wishes, w)
	s.wished[w.ID] = w
	s.make(e, w)
	return w
}

// clickAgain repeats a request that was made some time ago, mostly one whose outcome is
// unknown.
func (s *simulation) clickAgain(e *engine.Engine) {
	from := s.wishes
	if open := slices.DeleteFunc(slices.Clone(s.wishes), func(w *wish) bool { return !w.open }); len(open) > 0 && !player.OneIn(s, 4, "any request") {
		from = open
	}
	if len(from) > 0 {
		s.again(e, player.Of(s, "request", from))
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

// make makes a request and checks whether the answer is true.
func (s *simulation) make(e *engine.Engine, w *wish) {
	s.muddled = false
	record, err := w.Send(context.Background(), e)
	s.Logf("%v: %+v, %v", w, record, err)
	refusal, refused := errors.AsType[*engine.Refusal](err)
	switch {
	case s.crashed: // the answer is lost
		w.open = w.open || !w.granted && !w.DryRun
		s.seen["answer: none, the engine has died"]++
	case err == nil && w.DryRun:
		s.seen["answer: dry"]++
		if record.Seq != 0 {
			s.Fatalf("promise 1: the dry run of %v: got %+v, want a record without a sequence number", w, record)
		}
	case err == nil:
		s.accepted(w, record)
	case errors.Is(err, engine.ErrUnknownOutcome):
		s.seen["answer: unknown"]++
		if w.DryRun || s.calm {
			s.Fatalf("promise 1: %v: got %v, want an answer", w, err)
		}
		w.open = w.open || !w.granted
	case s.muddled: // the refusal may be about an old state
		w.open = w.open || !w.granted && !w.DryRun
		s.seen["answer: none that holds"]++
	case refused:
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

// accepted checks that an answer is true: the history has the same record, and so has each repetition.
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
	if err != nil || len(history) != 1 || history[0] != record || record.Request != w.ID {
		s.Fatalf("promise 1: %v was accepted as\n%+v, the history has\n%+v (%v)", w, record, history, err)
	}
}
