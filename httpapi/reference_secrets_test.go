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

// A ledger is what was written down anywhere.
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

// Secrets that a client sends, in every field for them, in every call, well-formed or not,
// are found nowhere: not in an answer, in what an embedder logs of all that he is given, in
// what the engine tells, or in what is stored.
func TestReferenceSecrets(t *testing.T) {
	var written ledger
	logger := slog.New(slog.NewTextHandler(&written, &slog.HandlerOptions{AddSource: true}))
	note := func(what string, all ...any) {
		logger.Info(what, "all", fmt.Sprintf("%v", all))
		for _, v := range all {
			if _, ok := v.(context.Context); ok {
				continue // it says what it holds by itself; others still write to what reflection would find there
			}
			logger.Info(what, "plus", fmt.Sprintf("%+v", v), "sharp", fmt.Sprintf("%#v", v))
			if text, err := json.Marshal(v); err == nil {
				logger.Info(what, "json", string(text))
			}
		}
	}
	st := memstore.New()
	eng := engine.New(st,
		engine.WithAuthorizer(func(ctx context.Context, a engine.Access) error {
			note("authorizer", ctx, a)
			if a.Actor == "eve" {
				return errors.New("eve may nothing")
			}
			return nil
		}),
		engine.WithObserver(engine.Observer{
			Accepted:   func(ctx context.Context, r store.Record, _ time.Duration) { note("accepted", ctx, r) },
			Refused:    func(ctx context.Context, r *engine.Refusal, _ time.Duration) { note("refused", ctx, *r, r.Error()) },
			Conflicted: func(ctx context.Context, job store.JobID, _ int, _ time.Duration) { note("conflicted", ctx, job) },
			Failed:     func(ctx context.Context, err error) { note("failed", ctx, err) },
		}))
	person := "ann"
	api := httpapi.New(eng, httpapi.Config{
		Identify: func(r *http.Request, c httpapi.Credentials) (httpapi.Caller, error) {
			note("identify", r, r.URL, r.Form, r.Header, c, &c)
			if person == "" {
				return httpapi.Caller{}, fmt.Errorf("not known: %+v", c)
			}
			caller := httpapi.Caller{Person: person, Scope: biz}
			note("caller", caller)
			return caller, nil
		},
		Host: func(target string) httpapi.Host { note("host", target); return httpapi.ParseHost(target) },
	})
	logging := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" && r.Header.Get("X-Bkapi-Authorization") == "" { // handlers before this one see these
			note("request", r)
		}
		api.ServeHTTP(w, r)
		note("answered", w.Header())
	})
	server := httptest.NewUnstartedServer(logging)
	server.Config.ErrorLog = log.New(&written, "server: ", log.LstdFlags)
	server.Start()
	defer server.Close()

	const secret = "S3CRET"
	fields := []string{"bk_app_code", "bk_app_secret", "bk_token", "bk_username", "access_token"}
	var jobs []store.JobID
	newJob := func() string {
		created, err := eng.Create(t.Context(), engine.JobSpec{Name: "release", Scope: biz, Steps: []step.Spec{confirmation("ann"), script("a")}}, engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, created.Job)
		return fmt.Sprint(created.Job)
	}
	sent, header := 0, ""
	send := func(method, call, query, body string) {
		t.Helper()
		target := server.URL + "/api/v3/" + call
		if query != "" {
			target += "?" + query
		}
		r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			r.Header.Set("X-Bkapi-Authorization", header)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		note("answer", answer.Header, string(text))
		sent++
	}

	for _, who := range []string{"ann", "eve", "bob", ""} {
		person = who
		for call, good := range goodForms {
			secrets := good.with("return_ip_result", "1")
			for i, name := range fields {
				secrets = secrets.with(name, fmt.Sprintf(`"%s%d"`, secret, i))
			}
			fresh := func(f form) form { return f.with("job_instance_id", newJob()) }
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
			for _, name := range fields {
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
			for _, text := range bodies {
				send("POST", call, "", text)
			}
		}
		var known []string
		for i, name := range fields {
			known = append(known, fmt.Sprintf(`%q: "%s%d"`, name, secret, i))
		}
		whole := "{" + strings.Join(known, ", ") + "}"
		for call, good := range goodForms {
			for _, header = range []string{
				whole, whole + secret, "[" + whole + "]", whole[:len(whole)-5], secret, `"` + secret + `"`, "bk_token=" + secret,
				strings.ToUpper(whole), strings.ReplaceAll(whole, `"`+secret, secret), strings.ReplaceAll(whole, `: "`, `: ["`+secret+`"], "x`+secret+`": "`),
				whole[:len(whole)-1] + `, "bk_token": "` + secret + `"}`, `{"` + secret + `": "` + secret + `", "other": {"x": "` + secret + `"}}`,
				`{"bk_token": "` + secret + "\xff" + `"}`, `{"bk_token": "` + secret + `\ud800"}`, `{"bk_token": "` + secret + `\x"}`,
			} {
				send("POST", call, "", good.with("job_instance_id", newJob()).String())
				send("POST", call+"_"+"none", "", good.String())
				send("GET", call, "", "")
			}
		}
		header = ""
		q := url.Values{"bk_scope_type": {"biz"}, "bk_scope_id": {"1"}, "return_ip_result": {"true"}}
		for i, name := range fields {
			q.Set(name, fmt.Sprintf("%s%d", secret, i))
		}
		for _, more := range []string{"", "&job_instance_id=" + newJob(), "&bk_token=" + secret, "&BK_TOKEN=" + secret, "&%zz" + secret, ";" + secret} {
			send("GET", "get_job_instance_status", q.Encode()+more, "")
		}
		send("POST", "get_job_instance_status", q.Encode(), goodForms["get_job_instance_status"].with("job_instance_id", newJob()).String())
	}

	// Clients that do not speak HTTP as they should make the server log.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, _ := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/api/v3/operate_step_instance", io.MultiReader(strings.NewReader(`{"bk_token": "`+secret), broken{}))
	r.ContentLength = 1000
	if answer, err := client.Do(r); err == nil {
		answer.Body.Close()
	}
	server.Close()

	for _, job := range jobs {
		records, err := eng.History(t.Context(), job, 0, 0)
		effects, err2 := eng.Effects(t.Context(), job, 0, 0)
		header, err3 := eng.Job(t.Context(), job)
		steps, err4 := eng.Steps(t.Context(), job, 0, 0)
		targets, err5 := eng.Targets(t.Context(), job, 2, engine.TargetQuery{})
		if err := errors.Join(err, err2, err3, err4, err5); err != nil {
			t.Fatal(err)
		}
		note("stored", records, effects, header, steps, targets)
		var events ledger
		ctx, stop := context.WithCancel(t.Context())
		for r, err := range eng.Watch(ctx, job, 0) {
			fmt.Fprintf(&events, "%+v %v\n", r, err)
			if r.Seq == header.Version {
				stop()
			}
		}
		stop()
		note("events", events.String())
	}
	text := written.String()
	for _, must := range []string{"accepted", "refused", "authorizer", "identify", "[redacted]", `\"code\":0,`, `\"code\":1241002`, `\"code\":1241003`, `\"code\":1244006`, `\"code\":1244007`, `\"code\":1244016`, `\"code\":9900403`} {
		if !strings.Contains(text, must) {
			t.Errorf("%q is not written down: the test shows nothing", must)
		}
	}
	if n := strings.Count(strings.ToUpper(text), secret); n != 0 {
		at := strings.Index(strings.ToUpper(text), secret)
		t.Errorf("%d requests, and %d secrets written down, the first in …%s…", sent, n, text[max(at-300, 0):min(at+100, len(text))])
	}
	t.Logf("%d requests, %d bytes written down", sent, len(text))
}
