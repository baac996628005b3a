package crash

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A harm is a way in which a store breaks its promise.
type harm string

const (
	lost    harm = "lost"    // a request was acknowledged, and stands nowhere or at another number
	doubled harm = "doubled" // a request stands twice, or although it was answered as not carried out
	orphan  harm = "orphan"  // an effect that no record asks for
	missing harm = "missing" // the effect of a record is gone, and was not settled or not carried out
	half    harm = "half"    // the parts of a job contradict each other, or a record its request
)

var harms = []harm{lost, doubled, orphan, missing, half}

// findings are the harms that were found, each in words.
type findings map[harm][]string

// add notes a harm.
func (f findings) add(h harm, format string, args ...any) {
	f[h] = append(f[h], fmt.Sprintf(format, args...))
}

// merge adds what g has found and f has not.
func (f findings) merge(g findings) {
	for h, all := range g {
		for _, found := range all {
			if !slices.Contains(f[h], found) {
				f[h] = append(f[h], found)
			}
		}
	}
}

// String tells the first of each harm.
func (f findings) String() string {
	text := ""
	for _, h := range harms {
		for i, found := range f[h] {
			if i == 5 {
				text += fmt.Sprintf("%s: and %d more\n", h, len(f[h])-i)
				break
			}
			text += fmt.Sprintf("%s: %s\n", h, found)
		}
	}
	return text
}

// An examination compares the rows of a store with a ledger. It believes no answer of the engine:
// answers are what the test proves.
type examination struct {
	findings
	book   *book
	stands map[store.RequestID]effect // where requests were found
}

// examine examines the chosen jobs, which must all be at rest.
func examine(ctx context.Context, st store.Store, b *book, look func(store.Job) bool) (findings, error) {
	x := examination{findings: findings{}, book: b, stands: map[store.RequestID]effect{}}
	jobs, err := allJobs(ctx, st)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	looked := map[store.JobID]bool{0: true} // 0: creations without an answer
	for _, j := range jobs {
		a := x.creation(j)
		if a == nil || named[j.Name] {
			x.add(doubled, "job %d has the name %s, which was asked for once or never", j.ID, j.Name)
			continue
		}
		named[j.Name] = true
		if !look(j) {
			continue
		}
		looked[j.ID] = true
		s, err := enginetest.Load(ctx, st, nil, j.ID, *a.Ask.Spec)
		if err != nil {
			return nil, err
		}
		x.job(&s)
	}
	there := map[store.JobID]bool{}
	for _, j := range jobs {
		there[j.ID] = true
	}
	for _, a := range b.order {
		for _, told := range a.yes {
			if looked[told.Job] || !there[told.Job] {
				x.kept(a, told)
			}
		}
	}
	return x.findings, nil
}

func allJobs(ctx context.Context, st store.Store) ([]store.Job, error) {
	const page = 1000
	var all []store.Job
	for after := store.JobID(0); ; {
		some, err := st.Jobs(ctx, store.JobFilter{Page: store.Page[store.JobID]{After: after, Limit: page}})
		all = append(all, some...)
		if err != nil || len(some) < page {
			return all, err
		}
		after = some[page-1].ID
	}
}

// creation returns the request that created a job, or nil.
func (x *examination) creation(j store.Job) *asked {
	request, err := uuid.Parse(j.Name)
	if err != nil {
		return nil
	}
	if a := x.book.asks[request]; a != nil && a.Ask != nil && a.Ask.Spec != nil {
		return a
	}
	return nil
}

// job examines one job.
func (x *examination) job(s *enginetest.Snapshot) {
	if err := s.Check(); err != nil {
		x.add(half, "job %d: %v", s.Job.ID, err)
	}
	for _, r := range s.History {
		x.record(r)
	}
	x.effects(s)
}

