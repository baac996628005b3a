package openapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	ops "github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A site is a server of the API, on a store that fails on demand, and its client, which compares
// every answer with the document.
type site struct {
	*document
	st  *restless
	url string
	mu  sync.Mutex // guards the document
}

const (
	requestID = "01981f5e-6d30-7c11-9a52-3f6f5d6c8e1a"
	creation  = "01981f5e-6d30-7c11-9a52-3f6f5d6c8e1b"
	ending    = "01981f5e-6d30-7c11-9a52-3f6f5d6c8e1c"
)

// open serves an engine of some options on the store of s.
func (s *site) open(opts ...engine.Option) {
	s.Helper()
	opts = append(opts, engine.WithAuthorizer(func(_ context.Context, a engine.Access) error {
		if a.Actor == "eve" {
			return errors.New("not she")
		}
		return nil
	}))
	server := httptest.NewServer(httpapi.New(engine.New(s.st, opts...), httpapi.Config{
		StreamsPerPerson: 1, BodyTimeout: time.Second, WriteTimeout: time.Second,
		Identify: func(r *http.Request, _ httpapi.Credentials) (httpapi.Caller, error) {
			person := r.Header.Get("X-Person")
			if person == "" {
				return httpapi.Caller{}, errors.New("nobody")
			}
			c := httpapi.Caller{Person: person, Scope: store.Scope{Type: "biz", ID: "2"}, Executor: person == "agent"}
			if person == "copier" {
				c.Executor, c.Types = true, step.TypesOf(step.FileTransfer)
			}
			return c, nil
		},
	}))
	s.Cleanup(server.Close)
	s.url = server.URL
}

// send makes a request and returns the status and the body. Headers come in pairs.
func (s *site) send(person, method, target, body string, header ...string) (int, []byte) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+target, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("X-Person", person)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check(req, body, resp, answer)
	if resp.StatusCode < 300 {
		s.checkRequest(req, body)
	}
	return resp.StatusCode, answer
}

// want is send, and fails the test on another status.
func (s *site) want(status int, person, method, target, body string, header ...string) object {
	s.Helper()
	got, answer := s.send(person, method, target, body, header...)
	if got != status {
		s.Fatalf("%s %s %.200s: status %d, want %d: %s", method, target, body, got, status, answer)
	}
	var v object
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &v); err != nil {
			s.Fatal(err)
		}
	}
	return v
}

// cut makes a request whose body breaks off. Its answer is no refusal.
func (s *site) cut(method, target string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+target, nil)
	if err != nil {
		s.Fatal(err)
	}
	conn, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // so that this ends if it fails
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nX-Person: agent\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", method, target)
	_ = conn.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		s.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	if resp.StatusCode != http.StatusRequestTimeout {
		s.Errorf("%s %s with a body that breaks off: status %d, want 408: %s", method, target, resp.StatusCode, answer)
	}
	s.check(req, "", resp, answer)
}

// create creates a job of steps and starts it.
func (s *site) create(steps string) (path string) {
	s.Helper()
	v := s.want(201, "ann", "POST", "/v1/jobs", `{"name":"job","steps":[`+steps+`]}`)
	path = fmt.Sprintf("/v1/jobs/%.0f", v["id"])
	s.want(200, "ann", "POST", path+"/start", "")
	return path
}

const (
	asks = `{"type":"confirmation","name":"go?"}`
	runs = `{"type":"script","name":"copy","targets":["a","b"],"payload":"cp"}`
)

// claim claims until there is an effect of a job, and returns it.
func (s *site) claim(path, effect string) object {
	s.Helper()
	for {
		items := s.want(200, "agent", "POST", "/v1/effects/claim", fmt.Sprintf(`{"effects":[%q]}`, effect))["items"].([]any)
		if len(items) == 0 {
			s.Fatalf("no %s of %s", effect, path)
		}
		for _, item := range items {
			if d := item.(object); fmt.Sprintf("/v1/jobs/%.0f", d["job"].(object)["id"]) == path {
				return d
			}
		}
	}
}

// Traffic of every kind fits the document, and every part of the document occurs in it.
func TestTraffic(t *testing.T) {
	s := &site{document: newDocument(t), st: &restless{Faults: storetest.NewFaults(memstore.New())}}
	s.open()
	s.everywhere()
	s.jobs()
	s.steps()
	s.gates()
	s.executors()
	s.effects()
	s.refusals()
	s.foreignRules()
	s.sealed()
	s.events()
	s.closes()
	s.redoes()
	s.diagnoses()
	s.failures()
	s.busy()
	s.unseen()
}

