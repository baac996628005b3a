package executor

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const (
	maxDetail = 256 // characters of a result's detail
	maxReason = 500 // characters of the reason of a broken attempt
)

// complete returns r in a form that can be reported, for work that began at started and is over.
func complete(r store.Result, started time.Time) store.Result {
	if !r.Status.Finished() {
		r = store.Result{
			Status: step.TargetFailed, Started: r.Started, Finished: r.Finished, ExitCode: r.ExitCode,
			Detail: fmt.Sprintf("the function returned no result, but the status %v", r.Status),
		}
	}
	r.Started, r.Finished = moment(r.Started, started), moment(r.Finished, time.Now())
	r.Finished = max(r.Started, r.Finished)
	r.Detail = oneLine(r.Detail, maxDetail)
	return r
}

// moment returns t, or otherwise if t cannot be reported.
func moment(t step.Time, otherwise time.Time) step.Time {
	if t <= 0 || t > step.MaxTime {
		t = step.At(otherwise)
	}
	return min(max(t, 0), step.MaxTime)
}

// oneLine returns text on one line, printable, and cut to most characters.
func oneLine(text string, most int) string {
	if len(text) > 8*most {
		text = text[:8*most] // the rest cannot count
	}
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?")))
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-3]) + "..."
	}
	return text
}

// A batch is a list of results that wait to be reported, one for each target: the first finished
// one, or the latest progress.
type batch struct {
	results  []engine.TargetResult
	at       map[int32]int // target -> position in results
	finished int           // of results
}

// add reports whether it has taken r.
func (b *batch) add(r engine.TargetResult) bool {
	i, known := b.at[r.Target]
	switch {
	case !known:
		if b.at == nil {
			b.at = map[int32]int{}
		}
		b.at[r.Target] = len(b.results)
		b.results = append(b.results, r)
	case b.results[i].Status.Finished():
		return false
	default:
		b.results[i] = r
	}
	if r.Status.Finished() {
		b.finished++
	}
	return true
}

// take removes the results of one report from b, and returns them.
func (b *batch) take() []engine.TargetResult {
	n := 0
	for left := reportBytes; n < len(b.results); n++ {
		if left -= resultBytes + len(b.results[n].Detail); left < 0 {
			break
		}
	}
	taken, rest := b.results[:n:n], b.results[n:]
	*b = batch{}
	for _, r := range rest {
		b.add(r)
	}
	return taken
}

// dropProgress removes all but the finished results.
func (b *batch) dropProgress() {
	all := b.results
	*b = batch{}
	for _, r := range all {
		if r.Status.Finished() {
			b.add(r)
		}
	}
}
