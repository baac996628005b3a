package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/step"
)

// A client defines everything that a definition has, reads it back, and operates gates, a hold, stops and
// batches by name.
func TestNativeGatesAndBatches(t *testing.T) {
	r := newRig(t)
	w := r.ask("ann", "POST", "/v1/jobs", `{"name":"rolling","start_at":1,"timeout_ms":3600000,"turn":{"key":"production","limit":1},"steps":[
		{"type":"script","name":"install","targets":["a","b","c"],"stop_before":true,"total_timeout_ms":60000,
		 "retry":{"attempts":2,"after_ms":1000,"most_ms":60000,"except":["non_zero_exit",404]},
		 "rolling":{"batches":"1 2","between":{"delay_ms":1500,"person":true}},"tolerate":{"percent":40}},
		{"type":"script","name":"check","targets":["d"],"delay_ms":60000,"window":"night"}]}`)
	if w.Code != 201 {
		t.Fatalf("create: %d %s", w.Code, w.Body)
	}
	at := "/v1/" + w.Header().Get("Location")
	reads := func(path, field, want string) {
		t.Helper()
		var v any = r.want(200, "ann", "GET", at+path, "")
		for name := range strings.SplitSeq(field, ".") {
			switch in := v.(type) {
			case map[string]any:
				v = in[name]
			case []any:
				var i int
				_, _ = fmt.Sscan(name, &i)
				v = in[i]
			}
		}
		if got := fmt.Sprint(v); got != want {
			t.Errorf("%s of %s is %s, want %s", field, path, got, want)
		}
	}
	operates := func(path, body string, field, want string) {
		t.Helper()
		if v := r.want(200, "ann", "POST", at+path, body); fmt.Sprint(v[field]) != want {
			t.Errorf("%s %s: %s is %v, want %s", path, body, field, v[field], want)
		}
	}
	refuses := func(path, body, reason string) {
		t.Helper()
		if v := r.want(409, "ann", "POST", at+path, body); v["reason"] != reason || v["detail"] == nil {
			t.Errorf("%s %s: %v, want %s and why", path, body, v, reason)
		}
	}
	reads("", "policy", "map[start_at:1 timeout_ms:3.6e+06 turn:map[key:production limit:1]]")
	reads("/steps/1", "policy", "map[retry:map[after_ms:1000 attempts:2 except:[non_zero_exit terminate_failed] most_ms:60000] "+
		"rolling:map[batches:1 2 between:map[delay_ms:1500 person:true]] tolerate:map[percent:40] total_timeout_ms:60000]")
	reads("/steps", "items.1.policy", "map[delay_ms:60000 window:night]")
	reads("/steps/1", "stop_before", "true")
	operates("/steps/2/operate", `{"code":"stop_before"}`, "cause", "stop_before")
	refuses("/steps/2/operate", `{"code":21}`, "stop_set")
	operates("/steps/2/operate", `{"code":22}`, "cause", "clear_stop")
	refuses("/steps/2/operate", `{"code":"clear_stop"}`, "no_stop")
	refuses("/resume", ``, "not_held")
	operates("/hold", `{"reason":"wait for the database"}`, "cause", "hold_job")
	refuses("/hold", ``, "on_hold")
	reads("", "held", "true")
	operates("/start", ``, "to", "gated")
	reads("", "gate", "person")
	reads("/steps/1", "gate", "map[reason:person then:enter]")
	operates("/steps/1/operate", `{"code":"continue"}`, "gate", "map[reason:hold then:enter]")
	refuses("/steps/1/operate", `{"code":13}`, "on_hold")
	if v := r.want(200, "ann", "GET", "/v1/jobs?state=gated", ""); len(v["items"].([]any)) != 1 || v["items"].([]any)[0].(map[string]any)["gate"] != "hold" {
		t.Errorf("the list of gated jobs: %v, want one that waits for the hold", v)
	}
	operates("/resume", ``, "targets", "1")
	reads("/steps/1", "end", "1")
	reads("/steps/1", "batch", "1")
	reads("", "has_turn", "true")
	reads("/effects", "items.0.run", "map[end:1 full:1]")

	// A result of another batch is rejected, whether that one is over or has not begun.
	report := func(attempt int, want string) {
		t.Helper()
		body := fmt.Sprintf(`{"attempt":%d,"results":[{"target":0,"status":"succeeded"},{"target":1,"status":"failed"},{"target":2,"status":9}]}`, attempt)
		if v := r.want(200, "agent", "POST", at+"/steps/1/report", body); fmt.Sprint(v["rejected"]) != want {
			t.Errorf("report of attempt %d: %v, want %s rejected", attempt, v, want)
		}
	}
	report(1, "[map[rejected:failed stands: target:1] map[rejected:succeeded stands: target:2]]")
	reads("/steps/1", "gate", "map[reason:person then:run_next]")
	reads("/steps/1/batches", "items.0.state", "succeeded")
	reads("/steps/1/batches", "items.1.state", "pending")
	operates("/steps/1/operate", `{"code":"continue"}`, "to", "gated")
	reads("/steps/1", "gate.reason", "time")
	operates("/steps/1/operate", `{"code":"continue"}`, "run", "map[end:3 first:1 full:2]")
	reads("/steps/1", "before", "1")
	reads("/steps/1/targets", "items.0.status", "succeeded_earlier")
	reads("/steps/1/targets", "items.0.batch", "1")
	reads("/steps/1/targets", "items.2.batch", "2")
	reads("/steps/2/targets", "items.0.batch", "<nil>")
	report(2, "[]")
	reads("/steps/1/batches", "items.1.unfinished", "0")
	reads("/steps/1", "automatic", "1")
	reads("/steps/1", "gate.then", "run_due")
	if v := r.want(200, "ann", "GET", at+"/steps/2/batches", ""); len(v["items"].([]any)) != 0 {
		t.Errorf("batches of a step without any: %v", v)
	}
	r.want(404, "ann", "GET", at+"/steps/3/batches", "")
}