// everywhere makes every operation give the answers that all operations share.
func (s *site) everywhere() {
	path := s.create(asks)
	for _, op := range s.operations() {
		there := strings.NewReplacer("/v1/jobs/{job}", path, "{step}", "1", "{seq}", "2").Replace(op.path)
		never := strings.NewReplacer("{job}", "77", "{step}", "1", "{seq}", "2").Replace(op.path)
		body := s.example(op)
		answers := op.object["responses"].(object)
		s.want(400, "agent", op.method, there+"?nonsense=1", body)
		if answers["401"] != nil {
			s.want(401, "", op.method, there, body)
		}
		if answers["403"] != nil {
			s.want(403, "agent", op.method, there, body, "Sec-Fetch-Site", "cross-site")
		}
		if answers["404"] != nil {
			s.want(404, "agent", op.method, never, body)
		}
		if answers["408"] != nil {
			s.cut(op.method, there)
		}
		if answers["415"] != nil {
			s.want(415, "agent", op.method, there, body, "Content-Type", "text/plain")
		}
		if op.object["x-executor"] != nil {
			s.want(403, "ann", op.method, there, body)
		}
		if strings.Contains(there, "/steps/1") {
			s.want(404, "agent", op.method, strings.Replace(there, "/steps/1", "/steps/9", 1), body)
		}
		if answers["500"] != nil {
			s.st.fails(storetest.Any, errDown)
			s.want(500, "agent", op.method, there, body)
			s.st.Clear()
		}
		s.want(405, "agent", "DELETE", there, "")
	}
	s.want(404, "agent", "GET", "/v1/nothing", "")
}

func (s *site) jobs() {
	s.want(200, "", "GET", "/v1/openapi.json", "")
	s.want(200, "ann", "GET", "/v1/rules", "")
	create := `{"name":"release","scope":{"type":"biz","id":"2"},"reason":"r","request_id":"` + creation + `","steps":[
		{"type":"confirmation","name":"go?","confirmers":["ann"],"timeout_ms":60000,"on_timeout":"confirm"},
		{"type":1,"name":"copy","targets":["a"],"ignore_errors":true,"payload":"cp"}]}`
	v := s.want(201, "ann", "POST", "/v1/jobs", create)
	s.want(422, "ann", "POST", "/v1/jobs", strings.Replace(create, `"r"`, `"another"`, 1))
	s.want(403, "eve", "POST", "/v1/jobs", create)
	path := fmt.Sprintf("/v1/jobs/%.0f", v["id"])
	said := `{"reason":"r","if_version":1,"if_attempt":1,"request_id":"` + requestID + `","dry_run":false}`
	first := strings.Replace(said, `"if_attempt":1,`, "", 1)
	s.want(403, "eve", "POST", path+"/start", first)
	s.want(412, "ann", "POST", path+"/start", `{}`, "If-Match", `"7"`)
	s.want(200, "ann", "POST", path+"/start", `{"dry_run":true}`)
	s.want(200, "ann", "POST", path+"/start", first, "If-Match", `"1"`)
	s.want(200, "ann", "POST", path+"/start", first)
	s.want(422, "ann", "POST", path+"/start", `{"request_id":"`+requestID+`"}`)
	s.want(409, "ann", "POST", path+"/start", "")
	s.want(409, "ann", "POST", path+"/start", `{"if_version":1}`)
	s.want(200, "ann", "GET", path, "")
	s.want(200, "ann", "GET", path+"/history?after=0&limit=1", "")
	s.want(409, "ann", "GET", path+"/history?after=77", "")
	s.want(200, "ann", "GET", path+"/effects?after=0&limit=1", "")
	s.want(200, "ann", "GET", "/v1/jobs?state=waiting,1&name=e&after=0&limit=1&newest=true", "")
	s.want(200, "ann", "GET", "/v1/jobs/counts?most=2", "")
	second := strings.Replace(said, `"if_version":1`, `"if_version":2`, 1)
	second = strings.Replace(second, requestID, ending, 1)
	s.want(403, "eve", "POST", path+"/terminate", second)
	s.want(412, "ann", "POST", path+"/terminate", `{}`, "If-Match", `"1"`)
	s.want(422, "ann", "POST", path+"/terminate", `{"request_id":"`+requestID+`"}`)
	s.want(200, "ann", "POST", path+"/terminate", second, "If-Match", `W/"2"`)
	s.want(409, "ann", "POST", path+"/terminate", "")
	s.want(200, "ann", "GET", path+"/effects", "") // the end of the job
	d := s.claim(path, "job_ended")
	at := fmt.Sprintf("%s/effects/%.0f", path, d["seq"])
	s.want(204, "agent", "POST", at+"/fail", fmt.Sprintf(`{"count":1,"token":%q,"error":"nobody listens"}`, d["token"]))
	s.want(200, "ann", "GET", path+"/effects", "") // and that it failed
}

