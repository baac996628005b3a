package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// WINDOWS. The engine has no calendar: it asks the embedder's function, outside of the decision, and
// the command carries the answer.

const (
	windowWait  = time.Second // maximum time that the function of windows takes
	windowSoon  = time.Second // minimum time before it is asked again about a step
	windowAgain = time.Minute // after which it is asked again, if its answer was none
)

// windows asks the function of windows. A name whose question had no answer in time is not asked about
// again before that answer comes.
type windows struct {
	mu   sync.Mutex
	late map[string]int // by name: the questions that had no answer in time, and have none yet
}

// consult completes an Expire that may begin an attempt in a window, with the answer of the function of
// windows about the moment now. An answer that is none counts as closed for a minute, and one that is
// less than a second ahead for a second, as each answer is a record.
func (e *Engine) consult(ctx context.Context, c *call, v *store.View, cmd Command) error {
	s := &v.Step
	expire, ok := cmd.(*Expire)
	if !ok || s.State != step.Gated || s.Policy == nil || s.Policy.Window == "" ||
		s.Gate.Reason != step.WindowGate && s.Gate.Reason != step.TurnGate {
		return nil
	}
	e.setTimeAndID(c, cmd)
	now := max(c.now, v.Job.Updated) // the moment of the decision
	if event, _ := comes(e.rules, v, now); event != step.Opened {
		return nil
	}
	at := now.Std()
	opens, err := e.windows.ask(ctx, e.window, s.Policy.Window, at)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if soon := at.Add(windowSoon); opens.After(at) && opens.Before(soon) {
		opens = soon
	}
	if err != nil {
		e.failed(ctx, fmt.Errorf("job %d: step %d: window %q: %w", v.Job.ID, s.ID, s.Policy.Window, err))
		opens = at.Add(windowAgain)
	}
	expire.Window = step.At(sane(opens.Add(time.Millisecond - 1))) // rounded up
	return nil
}

// ask returns f's answer about a window at the moment now: a moment that is not before now.
func (w *windows) ask(ctx context.Context, f func(string, time.Time) time.Time, name string, now time.Time) (time.Time, error) {
	if f == nil {
		return time.Time{}, errNoWindows
	}
	if w.isLate(name) {
		return time.Time{}, errNoAnswer
	}
	type answer struct {
		opens time.Time
		err   error
	}
	answered, late := make(chan answer, 1), make(chan struct{})
	timer := time.AfterFunc(windowWait, func() {
		w.count(name, 1)
		close(late)
	})
	go func() {
		said := answer{err: errEnded}
		defer func() {
			if !timer.Stop() {
				w.count(name, -1)
			}
			answered <- said
		}()
		var opens time.Time
		err := contain(func() error { opens = f(name, now); return nil })
		said = answer{opens, err}
	}()
	select {
	case said := <-answered:
		if said.err == nil && said.opens.Before(now) {
			said.err = fmt.Errorf("the answer %v is before %v", said.opens, now)
		}
		return said.opens, said.err
	case <-late:
		return time.Time{}, errNoAnswer
	case <-ctx.Done(): // the question goes on, and may yet be late
		return time.Time{}, ctx.Err()
	}
}

var (
	errNoWindows = errors.New("this engine has no function of windows: see WithWindows")
	errNoAnswer  = fmt.Errorf("no answer for %v", windowWait)
	errEnded     = errors.New("the function of windows ended its goroutine")
)

func (w *windows) isLate(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.late[name] > 0
}

// count adds n to the late questions about a name.
func (w *windows) count(name string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late == nil {
		w.late = map[string]int{}
	}
	if w.late[name] += n; w.late[name] == 0 {
		delete(w.late, name)
	}
}

// openAtOnce asks about the window at which the change of c has left its step. If that fails, Sweep
// does it.
func (e *Engine) openAtOnce(ctx context.Context, c *call) {
	rec := c.decision.record()
	if rec.Gate.Reason != step.WindowGate || rec.Gate.Until > rec.At {
		return
	}
	change := &c.decision.Change
	for i := range change.Steps {
		if s := &change.Steps[i]; s.ID == change.Job.Current {
			_, _ = e.expire(ctx, store.Overdue{Job: rec.Job, Step: s.ID, Attempt: s.Attempt}) // told to the observer
			return
		}
	}
}
