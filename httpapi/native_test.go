package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var scope = store.Scope{Type: "biz", ID: "2"}

// asPerson is an Identify for tests: the X-Person header names the caller, in scope biz 2 or in
// that of the X-Scope header. "agent" is an executor.
func asPerson(r *http.Request, _ httpapi.Credentials) (httpapi.Caller, error) {
	c := httpapi.Caller{Person: r.Header.Get("X-Person"), Scope: scope, Executor: r.Header.Get("X-Person") == "agent"}
	if id := r.Header.Get("X-Scope"); id != "" {
		c.Scope.ID = id
	}
	return c, nil
}

// A rig is an API on an empty store.
type rig struct {
	*testing.T
	st  *memstore.Store
	eng *engine.Engine
	api *httpapi.API
}

func newRig(t *testing.T, opts ...engine.Option) *rig {
	st := memstore.New()
	eng := engine.New(st, opts...)
	return &rig{t, st, eng, httpapi.New(eng, httpapi.Config{Identify: asPerson})}
}

// ask sends a request as a person and returns the answer. Headers come in pairs.
func (r *rig) ask(person, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r.Helper()
	req := httptest.NewRequestWithContext(r.Context(), method, target, strings.NewReader(body))
	req.Header.Set("X-Person", person)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.api.ServeHTTP(w, req)
	return w
}

// want sends a request and reads the answer, which must have a status.
func (r *rig) want(status int, person, method, target, body string, header ...string) map[string]any {
	r.Helper()
	w := r.ask(person, method, target, body, header...)
	if w.Code != status {
		r.Fatalf("%s %s %s: status %d, want %d: %s", method, target, body, w.Code, status, w.Body)
	}
	var v map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		r.Fatalf("%s %s: %v in %s", method, target, err, w.Body)
	}
	return v
}

// A denied person gets the authorizer's public words, and no others.
func TestPublicWordsReachTheClient(t *testing.T) {
	r := newRig(t, engine.WithAuthorizer(func(_ context.Context, a engine.Access) error {
		if a.Actor == "eve" {
			return fmt.Errorf("s3cret: %w", engine.Public("eve is on leave"))
		}
		return errors.New("s3cret")
	}))
	const job = `{"name":"n","steps":[{"type":"confirmation","name":"s"}]}`
	if p := r.want(403, "eve", "POST", "/v1/jobs", job); p["reason"] != "denied" || p["detail"] != "eve is on leave" {
		t.Errorf("%v, want the public words", p)
	}
	if p := r.want(403, "bob", "POST", "/v1/jobs", job); p["reason"] != "denied" || p["detail"] != nil {
		t.Errorf("%v, want no words", p)
	}
}

