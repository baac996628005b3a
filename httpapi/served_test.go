package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// An outbox is an API whose caller is a variable, on a store with an effect of each kind, and runs
// and stops of each type.
type outbox struct {
	*testing.T
	eng    *engine.Engine
	api    *httpapi.API
	caller httpapi.Caller
	all    []engine.Delivery // claimed, and given back
}

func newOutbox(t *testing.T) *outbox {
	now := time.Unix(1_700_000_000, 0)
	o := &outbox{T: t, eng: engine.New(memstore.New(), engine.WithClock(func() time.Time { return now }))}
	o.api = httpapi.New(o.eng, httpapi.Config{Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) { return o.caller, nil }})
	for _, typ := range []step.Type{step.Script, step.FileTransfer, step.SQL, step.Confirmation} {
		for _, stops := range []bool{false, true} {
			o.job(typ, stops)
		}
	}
	o.all = o.claim()
	for _, d := range o.all {
		o.must(o.eng.Release(t.Context(), d.Claimed()))
	}
	return o
}

func (o *outbox) must(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

// job starts a job of one step, and terminates it.
func (o *outbox) job(typ step.Type, terminate bool) {
	spec := step.Spec{Type: typ, Name: "s"}
	if typ != step.Confirmation {
		spec.Targets = []string{"a"}
	}
	created, err := o.eng.Create(o.Context(), engine.JobSpec{Name: "j", Scope: scope, Steps: []step.Spec{spec}}, engine.Request{})
	o.must(err)
	_, err = o.eng.OperateJob(o.Context(), created.Job, operation.StartJob, engine.Request{})
	o.must(err)
	if terminate {
		_, err = o.eng.OperateJob(o.Context(), created.Job, operation.TerminateJob, engine.Request{})
		o.must(err)
	}
}

func (o *outbox) claim() []engine.Delivery {
	o.Helper()
	claimed, err := o.eng.Claim(o.Context(), engine.ClaimQuery{Lease: time.Hour})
	o.must(err)
	return claimed
}

// post returns the status and the answer.
func (o *outbox) post(path, body string) (int, map[string]any) {
	o.Helper()
	req := httptest.NewRequestWithContext(o.Context(), "POST", path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	o.api.ServeHTTP(w, req)
	var v map[string]any
	if w.Code != http.StatusNoContent {
		o.must(json.Unmarshal(w.Body.Bytes(), &v))
	}
	return w.Code, v
}

// history returns that of the job at a path.
func (o *outbox) history(at string) []store.Record {
	o.Helper()
	var job store.JobID
	_, err := fmt.Sscanf(at, "/v1/jobs/%d", &job)
	o.must(err)
	all, err := o.eng.History(o.Context(), job, 0, 0)
	o.must(err)
	return all
}

// limits are the types of limited executors.
var limits = []step.Types{
	{}, step.TypesOf(step.Script), step.TypesOf(step.SQL, step.FileTransfer), step.TypesOf(step.Confirmation),
	step.TypesOf(step.Script, step.Type(32)), step.TypesOf(step.Type(33)),
}

// serves is the meaning of a limit: runs and stops of its types, and nothing else.
func serves(limit step.Types, e store.Effect, t step.Type) bool {
	return limit.Empty() || (e == store.RunTargets || e == store.StopAttempt) && limit.Has(t)
}

// A claim returns the selected effects among those that the executor serves, for every limit and every
// selection. It is refused if the two have nothing in common.
func TestAClaimHandsOutWhatTheExecutorServes(t *testing.T) {
	o := newOutbox(t)
	kinds := [][]store.Effect{
		nil, {store.RunTargets}, {store.StopAttempt}, {store.AskConfirmers}, {store.JobEnded},
		{store.RunTargets, store.AskConfirmers}, {store.AskConfirmers, store.JobEnded},
	}
	wanted := [][]step.Type{nil, {step.Script}, {step.SQL}, {step.Script, step.SQL}, {step.FileTransfer, step.Confirmation}}
	seen := map[string]int{}
	for _, limit := range limits {
		for _, effects := range kinds {
			for _, types := range wanted {
				o.caller = httpapi.Caller{Scope: scope, Executor: true, Types: limit}
				body, err := json.Marshal(map[string]any{"effects": effects, "types": types, "limit": 100})
				o.must(err)
				status, v := o.post("/v1/effects/claim", strings.ReplaceAll(string(body), "null", "[]"))
				var want, got []string
				able := false // some effect could be
				for _, e := range []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded} {
					for _, typ := range []step.Type{step.Script, step.FileTransfer, step.Confirmation, step.SQL} {
						asked := !e.ByType() || len(types) == 0 || slices.Contains(types, typ)
						able = able || asked && (len(effects) == 0 || slices.Contains(effects, e)) && serves(limit, e, typ)
					}
				}
				for _, d := range o.all {
					asked := d.Effect != store.RunTargets && d.Effect != store.StopAttempt || len(types) == 0 || slices.Contains(types, d.Step.Type)
					if asked && (len(effects) == 0 || slices.Contains(effects, d.Effect)) && serves(limit, d.Effect, d.Step.Type) {
						want = append(want, fmt.Sprint(d.Effect, " ", d.Job.ID))
					}
				}
				call := fmt.Sprintf("an executor for %v claims %v of %v", limit, effects, types)
				if !able {
					if status != 403 || v["reason"] != "type_not_served" {
						t.Errorf("%s: %d, %v; want type_not_served", call, status, v)
					}
					seen["refused"]++
					continue
				}
				for _, d := range v["items"].([]any) {
					d := d.(map[string]any)
					job := d["job"].(map[string]any)["id"].(float64)
					got = append(got, fmt.Sprint(d["effect"], " ", int64(job)))
					status, v := o.post(fmt.Sprintf("/v1/jobs/%d/effects/%v/release", int64(job), d["seq"]), fmt.Sprintf(`{"count":%v,"token":%q}`, d["count"], d["token"]))
					if status != 204 {
						t.Fatalf("%s: release: %d, %v", call, status, v)
					}
				}
				slices.Sort(want)
				slices.Sort(got)
				if status != 200 || !slices.Equal(got, want) {
					t.Errorf("%s: %d, %v; want %v", call, status, got, want)
				}
				seen[fmt.Sprint(len(got))]++
			}
		}
	}
	if len(seen) < 5 {
		t.Errorf("claims came to %v, want more kinds of outcome", seen)
	}
}

// An executor cannot settle, renew, fail, release or report on an effect outside its limit, even with
// the right token.
func TestAnExecutorEndsWhatItServes(t *testing.T) {
	more := map[string]string{"renew": `,"lease_ms":60000`, "fail": `,"error":"e"`}
	for _, limit := range limits {
		for _, route := range httpapi.Routes() {
			if !route.Executor || route.Path == "/v1/effects/claim" {
				continue
			}
			o := newOutbox(t)
			o.caller = httpapi.Caller{Scope: scope, Executor: true, Types: limit}
			for _, d := range o.claim() {
				path := strings.NewReplacer("{job}", fmt.Sprint(d.Job.ID), "{step}", "1", "{seq}", fmt.Sprint(d.Seq)).Replace(route.Path)
				_, name, _ := strings.Cut(route.Path, "}/")
				name = name[strings.LastIndex(name, "/")+1:]
				body := fmt.Sprintf(`{"count":%d,"token":"%v"%s}`, d.Count, d.Token, more[name])
				allowed := serves(limit, d.Effect, d.Step.Type)
				if name == "report" {
					body, allowed = `{"attempt":1,"outcome":"stopped"}`, limit.Empty() || limit.Has(d.Step.Type)
				}
				before, err := o.eng.Effects(t.Context(), d.Job.ID, 0, 0)
				o.must(err)
				status, v := o.post(path, body)
				after, err := o.eng.Effects(t.Context(), d.Job.ID, 0, 0)
				o.must(err)
				refused := status == 403 && v["reason"] == "type_not_served"
				if refused == allowed {
					t.Errorf("an executor for %v: %s of the %v of a %v step: %d, %v", limit, name, d.Effect, d.Step.Type, status, v)
				}
				if refused && (!slices.Equal(before, after) || !strings.Contains(fmt.Sprint(v["detail"]), limit.String())) {
					t.Errorf("an executor for %v: %s: something was done, or the answer %v does not say what it serves", limit, name, v)
				}
			}
		}
	}
}

// An executor that is limited to types is limited to its scope as well, and gets the same answers as
// others for jobs that do not exist. A caller with types that is no executor is refused.
func TestAnExecutorOfTypesAndScopes(t *testing.T) {
	o := newOutbox(t)
	claimed := o.claim()
	o.caller = httpapi.Caller{Scope: store.Scope{Type: "biz", ID: "3"}, Executor: true, Types: step.TypesOf(step.Script)}
	if status, v := o.post("/v1/effects/claim", "{}"); status != 200 || len(v["items"].([]any)) > 0 {
		t.Errorf("a claim in another scope: %d, %v", status, v)
	}
	for _, d := range claimed {
		at := fmt.Sprintf("/v1/jobs/%d", d.Job.ID)
		settle := fmt.Sprintf(`{"count":1,"token":"%v"}`, d.Token)
		for path, body := range map[string]string{fmt.Sprintf("%s/effects/%d/settle", at, d.Seq): settle, at + "/steps/1/report": `{"attempt":1,"outcome":"stopped"}`} {
			if status, v := o.post(path, body); status != 404 || v["reason"] != "no_such_job" {
				t.Errorf("%s in another scope: %d, %v", path, status, v)
			}
		}
	}
	o.caller.Scope = scope
	at := fmt.Sprintf("/v1/jobs/%d", claimed[0].Job.ID)
	for path, want := range map[string]string{
		at + "/effects/99/settle": "409 lease_lost", at + "/effects/0/settle": "400 invalid_input",
		at + "/steps/9/report": "404 no_such_step", at + "/steps/0/report": "400 invalid_input", "/v1/jobs/9/steps/1/report": "404 no_such_job",
	} {
		body := fmt.Sprintf(`{"count":1,"token":"%v"}`, claimed[0].Token)
		if strings.HasSuffix(path, "report") {
			body = `{"attempt":1,"outcome":"stopped"}`
		}
		if status, v := o.post(path, body); fmt.Sprint(status, " ", v["reason"]) != want {
			t.Errorf("%s: %d, %v; want %s", path, status, v, want)
		}
	}
	o.caller.Name = "worker-3"
	for _, d := range claimed {
		if d.Effect == store.RunTargets && d.Step.Type == step.Script {
			at = fmt.Sprintf("/v1/jobs/%d", d.Job.ID)
		}
	}
	if status, v := o.post(at+"/steps/1/report", `{"attempt":1,"outcome":"stopped"}`); status != 200 {
		t.Fatalf("a report: %d, %v", status, v)
	}
	if page := o.history(at); page[len(page)-1].Actor != "worker-3" {
		t.Errorf("the history names the reporter %q", page[len(page)-1].Actor)
	}
	if status, v := o.post(at+"/steps/1/operate", `{"code":"retry_all"}`); status != 403 || v["reason"] != "denied" {
		t.Errorf("an executor with a name operates: %d, %v", status, v)
	}
	o.caller.Executor = false
	if status, v := o.post("/v1/effects/claim", ""); status != 500 {
		t.Errorf("a caller with types who is no executor: %d, %v", status, v)
	}
}

// Each route that writes is for persons or for executors. It refuses the other kind and unknown
// callers, and changes nothing for them.
func TestEachRouteIsForPersonsOrForExecutors(t *testing.T) {
	r := newRig(t)
	callers := map[string]httpapi.Caller{
		"unknown": {}, "a person": {Person: "ann", Scope: scope},
		"an executor": {Scope: scope, Executor: true}, "both": {Person: "ann", Scope: scope, Executor: true},
	}
	var caller httpapi.Caller
	r.api = httpapi.New(r.eng, httpapi.Config{Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) { return caller, nil }})
	executors := 0
	for _, route := range httpapi.Routes() {
		if route.Method != "POST" {
			continue
		}
		if route.Executor {
			executors++
		}
		for name, c := range callers {
			_, path, body := r.passing(route)
			before := r.whole()
			caller = c
			w := r.ask("", "POST", path, body)
			want := ""
			switch {
			case c.Scope == store.Scope{}:
				want = "unauthenticated"
			case route.Executor && !c.Executor:
				want = "not_executor"
			case !route.Executor && c.Person == "":
				want = "denied"
			}
			if want == "" {
				if w.Code/100 != 2 && !strings.HasSuffix(path, "/hurry") { // a claim that waits for an executor is not hurried
					t.Errorf("%s by one who is %s: %d, %s", path, name, w.Code, w.Body)
				}
				continue
			}
			var v map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || v["reason"] != want {
				t.Errorf("%s by one who is %s: %d, %s; want %s", path, name, w.Code, w.Body, want)
			}
			if r.whole() != before {
				t.Errorf("%s by one who is %s: something was done", path, name)
			}
		}
	}
	if executors != 6 {
		t.Errorf("%d routes are for executors, want claim, report, settle, renew, fail and release", executors)
	}
}

