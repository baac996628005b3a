package httpapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A shownStep is a step of a status as clients read it.
type shownStep struct {
	ID      int64        `json:"step_instance_id"`
	Status  int          `json:"status"`
	Retries int          `json:"execute_count"`
	Batches []shownBatch `json:"step_batch_list"`
	Targets []struct {
		IP     string `json:"ip"`
		Batch  int    `json:"batch"`
		Status int    `json:"status"`
	} `json:"step_ip_result_list"`
}

// A shownBatch is a batch of a status as clients read it.
type shownBatch struct {
	Number  int    `json:"batch"`
	Status  int    `json:"status"`
	Latest  bool   `json:"latest_batch"`
	Retries int    `json:"execute_count"`
	Started *int64 `json:"start_time"`
	Ended   *int64 `json:"end_time"`
}

// words returns the batches and the targets of s in short: "batch: status" and "ip batch status".
func (s *shownStep) words() (batches, targets string) {
	for _, b := range s.Batches {
		batches += fmt.Sprintf(" %d:%d", b.Number, b.Status)
		if b.Retries > 0 {
			batches += fmt.Sprintf("+%d", b.Retries)
		}
		if b.Latest {
			batches += "*"
		}
	}
	for _, t := range s.Targets {
		targets += fmt.Sprintf(" %s/%d=%d", t.IP, t.Batch, t.Status)
	}
	return strings.TrimSpace(batches), strings.TrimSpace(targets)
}

func (p *platform) job1(job store.JobID) (status int, s shownStep) {
	p.Helper()
	answer := p.send("POST", "/api/v3/get_job_instance_status", body(job, `, "return_ip_result": true`))
	var data struct {
		Job struct {
			Status int `json:"status"`
		} `json:"job_instance"`
		Steps []shownStep `json:"step_instance_list"`
	}
	if answer.Code != 0 || json.Unmarshal(*answer.Data, &data) != nil {
		p.Fatalf("status: %+v", answer)
	}
	return data.Job.Status, data.Steps[0]
}

func (p *platform) reports(job store.JobID, attempt int32, statuses map[int32]step.Status) {
	p.Helper()
	r := engine.Report{Job: job, Step: 1, Attempt: attempt}
	for i, s := range statuses {
		r.Results = append(r.Results, engine.TargetResult{Target: i, Result: store.Result{Status: s}})
	}
	_, err := p.eng.Report(p.Context(), r)
	p.must(err)
}

