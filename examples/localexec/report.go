package localexec

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// How results become reports: together, but none waits long.
const (
	flushEvery = 200 * time.Millisecond
	flushAt    = 1000 // results

	lastWords = 2 * time.Second // for finished results once the handler's context has ended

	backoffFirst = 20 * time.Millisecond // after a report that failed, doubled each time
	backoffMost  = 2 * time.Second
)

// report sends r until the engine has answered. It is errOver if the attempt is not the
// step's any more, and any other refusal of the engine as it is.
func (e *Executor) report(ctx context.Context, r engine.Report) error {
	for delay := backoffFirst; ; delay = min(2*delay, backoffMost) {
		_, err := e.eng.Report(ctx, r)
		refusal := (*engine.Refusal)(nil)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, operation.Stale), errors.Is(err, operation.NoSuchJob):
			return errOver
		case errors.As(err, &refusal):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if e.c.Failed != nil {
			e.c.Failed(ctx, err)
		}
		if err := pause(ctx, delay); err != nil {
			return err
		}
	}
}

// pause waits for d or the end of ctx, whose error it returns.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// collect reports the results of an attempt until there are no more. If the engine does
// not want them, it drops the attempt and reads on.
func (e *Executor) collect(ctx context.Context, a *attempt, results <-chan engine.TargetResult) {
	var pending batch
	timer := time.NewTimer(flushEvery)
	defer timer.Stop()
	for more := true; more; {
		select {
		case r, ok := <-results:
			if more = ok; !more {
				break
			}
			if len(pending.results) == 0 {
				timer.Reset(flushEvery)
			}
			if pending.add(r); len(pending.results) < flushAt {
				continue
			}
		case <-timer.C:
		}
		if ctx.Err() == nil {
			e.flush(ctx, a, &pending)
		}
	}
	if ctx.Err() != nil && context.Cause(ctx) != errOver {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		pending.finishedOnly()
		e.flush(ctx, a, &pending)
	}
}

// flush reports what is pending. It keeps it if ctx has ended.
func (e *Executor) flush(ctx context.Context, a *attempt, pending *batch) {
	if len(pending.results) == 0 {
		return
	}
	err := e.report(ctx, engine.Report{Job: a.job, Step: a.step, Attempt: a.attempt, By: e.c.By, Results: pending.results})
	if err != nil && ctx.Err() != nil {
		return
	}
	if err != nil {
		a.drop(err)
	}
	*pending = batch{}
}

// A batch is results that wait to be reported, the latest one of each target.
type batch struct {
	results []engine.TargetResult
	at      map[int32]int // target -> position in results
}

func (b *batch) add(r engine.TargetResult) {
	if i, ok := b.at[r.Target]; ok {
		b.results[i] = r
		return
	}
	if b.at == nil {
		b.at = map[int32]int{}
	}
	b.at[r.Target] = len(b.results)
	b.results = append(b.results, r)
}

// finishedOnly leaves out the targets that were still running.
func (b *batch) finishedOnly() {
	kept := batch{}
	for _, r := range b.results {
		if r.Status != step.TargetRunning {
			kept.add(r)
		}
	}
	*b = kept
}

// cut returns text as it can be reported: on one line, printable, at most so many
// characters.
func cut(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-3]) + "..."
	}
	return text
}
