package linearizability

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A job is the sequential job: the model's job, and what an engine keeps beside it, which is the
// number of records, the time of the last move, and the requests by their ids. It is immutable.
type job struct {
	*model.Job
	version, moved store.Seq
	updated        step.Time // of the last record; no later one has an earlier time
	last           change    // the last record
	results        int32     // of it
	done           []done    // accepted requests that have an id of the client's
	key            string    // equal for equal jobs
	hash           uint64    // of key

	taken map[*request]taken // results of tried requests: many orders lead to the same job
}

type done struct {
	request request
	answer  answer
}

type taken struct {
	next   *job
	answer answer
}

// sequential returns the specification of a job with a number of steps.
func sequential(rules *model.Rules, specs []step.Spec) porcupine.Model {
	return porcupine.Model{
		Init: func() any {
			return (&job{
				Job: model.New(rules, specs), version: 1, moved: 1, updated: start,
				last: change{Seq: 1, JobTo: step.Pending, Effect: string(model.NoEffect)},
			}).sealed()
		},
		Step: func(state, input, output any) (bool, any) {
			return state.(*job).admits(input.(*request), output.(answer))
		},
		Equal:             func(a, b any) bool { return a == b || a.(*job).key == b.(*job).key },
		Hash:              func(state any) uint64 { return state.(*job).hash },
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %v", *input.(*request), output) },
		DescribeState:     func(state any) string { return state.(*job).String() },
	}
}

// admits reports whether j may answer r with a now, and returns the job after that.
func (j *job) admits(r *request, a answer) (bool, *job) {
	if r.Kind == sweep && a == expired(0) {
		return true, j // it may have seen an expiry by another engine
	}
	t, known := j.taken[r]
	if !known {
		t.next, t.answer = j.take(*r)
		j.taken[r] = t
	}
	return a == t.answer || a == unknown, t.next
}

// take returns the job after r, and the answer.
func (j *job) take(r request) (*job, answer) {
	switch r.Kind {
	case operate:
		return j.operate(r)
	case report:
		return j.report(r)
	case sweep:
		return j.sweep(r)
	case readJob:
		return j, shown(j.header())
	case listJobs:
		if r.State != j.State {
			return j, notListed
		}
		return j, shown(j.header())
	case readStep, pageSteps:
		return j, shownStep(j.row(r.Step))
	case readHistory:
		return j, told(int(j.version), j.last, j.results)
	case readTargets:
		return j, listed(j.targets(r.Step))
	case explain:
		return j, j.explain(r)
	}
	panic("what is " + string(r.Kind) + "?")
}

func (j *job) operate(r request) (*job, answer) {
	if r.Cause.OfJob() {
		r.Step = j.Current
	}
	if int(r.Step) > len(j.Steps) {
		return j, refused(operation.NoSuchStep, standing{})
	}
	if i := slices.IndexFunc(j.done, func(d done) bool { return r.ID != (store.RequestID{}) && d.request.ID == r.ID }); i >= 0 {
		if !j.done[i].request.same(r) {
			return j, refused(operation.RequestReused, standing{})
		}
		return j, j.done[i].answer
	}
	next := j.met(&r)
	if r.Cause.OfJob() {
		r.Step = next.Current
	}
	standing := next.standing(r.Step)
	reason := operation.Stale
	if !next.stale(r) {
		if r.Cause.OfJob() {
			reason = next.OperateJob(operation.JobCode(r.Cause.Code()), r.By, r.Now)
		} else {
			reason = next.Operate(r.Step, operation.Code(r.Cause), r.By, r.Now)
		}
	}
	if reason != 0 {
		return j, refused(reason, standing)
	}
	next.record(r.Now)
	if r.DryRun {
		would := next.last
		would.Seq = 0
		return j, accepted(would)
	}
	if r.ID != (store.RequestID{}) {
		next.done = append(slices.Clip(j.done), done{r, accepted(next.last)})
	}
	return next.sealed(), accepted(next.last)
}

// stale reports whether a condition of r is about another state.
func (j *job) stale(r request) bool {
	return r.IfVersion != 0 && (r.IfVersion < j.moved || r.IfVersion > j.version) ||
		r.IfAttempt != 0 && r.IfAttempt != j.Steps[r.Step-1].Attempt()
}

func (j *job) report(r request) (*job, answer) {
	next, said := j.met(&r), &r.Report
	standing := next.standing(said.Step)
	results := make([]model.Result, len(said.Results))
	for i, r := range said.Results {
		results[i] = model.Result{Target: r.Target, Status: r.Status, ExitCode: r.ExitCode}
	}
	counts, _ := next.Answer(said.Step, said.Attempt, results, said.Outcome, r.Now)
	changed, reason := next.Report(said.Step, said.Attempt, results, said.Outcome, r.Now)
	if reason != 0 {
		return j, refused(reason, standing)
	}
	news := news{
		State: next.Steps[said.Step-1].State, JobState: next.State,
		Accepted: counts.Accepted, Repeated: counts.Repeated, Rejected: counts.Rejected,
	}
	if !changed {
		return j, reported(news)
	}
	next.record(r.Now)
	news.Seq = next.version
	return next.sealed(), reported(news)
}

