package httpapi_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A form is a request by its fields, each as JSON.
type form map[string]string

func (f form) with(name, value string) form {
	g := maps.Clone(f)
	if g[name] = value; value == "" {
		delete(g, name)
	}
	return g
}

func (f form) String() string {
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		fields = append(fields, fmt.Sprintf("%q: %s", name, f[name]))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// goodForms are accepted requests of each call.
var goodForms = map[string]form{
	"operate_step_instance":    {"bk_scope_type": `"biz"`, "bk_scope_id": `"1"`, "job_instance_id": `100`, "step_instance_id": `1`, "operation_code": `9`},
	"operate_job_instance":     {"bk_scope_type": `"biz"`, "bk_scope_id": `"1"`, "job_instance_id": `100`, "operation_code": `1`},
	"get_job_instance_status":  {"bk_scope_type": `"biz"`, "bk_scope_id": `"1"`, "job_instance_id": `100`, "return_ip_result": `true`},
	"get_step_instance_status": {"bk_scope_type": `"biz"`, "bk_scope_id": `"1"`, "job_instance_id": `100`, "step_instance_id": `1`, "batch": `0`},
}

// waiting is a platform with job 100, which waits for a confirmation.
func waiting(t testing.TB) *platform {
	t.Helper()
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	p.start(p.create(biz, confirmation()))
	return p
}

// refuses sends a body to a call and compares the answer with the body's mistake.
func (p *platform) refuses(call, text, want string) {
	p.Helper()
	answer := p.send("POST", "/api/v3/"+call, text)
	if answer.Code != 1241002 || !strings.HasPrefix(answer.Message, want) {
		p.Errorf("%s %.300s:\n got %d %q\nwant 1241002 %q", call, text, answer.Code, answer.Message, want)
	}
	if n := len(p.history(100)); n != 2 {
		p.Fatalf("%s %.300s: %d records, want 2: nothing is done", call, text, n)
	}
}

var (
	noNumbers = []string{
		`0`, `-0`, `-1`, `100.0`, `1.5`, `1e2`, `1E2`, `1e-2`, `9223372036854775808`, `99999999999999999999999`, `true`, `false`, `{}`, `[]`, `[100]`, `{"id": 100}`,
		`""`, `"0"`, `"00"`, `"-1"`, `"+5"`, `" 5"`, `"5 "`, `"1_0"`, `"0x64"`, `"1e2"`, `"100.0"`, `"٥"`, `"5\u0000"`, `"NaN"`, `"9223372036854775808"`, `"null"`,
	}
	noStrings = []string{`1`, `true`, `{}`, `[]`, `["biz"]`, `1.5`}
)

// The answer to a malformed field gives its name and the right form, on every call that has the field.
// Nothing is changed.
func TestReferenceRefusesFields(t *testing.T) {
	p := waiting(t)
	for call, good := range goodForms {
		for _, value := range []string{"", "null"} {
			for name := range good {
				switch name {
				case "return_ip_result", "batch":
				default:
					p.refuses(call, good.with(name, value).String(), name+": missing, must be ")
				}
			}
		}
		for _, value := range noNumbers {
			p.refuses(call, good.with("job_instance_id", value).String(), "job_instance_id: must be a whole number from 1 to 9007199254740991, or a string of its digits")
			if good["step_instance_id"] != "" {
				p.refuses(call, good.with("step_instance_id", value).String(), "step_instance_id: must be a whole number from 1 to 9223372036854775807, or a string of its digits")
			}
			switch {
			case call == "operate_step_instance":
				p.refuses(call, good.with("operation_code", value).String(), "operation_code: must be one of retry failed (2), ignore error (3), confirm (6), retry all (8), ")
			case call == "operate_job_instance":
				p.refuses(call, good.with("operation_code", value).String(), "operation_code: must be one of terminate job (1), start job (2)")
			}
		}
		p.refuses(call, good.with("job_instance_id", "9007199254740992").String(), "job_instance_id: ")
		for _, value := range append([]string{`""`, `"BIZ"`, `"biz "`, `"bizset"`, `"biz\u0000"`, `"1"`}, noStrings...) {
			p.refuses(call, good.with("bk_scope_type", value).String(), `bk_scope_type: must be "biz" (a business) or "biz_set" (a business set)`)
		}
		long := `"` + strings.Repeat("1", 257) + `"`
		for _, value := range []string{`0`, `-1`, `1.0`, `1e2`, `9223372036854775808`, `true`, `{}`, `["1"]`, `""`, `"0"`, `"000"`, `" 1"`, `"1 "`, `"1\n"`, `"\u0000"`, long} {
			p.refuses(call, good.with("bk_scope_id", value).String(), "bk_scope_id: must be the id of the business or the business set, as a string or a whole number from 1")
		}
		for _, name := range []string{"bk_app_code", "bk_app_secret", "bk_token", "bk_username", "access_token"} {
			for _, value := range noStrings {
				p.refuses(call, good.with(name, value).String(), name+": must be a string")
			}
		}
		for name := range good.with("bk_token", `""`) {
			for _, other := range []string{strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], strings.Replace(name, "s", "ſ", 1), strings.Replace(name, "k", "\u212a", 1)} {
				if other != name {
					p.refuses(call, good.with(name, "").with(other, "1").String(), fmt.Sprintf("body: %s: the field name is spelled %s", name, name))
				}
			}
			text := good.with(name, "1").String()
			p.refuses(call, text[:len(text)-1]+fmt.Sprintf(", %q: 1}", name), "body: "+name+": duplicate field")
			p.refuses(call, good.with(name, "NaN").String(), "body: "+name+": malformed JSON at or after byte ")
			p.refuses(call, good.with(name, "\"\xff\"").String(), "body: the text must be UTF-8")
			p.refuses(call, good.with(name, `"\ud800"`).String(), "body: the escape at byte ")
		}
	}
	for _, value := range []string{`4`, `5`, `14`, `1`, `7`, `32`, `256`, `258`, `"258"`, `18446744073709551618`} {
		p.refuses("operate_step_instance", goodForms["operate_step_instance"].with("operation_code", value).String(), "operation_code: must be one of retry failed (2), ")
	}
	for _, value := range []string{`3`, `9`, `257`, `258`} {
		p.refuses("operate_job_instance", goodForms["operate_job_instance"].with("operation_code", value).String(), "operation_code: must be one of terminate job (1), start job (2)")
	}
	for _, value := range []string{`2`, `-1`, `1.0`, `"yes"`, `"TRUE"`, `""`, `{}`, `[true]`, `"on"`} {
		p.refuses("get_job_instance_status", goodForms["get_job_instance_status"].with("return_ip_result", value).String(), "return_ip_result: must be true or false")
	}
}

