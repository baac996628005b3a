package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A cell is one point in the space of requests about a step.
type cell struct {
	typ     step.Type
	state   step.State
	current bool // the step is the job's current one
	left    bool // a target has not succeeded
	list    bool // the step has a list of confirmers: ann
}

func (c cell) String() string {
	return fmt.Sprintf("%v in %v (current %v, left to retry %v, list %v)", c.typ, c.state, c.current, c.left, c.list)
}

// eachCell enumerates them: 4 types, 12 states, and the other conditions of operations.
func eachCell(f func(cell)) {
	flags := []bool{false, true}
	for _, typ := range []step.Type{1, 2, 3, 4} {
		for _, state := range []step.State{1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 14} {
			for _, current := range flags {
				for _, option := range flags {
					if typ == step.Confirmation {
						f(cell{typ: typ, state: state, current: current, list: option})
					} else {
						f(cell{typ: typ, state: state, current: current, left: option})
					}
				}
			}
		}
	}
}

// job stores a job whose step 2 of three stands in a cell, reachable or not.
func (p *platform) job(c cell) store.JobID {
	p.Helper()
	subject := script("a", "b", "c")
	if c.typ == step.Confirmation {
		subject = confirmation()
	}
	if c.list {
		subject.Confirmers = []string{"ann"}
	}
	subject.Type = c.typ
	id := p.create(biz, confirmation(), subject, confirmation())
	job, err := p.eng.Job(p.Context(), id)
	p.must(err)
	s, err := p.eng.Step(p.Context(), id, 2)
	p.must(err)
	s.State, s.Succeeded = c.state, s.Total
	if c.left {
		s.Succeeded = 1
	}
	if c.state != step.Pending {
		s.Attempt, s.Run, s.Started = 2, store.FirstRun, 1
	}
	job.Current, job.State, job.Started = 1, step.Waiting, 1
	if c.current {
		job.Current, job.State = 2, c.state.OfJob(false)
	}
	job.Version++
	job.Moved, job.Updated = job.Version, 1
	p.must(p.st.Commit(p.Context(), store.Change{Job: job, Steps: []store.Step{s}, Records: []store.Record{{
		Job: id, Seq: job.Version, At: 1, Cause: step.Results, Step: 2, JobTo: job.State,
	}}}))
	return id
}

// eachOperation enumerates every code in every cell for every kind of person, with the engine's dry run
// of it. f makes the request over HTTP, compares, and reports whether it was accepted.
func eachOperation(t *testing.T, f func(p *platform, job store.JobID, code operation.Code, call string, want store.Record, err error) bool) {
	accepted, refused := 0, 0
	for _, person := range []string{"ann", "bob", ""} {
		p := newPlatform(t, httpapi.Caller{Person: person, Scope: biz})
		eachCell(func(c cell) {
			for _, code := range []operation.Code{2, 3, 6, 8, 9, 10, 11, 12} {
				job := p.job(c)
				want, err := p.eng.Operate(t.Context(), job, 2, code, engine.Request{By: person, DryRun: true})
				if f(p, job, code, fmt.Sprintf("%v by %q on %v", code, person, c), want, err) {
					accepted++
				} else {
					refused++
				}
			}
		})
	}
	if cells := 4 * 12 * 2 * 2 * 3 * 8; accepted+refused != cells || accepted == 0 {
		t.Errorf("%d accepted and %d refused, want %d cells", accepted, refused, cells)
	}
}

// The code of each reason on the wire, from the reference page.
var wireCodes = map[operation.Reason]int{
	operation.InvalidInput: 1241002, operation.NoSuchJob: 1244006, operation.NoSuchStep: 1244007, operation.Denied: 9900403,
	operation.Stale: 1241003, operation.WrongType: 1241003, operation.NotCurrent: 1241003, operation.WrongState: 1241003,
	operation.NothingToRetry: 1241003, operation.NotConfirmer: 1244016,
}

// Every code of a step, in every cell and for every kind of person, has the verdict of the engine: an
// accepted operation is carried out, and a refused one is answered with the words and numbers of the
// refusal, and changes nothing.
func TestReferenceOperateStepHasTheEnginesVerdict(t *testing.T) {
	eachOperation(t, func(p *platform, job store.JobID, code operation.Code, call string, want store.Record, err error) bool {
		answer := p.send("POST", "/api/v3/operate_step_instance", body(job, fmt.Sprintf(`, "step_instance_id": 2, "operation_code": %d`, code)))
		return p.agrees(call, job, answer, want, err, fmt.Sprintf(`{"step_instance_id":2,"job_instance_id":%d}`, job))
	})
}