func (s *site) steps() {
	path := s.create(asks + "," + runs)
	one, two := path+"/steps/1", path+"/steps/2"
	s.want(200, "ann", "GET", path+"/steps?after=0&limit=1", "")
	s.want(200, "ann", "GET", one, "")
	s.want(200, "ann", "GET", one+"/explain", "")
	s.want(200, "eve", "GET", one+"/explain", "")
	s.want(403, "eve", "POST", one+"/operate", `{"code":"confirm"}`)
	s.want(412, "ann", "POST", one+"/operate", `{"code":"confirm"}`, "If-Match", `"1"`)
	said := `{"code":"confirm","reason":"r","if_version":2,"if_attempt":1,"request_id":"` + requestID + `","dry_run":false}`
	s.want(200, "ann", "POST", one+"/operate", `{"code":6,"dry_run":true}`)
	s.want(200, "ann", "POST", one+"/operate", said, "If-Match", `"2"`)
	s.want(422, "ann", "POST", one+"/operate", strings.Replace(said, `"r"`, `"another"`, 1))
	for _, query := range []string{
		"", "?class=due&status=waiting,7&from=1&limit=1&if_attempt=1&attempt=0", "?attempt=1", "?class=failed", "?from=0&limit=1",
	} {
		s.want(200, "ann", "GET", two+"/targets"+query, "")
	}
	s.want(409, "ann", "GET", two+"/targets?if_attempt=2", "")
	s.want(200, "ann", "GET", path+"/history", "")
}