// sweep expires the overdue attempt. A job has at most one.
func (j *job) sweep(r request) (*job, answer) {
	next := j.met(&r)
	if next.version == j.version {
		return j, expired(0)
	}
	return next.sealed(), expired(1)
}

// met returns a copy of j with a passed deadline applied, as r meets it. Times of records never
// decrease, whatever the clock of the engine.
func (j *job) met(r *request) *job {
	next := &job{Job: j.Job.Clone(), version: j.version, moved: j.moved, updated: j.updated, last: j.last, results: j.results, done: j.done}
	r.Now = max(r.Now, j.updated)
	if next.Expire(j.Current, j.Steps[j.Current-1].Attempt(), r.Now, r.Now) == 0 {
		next.record(r.Now)
	}
	return next
}

// record notes the record of the command that was just carried out.
func (j *job) record(now step.Time) {
	j.version++
	j.updated = now
	did := j.Last
	j.last = change{
		Seq: j.version, Step: did.Step, From: did.From, To: did.To, JobFrom: did.JobFrom, JobTo: did.JobTo,
		Attempt: did.Attempt, Entered: did.Entered, Targets: int32(did.Targets), Effect: string(did.Effect),
	}
	j.results = int32(did.Results)
	if did.From != did.To || did.JobFrom != did.JobTo || did.Gate.Reason != step.NoGate ||
		did.Effect == model.RunTargets || did.Effect == model.AskConfirmers {
		j.moved = j.version
	}
}

var hashSeed = maphash.MakeSeed()

// sealed computes j's key. Then j must not change.
func (j *job) sealed() *job {
	var b strings.Builder
	fmt.Fprint(&b, j.version, j.moved, j.updated, j.last, j.results, j.State, j.Held, j.Sealed, j.Current, j.Skipped, j.Ignored, j.Started, j.Finished)
	for _, s := range j.Steps {
		fmt.Fprint(&b, s.State, s.StopBefore, s.Gate, s.Runs)
	}
	for _, d := range j.done {
		fmt.Fprint(&b, d.request.ID, d.request.By, d.request.Because, d.request.Step, d.request.Cause, d.answer)
	}
	j.key, j.taken = b.String(), map[*request]taken{}
	j.hash = maphash.String(hashSeed, j.key)
	return j
}

// String is short: it stands in diagrams.
func (j *job) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version %d: %v;", j.version, j.State)
	for i := range j.Steps {
		fmt.Fprintf(&b, " %d.%d %v", i+1, j.Steps[i].Attempt(), j.Steps[i].State)
	}
	return b.String()
}

func (j *job) standing(id step.ID) standing {
	s := &j.Steps[id-1]
	return standing{Version: j.version, Current: j.Current, State: s.State, Attempt: s.Attempt(), JobState: j.State}
}

func (j *job) header() header {
	return header{
		State: j.State, Version: j.version, Moved: j.moved, Current: j.Current,
		Skipped: int32(j.Skipped), Ignored: int32(j.Ignored), Started: j.Started, Finished: j.Finished,
	}
}

func (j *job) row(id step.ID) row {
	s := &j.Steps[id-1]
	r := row{
		ID: id, State: s.State, Attempt: s.Attempt(), Full: s.Full(),
		Succeeded: int32(s.Succeeded()), Unfinished: int32(s.Unfinished()),
	}
	if n := len(s.Runs); n > 0 {
		run := s.Runs[n-1]
		r.Started, r.Finished, r.Deadline = run.Started, run.Finished, run.Deadline
	}
	return r
}

func (j *job) targets(id step.ID) []target {
	s := &j.Steps[id-1]
	targets := make([]target, len(s.Spec.Targets))
	for i := range targets {
		latest := s.Latest(i)
		targets[i] = target{Attempt: latest.Ran, Success: s.LatestSuccess(i), Status: latest.Status, ExitCode: latest.ExitCode}
	}
	return targets
}

func (j *job) explain(r request) answer {
	j = j.met(&r)
	var reasons []operation.Reason
	for _, code := range operation.AllCodes() {
		reasons = append(reasons, j.Job.Clone().Operate(r.Step, code, r.By, r.Now))
	}
	for _, code := range operation.AllJobCodes() {
		reasons = append(reasons, j.Job.Clone().OperateJob(code, r.By, r.Now))
	}
	return explained(j.header(), j.row(r.Step), reasons)
}
