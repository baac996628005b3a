package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A client of the reference platform confirms a step twice. The embedder identifies it by the
// credentials of the body. Only Identify gets these.
func ExampleAPI_Reference() {
	ctx := context.Background()
	eng := engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 100 }))
	api := httpapi.New(eng, httpapi.Config{
		Identify: func(_ *http.Request, c httpapi.Credentials) (httpapi.Caller, error) {
			if c.AppCode != "esb_test" || c.AppSecret != "xxx" {
				return httpapi.Caller{}, fmt.Errorf("unknown app")
			}
			return httpapi.Caller{Person: c.Username, Scope: store.Scope{Type: "biz", ID: "1"}}, nil
		},
	})
	_, err := eng.Create(ctx, engine.JobSpec{
		Name: "release", Scope: store.Scope{Type: "biz", ID: "1"},
		Steps: []step.Spec{{Type: step.Confirmation, Name: "go?", Confirmers: []string{"ann"}}},
	}, engine.Request{})
	if err != nil {
		fmt.Println(err)
	}
	const who = `"bk_app_code": "esb_test", "bk_app_secret": "xxx", "bk_username": "ann", "bk_scope_type": "biz", "bk_scope_id": "1", `
	for _, call := range []struct{ name, body string }{
		{"operate_job_instance", `"job_instance_id": 100, "operation_code": 2`},
		{"operate_step_instance", `"job_instance_id": 100, "step_instance_id": 1, "operation_code": 6`},
		{"operate_step_instance", `"job_instance_id": 100, "step_instance_id": 1, "operation_code": 6`},
	} {
		r := httptest.NewRequestWithContext(ctx, "POST", "/api/c/compapi/v2/jobv3/"+call.name+"/", strings.NewReader("{"+who+call.body+"}"))
		r.Header.Set("X-Request-Id", "a1")
		w := httptest.NewRecorder()
		api.Reference().ServeHTTP(w, r)
		fmt.Print(w.Body)
	}
	// Output:
	// {"result":true,"code":0,"message":"success","data":{"job_instance_id":100},"permission":null,"request_id":"a1","job_request_id":"a1"}
	// {"result":true,"code":0,"message":"success","data":{"step_instance_id":1,"job_instance_id":100},"permission":null,"request_id":"a1","job_request_id":"a1"}
	// {"result":false,"code":1241003,"message":"confirm (6) was refused: it is not legal in this state, only in waiting (7); step 1 is succeeded (3), and the job is succeeded (3); legal now: none; legal now on the job: none","data":null,"permission":null,"request_id":"a1","job_request_id":"a1"}
}