// An effect that keeps failing is seen, hurried and given up by a person.
func TestAnEffectThatKeepsFailing(t *testing.T) {
	r := newRig(t)
	job := r.running("a")
	path := fmt.Sprintf("/v1/jobs/%d", job)
	effect := func() map[string]any {
		t.Helper()
		return r.want(200, "ann", "GET", path+"/effects", "")["items"].([]any)[0].(map[string]any)
	}
	if d := effect(); d["count"] != 0.0 || d["held"] != nil || d["not_before"] != 0.0 || d["last_error"] != "" || d["at"] == 0.0 {
		t.Errorf("an effect that was never claimed: %v", d)
	}
	claimed := r.want(200, "agent", "POST", "/v1/effects/claim", "")["items"].([]any)[0].(map[string]any)
	if d := effect(); d["held"] != true {
		t.Errorf("an effect that is claimed: %v", d)
	}
	if v := r.want(409, "ann", "POST", path+"/effects/2/hurry", ""); v["reason"] != "leased" || v["cause"] != "hurried" || v["legal"] == nil {
		t.Errorf("hurry, while it is claimed: %v", v)
	}
	if w := r.ask("agent", "POST", path+"/effects/2/fail", fmt.Sprintf(`{"count":1,"token":%q,"error":"no agent"}`, claimed["token"])); w.Code != 204 {
		t.Fatalf("fail: %d, %s", w.Code, w.Body)
	}
	if d := effect(); d["count"] != 1.0 || d["held"] != nil || d["failures"] != 1.0 || d["last_error"] != "no agent" || d["not_before"].(float64) <= d["at"].(float64) {
		t.Errorf("an effect that has failed: %v", d)
	}
	if v := r.want(200, "ann", "POST", path+"/effects/2/hurry", `{"reason":"the agent is back"}`); v["cause"] != "hurried" || v["actor"] != "ann" || v["reason"] != "run 2: the agent is back" {
		t.Errorf("hurry: %v", v)
	}
	again := r.want(200, "agent", "POST", "/v1/effects/claim", "")["items"].([]any)
	if len(again) != 1 || again[0].(map[string]any)["count"] != 2.0 {
		t.Errorf("claimed after hurry: %v", again)
	}
	const body = `{"reason":"a is gone",` + anyRequest + `}`
	w := r.ask("ann", "POST", path+"/effects/2/give_up", body, "If-Match", `"2"`)
	if w.Code != 200 || w.Header().Get("ETag") != `"4"` {
		t.Fatalf("give up: %d, %v, %s", w.Code, w.Header(), w.Body)
	}
	v := r.want(200, "ann", "POST", path+"/effects/2/give_up", body)
	if v["cause"] != "broke" || v["to"] != "abnormal" || v["actor"] != "ann" || v["reason"] != "a is gone" || v["job_to"] != "abnormal" {
		t.Errorf("give up again: %v", v)
	}
	token := again[0].(map[string]any)["token"]
	if w := r.ask("agent", "POST", path+"/effects/2/settle", fmt.Sprintf(`{"count":2,"token":%q}`, token)); w.Code != 204 {
		t.Fatalf("settle what was given up: %d, %s", w.Code, w.Body)
	}
	if v := r.want(409, "ann", "POST", path+"/effects/2/give_up", ""); v["reason"] != "settled" {
		t.Errorf("give up what is settled: %v", v)
	}
	for _, seq := range []string{"0", "1", "99"} {
		if v := r.want(400, "ann", "POST", path+"/effects/"+seq+"/give_up", ""); v["field"] != "seq" {
			t.Errorf("give up effect %s: %v", seq, v)
		}
	}
}

// A client creates a job, starts it, makes every read of it, and operates on it.
func TestNativeStory(t *testing.T) {
	r := newRig(t)
	w := r.ask("ann", "POST", "/v1/jobs", `{"name":"release","steps":[
		{"type":"confirmation","name":"ask","confirmers":["ann"],"timeout_ms":60000,"on_timeout":"confirm"},
		{"type":1,"name":"copy","targets":["a","b"],"ignore_errors":true,"payload":"cp"}]}`)
	if w.Code != http.StatusCreated || w.Header().Get("ETag") != `"1"` {
		t.Fatalf("create: %d, ETag %s, %s", w.Code, w.Header().Get("ETag"), w.Body)
	}
	at := "/v1/" + w.Header().Get("Location")
	if v := r.want(200, "ann", "GET", at, ""); v["state"] != "pending" || v["name"] != "release" {
		t.Errorf("the new job: %v", v)
	}
	r.want(200, "ann", "POST", at+"/start", "")
	if v := r.want(403, "bob", "POST", at+"/steps/1/operate", `{"code":"confirm"}`); v["reason"] != "not_confirmer" {
		t.Errorf("confirm by bob: %v", v)
	}
	if v := r.want(200, "ann", "GET", at+"/steps/1", ""); v["timeout_ms"] != 60000.0 || v["payload"] != "" {
		t.Errorf("step 1: %v", v)
	}
	if v := r.want(200, "ann", "POST", at+"/steps/1/operate", `{"code":6,"reason":"go","dry_run":true}`); v["seq"] != 0.0 || v["to"] != "succeeded" {
		t.Errorf("dry run: %v", v)
	}
	if v := r.want(412, "ann", "POST", at+"/steps/1/operate", `{"code":6}`, "If-Match", `"1"`); v["reason"] != "stale" || v["status"] != 412.0 {
		t.Errorf("with an old ETag: %v", v)
	}
	if v := r.want(409, "ann", "POST", at+"/steps/1/operate", `{"code":6,"if_version":1}`); v["reason"] != "stale" {
		t.Errorf("with an old version: %v", v)
	}
	if v := r.want(200, "ann", "POST", at+"/steps/1/operate", `{"code":6}`, "If-Match", `"2"`); v["entered"] != 2.0 {
		t.Errorf("confirm: %v", v)
	}
	if v := r.want(200, "ann", "GET", at+"/steps/2/explain", ""); len(v["causes"].([]any)) != 17 {
		t.Errorf("explain: %v", v)
	}
	for path, n := range map[string]int{
		"/v1/jobs": 1, "/v1/jobs?state=running,4": 1, "/v1/jobs?state=failed": 0, "/v1/jobs?newest=true&limit=1": 1,
		at + "/steps": 2, at + "/steps?after=1": 1, at + "/history": 3, at + "/history?after=2": 1, at + "/effects": 2,
		at + "/steps/2/targets": 2, at + "/steps/2/targets?class=due&status=waiting,7": 2, at + "/steps/2/targets?status=9": 0,
	} {
		if v := r.want(200, "ann", "GET", path, ""); len(v["items"].([]any)) != n {
			t.Errorf("%s: %v, want %d", path, v, n)
		}
	}
	r.want(200, "ann", "GET", "/v1/rules", "")
}