// So has every code of a job; starting one that was started has a code of its own.
func TestReferenceOperateJobHasTheEnginesVerdict(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	eachCell(func(c cell) {
		for _, code := range []operation.JobCode{1, 2} {
			job := p.job(c)
			call := fmt.Sprintf("%v on %v", code, c)
			want, err := p.eng.OperateJob(t.Context(), job, code, engine.Request{By: "ann", DryRun: true})
			answer := p.send("POST", "/api/v3/operate_job_instance", body(job, fmt.Sprintf(`, "operation_code": %d`, code)))
			if code == operation.StartJob && errors.Is(err, operation.WrongState) {
				if answer.Code != 1241015 {
					t.Errorf("%s: code %d, want 1241015", call, answer.Code)
				}
				answer.Code = 1241003
			}
			p.agrees(call, job, answer, want, err, fmt.Sprintf(`{"job_instance_id":%d}`, job))
		}
	})
}

// agrees compares an answer with the engine's dry run, and reports whether the engine accepts.
func (p *platform) agrees(call string, job store.JobID, answer envelope, want store.Record, err error, data string) bool {
	p.Helper()
	records := p.history(job)
	if err == nil {
		last := records[len(records)-1]
		if answer.Code != 0 || string(*answer.Data) != data {
			p.Errorf("%s: %+v, want data %s", call, answer, data)
		}
		if len(records) != 3 || last.To != want.To || last.JobTo != want.JobTo || last.Effect != want.Effect || last.Reason != "" {
			p.Errorf("%s: the record is %+v, want that of %+v", call, last, want)
		}
		return true
	}
	var r *engine.Refusal
	if !errors.As(err, &r) {
		p.Fatalf("%s: %v", call, err)
	}
	if answer.Code != wireCodes[r.Reason] || len(records) != 2 {
		p.Errorf("%s: code %d and %d records, want %d and 2, as %v", call, answer.Code, len(records), wireCodes[r.Reason], err)
	}
	says := []string{fmt.Sprintf("(%d) was refused: ", r.Cause.Code()), fmt.Sprintf("step %d is ", r.Step)}
	says = append(says, inWords(r.State), "the job is "+inWords(r.JobState), "; legal now: "+strings.Join(all(r.Legal, step.Cause.OfStep), ", "))
	if r.Step == r.Current {
		says = append(says, "; legal now on the job: "+strings.Join(all(r.Legal.Without(operation.CommentJob.Cause()), step.Cause.OfJob), ", "))
	}
	switch r.Reason {
	case operation.WrongState:
		says = append(says, "only in "+strings.Join(all(r.LegalFrom, step.State.Valid), ", "))
	case operation.WrongType:
		says = append(says, "a step of type "+inWords(r.Type))
	case operation.NotCurrent:
		says = append(says, "current step, which is 1;")
	}
	for _, part := range says {
		if !strings.Contains(answer.Message, part) {
			p.Errorf("%s: the message %q lacks %q", call, answer.Message, part)
		}
	}
	return false
}

func inWords[T step.Element](v T) string {
	number := uint8(v)
	if cause, ok := any(v).(step.Cause); ok {
		number = cause.Code()
	}
	return strings.ReplaceAll(v.String(), "_", " ") + fmt.Sprintf(" (%d)", number)
}

// all returns the words of the members of a set that are of a sort.
func all[T step.Element](set step.Set[T], sort func(T) bool) []string {
	var words []string
	for v := range set.All() {
		if sort(v) {
			words = append(words, inWords(v))
		}
	}
	if words == nil {
		return []string{"none"}
	}
	return words
}

// The texts of refusals.
func TestReferenceMessages(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "bob", Scope: biz})
	for _, c := range []struct {
		cell cell
		code operation.Code
		want string
	}{
		{cell{typ: 1, state: step.Running, current: true}, 2, "retry failed (2) was refused: it is not legal in this state, only in failed (4), abnormal (9), terminated (11); " +
			"step 2 is running (2), and the job is running (2); legal now: none; legal now on the job: terminate job (1), hold job (20)"},
		{cell{typ: 1, state: step.Failed, current: true}, 2, "retry failed (2) was refused: every target has succeeded already; " +
			"step 2 is failed (4), and the job is failed (4); legal now: ignore error (3), retry all (8); legal now on the job: seal job (22)"},
		{cell{typ: 4, state: step.Failed, current: true, left: true}, 6, "confirm (6) was refused: it does not apply to a step of type sql (4); " +
			"step 2 is failed (4), and the job is failed (4); legal now: retry failed (2), ignore error (3), retry all (8); legal now on the job: seal job (22)"},
		{cell{typ: 3, state: step.Waiting, current: true, list: true}, 9, "terminate confirmation (9) was refused: it is for the step's confirmers, and the caller is not one of them; " +
			"step 2 is waiting (7), and the job is waiting (7); legal now: none; legal now on the job: terminate job (1), hold job (20)"},
		{cell{typ: 2, state: step.Failed, left: true}, 8, "retry all (8) was refused: it is for the job's current step, which is 1; " +
			"step 2 is failed (4), and the job is waiting (7); legal now: none"},
	} {
		answer := p.send("POST", "/api/v3/operate_step_instance", body(p.job(c.cell), fmt.Sprintf(`, "step_instance_id": 2, "operation_code": %d`, c.code)))
		if answer.Message != c.want {
			t.Errorf("%v on %v:\n got %s\nwant %s", c.code, c.cell, answer.Message, c.want)
		}
	}
}