// gates makes jobs wait for everything that a step can wait for, and retry, in batches.
func (s *site) gates() {
	create := `{"name":"rolling","start_at":1,"timeout_ms":3600000,"turn":{"key":"production","limit":1},"steps":[
		{"type":"script","name":"install","targets":["a","b","c"],"stop_before":true,"total_timeout_ms":60000,
		 "retry":{"attempts":1,"after_ms":1000,"most_ms":60000,"except":["failed",404]},
		 "rolling":{"batches":"1 2","between":{"delay_ms":1500,"person":true}},"tolerate":{"percent":40}},
		{"type":"script","name":"check","targets":["d"],"delay_ms":60000,"window":"night","tolerate":{"count":1}}]}`
	path := fmt.Sprintf("/v1/jobs/%.0f", s.want(201, "ann", "POST", "/v1/jobs", create)["id"])
	other := fmt.Sprintf("/v1/jobs/%.0f", s.want(201, "ann", "POST", "/v1/jobs", create)["id"])
	looks := func() {
		for _, read := range []string{"", "/steps", "/steps/1", "/steps/1/targets", "/steps/1/batches", "/steps/1/explain", "/history", "/effects"} {
			s.want(200, "ann", "GET", path+read, "")
		}
	}
	operates := func(code string) { s.want(200, "ann", "POST", path+"/steps/1/operate", `{"code":"`+code+`"}`) }
	refuses := func(reason, path, body string) {
		if got := s.want(409, "ann", "POST", path, body)["reason"]; got != reason {
			s.Errorf("%s %s: %v, want %s", path, body, got, reason)
		}
	}
	s.want(200, "ann", "GET", "/v1/batches?batches=1+10%25&total=100", "")
	looks()
	s.want(200, "ann", "POST", path+"/steps/2/operate", `{"code":21}`)
	refuses("stop_set", path+"/steps/2/operate", `{"code":"stop_before"}`)
	s.want(200, "ann", "POST", path+"/steps/2/operate", `{"code":22}`)
	refuses("no_stop", path+"/steps/2/operate", `{"code":"clear_stop"}`)
	refuses("not_held", path+"/resume", "")
	for _, way := range []string{"/hold", "/resume"} {
		key := `{"reason":"r","request_id":"01981f5e-6d30-7c11-9a52-00000000000` + fmt.Sprint(len(way)) + `"}`
		s.want(403, "eve", "POST", path+way, "")
		s.want(412, "ann", "POST", path+way, "", "If-Match", `"99"`)
		s.want(200, "ann", "POST", path+way, key, "If-Match", "*")
		s.want(422, "ann", "POST", path+way, strings.Replace(key, `"r"`, `"another"`, 1))
	}
	s.want(200, "ann", "POST", path+"/hold", "")
	refuses("on_hold", path+"/hold", "")
	s.want(200, "ann", "POST", path+"/start", "")
	looks()
	operates("continue")
	refuses("on_hold", path+"/steps/1/operate", `{"code":13}`)
	s.want(200, "ann", "POST", path+"/resume", "")
	s.want(200, "ann", "POST", other+"/start", "")
	s.want(200, "ann", "POST", other+"/steps/1/operate", `{"code":"continue"}`)
	refuses("no_turn", other+"/steps/1/operate", `{"code":"continue"}`)
	s.want(200, "ann", "GET", other, "")
	s.claim(path, "run")
	s.want(200, "agent", "POST", path+"/steps/1/report", `{"attempt":1,"results":[{"target":0,"status":"succeeded"},{"target":1,"status":9}]}`)
	looks()
	operates("continue")
	operates("continue")
	s.want(200, "agent", "POST", path+"/steps/1/report", `{"attempt":2,"results":[{"target":1,"status":104},{"target":2,"status":9}]}`)
	looks()
	operates("continue")
	s.want(200, "agent", "POST", path+"/steps/1/report", `{"attempt":3,"outcome":"broke"}`)
	operates("ignore_error")
	looks()
	s.want(200, "ann", "POST", path+"/terminate", "")

	all := s.create(`{"type":"script","name":"all","targets":["a","b"],"rolling":{"batches":"2"}}`)
	s.want(200, "ann", "POST", all+"/terminate", "")
	s.want(200, "agent", "POST", all+"/steps/1/report", `{"attempt":1,"outcome":"stopped"}`)
	refuses("no_batch_left", all+"/steps/1/operate", `{"code":"continue"}`)
}

func (s *site) executors() {
	path := s.create(runs)
	report := path + "/steps/1/report"
	d := s.claim(path, "run")
	at := fmt.Sprintf("%s/effects/%.0f", path, d["seq"])
	s.want(204, "agent", "POST", at+"/renew", fmt.Sprintf(`{"count":1,"token":%q,"lease_ms":60000}`, d["token"]))
	for _, name := range []string{"renew", "settle"} {
		s.want(409, "agent", "POST", at+"/"+name, fmt.Sprintf(`{"count":7,"token":%q}`, d["token"]))
	}
	s.want(403, "copier", "POST", at+"/settle", fmt.Sprintf(`{"count":1,"token":%q}`, d["token"]))
	s.want(403, "copier", "POST", report, `{"attempt":1,"outcome":"stopped"}`)
	s.want(403, "copier", "POST", "/v1/effects/claim", `{"types":["script"]}`)
	s.want(200, "copier", "POST", "/v1/effects/claim", "")
	s.want(409, "agent", "POST", at+"/fail", fmt.Sprintf(`{"count":7,"token":%q,"error":"e"}`, d["token"]))
	s.want(204, "agent", "POST", at+"/settle", fmt.Sprintf(`{"count":1,"token":%q}`, d["token"]))
	s.want(200, "agent", "POST", report, `{"attempt":1,"results":[{"target":0,"status":104,"exit_code":1,"started":1,"finished":2,"detail":"full"}]}`)
	s.want(200, "agent", "POST", report, `{"attempt":1,"results":[{"target":0,"status":"succeeded"}]}`) // rejected
	s.want(200, "ann", "GET", path+"/steps/1/targets?status=non_zero_exit", "")
	s.want(200, "ann", "POST", path+"/terminate", "")
	d = s.claim(path, "stop")
	s.want(204, "agent", "POST", fmt.Sprintf("%s/effects/%.0f/settle", path, d["seq"]), fmt.Sprintf(`{"count":1,"token":%q}`, d["token"]))
	s.want(200, "ann", "GET", path+"/effects", "") // a stop that was delivered
	s.want(200, "agent", "POST", report, `{"attempt":1,"outcome":"stopped","reason":"as told"}`)
	s.want(200, "ann", "POST", path+"/steps/1/operate", `{"code":"retry_all"}`)
	s.want(409, "agent", "POST", report, `{"attempt":1,"outcome":5}`) // of an attempt before
	s.want(200, "ann", "GET", path+"/history", "")
	s.want(200, "agent", "POST", "/v1/effects/claim", `{"effects":["run",4],"types":["script",2],"lease_ms":1000,"limit":100,"wait_ms":0}`)
}