// record finds the request of a record.
func (x *examination) record(r store.Record) {
	if r.Request == (store.RequestID{}) {
		return // it belongs to the record before
	}
	at := effect{r.Job, r.Seq}
	x.once(r.Request, at)
	request := r.Request
	if isReport(r) {
		var err error
		if request, err = uuid.Parse(r.Actor); err != nil {
			x.add(doubled, "record %d of job %d is of %q, who never was", r.Seq, r.Job, r.Actor)
			return
		}
		x.once(request, at)
	}
	a := x.book.asks[request]
	switch {
	case a == nil:
		x.add(doubled, "nobody asked for record %d of job %d", r.Seq, r.Job)
	case a.denied():
		x.add(doubled, "record %d of job %d is of %v, which was told that nothing has changed", r.Seq, r.Job, request)
	case !a.isOf(r):
		x.add(half, "record %d of job %d, %+v, is not what was asked for: %+v", r.Seq, r.Job, r, a.line)
	}
}

// once notes where a request stands. A second place is a finding.
func (x *examination) once(request store.RequestID, at effect) {
	if before, ok := x.stands[request]; ok {
		x.add(doubled, "%v is record %d of job %d, and record %d of job %d", request, before.seq, before.job, at.seq, at.job)
		return
	}
	x.stands[request] = at
}

// isOf reports whether r is the record of the request.
func (a *asked) isOf(r store.Record) bool {
	if a.Ask != nil {
		return a.Ask.Made(&r)
	}
	return isReport(r) && r.Job == a.Job && r.Step == a.Report.Step && int(r.Results) <= len(a.Report.Results)
}

// isReport reports whether an executor's report made r.
func isReport(r store.Record) bool {
	return r.Cause == step.Results || r.Cause.IsEvent() && r.Cause != step.Expired && r.Cause != step.ExpiredConfirmed
}

// kept looks for a request that was acknowledged.
func (x *examination) kept(a *asked, told line) {
	if told.Seq == 0 {
		return // a report that changed nothing
	}
	at, ok := x.stands[a.Request]
	if want := (effect{told.Job, told.Seq}); !ok || at != want {
		x.add(lost, "%v was acknowledged as record %d of job %d, where it is not (found: %v)", a.Request, told.Seq, told.Job, ok)
	}
}

// effects holds a job's effects against its records.
func (x *examination) effects(s *enginetest.Snapshot) {
	waits := map[store.Seq]store.Delivery{}
	for _, d := range s.Effects {
		if _, twice := waits[d.Seq]; twice {
			x.add(orphan, "effect %d of job %d waits twice", d.Seq, d.Job)
		}
		waits[d.Seq] = d
	}
	for _, r := range s.History {
		want, ok := s.Delivery(r.Seq)
		if !ok {
			continue
		}
		at := effect{r.Job, r.Seq}
		got, waiting := waits[r.Seq]
		delete(waits, r.Seq)
		switch {
		case waiting && x.book.settled[at]:
			x.add(lost, "effect %d of job %d was settled, and waits again", r.Seq, r.Job)
		case waiting && (got.Effect != want.Effect || got.Step != want.Step || got.Attempt != want.Attempt):
			x.add(half, "effect %d of job %d is %+v, its record asks for %+v", r.Seq, r.Job, got, want)
		case !waiting && !x.book.settles[at]:
			x.add(missing, "effect %d of job %d, %v, is gone, and nobody settled it", r.Seq, r.Job, want.Effect)
		case !waiting && !x.book.handled[at] && !movedOn(want, s.Steps):
			x.add(missing, "effect %d of job %d, %v, was settled, and nobody carried it out", r.Seq, r.Job, want.Effect)
		}
	}
	for seq, d := range waits {
		x.add(orphan, "effect %d of job %d, %v, waits, and no record asks for it", seq, d.Job, d.Effect)
	}
}

// movedOn reports whether a run or a question has become obsolete, so that a dispatcher may have
// settled it without a handler. An obsolete effect stays obsolete.
func movedOn(d store.Delivery, steps []store.Step) bool {
	s := steps[d.Step-1]
	switch d.Effect {
	case store.RunTargets:
		return s.Attempt != d.Attempt || s.State != step.Running
	case store.AskConfirmers:
		return s.Attempt != d.Attempt || s.State != step.Waiting
	}
	return false
}
