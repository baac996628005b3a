package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A clientShape is a request as a public client of the reference platform sends it.
type clientShape struct {
	client       string
	method, path string
	header       map[string]string
	body         string
	person, app  string // in the credentials for Identify
	code         int    // of the answer
}

const (
	inHeader    = `{"bk_app_code": "app", "bk_app_secret": "xxx", "bk_username": "ann"}`
	statusQuery = "bk_scope_type=biz&bk_scope_id=2&job_instance_id=100&return_ip_result=True"
)

// The job is number 100 of the business 2: a script that has failed on one of two hosts, and
// a confirmation after it.
var clientShapes = []clientShape{
	{"bk-sops, blueking/component", "POST", "/api/c/compapi/v2/jobv3/get_job_instance_status/",
		map[string]string{"X-Bkapi-Authorization": inHeader, "x-use-test-env": "0", "blueking-language": "zh-cn", "Content-Type": ""},
		`{"bk_scope_type": "biz", "bk_scope_id": "2", "bk_biz_id": 2, "job_instance_id": "100", "return_ip_result": true}`, "ann", "app", 0},
	{"bk-sops, a query", "GET", "/api/c/compapi/v2/jobv3/get_job_instance_status/?bk_biz_id=2&" + statusQuery,
		map[string]string{"X-Bkapi-Authorization": inHeader}, "", "ann", "app", 0},
	{"bk-sops fork, a plugin", "POST", "/api/c/compapi/v2/jobv3/operate_step_instance/",
		map[string]string{"X-Bkapi-Authorization": inHeader, "Content-Type": ""},
		`{"bk_biz_id": "2", "job_instance_id": "100", "step_instance_id": 1, "operation_code": "2"}`, "ann", "app", 0},
	{"bkapi_client_core", "GET", "/api/c/compapi/v2/jobv3/get_job_instance_status/?" + statusQuery,
		map[string]string{"X-Bkapi-Authorization": `{"bk_app_code": "app", "bk_app_secret": "xxx", "bk_token": "t", "bk_ticket": null}`}, "", "", "app", 0},
	{"bkapi_client_core without a version", "POST", "/api/c/compapi/jobv3/operate_job_instance/",
		map[string]string{"X-Bkapi-Authorization": `{"access_token": "t"}`, "Content-Type": "application/json"},
		`{"bk_scope_type": "biz", "bk_scope_id": "2", "job_instance_id": 100, "operation_code": 1}`, "", "", 1241003},
	{"APIGatewayClient", "POST", "/api/v3/operate_step_instance",
		map[string]string{"X-Bkapi-Authorization": inHeader, "Content-Type": "application/json"},
		`{"bk_scope_type": "biz", "bk_scope_id": "2", "job_instance_id": 100, "step_instance_id": 1, "operation_code": 3}`, "ann", "app", 0},
	{"dbm", "POST", "/api/c/compapi/v2/jobv3/get_job_instance_status/",
		map[string]string{"X-Bkapi-Authorization": inHeader, "Content-Type": "application/json"},
		`{"bk_biz_id": 2, "job_instance_id": 100, "return_ip_result": true}`, "ann", "app", 0},
	{"dbm, another node", "POST", "/api/c/compapi/v2/jobv3/operate_step_instance/",
		map[string]string{"X-Bkapi-Authorization": inHeader, "Content-Type": "application/json"},
		`{"bk_biz_id": 2, "job_instance_id": 100, "step_instance_id": 1, "operation_code": 2}`, "ann", "app", 0},
	{"bcs", "GET", "/api/c/compapi/v2/jobv3/get_job_instance_status/?" + statusQuery,
		map[string]string{"X-Bkapi-Authorization": inHeader, "Content-Type": "application/json", "Accept": "application/json"}, "", "ann", "app", 0},
	{"bk-ci", "POST", "/api/c/compapi/v2/jobv3/operate_step_instance",
		map[string]string{"Content-Type": "application/json; charset=utf-8"},
		`{"bk_app_code": "app", "bk_app_secret": "xxx", "bk_username": "ann", "bk_scope_type": "biz", "bk_scope_id": "2", "bk_biz_id": null, "job_instance_id": 100, "step_instance_id": 1, "operation_code": 8}`, "ann", "app", 0},
	{"bk-chatbot", "POST", "/api/c/compapi/v2/jobv3/operate_step_instance/", nil,
		`{"bk_app_code": "app", "bk_app_secret": "xxx", "bk_username": "ann", "bk_biz_id": 2, "job_instance_id": 100, "step_instance_id": 1, "operation_code": 6}`, "ann", "app", 1241003},
	{"bk-nodeman, bk-log", "POST", "/api/c/compapi/v2/jobv3/get_job_instance_status/",
		map[string]string{"Content-Type": "application/json; charset=utf-8", "X-Bkapi-Request-Id": "r1", "X-Bkapi-Authorization": inHeader},
		`{"bk_app_code": "old", "bk_app_secret": "old", "bk_username": "old", "bk_scope_type": "biz", "bk_scope_id": "2", "bk_biz_id": 2, "job_instance_id": 100, "return_ip_result": true, "bk_supplier_account": "0"}`, "ann", "app", 0},
	{"bk-monitor", "POST", "/api/v3/system/get_job_instance_status/",
		map[string]string{"X-Bkapi-Authorization": inHeader, "Content-Type": "application/json"},
		`{"bk_biz_id": 2, "job_instance_id": 100, "return_ip_result": 1}`, "ann", "app", 0},
	{"the platform's own tests", "POST", "/api/job/v3/job-execute/operate_step_instance",
		map[string]string{"X-Bkapi-JWT": "e30.e30.e30", "Content-Type": "application/json"},
		`{"bk_scope_type": "biz", "bk_scope_id": "2", "bk_biz_id": null, "job_instance_id": 100, "step_instance_id": 1, "operation_code": 11, "callback_url": null}`, "", "", 1241003},
	{"edition 6.0", "POST", "/api/c/compapi/v2/job/operate_step_instance/", nil,
		`{"bk_app_code": "app", "bk_app_secret": "xxx", "bk_token": "t", "bk_signature": "s", "bk_nonce": 1, "bk_timestamp": 1, "bk_biz_id": 2, "job_instance_id": 100, "step_instance_id": 1, "operation_code": 2}`, "", "app", 0},
}

