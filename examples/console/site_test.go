package main

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
)

func TestEveryAnswerSaysWhatBrowsersMustNotDo(t *testing.T) {
	l := newLab(t)
	for _, path := range []string{"/", "/jobs/7", "/static/main.js", "/static/none.js", "/session", "/v1/jobs", "/v1/none", "/output", "/none"} {
		for _, host := range []string{"127.0.0.1:8080", "evil.example"} {
			header := l.ask(t, "alice", "GET", path, "", "Host", host).Header
			for name, want := range map[string]string{
				"Content-Security-Policy":      policy,
				"X-Content-Type-Options":       "nosniff",
				"Referrer-Policy":              "no-referrer",
				"Cross-Origin-Resource-Policy": "same-origin",
				"Cross-Origin-Opener-Policy":   "same-origin",
			} {
				if got := header.Get(name); got != want {
					t.Errorf("GET %s of %s: %s is %q, want %q", path, host, name, got, want)
				}
			}
		}
	}
	for _, forbidden := range []string{"unsafe", "*", "http:", "data:"} {
		if strings.Contains(policy, forbidden) {
			t.Errorf("the policy allows %q: %s", forbidden, policy)
		}
	}
}

func TestItAnswersToItsOwnNamesOnly(t *testing.T) {
	for _, c := range []struct {
		addr, host string
		want       bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", true},
		{"127.0.0.1:8080", "localhost:8080", true},
		{"127.0.0.1:8080", "LOCALHOST", true},
		{"127.0.0.1:8080", "127.9.9.9", true},
		{"127.0.0.1:8080", "[::1]:8080", true},
		{"127.0.0.1:0", "127.0.0.1:41234", true},
		{"ops.example:8080", "ops.example:8080", true},
		{"ops.example:8080", "Ops.Example", true},
		{"ops.example:8080", "localhost:8080", true},

		{"127.0.0.1:8080", "evil.example:8080", false},
		{"127.0.0.1:8080", "localhost.evil.example", false},
		{"127.0.0.1:8080", "127.0.0.1.evil.example", false},
		{"127.0.0.1:8080", "192.168.1.7:8080", false},
		{"127.0.0.1:8080", "", false},
		{":8080", "", false},
		{":8080", "evil.example", false},
		{"0.0.0.0:8080", "evil.example", false},
	} {
		if got := answersTo(hostOf(c.addr), hostOf(c.host)); got != c.want {
			t.Errorf("on %q, a request for %q: %v, want %v", c.addr, c.host, got, c.want)
		}
	}
	if got := newLab(t).ask(t, "alice", "GET", "/v1/jobs", "", "Host", "evil.example").StatusCode; got != http.StatusMisdirectedRequest {
		t.Errorf("a request for another name: status %d, want %d", got, http.StatusMisdirectedRequest)
	}
}

func TestPagesOfOtherOriginsWriteNothing(t *testing.T) {
	l := newLab(t)
	if err := createSamples(t.Context(), l.eng); err != nil {
		t.Fatal(err)
	}
	start := fmt.Sprintf("/v1/jobs/%d/start", sample(t, t.Context(), l.eng, "rollout").ID)
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"}, // another port of this machine
		{"Origin", "http://evil.example"},
	} {
		for path, body := range map[string]string{"/session": `{"person":"bob"}`, start: `{}`} {
			answer := l.ask(t, "alice", "POST", path, body, header...)
			if answer.StatusCode != http.StatusForbidden || len(answer.Cookies()) > 0 {
				t.Errorf("POST %s with %v: status %d, cookies %v, want %d and none", path, header, answer.StatusCode, answer.Cookies(), http.StatusForbidden)
			}
		}
	}
	if got := l.ask(t, "alice", "POST", start, `{}`, "Sec-Fetch-Site", "same-origin").StatusCode; got != http.StatusOK {
		t.Errorf("POST %s of the page itself: status %d, want %d", start, got, http.StatusOK)
	}
}

func TestThePage(t *testing.T) {
	l := newLab(t)
	for _, c := range []struct {
		path, kind string
		status     int
	}{
		{"/", "text/html; charset=utf-8", http.StatusOK},
		{"/jobs/375043932840917", "text/html; charset=utf-8", http.StatusOK},
		{"/static/main.js", "text/javascript; charset=utf-8", http.StatusOK},
		{"/static/page.css", "text/css; charset=utf-8", http.StatusOK},
		{"/static/icon.svg", "image/svg+xml", http.StatusOK},
		{"/static/", "text/plain; charset=utf-8", http.StatusNotFound},
		{"/static/main.go", "text/plain; charset=utf-8", http.StatusNotFound},
		{"/jobs/1/2", "text/html; charset=utf-8", http.StatusNotFound},
		{"/jobs/new", "text/html; charset=utf-8", http.StatusNotFound},
		{"/nosuch", "text/html; charset=utf-8", http.StatusNotFound},
	} {
		answer := l.ask(t, "", "GET", c.path, "")
		if kind := answer.Header.Get("Content-Type"); answer.StatusCode != c.status || kind != c.kind {
			t.Errorf("GET %s: status %d of %q, want %d of %q", c.path, answer.StatusCode, kind, c.status, c.kind)
		}
		if c.status != http.StatusOK {
			continue
		}
		etag := answer.Header.Get("ETag")
		if answer.Header.Get("Cache-Control") != "no-cache" || etag == "" {
			t.Errorf("GET %s: headers %v, want no-cache and an ETag", c.path, answer.Header)
		}
		if again := l.ask(t, "", "GET", c.path, "", "If-None-Match", etag); again.StatusCode != http.StatusNotModified {
			t.Errorf("GET %s with its ETag: status %d, want %d", c.path, again.StatusCode, http.StatusNotModified)
		}
	}
}

// A file that is not told beforehand is asked for only when the one that needs it has come.
func TestThePageTellsItsModulesBeforehand(t *testing.T) {
	page := files()
	index := string(page["index.html"].data)
	for name := range page {
		if path.Ext(name) == ".js" && !strings.Contains(index, `"/static/`+name+`"`) {
			t.Errorf("index.html does not name %s", name)
		}
	}
}

func TestThePageLoadsAndBuildsNothingUnsafe(t *testing.T) {
	unsafe := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\bstyle=|\son\w+="|javascript:|@import|url\(`)
	elsewhere := regexp.MustCompile(`(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s'"]*`)
	for name, f := range files() {
		for i, line := range strings.Split(string(f.data), "\n") {
			if found := unsafe.FindString(line); found != "" {
				t.Errorf("%s:%d: %q", name, i+1, found)
			}
			if found := elsewhere.FindString(line); found != "" && found != "http://www.w3.org/2000/svg" {
				t.Errorf("%s:%d: %q is elsewhere", name, i+1, found)
			}
		}
		if f.kind == "" {
			t.Errorf("%s: its media type is not known", name)
		}
	}
}

// read returns the body of an answer.
func read(t *testing.T, answer *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
