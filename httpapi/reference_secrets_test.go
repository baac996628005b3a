package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A ledger collects all texts that the test saw.
type ledger struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *ledger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// secret is the text that clients send as a secret.
const secret = "S3CRET"

// secretFields are the fields of a call that are for secrets.
var secretFields = []string{"bk_app_code", "bk_app_secret", "bk_token", "bk_username", "access_token"}

// A leakTest is a server that writes down everything that an embedder gets.
type leakTest struct {
	*testing.T
	written ledger
	logger  *slog.Logger
	eng     *engine.Engine
	server  *httptest.Server
	person  string        // makes the calls; "" is unknown
	header  string        // X-Bkapi-Authorization of the calls; "" sends none
	jobs    []store.JobID // started so far
	sent    int           // calls
}

func newLeakTest(t *testing.T) *leakTest {
	l := &leakTest{T: t, person: "ann"}
	l.logger = slog.New(slog.NewTextHandler(&l.written, &slog.HandlerOptions{AddSource: true}))
	st := memstore.New()
	l.eng = engine.New(st,
		engine.WithAuthorizer(func(ctx context.Context, a engine.Access) error {
			l.note("authorizer", ctx, a)
			if a.Actor == "eve" {
				return errors.New("eve may nothing")
			}
			return nil
		}),
		engine.WithObserver(engine.Observer{
			Accepted:   func(ctx context.Context, r store.Record, _ time.Duration) { l.note("accepted", ctx, r) },
			Refused:    func(ctx context.Context, r *engine.Refusal, _ time.Duration) { l.note("refused", ctx, *r, r.Error()) },
			Conflicted: func(ctx context.Context, job store.JobID, _ int, _ time.Duration) { l.note("conflicted", ctx, job) },
			Failed:     func(ctx context.Context, err error) { l.note("failed", ctx, err) },
		}))
	api := httpapi.New(l.eng, httpapi.Config{
		Identify: func(r *http.Request, c httpapi.Credentials) (httpapi.Caller, error) {
			l.note("identify", r, r.URL, r.Form, r.Header, c, &c)
			if l.person == "" {
				return httpapi.Caller{}, fmt.Errorf("not known: %+v", c)
			}
			caller := httpapi.Caller{Person: l.person, Scope: biz}
			l.note("caller", caller)
			return caller, nil
		},
		Host: func(target string) httpapi.Host { l.note("host", target); return httpapi.ParseHost(target) },
	})
	logging := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" && r.Header.Get("X-Bkapi-Authorization") == "" { // handlers before this one see these
			l.note("request", r)
		}
		api.ServeHTTP(w, r)
		l.note("answered", w.Header())
	})
	l.server = httptest.NewUnstartedServer(logging)
	l.server.Config.ErrorLog = log.New(&l.written, "server: ", log.LstdFlags)
	l.server.Start()
	t.Cleanup(l.server.Close)
	return l
}

// note writes values down in every way that a program may.
func (l *leakTest) note(what string, all ...any) {
	l.logger.Info(what, "all", fmt.Sprintf("%v", all))
	for _, v := range all {
		if _, ok := v.(context.Context); ok {
			continue // it prints itself; reflection would race with others that write to it
		}
		l.logger.Info(what, "plus", fmt.Sprintf("%+v", v), "sharp", fmt.Sprintf("%#v", v))
		if text, err := json.Marshal(v); err == nil {
			l.logger.Info(what, "json", string(text))
		}
	}
}

// newJob starts a job and returns its id.
func (l *leakTest) newJob() string {
	created, err := l.eng.Create(l.Context(), engine.JobSpec{Name: "release", Scope: biz, Steps: []step.Spec{confirmation("ann"), script("a")}}, engine.Request{})
	if err != nil {
		l.Fatal(err)
	}
	if _, err := l.eng.OperateJob(l.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		l.Fatal(err)
	}
	l.jobs = append(l.jobs, created.Job)
	return fmt.Sprint(created.Job)
}