// A job that an embedder's own operation has sealed refuses every operation, on the native and on the
// reference calls, and its header says that it is sealed.
func TestSealedJobRefuses(t *testing.T) {
	seal := operation.JobCode(40)
	table := operation.StandardTable()
	table.Rows = append(table.Rows, operation.Row{Cause: seal.Cause(), From: step.StatesOf(step.Failed), Do: step.Seal})
	rules, err := table.Compile()
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, engine.WithRules(rules))
	job := r.running("a")
	at := fmt.Sprintf("/v1/jobs/%d", job)
	r.want(200, "agent", "POST", at+"/steps/1/report", `{"attempt":1,"results":[{"target":0,"status":"failed"}]}`)
	if v := r.want(200, "ann", "GET", at, ""); v["sealed"] != nil {
		t.Errorf("a job that is not sealed: %v", v)
	}
	if _, err := r.eng.OperateJob(t.Context(), job, seal, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	if v := r.want(200, "ann", "GET", at, ""); v["sealed"] != true || v["state"] != "failed" {
		t.Errorf("the sealed job: %v", v)
	}
	for path, body := range map[string]string{"/steps/1/operate": `{"code":"retry_failed"}`, "/start": "", "/terminate": ""} {
		v := r.want(409, "ann", "POST", at+path, body)
		if v["reason"] != "sealed" || fmt.Sprint(v["legal"]) != "[comment_job]" || !strings.Contains(fmt.Sprint(v["detail"]), "the job is sealed") {
			t.Errorf("%s: %v", path, v)
		}
	}
	w := r.ask("ann", "POST", "/api/v3/operate_job_instance", fmt.Sprintf(`{"bk_scope_type":"biz","bk_scope_id":"2","job_instance_id":%d,"operation_code":1}`, job))
	const want = `"code":1241003,"message":"terminate job (1) was refused: the job is sealed; ` +
		`step 1 is failed (4), and the job is failed (4); legal now: none; legal now on the job: none"`
	if !strings.Contains(w.Body.String(), want) {
		t.Errorf("got %s, want %s", w.Body, want)
	}
}

// An outcome is read by its name, by the name that it had before, and by its number among the
// events; the history has today's name.
func TestOutcomesAreReadByEachName(t *testing.T) {
	r := newRig(t)
	for given, want := range map[string]string{
		`"stopped"`: "stopped", `"broke"`: "broke", `"dropped"`: "dropped", `"abnormal"`: "broke", `"abandoned"`: "dropped",
		"5": "stopped", "6": "broke", "7": "dropped",
	} {
		at := fmt.Sprintf("/v1/jobs/%d", r.running("a"))
		r.want(200, "agent", "POST", at+"/steps/1/report", `{"attempt":1,"outcome":`+given+`}`)
		history := r.want(200, "ann", "GET", at+"/history?after=2", "")["items"].([]any)
		if got := history[0].(map[string]any)["cause"]; got != want {
			t.Errorf("outcome %s is recorded as %v, want %s", given, got, want)
		}
	}
	at := fmt.Sprintf("/v1/jobs/%d", r.running("a"))
	for _, given := range []string{`"retry_failed"`, `"results"`, "70", "0", "10", "2"} {
		if v := r.want(400, "agent", "POST", at+"/steps/1/report", `{"attempt":1,"outcome":`+given+`}`); v["field"] != "outcome" {
			t.Errorf("outcome %s: %v", given, v)
		}
	}
}

// running returns a job whose one script step runs on targets.
func (r *rig) running(targets ...string) store.JobID {
	r.Helper()
	return r.started(step.Spec{Type: step.Script, Name: "copy", Targets: targets})
}