// effects makes a person hurry and give up an effect that keeps failing, after an executor released it.
func (s *site) effects() {
	path := s.create(runs)
	d := s.claim(path, "run")
	at := fmt.Sprintf("%s/effects/%.0f", path, d["seq"])
	s.want(200, "ann", "GET", path+"/effects", "") // held
	s.want(409, "ann", "POST", at+"/hurry", "")
	s.want(204, "agent", "POST", at+"/release", fmt.Sprintf(`{"count":1,"token":%q}`, d["token"]))
	s.want(409, "agent", "POST", at+"/release", fmt.Sprintf(`{"count":7,"token":%q}`, d["token"]))
	said := `{"reason":"r","if_version":2,"if_attempt":1,"request_id":"` + requestID + `","dry_run":false}`
	ended := strings.Replace(said, requestID, ending, 1)
	for name, body := range map[string]string{"hurry": said, "give_up": ended} {
		s.want(403, "eve", "POST", at+"/"+name, body)
		s.want(412, "ann", "POST", at+"/"+name, `{}`, "If-Match", `"1"`)
		s.want(409, "ann", "POST", at+"/"+name, `{"if_version":1}`)
		s.want(200, "ann", "POST", at+"/"+name, `{"dry_run":true}`)
	}
	s.want(200, "ann", "POST", at+"/hurry", said, "If-Match", `"2"`)
	s.want(200, "ann", "POST", at+"/give_up", ended, "If-Match", `"2"`)
	s.want(200, "ann", "POST", at+"/give_up", ended)
	s.want(422, "ann", "POST", at+"/give_up", strings.Replace(ended, `"r"`, `"another"`, 1))
	s.want(422, "ann", "POST", at+"/hurry", ended)
	s.want(409, "ann", "POST", at+"/give_up", "") // settled
	s.want(409, "ann", "POST", at+"/hurry", "")
	s.want(200, "ann", "GET", path+"/history", "")
}

func (s *site) refusals() {
	confirm := s.create(`{"type":3,"name":"go?","confirmers":["bob"]},` + asks)
	run := s.create(runs)
	for _, c := range []struct {
		status                    int
		path, body, wants, person string
	}{
		{403, confirm + "/steps/1", `{"code":"confirm"}`, "not_confirmer", "ann"},
		{409, confirm + "/steps/1", `{"code":"retry_all"}`, "wrong_type", "ann"},
		{409, confirm + "/steps/1", `{"code":"restart_confirmation"}`, "wrong_state", "bob"},
		{409, confirm + "/steps/2", `{"code":"confirm"}`, "not_current", "ann"},
		{409, run + "/steps/1", `{"code":2,"if_attempt":7}`, "stale", "ann"},
	} {
		if v := s.want(c.status, c.person, "POST", c.path+"/operate", c.body); v["reason"] != c.wants {
			s.Errorf("%s %s: %v, want %s", c.path, c.body, v, c.wants)
		}
	}
	s.want(409, "agent", "POST", confirm+"/steps/1/report", `{"attempt":1,"outcome":"abnormal"}`)
	// All succeeded, and then the executor broke: nothing is left to retry.
	s.want(200, "agent", "POST", run+"/steps/1/report", `{"attempt":1,"outcome":6,"results":[{"target":0,"status":9},{"target":1,"status":9}]}`)
	if v := s.want(409, "ann", "POST", run+"/steps/1/operate", `{"code":2}`); v["reason"] != "nothing_to_retry" {
		s.Errorf("nothing to retry: %v", v)
	}
	s.want(400, "ann", "POST", run+"/steps/1/operate", `{"code":"nothing"}`)
}