// The answer to a body that is malformed as a whole gives the reason. Nothing is changed.
func TestReferenceRefusesBodies(t *testing.T) {
	p := waiting(t)
	deep := strings.Repeat("[", 32) + strings.Repeat("]", 32)
	for call, good := range goodForms {
		text := good.String()
		for body, want := range map[string]string{
			"":                                "body: empty, must be a JSON object",
			" ":                               "body: unexpected EOF",
			"null":                            "body: must be an object",
			"[]":                              "body: must be an object",
			"[" + text + "]":                  "body: must be an object",
			"bk_scope_type=biz":               "body: malformed JSON",
			"\ufeff" + text:                   "body: malformed JSON",
			text[:len(text)-1]:                "body: ",
			text + text:                       "body: trailing data after the document",
			text + "x":                        "body: trailing data after the document",
			text + "\x00":                     "body: trailing data after the document",
			text[:len(text)-1] + ",}":         "body: ",
			"{'a': 1}":                        "body: malformed JSON",
			good.with("other", deep).String(): "body: the maximum depth is 32 levels",
			good.with("other", `{"x": [{"y": 1, "y": 2}]}`).String():         "body: duplicate key",
			good.with("other", "\"\xc3\x28\"").String():                      "body: the text must be UTF-8",
			good.with("other", `"`+strings.Repeat("x", 64<<10)+`"`).String(): "body: the maximum is 65536 bytes",
			good.with("other", strings.Repeat("[", 100_000)).String():        "body: the maximum is 65536 bytes",
			good.with("other", strings.Repeat("[", 60_000)).String():         "body: the maximum depth is 32 levels",
			good.String() + strings.Repeat(" ", 64<<10-len(good.String())+1): "body: the maximum is 65536 bytes",
		} {
			p.refuses(call, body, want)
		}
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v3/"+call, io.MultiReader(strings.NewReader(text), broken{}))
		w := httptest.NewRecorder()
		p.api.ServeHTTP(w, r)
		if answer := readEnvelope(t, "a body that breaks off", w); answer.Code != 1241002 || answer.Message != "body: did not arrive completely and in time" {
			t.Errorf("a body that breaks off: %+v", answer)
		}
		if n := len(p.history(100)); n != 2 {
			t.Errorf("a body that breaks off: %d records, want 2", n)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("s3cret: connection reset") }

// The API accepts the requests of the platform's clients: numbers as strings, null credentials,
// unknown fields, any content type or none, and bodies up to the limit.
func TestReferenceAccepts(t *testing.T) {
	good := goodForms["operate_step_instance"]
	for name, text := range map[string]string{
		"strings of digits":      good.with("job_instance_id", `"100"`).with("step_instance_id", `"1"`).with("operation_code", `"9"`).String(),
		"leading zeros":          good.with("job_instance_id", `"0100"`).String(),
		"a number for the scope": good.with("bk_scope_id", `1`).String(),
		"escapes":                good.with("bk_scope_type", `"\u0062iz"`).String(),
		"no credentials":         good.with("bk_token", `null`).with("bk_app_code", `""`).String(),
		"unknown fields":         good.with("Other", `{"Job_Instance_ID": [1, {"x": 1e400, "X": null}], "job_instance_id": 7}`).with("bk_biz_id", "7").String(),
		"32 levels":              good.with("other", strings.Repeat("[", 31)+strings.Repeat("]", 31)).String(),
		"the largest body":       good.String() + strings.Repeat(" ", 64<<10-len(good.String())),
		"line breaks":            "\r\n\t" + good.String() + "\r\n",
	} {
		p := waiting(t)
		if answer := p.send("POST", "/api/v3/operate_step_instance", text); answer.Code != 0 {
			t.Errorf("%s: %+v", name, answer)
		}
		if s, err := p.eng.Step(t.Context(), 100, 1); s.State != step.ConfirmationTerminated || err != nil {
			t.Errorf("%s: the step is %v, %v", name, s.State, err)
		}
	}
	for value, told := range map[string]bool{`true`: true, `"true"`: true, `"True"`: true, `"\u0074rue"`: true, `1`: true, `"1"`: true, `false`: false, `"false"`: false, `"False"`: false, `0`: false, `"0"`: false, `null`: false, ``: false} {
		p := newPlatform(t, httpapi.Caller{Scope: biz})
		p.create(biz, script("a"))
		answer := p.send("POST", "/api/v3/get_job_instance_status", goodForms["get_job_instance_status"].with("return_ip_result", value).String())
		if answer.Code != 0 || strings.Contains(string(*answer.Data), "step_ip_result_list") != told {
			t.Errorf("return_ip_result %s: %+v, want targets: %v", value, answer, told)
		}
	}
	p := newPlatform(t, httpapi.Caller{AllScopes: true})
	p.create(store.Scope{Type: "biz_set", ID: "team-ä"}, confirmation())
	if answer := p.send("POST", "/api/v3/get_job_instance_status", `{"bk_scope_type": "biz_set", "bk_scope_id": "team-ä", "job_instance_id": 100}`); answer.Code != 0 {
		t.Errorf("a scope that is no number: %+v", answer)
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "nonsense;;"} {
		p := waiting(t)
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v3/operate_step_instance", strings.NewReader(good.String()))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		p.api.ServeHTTP(w, r)
		if answer := readEnvelope(t, kind, w); answer.Code != 0 {
			t.Errorf("Content-Type %q: %+v", kind, answer)
		}
	}
}

// The query of a GET follows the rules of a body.
func TestReferenceRefusesQueries(t *testing.T) {
	p := waiting(t)
	const target = "/api/v3/get_job_instance_status?"
	good := url.Values{"bk_scope_type": {"biz"}, "bk_scope_id": {"1"}, "job_instance_id": {"100"}, "return_ip_result": {"1"}, "Other": {"a", "b"}, "x": {"\xff"}}
	if answer := p.send("GET", target+good.Encode(), ""); answer.Code != 0 {
		t.Fatalf("a good query: %+v", answer)
	}
	refuses := func(query, want string) {
		t.Helper()
		if answer := p.send("GET", target+query, ""); answer.Code != 1241002 || !strings.HasPrefix(answer.Message, want) {
			t.Errorf("%s:\n got %d %q\nwant 1241002 %q", query, answer.Code, answer.Message, want)
		}
	}
	with := func(name string, values ...string) string {
		q := maps.Clone(good)
		if q[name] = values; values == nil {
			delete(q, name)
		}
		return q.Encode()
	}
	refuses("", "bk_scope_type: missing, must be ")
	refuses("%zz", "query: malformed")
	refuses(good.Encode()+";", "query: malformed")
	for _, name := range []string{"bk_scope_type", "bk_scope_id", "job_instance_id"} {
		refuses(with(name), name+": missing, must be ")
		refuses(with(name, ""), name+": ")
		refuses(with(name, "\xff"), name+": must be UTF-8")
	}
	for _, name := range []string{"bk_scope_type", "bk_scope_id", "job_instance_id", "return_ip_result", "bk_token"} {
		refuses(with(name, "1", "1"), name+": duplicate")
		refuses(with(strings.ToUpper(name), "1"), name+": the field name is spelled "+name)
	}
	for _, value := range []string{"0", "-1", "+5", " 5", "1.0", "1e2", "null", "9223372036854775808", "٥", `"100"`} {
		refuses(with("job_instance_id", value), "job_instance_id: must be a whole number from 1 to 9007199254740991, or a string of its digits")
	}
	for _, value := range []string{"", "yes", "2", "null", "TRUE", `"true"`} {
		refuses(with("return_ip_result", value), "return_ip_result: must be true or false")
	}
}

// A client that does not send its body in time gets an answer.
func TestReferenceSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := waiting(t)
		client, conn := net.Pipe()
		defer client.Close()
		pipe := &onePipe{conn: make(chan net.Conn, 1), done: make(chan struct{})}
		pipe.conn <- conn
		server := httpapi.NewServer("", p.api)
		go server.Serve(pipe)
		defer server.Close()
		began := time.Now()
		if _, err := io.WriteString(client, "POST /api/v3/operate_step_instance HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil || !strings.Contains(string(text), `"code":1241002,"message":"body: did not arrive completely and in time"`) {
			t.Errorf("%s, %v", text, err)
		}
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("it took %v, want 20 s", took)
		}
	})
}

// onePipe is a listener of one connection.
type onePipe struct {
	conn chan net.Conn
	done chan struct{}
}

func (p *onePipe) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conn:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *onePipe) Close() error   { close(p.done); return nil }
func (p *onePipe) Addr() net.Addr { return &net.TCPAddr{} }