// A gate that waits for a person reads 7, one that waits for a moment 15, for the step and for the job.
// execute_count counts retries, not batches, and each target tells its batch. Code 13 begins the next
// batch. [A.3.22] 0 selects all targets, null those of the latest batch, k those of batch k.
func TestRolling22Reference(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	rolling := script("a", "b", "c")
	rolling.Rolling = step.Rolling{Batches: "1", Between: step.Between{Person: true, Delay: time.Hour}}
	job := p.create(biz, rolling, confirmation())
	other := p.create(biz, script("x"))
	is := func(when string, status, retries int, batches, targets string) {
		t.Helper()
		ofJob, s := p.job1(job)
		gotBatches, gotTargets := s.words()
		if ofJob != status || s.Status != status || s.Retries != retries || gotBatches != batches || gotTargets != targets {
			t.Errorf("%s: the job is %d and the step %d, execute_count %d, batches %s, targets %s;\nwant %d, execute_count %d, batches %s, targets %s",
				when, ofJob, s.Status, s.Retries, gotBatches, gotTargets, status, retries, batches, targets)
		}
		for batch, from := range map[string]int{``: -1, `null`: -1, `""`: -1, `0`: 0, `1`: 1, `"2"`: 2, `3`: 3} {
			of := from
			if of < 0 {
				of = max(1, slices.IndexFunc(s.Batches, func(b shownBatch) bool { return b.Latest })+1)
			}
			more := `, "step_instance_id": 1`
			if batch != "" {
				more += `, "batch": ` + batch
			}
			answer := p.send("POST", "/api/v3/get_step_instance_status", body(job, more))
			var one shownStep
			if answer.Code != 0 || json.Unmarshal(*answer.Data, &one) != nil {
				t.Fatalf("%s, batch %s: %+v", when, batch, answer)
			}
			want := strings.Fields(targets)
			if of > 0 {
				want = want[of-1 : of]
			}
			gotBatches, gotTargets := one.words()
			if one.Status != status || one.Retries != retries || gotBatches != batches || gotTargets != strings.Join(want, " ") {
				t.Errorf("%s, batch %s: %d, execute_count %d, batches %s, targets %s; want %d, %d, %s, %s",
					when, batch, one.Status, one.Retries, gotBatches, gotTargets, status, retries, batches, want)
			}
		}
	}
	operate := func(code int, want int) {
		t.Helper()
		answer := p.send("POST", "/api/v3/operate_step_instance", body(job, fmt.Sprintf(`, "step_instance_id": 1, "operation_code": %d`, code)))
		if answer.Code != want {
			t.Errorf("code %d: %+v, want %d", code, answer, want)
		}
	}
	is("pending", 1, 0, "1:1 2:1 3:1", "a/1=5 b/2=5 c/3=5")
	p.start(job)
	is("in batch 1", 2, 0, "1:2* 2:1 3:1", "a/1=5 b/2=5 c/3=5")
	operate(13, 1241003)
	p.reports(job, 1, map[int32]step.Status{0: step.NonZeroExit})
	is("failed", 4, 0, "1:4* 2:1 3:1", "a/1=104 b/2=5 c/3=5")
	operate(2, 0)
	is("again", 2, 1, "1:2+1* 2:1 3:1", "a/1=5 b/2=5 c/3=5")
	p.reports(job, 2, map[int32]step.Status{0: step.TargetSucceeded})
	is("waiting for a person", 7, 1, "1:3+1* 2:1 3:1", "a/1=9 b/2=5 c/3=5")
	operate(13, 0)
	is("waiting for time", 15, 1, "1:3+1* 2:1 3:1", "a/1=9 b/2=5 c/3=5")
	operate(13, 0)
	is("in batch 2", 2, 1, "1:3+1 2:2* 3:1", "a/1=3 b/2=5 c/3=5")
	p.reports(job, 3, map[int32]step.Status{1: step.NonZeroExit})
	operate(8, 0)
	is("batch 2 again", 2, 2, "1:3+1 2:2+1* 3:1", "a/1=3 b/2=5 c/3=5")
	_, err := p.eng.OperateJob(p.Context(), job, operation.HoldJob, engine.Request{})
	p.must(err)
	p.reports(job, 4, map[int32]step.Status{1: step.NonZeroExit})
	operate(3, 0)
	operate(13, 0)
	operate(13, 0)
	is("on hold", 7, 2, "1:3+1 2:6+1* 3:1", "a/1=3 b/2=104 c/3=5")
	operate(13, 1241003)
	operate(12, 0)
	_, s := p.job1(job)
	if s.Status != 5 {
		t.Errorf("the skipped step is %d, want 5", s.Status)
	}

	for _, c := range []struct {
		job  store.JobID
		more string
		code int
		says string
	}{
		{job, `, "step_instance_id": 1, "batch": 4`, 1241002, "batch: the step has 3 batches, which count from 1; 0 is all of its targets"},
		{other, `, "step_instance_id": 1, "batch": 1`, 1241002, "batch: the step has 0 batches, which count from 1; 0 is all of its targets"},
		{job, `, "step_instance_id": 1, "batch": -1`, 1241002, "batch: must be the number of a batch, from 1, or 0 for all"},
		{job, `, "step_instance_id": 1, "batch": 1.0`, 1241002, "batch: must be the number of a batch, from 1, or 0 for all"},
		{job, `, "step_instance_id": 3`, 1244007, "the job has no such step"},
		{99, `, "step_instance_id": 1`, 1244006, "there is no such job"},
		{job, ``, 1241002, "step_instance_id: missing"},
	} {
		answer := p.send("POST", "/api/v3/get_step_instance_status", body(c.job, c.more))
		if answer.Code != c.code || !strings.HasPrefix(answer.Message, c.says) {
			t.Errorf("%s: %d %q, want %d %q", c.more, answer.Code, answer.Message, c.code, c.says)
		}
	}
	text := string(*p.send("POST", "/api/v3/get_step_instance_status", body(other, `, "step_instance_id": 1`)).Data)
	if strings.Contains(text, "batch") {
		t.Errorf("a step without batches is answered with %s", text)
	}
}

// A refusal at a gate says what the step waits for, and until when.
func TestReferenceSaysWhatAGatedStepWaitsFor(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	for _, gated := range []struct {
		spec step.Spec
		want string
	}{
		{step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}, StopBefore: true}, "it waits for a person to continue"},
		{step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}, Delay: time.Hour}, "it waits until 1970-"},
	} {
		job := p.create(biz, gated.spec)
		p.start(job)
		answer := p.send("POST", "/api/v3/operate_step_instance", body(job, `, "step_instance_id": 1, "operation_code": 2`))
		if answer.Code == 0 || !strings.Contains(answer.Message, gated.want) {
			t.Errorf("%+v, want %q", answer, gated.want)
		}
	}
}