// foreignRules reads a job under rules that do not know the type of its next step.
func (s *site) foreignRules() {
	path := s.create(asks + `,{"type":"sql","name":"migrate","targets":["db"]}`)
	runs := s.create(`{"type":"sql","name":"migrate","targets":["db"]}`)
	t := ops.StandardTable()
	t.Kinds = slices.DeleteFunc(t.Kinds, func(k step.Kind) bool { return k.Type == step.SQL })
	for i := range t.Rows {
		t.Rows[i].On = t.Rows[i].On.Without(step.SQL)
	}
	rules, err := t.Compile()
	if err != nil {
		s.Fatal(err)
	}
	before := s.url
	s.open(engine.WithRules(rules))
	s.want(200, "ann", "GET", path+"/steps/1/explain", "")
	if v := s.want(409, "ann", "POST", runs+"/effects/2/give_up", ""); v["reason"] != "wrong_type" {
		s.Errorf("give up a run of another type: %v", v)
	}
	s.url = before
}

// sealed seals a job by an operation of the program's own.
func (s *site) sealed() {
	path := s.create(runs)
	s.want(200, "agent", "POST", path+"/steps/1/report", `{"attempt":1,"outcome":"broke"}`)
	seal, t := ops.JobCode(40), ops.StandardTable()
	t.Rows = append(t.Rows, ops.Row{Cause: seal.Cause(), From: step.StatesOf(step.Abnormal), Do: step.Seal})
	rules, err := t.Compile()
	if err != nil {
		s.Fatal(err)
	}
	before := s.url
	s.open(engine.WithRules(rules))
	s.want(200, "ann", "GET", "/v1/rules", "")
	s.want(200, "ann", "GET", path+"/steps/1/explain", "")
	var job store.JobID
	if _, err := fmt.Sscanf(path, "/v1/jobs/%d", &job); err != nil {
		s.Fatal(err)
	}
	if _, err := engine.New(s.st, engine.WithRules(rules)).OperateJob(s.Context(), job, seal, engine.Request{}); err != nil {
		s.Fatal(err)
	}
	for call, body := range map[string]string{"/steps/1/operate": `{"code":"retry_all"}`, "/start": "", "/terminate": ""} {
		if v := s.want(409, "ann", "POST", path+call, body); v["reason"] != "sealed" {
			s.Errorf("%s of a sealed job: %v", call, v)
		}
	}
	s.want(200, "ann", "GET", path, "")
	s.want(200, "ann", "GET", path+"/steps/1/explain", "")
	s.want(200, "ann", "GET", path+"/history", "")
	s.url = before
}

// events reads a stream, which stays open. The API refuses a second one.
func (s *site) events() {
	path := s.create(asks)
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+path+"/events?after=1&progress=false", nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("X-Person", "ann")
	req.Header.Set("Last-Event-ID", "")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	s.check(req, "", resp, nil)
	s.checkRequest(req, "")
	lines := bufio.NewScanner(resp.Body)
	for n := 0; n < 1 && lines.Scan(); {
		if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			s.checkBody("event", "/components/schemas/Record", data)
			n++
		}
	}
	s.want(429, "ann", "GET", path+"/events", "")
}

// closes seals jobs and comments them.
func (s *site) closes() {
	const key = `{"reason":"r","if_version":4,"if_attempt":1,"request_id":"01981f5e-6d30-7c11-9a52-0000000000c1","dry_run":false}`
	failed, asked := s.broken(), s.create(asks)
	s.want(409, "ann", "POST", asked+"/seal", "")
	s.want(200, "ann", "POST", asked+"/terminate", "")
	if v := s.want(409, "ann", "POST", asked+"/seal", ""); v["reason"] != "final" {
		s.Errorf("a seal of a final job: %v", v)
	}
	for _, way := range []string{"/comment", "/seal"} {
		own := strings.Replace(key, "c1", fmt.Sprintf("%02x", len(way)), 1)
		s.want(400, "ann", "POST", failed+"/comment", `{"reason":""}`)
		s.want(403, "eve", "POST", failed+way, `{"reason":"r"}`)
		s.want(412, "ann", "POST", failed+way, `{"reason":"r"}`, "If-Match", `"99"`)
		s.want(409, "ann", "POST", failed+way, `{"reason":"r","if_version":99}`)
		s.want(200, "ann", "POST", failed+way, `{"reason":"r","dry_run":true}`)
		s.want(200, "ann", "POST", failed+way, strings.Replace(own, `"if_version":4`, `"if_version":3`, 1), "If-Match", "*")
		s.want(422, "ann", "POST", failed+way, strings.Replace(own, `"r"`, `"another"`, 1))
	}
	s.want(200, "ann", "POST", failed+"/comment", `{"reason":"on a sealed job"}`)
}

