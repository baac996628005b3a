package httpapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stepgate/stepgate/httpapi"
)

// Every request gets an answer of the documented form with a known code. A body or a header of
// credentials that is not strict JSON never changes the job, and neither does a status.
func FuzzReference(f *testing.F) {
	for call, good := range goodForms {
		f.Add(call, good.String(), "", "")
		f.Add(call, good.with("operation_code", `"2"`).String(), "", "")
		f.Add(call, good.with("other", `{"x": {"y": [1, {"z": null}]}}`).String(), "bk_token=x", "")
		f.Add(call, good.with("job_instance_id", "1e2").String(), "", "")
		f.Add(call, good.String()+good.String(), "", "")
		f.Add(call, good.String()[:40], "", "")
		f.Add(call, good.with("bk_token", `"\ud800"`).String(), "", "")
		f.Add(call, strings.Replace(good.String(), "job", `\u006aob`, 1), "", "")
		f.Add(call, `{"job_instance_id": 100, "Job_instance_id": 100}`, "", "")
	}
	f.Add("get_job_instance_status", "", "bk_scope_type=biz&bk_scope_id=1&job_instance_id=100&return_ip_result=1", "")
	f.Add("get_job_instance_status", "", "job_instance_id=100&job_instance_id=100;%zz", "")
	f.Add("get_job_instance_status", `{"bk_biz_id": 1, "job_instance_id": 100}`, "", `{"bk_app_code": "a", "bk_token": null}`)
	f.Add("operate_job_instance", `{"bk_biz_id": "1", "job_instance_id": 100, "operation_code": 1}`, "bk_biz_id=1", `{"bk_token": ["a"]}`)
	codes := map[int]bool{0: true, 1241002: true, 1241003: true, 1241015: true, 1244006: true, 1244007: true, 1244016: true, 9900403: true, 1240002: true}
	f.Fuzz(func(t *testing.T, call, body, query, credentials string) {
		if goodForms[call] == nil {
			return
		}
		p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
		p.start(p.create(biz, confirmation(), script("a")))
		for _, method := range []string{"POST", "GET"} {
			if method == "GET" && !strings.HasPrefix(call, "get_") {
				continue
			}
			r := httptest.NewRequestWithContext(t.Context(), method, "/api/v3/"+call, strings.NewReader(body))
			r.URL = &url.URL{Path: r.URL.Path, RawQuery: query}
			r.Header["X-Bkapi-Authorization"] = []string{credentials}
			w := httptest.NewRecorder()
			p.api.ServeHTTP(w, r)
			answer := readEnvelope(t, body, w)
			if !codes[answer.Code] {
				t.Errorf("code %d is none of the documented ones", answer.Code)
			}
			if !strings.Contains(call, "operate") || !isStrict(body) || credentials != "" && !isStrict(credentials) {
				if n := len(p.history(100)); n != 2 {
					t.Errorf("%q changed the job", body)
				}
				if strings.Contains(call, "operate") && answer.Code != 1241002 {
					t.Errorf("%q or %q is not strict, and is answered with %d", body, credentials, answer.Code)
				}
			}
		}
	})
}

// isStrict reports whether text is one JSON object in UTF-8 of at most 32 levels without a repeated
// key, by another reader of JSON.
func isStrict(text string) bool {
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if len(text) > 64<<10 || !utf8.ValidString(text) || !json.Valid([]byte(text)) || d.Decode(&v) != nil || v == nil {
		return false
	}
	if _, err := d.Token(); err != io.EOF {
		return false
	}
	keys, depth := measure(v)
	var plain bytes.Buffer // without what stands in strings
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted:
			plain.WriteByte(c)
		}
	}
	return keys == bytes.Count(plain.Bytes(), []byte(":")) && depth <= 32 // a key that stands twice counts once
}

// measure returns how many keys there are in v, and how deep it is.
func measure(v any) (keys, depth int) {
	add := func(inner any) {
		k, d := measure(inner)
		keys, depth = keys+k, max(depth, d)
	}
	switch v := v.(type) {
	case map[string]any:
		keys = len(v)
		for _, inner := range v {
			add(inner)
		}
	case []any:
		for _, inner := range v {
			add(inner)
		}
	default:
		return 0, 0
	}
	return keys, depth + 1
}