// A denied person learns which permission is missing, and not why.
func TestReferenceDenied(t *testing.T) {
	set := store.Scope{Type: "biz_set", ID: "2"}
	p := newPlatform(t, httpapi.Caller{Person: "eve", AllScopes: true}, engine.WithAuthorizer(func(context.Context, engine.Access) error {
		return errors.New("s3cret: eve is on leave")
	}))
	p.eng = engine.New(p.st) // without an authorizer, for the setup
	job, in := p.create(biz, confirmation()), p.create(set, confirmation())
	for _, c := range []struct {
		target, body, message, permission string
	}{
		{
			"/api/v3/operate_step_instance", body(job, `, "step_instance_id": 1, "operation_code": 2`),
			"permission denied: the caller may not do retry failed (2)",
			`{"system_id":"stepgate","system_name":"Stepgate","actions":[{"id":"retry_failed","name":"retry failed","related_resource_types":[` +
				`{"system_id":"stepgate","system_name":"Stepgate","type":"biz","type_name":"business","instances":[[{"type":"biz","type_name":"business","id":"1","name":"1"}]]}]}]}`,
		},
		{
			"/api/v3/operate_job_instance", fmt.Sprintf(`{"bk_scope_type": "biz_set", "bk_scope_id": 2, "job_instance_id": "%d", "operation_code": "2"}`, in),
			"permission denied: the caller may not do start job (2)",
			`{"system_id":"stepgate","system_name":"Stepgate","actions":[{"id":"start_job","name":"start job","related_resource_types":[` +
				`{"system_id":"stepgate","system_name":"Stepgate","type":"biz_set","type_name":"business set","instances":[[{"type":"biz_set","type_name":"business set","id":"2","name":"2"}]]}]}]}`,
		},
	} {
		answer := p.send("POST", c.target, c.body)
		if answer.Code != 9900403 || answer.Message != c.message || answer.Permission == nil {
			t.Fatalf("%s: %+v, want 9900403, %q and a permission", c.target, answer, c.message)
		}
		if got := string(*answer.Permission); got != c.permission {
			t.Errorf("%s: permission\n got %s\nwant %s", c.target, got, c.permission)
		}
	}
}

// The answer for a step that does not exist differs from that for a job that does not exist.
func TestReferenceNoSuchStep(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	job := p.create(biz, confirmation())
	for _, id := range []string{"2", `"9223372036854775807"`} {
		answer := p.send("POST", "/api/v3/operate_step_instance", body(job, `, "operation_code": 6, "step_instance_id": `+id))
		if answer.Code != 1244007 || answer.Message != "the job has no such step" {
			t.Errorf("step %s: %+v, want 1244007", id, answer)
		}
	}
}

// The public words of an authorizer reach the client, and no others do. A caller that is only an
// executor has no calls of persons, with an authorizer or without.
func TestReferenceDeniedInWords(t *testing.T) {
	for _, c := range []struct {
		caller  httpapi.Caller
		denial  error // of the authorizer
		message string
	}{
		{httpapi.Caller{Person: "eve", Scope: biz}, engine.Public("ask ann"), ": ask ann"},
		{httpapi.Caller{Person: "eve", Scope: biz}, fmt.Errorf("s3cret: %w", engine.Public("ask ann")), ": ask ann"},
		{httpapi.Caller{Person: "eve", Scope: biz}, errors.New("s3cret"), ""},
		{httpapi.Caller{Scope: biz, Executor: true}, nil, ": an executor claims and reports; this is for a person"},
	} {
		p := newPlatform(t, c.caller, engine.WithAuthorizer(func(context.Context, engine.Access) error { return nil }))
		p.start(p.create(biz, confirmation()))
		p.eng = engine.New(p.st, engine.WithAuthorizer(func(context.Context, engine.Access) error { return c.denial }))
		p.api = httpapi.New(p.eng, httpapi.Config{Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) { return c.caller, nil }})
		for call, what := range map[string]string{"operate_step_instance": "terminate confirmation (9)", "operate_job_instance": "terminate job (1)"} {
			answer := p.send("POST", "/api/v3/"+call, goodForms[call].String())
			if want := "permission denied: the caller may not do " + what + c.message; answer.Code != 9900403 || answer.Message != want {
				t.Errorf("%s by %+v: %d %q, want 9900403 and %q", call, c.caller, answer.Code, answer.Message, want)
			}
		}
		if answer := p.send("POST", "/api/v3/get_job_instance_status", goodForms["get_job_instance_status"].String()); answer.Code != 0 {
			t.Errorf("a status for %+v: %+v, want it", c.caller, answer)
		}
	}
}