// redoes repeats jobs, or parts of them.
func (s *site) redoes() {
	job := s.create(runs + "," + asks)
	again := job + "/redo"
	s.want(201, "ann", "POST", again, "")
	key := `{"from":1,"failed":true,"reason":"r","request_id":"01981f5e-6d30-7c11-9a52-0000000000d1"}`
	s.want(201, "ann", "POST", again, key)
	s.want(422, "ann", "POST", again, strings.Replace(key, `"r"`, `"another"`, 1))
	s.want(400, "ann", "POST", again, `{"from":0}`)
	s.want(403, "eve", "POST", again, "")
	s.want(404, "ann", "POST", again, `{"from":3}`)
	s.want(200, "agent", "POST", job+"/steps/1/report", `{"attempt":1,"results":[{"target":0,"status":9},{"target":1,"status":9}]}`)
	s.want(409, "ann", "POST", again, `{"failed":true}`)
	s.want(201, "ann", "POST", again, `{"from":2}`)
	borne := s.create(`{"type":"script","name":"copy","targets":["a"],"ignore_errors":true}`)
	s.want(200, "agent", "POST", borne+"/steps/1/report", `{"attempt":1,"results":[{"target":0,"status":"failed"}]}`)
	s.want(200, "ann", "GET", borne, "")
}

// diagnoses asks what jobs wait for.
func (s *site) diagnoses() {
	awaits := func(want, path string) {
		if got := s.want(200, "ann", "GET", path+"/diagnosis", "")["awaits"]; got != want {
			s.Errorf("%s waits for %v, want %s", path, got, want)
		}
	}
	awaits("confirmer", s.create(`{"type":"confirmation","name":"go?","confirmers":["ann"],"timeout_ms":60000}`))
	run := s.create(runs)
	awaits("claim", run)
	d := s.claim(run, "run")
	awaits("executor", run)
	s.want(204, "agent", "POST", fmt.Sprintf("%s/effects/%.0f/fail", run, d["seq"]), fmt.Sprintf(`{"count":1,"token":%q,"error":"no route"}`, d["token"]))
	awaits("next_try", run)
}

// broken returns the path of a job whose only step is abnormal.
func (s *site) broken() string {
	path := s.create(runs)
	s.want(200, "agent", "POST", path+"/steps/1/report", `{"attempt":1,"outcome":"broke"}`)
	return path
}

// failures makes the store fail during a commit, lose every race, and move between two reads.
func (s *site) failures() {
	pending := fmt.Sprintf("/v1/jobs/%.0f", s.want(201, "ann", "POST", "/v1/jobs", `{"name":"job","steps":[`+asks+`]}`)["id"])
	asked, run, held := s.create(asks+","+asks), s.create(runs), s.create(asks)
	s.want(200, "ann", "POST", held+"/hold", "")
	broken := s.broken()
	writes := []struct{ path, body string }{
		{"/v1/jobs", `{"name":"job","steps":[` + asks + `]}`},
		{pending + "/start", ""},
		{asked + "/hold", ""},
		{held + "/resume", ""},
		{broken + "/comment", `{"reason":"r"}`},
		{broken + "/redo", ""},
		{broken + "/seal", ""},
		{asked + "/terminate", ""},
		{asked + "/steps/1/operate", `{"code":"confirm"}`},
		{run + "/effects/2/hurry", ""},
		{run + "/effects/2/give_up", ""},
		{run + "/steps/1/report", `{"attempt":1,"outcome":"abandoned"}`},
	}
	for _, w := range writes {
		s.st.fails(storetest.Commit, errDown)
		v := s.want(500, "agent", "POST", w.path, w.body)
		if takesID := !strings.HasSuffix(w.path, "/report"); v["reason"] != "unknown_outcome" || (v["request_id"] != nil) != takesID {
			s.Errorf("%s: %v", w.path, v)
		}
		s.st.Clear()
		s.st.fails(storetest.Commit, store.ErrConflict)
		if v := s.want(503, "agent", "POST", w.path, w.body); v["reason"] != "conflict" {
			s.Errorf("%s: %v", w.path, v)
		}
		s.st.Clear()
	}
	s.st.moves.Store(true)
	s.want(503, "ann", "GET", asked+"/steps/2/explain", "")
	s.want(503, "ann", "GET", asked+"/diagnosis", "")
	s.st.moves.Store(false)
}

