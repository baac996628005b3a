package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A page's complaints reach the test: errors, exceptions, breaches of its policy and failed
// loads.
func TestComplaints(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Security-Policy", "default-src 'self'")
			fmt.Fprint(w, `<!doctype html><title>bad</title><p style="color: red">bad</p><script src="/bad.js"></script>`)
		case "/bad.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, `console.error("one", {two: 2}); setTimeout(() => { document.title = "done"; throw Error("three") }); fetch("/four")`)
		case "/favicon.ico":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer server.Close()
	p := start(t).profile(t, server.URL)
	p.open("/")
	for _, want := range []string{"console.error: one", "uncaught: Uncaught Error: three", "content security policy: style-src-attr", "status of 418"} {
		p.allow(want)
		p.heard(want)
	}
	p.allow("security: ") // the browser's own words on the policy
}

// heard waits until the page has complained of something.
func (p *page) heard(part string) {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		p.mu.Lock()
		all := strings.Join(p.wrong, "\n")
		p.mu.Unlock()
		if strings.Contains(all, part) {
			return
		}
		eval[bool](p, `new Promise(done => requestAnimationFrame(() => done(true)))`)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.Errorf("the page does not complain of %q, but of %q", part, p.wrong)
}