// A preview is the plan of step.Batches, and names what is wrong. It costs what the plan costs.
func TestNativePlan(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		batches string
		total   int32
	}{{"1", 1}, {"30%", 7}, {"1 2 +1 *10 100%", 100}, {"1", 500}, {"2147483647", 2147483647}} {
		v := r.want(200, "ann", "GET", fmt.Sprintf("/v1/batches?batches=%s&total=%d", escaped(c.batches), c.total), "")
		ends, err := step.Batches(c.batches, c.total)
		items := v["items"].([]any)
		if err != nil || len(items) != len(ends) {
			t.Fatalf("%s of %d: %v, %v; want %v", c.batches, c.total, v, err, ends)
		}
		first := int32(0)
		for i, end := range ends {
			want := fmt.Sprint(map[string]any{"number": float64(i + 1), "first": float64(first), "end": float64(end)})
			if got := fmt.Sprint(items[i]); got != want {
				t.Errorf("%s of %d: batch %d is %s, want %s", c.batches, c.total, i+1, got, want)
			}
			first = end
		}
	}
	for _, c := range []struct{ query, field, detail string }{
		{"", "total", "want the number of targets"},
		{"?batches=1&total=0", "total", "want the number of targets"},
		{"?batches=1&total=-1", "total", "in digits only"},
		{"?batches=1&total=2147483648", "total", "2^31 - 1"},
		{"?total=1", "batches", "part 1"},
		{"?batches=&total=1", "batches", "part 1"},
		{"?batches=05&total=1", "batches", "part 1"},
		{"?batches=1%20%202&total=9", "batches", "part 2"},
		{"?batches=101%25&total=9", "batches", "1% to 100%"},
		{"?batches=1&total=501", "batches", "501 batches, want at most 500"},
		{"?batches=1&total=2147483647", "batches", "2147483647 batches, want at most 500"},
		{"?batches=2+1+*1&total=2147483647", "batches", "2147483646 batches, want at most 500"},
		{"?batches=1&total=1&x=1", "query", "unknown parameter"},
	} {
		v := r.want(400, "ann", "GET", "/v1/batches"+c.query, "")
		if detail, _ := v["detail"].(string); v["field"] != c.field || !strings.Contains(detail, c.detail) {
			t.Errorf("%s: %v, want %s: %s", c.query, v, c.field, c.detail)
		}
	}
}

func escaped(text string) string {
	return strings.NewReplacer(" ", "%20", "%", "%25", "+", "%2B").Replace(text)
}
