package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A verdict is an answer of the native API to an operation: a receipt, or a problem.
type verdict struct {
	store.Record

	Status    int              `json:"status"`
	Reason    operation.Reason `json:"reason"`
	Current   step.ID          `json:"current"`
	Version   store.Seq        `json:"version"`
	StepType  step.Type        `json:"step_type"`
	State     step.State       `json:"state"`
	JobState  step.State       `json:"job_state"`
	Legal     step.Causes      `json:"legal"`
	LegalFrom step.States      `json:"legal_from"`
}

func (p *platform) native(target, body string) (status int, v verdict) {
	p.Helper()
	r := httptest.NewRequestWithContext(p.Context(), "POST", target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	p.api.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		p.Fatalf("%s %s: %v in %s", target, body, err, w.Body)
	}
	return w.Code, v
}

// The status of each reason: a conflict with the job's state, or forbidden for this person.
var statuses = map[operation.Reason]int{
	operation.WrongType: 409, operation.NotCurrent: 409, operation.WrongState: 409, operation.NothingToRetry: 409,
	operation.NotConfirmer: 403, operation.Denied: 403,
}

// holds compares an answer with the engine's, and reports whether the engine accepts.
func (p *platform) holds(call string, job store.JobID, status int, got verdict, want store.Record, err error) bool {
	p.Helper()
	records := len(p.history(job))
	if err == nil {
		got.Record.Request, got.Record.Seq, got.Record.At = want.Request, want.Seq, want.At
		if status != http.StatusOK || got.Record != want || records != 3 {
			p.Errorf("%s: status %d, %d records, %+v; want 200, 3 and %+v", call, status, records, got.Record, want)
		}
		return true
	}
	var r *engine.Refusal
	if !errors.As(err, &r) {
		p.Fatalf("%s: %v", call, err)
	}
	wanted := verdict{
		Record: store.Record{Job: r.Job, Step: r.Step, Cause: r.Cause, Attempt: r.Attempt},
		Status: statuses[r.Reason], Reason: r.Reason, Current: r.Current, Version: r.Version, StepType: r.Type,
		State: r.State, JobState: r.JobState, Legal: r.Legal, LegalFrom: r.LegalFrom,
	}
	if r.Reason == operation.NotConfirmer {
		wanted.Record.Actor = r.Actor
	}
	if status != wanted.Status || got != wanted || records != 2 {
		p.Errorf("%s: status %d, %d records, %+v; want %d, 2 and %+v", call, status, records, got, wanted.Status, wanted)
	}
	return false
}

// Every code of a step, in every cell, for everybody, by name and by number, has the verdict
// of the engine: state, effect, reason, and what is legal instead.
func TestNativeOperateHasTheEnginesVerdict(t *testing.T) {
	eachOperation(t, func(p *platform, job store.JobID, code operation.Code, call string, want store.Record, err error) bool {
		text := fmt.Sprintf(`{"code":%d}`, code)
		if code%2 == 0 {
			text = fmt.Sprintf(`{"code":%q}`, code)
		}
		status, got := p.native(fmt.Sprintf("/v1/jobs/%d/steps/2/operate", job), text)
		return p.holds(call, job, status, got, want, err)
	})
}

// So has every code of a job.
func TestNativeOperateJobHasTheEnginesVerdict(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	eachCell(func(c cell) {
		for code, name := range map[operation.JobCode]string{operation.StartJob: "start", operation.TerminateJob: "terminate"} {
			job := p.job(c)
			want, err := p.eng.OperateJob(t.Context(), job, code, engine.Request{By: "ann", DryRun: true})
			status, got := p.native(fmt.Sprintf("/v1/jobs/%d/%s", job, name), "")
			p.holds(fmt.Sprintf("%v on %v", code, c), job, status, got, want, err)
		}
	})
}

// An explanation has the same verdicts, operation by operation.
func TestExplainHasTheEnginesVerdict(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "bob", Scope: biz})
	eachCell(func(c cell) {
		job := p.job(c)
		want, err := p.eng.Explain(t.Context(), job, 2, engine.Request{By: "bob"})
		p.must(err)
		w := httptest.NewRecorder()
		p.api.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("/v1/jobs/%d/steps/2/explain", job), nil))
		var got engine.Explanation
		p.must(json.Unmarshal(w.Body.Bytes(), &got))
		same := func(a, b engine.Verdict) bool {
			a.Record.At = b.Record.At
			return a.Cause == b.Cause && a.Legal == b.Legal && a.Record == b.Record && fmt.Sprint(a.Refusal) == fmt.Sprint(b.Refusal)
		}
		if w.Code != 200 || got.Job != want.Job || !slices.EqualFunc(got.Causes, want.Causes, same) {
			t.Errorf("%v: status %d, %+v; want %+v", c, w.Code, got, want)
		}
	})
}