func (l *leakTest) send(method, call, query, body string) {
	l.Helper()
	target := l.server.URL + "/api/v3/" + call
	if query != "" {
		target += "?" + query
	}
	r, err := http.NewRequestWithContext(l.Context(), method, target, strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	if l.header != "" {
		r.Header.Set("X-Bkapi-Authorization", l.header)
	}
	answer, err := l.server.Client().Do(r)
	if err != nil {
		l.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		l.Fatal(err)
	}
	l.note("answer", answer.Header, string(text))
	l.sent++
}

// A secret that a client sends, in every field for secrets, in every call, well-formed or not, is
// found nowhere: not in an answer, in an embedder's logs of everything that it gets, in the engine's
// observer, or in the store.
func TestReferenceSecrets(t *testing.T) {
	l := newLeakTest(t)
	for _, who := range []string{"ann", "eve", "bob", ""} {
		l.person = who
		l.sendBodies()
		l.sendHeaders()
		l.sendQueries()
	}
	l.breakOff()
	l.server.Close()
	l.noteStored()
	l.wantNoSecrets()
}

// sendBodies sends secrets in bodies.
func (l *leakTest) sendBodies() {
	for call, good := range goodForms {
		secrets := good.with("return_ip_result", "1")
		for i, name := range secretFields {
			secrets = secrets.with(name, fmt.Sprintf(`"%s%d"`, secret, i))
		}
		for _, text := range l.secretBodies(secrets) {
			l.send("POST", call, "", text)
		}
	}
}

// secretBodies returns bodies, good and bad, of a call with these secrets.
func (l *leakTest) secretBodies(secrets form) []string {
	fresh := func(f form) form { return f.with("job_instance_id", l.newJob()) }
	bodies := []string{
		fresh(secrets).String(),
		fresh(secrets).with("job_instance_id", "12345").String(),
		fresh(secrets).with("bk_scope_id", "7").String(),
		fresh(secrets).with("step_instance_id", "2").String(),
		fresh(secrets).with("step_instance_id", "99").String(),
		fresh(secrets).with("operation_code", "8").String(),
		fresh(secrets).with("operation_code", `"`+secret+`"`).String(),
		fresh(secrets).with("job_instance_id", `"`+secret+`"`).String(),
		fresh(secrets).with("bk_scope_type", `"`+secret+`"`).String(),
		fresh(secrets).with("bk_scope_id", `"`+secret+`"`).String(),
		fresh(secrets).with("return_ip_result", `"`+secret+`"`).String(),
		fresh(secrets).with("other", strings.Repeat("[", 40)+`"`+secret+`"`+strings.Repeat("]", 40)).String(),
		fresh(secrets).with("other", `"`+strings.Repeat(secret, 20_000)+`"`).String(),
		fresh(secrets).String() + `"` + secret,
		"bk_token=" + secret,
		secret,
	}
	for _, name := range secretFields {
		for _, value := range []string{
			secret, `"` + secret, `"` + secret + `\x"`, `{"` + secret + `": 1, "` + secret + `": 2}`, `["` + secret + `"]`, `{"` + secret + `": ` + secret + `}`,
			`"` + secret + "\xff\"", `"` + secret + `\ud800"`, `"` + secret + "\n\"", `"` + secret + `\u0000"`,
		} {
			bodies = append(bodies, fresh(secrets).with(name, value).String())
		}
		text := fresh(secrets).String()
		bodies = append(bodies,
			text[:len(text)-1]+fmt.Sprintf(`, %q: "%s"}`, name, secret),
			fresh(secrets).with(strings.ToUpper(name), `"`+secret+`"`).String(),
			fresh(secrets).with(name, "").with(name+secret, "1").String()+`,`,
			text[:strings.Index(text, name)+len(name)+3+len(secret)],
		)
	}
	return bodies
}

// sendHeaders sends secrets in the header for them, good and bad.
func (l *leakTest) sendHeaders() {
	var known []string
	for i, name := range secretFields {
		known = append(known, fmt.Sprintf(`%q: "%s%d"`, name, secret, i))
	}
	whole := "{" + strings.Join(known, ", ") + "}"
	for call, good := range goodForms {
		for _, l.header = range []string{
			whole, whole + secret, "[" + whole + "]", whole[:len(whole)-5], secret, `"` + secret + `"`, "bk_token=" + secret,
			strings.ToUpper(whole), strings.ReplaceAll(whole, `"`+secret, secret), strings.ReplaceAll(whole, `: "`, `: ["`+secret+`"], "x`+secret+`": "`),
			whole[:len(whole)-1] + `, "bk_token": "` + secret + `"}`, `{"` + secret + `": "` + secret + `", "other": {"x": "` + secret + `"}}`,
			`{"bk_token": "` + secret + "\xff" + `"}`, `{"bk_token": "` + secret + `\ud800"}`, `{"bk_token": "` + secret + `\x"}`,
		} {
			l.send("POST", call, "", good.with("job_instance_id", l.newJob()).String())
			l.send("POST", call+"_"+"none", "", good.String())
			l.send("GET", call, "", "")
		}
	}
	l.header = ""
}

// sendQueries sends secrets in queries.
func (l *leakTest) sendQueries() {
	q := url.Values{"bk_scope_type": {"biz"}, "bk_scope_id": {"1"}, "return_ip_result": {"true"}}
	for i, name := range secretFields {
		q.Set(name, fmt.Sprintf("%s%d", secret, i))
	}
	for _, more := range []string{"", "&job_instance_id=" + l.newJob(), "&bk_token=" + secret, "&BK_TOKEN=" + secret, "&%zz" + secret, ";" + secret} {
		l.send("GET", "get_job_instance_status", q.Encode()+more, "")
	}
	l.send("POST", "get_job_instance_status", q.Encode(), goodForms["get_job_instance_status"].with("job_instance_id", l.newJob()).String())
}

// breakOff is a client that breaks HTTP: the server logs it.
func (l *leakTest) breakOff() {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, _ := http.NewRequestWithContext(l.Context(), "POST", l.server.URL+"/api/v3/operate_step_instance", io.MultiReader(strings.NewReader(`{"bk_token": "`+secret), broken{}))
	r.ContentLength = 1000
	if answer, err := client.Do(r); err == nil {
		answer.Body.Close()
	}
}

// noteStored writes down all stored rows.
func (l *leakTest) noteStored() {
	for _, job := range l.jobs {
		records, err := l.eng.History(l.Context(), job, 0, 0)
		effects, err2 := l.eng.Effects(l.Context(), job, 0, 0)
		header, err3 := l.eng.Job(l.Context(), job)
		steps, err4 := l.eng.Steps(l.Context(), job, 0, 0)
		targets, err5 := l.eng.Targets(l.Context(), job, 2, engine.TargetQuery{})
		if err := errors.Join(err, err2, err3, err4, err5); err != nil {
			l.Fatal(err)
		}
		l.note("stored", records, effects, header, steps, targets)
		var events ledger
		ctx, stop := context.WithCancel(l.Context())
		for r, err := range l.eng.Watch(ctx, job, 0) {
			fmt.Fprintf(&events, "%+v %v\n", r, err)
			if r.Seq == header.Version {
				stop()
			}
		}
		stop()
		l.note("events", events.String())
	}
}

// wantNoSecrets wants no secret in the ledger, and an entry of each part of the server.
func (l *leakTest) wantNoSecrets() {
	l.Helper()
	text := l.written.String()
	for _, must := range []string{"accepted", "refused", "authorizer", "identify", "[redacted]", `\"code\":0,`, `\"code\":1241002`, `\"code\":1241003`, `\"code\":1244006`, `\"code\":1244007`, `\"code\":1244016`, `\"code\":9900403`} {
		if !strings.Contains(text, must) {
			l.Errorf("%q is not written down: the test shows nothing", must)
		}
	}
	if n := strings.Count(strings.ToUpper(text), secret); n != 0 {
		at := strings.Index(strings.ToUpper(text), secret)
		l.Errorf("%d requests, and %d secrets written down, the first in …%s…", l.sent, n, text[max(at-300, 0):min(at+100, len(text))])
	}
	l.Logf("%d requests, %d bytes written down", l.sent, len(text))
}