// asking returns a job whose first step asks.
func (r *rig) asking() store.JobID {
	r.Helper()
	return r.started(step.Spec{Type: step.Confirmation, Name: "ask"}, step.Spec{Type: step.Confirmation, Name: "ask again"})
}

// started returns a job that is in its first step.
func (r *rig) started(steps ...step.Spec) store.JobID {
	r.Helper()
	created, err := r.eng.Create(r.Context(), engine.JobSpec{Name: "job", Scope: scope, Steps: steps}, engine.Request{})
	if err != nil {
		r.Fatal(err)
	}
	if _, err := r.eng.OperateJob(r.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		r.Fatal(err)
	}
	return created.Job
}

// report reports the end of one target of a running job in its first attempt.
func (r *rig) report(job store.JobID, target int32, status step.Status) {
	r.Helper()
	if _, err := r.eng.Report(r.Context(), engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{
		{Target: target, Result: store.Result{Status: status}},
	}}); err != nil {
		r.Fatal(err)
	}
}

// failing is a store whose methods fail on demand.
type failing struct {
	store.Store
	history, commit, view atomic.Bool
}

var errSecret = errors.New("s3cret host is down")

func (f *failing) History(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	if f.history.Load() {
		return nil, errSecret
	}
	return f.Store.History(ctx, scope, job, p)
}

func (f *failing) View(ctx context.Context, q store.Query) (store.View, error) {
	if f.view.Load() {
		return store.View{}, errSecret
	}
	return f.Store.View(ctx, q)
}

func (f *failing) Commit(ctx context.Context, c store.Change) error {
	if f.commit.Load() {
		return errSecret
	}
	return f.Store.Commit(ctx, c)
}