// busy makes a request wait in the store, and another request of the same client wait for its turn:
// large bodies in a commit, and calls with large answers in a read.
func (s *site) busy() {
	run := s.create(runs)
	large := fmt.Sprintf(`{"name":"job","steps":[{"type":1,"name":"s","targets":["a"],"payload":%q}]}`, strings.Repeat("x", 100<<10))
	report := `{"attempt":1,"outcome":"abandoned"}` + strings.Repeat(" ", 100<<10)
	slow, stuck := []storetest.Method{storetest.View, storetest.Steps, storetest.Claim}, []storetest.Method{storetest.Commit}
	for _, c := range []struct {
		person, method, path, body string
		at                         []storetest.Method
		status                     int
	}{
		{"ann", "GET", run + "/steps", "", slow, 200},
		{"ann", "GET", run + "/steps/1", "", slow, 200},
		{"ann", "GET", run + "/steps/1/explain", "", slow, 200},
		{"agent", "POST", "/v1/effects/claim", "", slow, 200},
		{"ann", "POST", "/v1/jobs", large, stuck, 201},
		{"agent", "POST", run + "/steps/1/report", report, stuck, 200},
	} {
		come, open := make(chan struct{}), make(chan struct{})
		s.st.waits(come, open, c.at...)
		var first sync.WaitGroup
		first.Go(func() {
			if status, text := s.send(c.person, c.method, c.path, c.body); status != c.status {
				s.Errorf("the first %s %s: status %d: %s", c.method, c.path, status, text)
			}
		})
		<-come
		if status, text := s.send(c.person, c.method, c.path, c.body); status != 503 || !strings.Contains(string(text), `"busy"`) {
			s.Errorf("the second %s %s: status %d: %s", c.method, c.path, status, text)
		}
		close(open)
		first.Wait()
		s.st.Clear()
	}
}

// unseen fails the test for each part of the document that did not occur.
func (s *site) unseen() {
	for _, name := range slices.Sorted(maps.Keys(s.all["components"].(object)["schemas"].(object))) {
		pointer := "/components/schemas/" + name
		schema, _ := s.at(pointer)
		properties, _ := schema["properties"].(object)
		for _, property := range slices.Sorted(maps.Keys(properties)) {
			if at := pointer + "/properties/" + property; !s.seen[at] {
				s.Errorf("%s was not seen", at)
			}
		}
	}
	for _, op := range s.operations() {
		for status := range op.object["responses"].(object) {
			if !s.seen[op.pointer+" "+status] {
				s.Errorf("%s %s: status %s was not seen", op.method, op.path, status)
			}
			_, at := s.at(op.pointer + "/responses/" + status)
			if s.seen[at] {
				continue
			}
			s.seen[at] = true
			answer, _ := s.at(at)
			content, _ := answer["content"].(object)
			if content["application/problem+json"] == nil {
				continue
			}
			schema := at + "/content/application~1problem+json/schema"
			whole, _ := s.at(schema)
			for _, reason := range whole["allOf"].([]any)[1].(object)["properties"].(object)["reason"].(object)["enum"].([]any) {
				if !s.seen[schema+" "+reason.(string)] {
					s.Errorf("%s: reason %s was not seen", at, reason)
				}
			}
		}
		parameters, _ := op.object["parameters"].([]any)
		for _, p := range parameters {
			p := p.(object)
			if ref, ok := p["$ref"].(string); ok {
				p, _ = s.at(ref[1:])
			}
			if in, name := p["in"].(string), p["name"].(string); !s.seen[op.pointer+" "+in+" "+name] {
				s.Errorf("%s %s: parameter %s was not seen", op.method, op.path, name)
			}
		}
	}
	problem, _ := s.at("/components/schemas/Problem/properties/reason")
	for _, reason := range problem["enum"].([]any) {
		if !s.seen["reason "+reason.(string)] {
			s.Errorf("reason %s was not seen", reason)
		}
	}
}