// A claim does not wait for another answer of its executor, such as a page of targets that hangs, nor
// for an executor of another scope or name: otherwise a stop would wait too.
func TestAClaimWaitsForNoOtherAnswer(t *testing.T) {
	for name, method := range map[string]storetest.Method{
		"page": storetest.Targets, "claim elsewhere": storetest.Claim, "claim of another executor": storetest.Claim,
	} {
		reached, open := make(chan bool), make(chan bool)
		faults := storetest.NewFaults(memstore.New())
		eng := engine.New(faults)
		o := &outbox{T: t, eng: eng}
		o.job(step.Script, false)
		api := httpapi.New(eng, httpapi.Config{WriteTimeout: 10 * time.Millisecond, Identify: func(r *http.Request, _ httpapi.Credentials) (httpapi.Caller, error) {
			return httpapi.Caller{Scope: store.Scope{Type: "biz", ID: r.Header.Get("X-Scope")}, Name: r.Header.Get("X-Name"), Executor: true}, nil
		}})
		jobs, err := eng.Jobs(t.Context(), engine.JobQuery{})
		o.must(err)
		ask := func(method, path, in, as string) int {
			r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
			r.Header.Set("X-Scope", in)
			r.Header.Set("X-Name", as)
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			return w.Code
		}
		faults.Add(storetest.Fault{Method: method, Do: func() {
			close(reached)
			<-open
		}})
		slow := make(chan int)
		go func() {
			switch name {
			case "page":
				slow <- ask("GET", fmt.Sprintf("/v1/jobs/%d/steps/1/targets?limit=1000", jobs[0].ID), "2", "a")
			case "claim elsewhere":
				slow <- ask("POST", "/v1/effects/claim", "3", "a")
			default:
				slow <- ask("POST", "/v1/effects/claim", "2", "b")
			}
		}()
		<-reached
		if status := ask("POST", "/v1/effects/claim", "2", "a"); status != 200 {
			t.Errorf("a claim behind a slow %s: %d", name, status)
		}
		close(open)
		if status := <-slow; status != 200 {
			t.Errorf("the slow %s: %d", name, status)
		}
	}
}