// A claim that waits answers with the effects that become due. A client that leaves while it waits
// holds no effect.
func TestClaimWaits(t *testing.T) {
	r := newRig(t)
	begun, done := make(chan struct{}, 2), make(chan struct{}, 2)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		begun <- struct{}{}
		r.api.ServeHTTP(w, req)
		done <- struct{}{}
	}))
	t.Cleanup(srv.Close)
	ask := func(ctx context.Context) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+"/v1/effects/claim", strings.NewReader(`{"effects":["run"],"wait_ms":60000}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Person", "agent")
		req.Header.Set("Content-Type", "application/json")
		return srv.Client().Do(req)
	}
	ctx, leave := context.WithCancel(t.Context())
	var left sync.WaitGroup
	left.Go(func() {
		if _, err := ask(ctx); err == nil {
			t.Error("an answer came before there was anything to claim")
		}
	})
	<-begun
	leave()
	left.Wait()
	<-done
	var waits sync.WaitGroup
	waits.Go(func() {
		resp, err := ask(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		var page struct{ Items []struct{ Count int32 } }
		if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || len(page.Items) != 1 || page.Items[0].Count != 1 {
			t.Errorf("claimed %+v, %v; want one, for the first time", page, err)
		}
	})
	r.running("a")
	waits.Wait()
}

// The Location of a new job leads to it, wherever the API is mounted.
func TestLocationKeepsTheMount(t *testing.T) {
	r := newRig(t)
	for _, prefix := range []string{"", "/stepgate", "/a/b"} {
		mux := http.NewServeMux()
		mux.Handle(prefix+"/", http.StripPrefix(prefix, r.api))
		srv := httptest.NewServer(mux)
		t.Cleanup(srv.Close)
		created, err := http.Post(srv.URL+prefix+"/v1/jobs", "application/json", strings.NewReader(`{"name":"n","steps":[{"type":"confirmation","name":"go?"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		created.Body.Close()
		at, err := created.Location() // as RFC 9110 has it: relative to the request
		if err != nil || !strings.HasPrefix(at.Path, prefix+"/v1/jobs/") {
			t.Fatalf("below %q: Location %v, %v", prefix, at, err)
		}
		job, err := http.Get(at.String())
		if err != nil {
			t.Fatal(err)
		}
		job.Body.Close()
		if job.StatusCode != 200 {
			t.Errorf("below %q: GET %v: status %d", prefix, at, job.StatusCode)
		}
	}
}

// A weak ETag, as a proxy that compresses makes it, is as good as a strong one.
func TestWeakETags(t *testing.T) {
	r := newRig(t)
	path := fmt.Sprintf("/v1/jobs/%d/steps/1/operate", r.asking())
	for _, c := range []struct {
		tag    string
		status int
	}{
		{`W/"1"`, 412}, {`W/2`, 400}, {`w/"2"`, 400}, {`W/`, 400}, {`W/*`, 400}, {`W/W/"2"`, 400}, {`W/"2", W/"3"`, 400}, {`W/"0"`, 400}, {`W/"2"`, 200},
	} {
		if w := r.ask("ann", "POST", path, `{"code":"confirm"}`, "If-Match", c.tag); w.Code != c.status {
			t.Errorf("If-Match %s: status %d, want %d: %s", c.tag, w.Code, c.status, w.Body)
		}
	}
}

// A history after a record that the job does not have is refused with the last one that it has;
// after that one it is empty.
func TestHistoryAhead(t *testing.T) {
	r := newRig(t)
	path := fmt.Sprintf("/v1/jobs/%d/history?after=", r.asking())
	for _, after := range []string{"3", "9223372036854775807"} {
		if v := r.want(409, "ann", "GET", path+after, ""); v["reason"] != "ahead" || v["version"] != 2.0 {
			t.Errorf("after %s: %v, want ahead of record 2", after, v)
		}
	}
	if v := r.want(200, "ann", "GET", path+"2", ""); len(v["items"].([]any)) != 0 {
		t.Errorf("after the last record: %v", v)
	}
}

// Jobs are counted by state, in the caller's scope, and no further than the given bound.
func TestCounts(t *testing.T) {
	r := newRig(t)
	for range 3 {
		r.asking()
	}
	r.running("a")
	r.report(r.running("a"), 0, step.NonZeroExit)
	for query, want := range map[string]string{
		"":              `{"counts":{"failed":1,"running":1,"waiting":3},"most":1000}`,
		"?most=2":       `{"counts":{"failed":1,"running":1,"waiting":2},"most":2}`,
		"?most=10000":   `{"counts":{"failed":1,"running":1,"waiting":3},"most":10000}`,
		"?most=0":       "most",
		"?most=10001":   "most",
		"?most=-1":      "most",
		"?most=1&x=1":   "query",
		"?most=1&most=": "most",
	} {
		w := r.ask("ann", "GET", "/v1/jobs/counts"+query, "")
		if text := strings.TrimSpace(w.Body.String()); text != want && !(w.Code == 400 && strings.Contains(text, fmt.Sprintf(`"field":%q`, want))) {
			t.Errorf("%s: status %d, %s, want %s", query, w.Code, text, want)
		}
	}
	if w := r.ask("ann", "GET", "/v1/jobs/counts", "", "X-Scope", "3"); strings.TrimSpace(w.Body.String()) != `{"counts":{},"most":1000}` {
		t.Errorf("in another scope: %s", w.Body)
	}
}

// A search finds a job by a part of its name. The page says how many jobs it has looked at, and whether
// there are more.
func TestJobsByName(t *testing.T) {
	var last store.JobID
	r := newRig(t, engine.WithJobIDs(func(step.Time) store.JobID { last++; return last }))
	r.asking() // "job"
	create := func(name string) {
		if _, err := r.eng.Create(t.Context(), engine.JobSpec{Name: name, Scope: scope, Steps: []step.Spec{{Type: step.Confirmation, Name: "ask"}}}, engine.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	create("Release 1.2")
	create("release 1.3")
	for query, want := range map[string]int{"name=RELEASE": 2, "name=1.2": 1, "name=nothing": 0, "name=e&state=waiting": 0, "name=JO&state=waiting&newest=true": 1} {
		v := r.want(200, "ann", "GET", "/v1/jobs?"+query, "")
		if len(v["items"].([]any)) != want || v["window"] != 10_000.0 || v["beyond"] != false {
			t.Errorf("%s: %v, want %d of 10,000 and none beyond", query, v, want)
		}
	}
	for _, query := range []string{"", "?name="} {
		if v := r.want(200, "ann", "GET", "/v1/jobs"+query, ""); len(v["items"].([]any)) != 3 || v["window"] != nil || v["beyond"] != nil {
			t.Errorf("%s: %v, want all and no window", query, v)
		}
	}
	if v := r.want(400, "ann", "GET", "/v1/jobs?name="+strings.Repeat("x", 257), ""); v["field"] != "name" {
		t.Errorf("a name that is too long: %v", v)
	}
	for range 9_998 {
		create("one of many")
	}
	if v := r.want(200, "ann", "GET", "/v1/jobs?name=job", ""); len(v["items"].([]any)) != 0 || v["beyond"] != true {
		t.Errorf("the 10,001st job: %v, want that there are more", v)
	}
	if v := r.want(200, "ann", "GET", "/v1/jobs?name=job&state=waiting", ""); len(v["items"].([]any)) != 1 || v["beyond"] != false {
		t.Errorf("the only one in its state: %v", v)
	}
}

// A caller that is only an executor has no calls of persons, and a person has no calls of executors.
// Both can read. The authorizer learns whether a person is an executor too.
func TestExecutorsAndPersons(t *testing.T) {
	var asked []engine.Access
	r := newRig(t, engine.WithAuthorizer(func(_ context.Context, a engine.Access) error {
		asked = append(asked, a)
		return nil
	}))
	var caller httpapi.Caller
	r.api = httpapi.New(r.eng, httpapi.Config{Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) { return caller, nil }})
	creation := `{"name":"n","steps":[{"type":"confirmation","name":"go?"}]}`
	pending, err := r.eng.Create(t.Context(), engine.JobSpec{Name: "job", Scope: scope, Steps: []step.Spec{{Type: step.Confirmation, Name: "ask"}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	at, asking, running := fmt.Sprintf("/v1/jobs/%d", pending.Job), fmt.Sprintf("/v1/jobs/%d", r.asking()), fmt.Sprintf("/v1/jobs/%d", r.running("a"))
	persons := []struct{ path, body string }{
		{"/v1/jobs", creation}, {at + "/start", ""}, {running + "/effects/2/give_up", `{"dry_run":true}`}, {running + "/terminate", ""},
		{asking + "/steps/1/operate", `{"code":"confirm","dry_run":true}`}, {asking + "/steps/1/operate", `{"code":"confirm"}`},
	}
	caller = httpapi.Caller{Scope: scope, Executor: true}
	for _, c := range persons {
		if v := r.want(403, "", "POST", c.path, c.body); v["reason"] != "denied" {
			t.Errorf("%s by an executor: %v", c.path, v)
		}
	}
	for _, v := range r.want(200, "", "GET", asking+"/steps/1/explain", "")["causes"].([]any) {
		if v.(map[string]any)["legal"] != false {
			t.Errorf("an executor may %v", v)
		}
	}
	r.want(200, "", "POST", "/v1/effects/claim", "")
	caller = httpapi.Caller{Person: "ann", Scope: scope}
	for _, path := range []string{"/v1/effects/claim", running + "/steps/1/report", running + "/effects/2/settle", running + "/effects/2/renew", running + "/effects/2/fail", running + "/effects/2/release"} {
		if v := r.want(403, "", "POST", path, ""); v["reason"] != "not_executor" {
			t.Errorf("%s by a person: %v", path, v)
		}
	}
	caller.Executor, asked = true, nil
	for _, c := range persons {
		if w := r.ask("", "POST", c.path, c.body); w.Code/100 != 2 {
			t.Errorf("%s by one who is both: status %d, %s", c.path, w.Code, w.Body)
		}
	}
	for _, a := range asked {
		if a.Actor != "ann" || !a.Executor {
			t.Errorf("the authorizer was asked %+v, want ann, who is an executor", a)
		}
	}
	if len(asked) < len(persons) {
		t.Errorf("the authorizer was asked %d times", len(asked))
	}
}

// An answer has the ETag that a GET of the job shows next, and none if nothing moved.
func TestNativeWhatMovesNothingHasNoETag(t *testing.T) {
	r := newRig(t)
	job := fmt.Sprintf("/v1/jobs/%d", r.asking())
	for _, ask := range []struct {
		path, body string
		moves      bool
	}{
		{"/hold", "", false},
		{"/resume", "", false},
		{"/steps/2/operate", `{"code":"stop_before"}`, false},
		{"/steps/2/operate", `{"code":"clear_stop"}`, false},
		{"/steps/1/operate", `{"code":"confirm"}`, true},
	} {
		got := r.ask("ann", "POST", job+ask.path, ask.body)
		want := ""
		if ask.moves {
			want = r.ask("ann", "GET", job, "").Header().Get("ETag")
		}
		if tag := got.Header().Get("ETag"); got.Code != 200 || tag != want || ask.moves && tag == "" {
			t.Errorf("%s %s: status %d, ETag %q, want %q", ask.path, ask.body, got.Code, tag, want)
		}
	}
}