// The API understands requests as real clients send them, and its answers have the fields that these
// clients read unconditionally.
func TestReferenceClients(t *testing.T) {
	scope := store.Scope{Type: "biz", ID: "2"}
	for _, c := range clientShapes {
		p := newPlatform(t, httpapi.Caller{})
		p.api = httpapi.New(p.eng, httpapi.Config{Identify: func(_ *http.Request, given httpapi.Credentials) (httpapi.Caller, error) {
			if given.Username != c.person || given.AppCode != c.app {
				t.Errorf("%s: Identify is told %q of %q, want %q of %q", c.client, given.Username, given.AppCode, c.person, c.app)
			}
			return httpapi.Caller{Person: "ann", Scope: scope}, nil
		}})
		job := p.create(scope, script("3:10.0.0.1", "7"), confirmation())
		p.start(job)
		_, err := p.eng.Report(t.Context(), engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{
			{Target: 0, Result: store.Result{Status: step.TargetSucceeded}}, {Target: 1, Result: store.Result{Status: step.NonZeroExit, ExitCode: 2}},
		}})
		p.must(err)

		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
		for name, value := range c.header {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		p.api.ServeHTTP(w, r)
		answer := readEnvelope(t, c.client, w)
		if answer.Code != c.code || (answer.Message == "success") != (c.code == 0) {
			t.Errorf("%s: %d %q, want %d", c.client, answer.Code, answer.Message, c.code)
			continue
		}
		if !strings.Contains(c.path, "status") {
			continue
		}
		var data struct { // as a Go client reads it: null leaves a number 0
			Finished *bool
			Job      struct {
				ID       int64 `json:"job_instance_id"`
				Business int64 `json:"bk_biz_id"`
				Status   int   `json:"status"`
				Total    int64 `json:"total_time"`
			} `json:"job_instance"`
			Steps []struct {
				ID      int64 `json:"step_instance_id"`
				Retries int   `json:"execute_count"`
				Targets *[]struct {
					IP      string `json:"ip"`
					CloudID int    `json:"bk_cloud_id"`
					HostID  int64  `json:"bk_host_id"`
					Status  int    `json:"status"`
					Exit    int    `json:"exit_code"`
					Ended   int64  `json:"end_time"`
				} `json:"step_ip_result_list"`
			} `json:"step_instance_list"`
		}
		p.must(json.Unmarshal(*answer.Data, &data))
		if data.Finished == nil || !*data.Finished || data.Job.ID != 100 || data.Job.Business != 2 || data.Job.Status != 4 || len(data.Steps) != 2 {
			t.Errorf("%s: %s, want job 100 of business 2, finished in 4, with 2 steps", c.client, *answer.Data)
			continue
		}
		hosts, last := data.Steps[0].Targets, data.Steps[1].Targets
		if hosts == nil || len(*hosts) != 2 || (*hosts)[0].IP != "10.0.0.1" || (*hosts)[0].CloudID != 3 || (*hosts)[1].HostID != 7 || (*hosts)[1].Exit != 2 {
			t.Errorf("%s: %s, want two hosts of the first step", c.client, *answer.Data)
		}
		if last == nil || len(*last) != 0 {
			t.Errorf("%s: %s, want an empty step_ip_result_list of the confirmation", c.client, *answer.Data)
		}
	}
}
