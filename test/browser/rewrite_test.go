package browser

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// rewritten returns the address of a proxy in front of a console that changes answers of the API. Pages
// then get values of a store of an earlier version, or of an embedder's rules. change gets each JSON
// answer below /v1/ that is no problem.
func (c *console) rewritten(t *testing.T, change func(path string, answer map[string]any)) string {
	t.Helper()
	target, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // by which the console knows its own page
		},
		ModifyResponse: func(r *http.Response) error {
			if !strings.HasPrefix(r.Request.URL.Path, "/v1/") || r.Header.Get("Content-Type") != "application/json" || r.StatusCode != http.StatusOK {
				return nil
			}
			text, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			_ = r.Body.Close()
			numbers := json.NewDecoder(bytes.NewReader(text))
			numbers.UseNumber() // as they are written
			answer := map[string]any{}
			if err := numbers.Decode(&answer); err != nil {
				return err
			}
			change(r.Request.URL.Path, answer)
			if text, err = json.Marshal(answer); err != nil {
				return err
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			r.Header.Del("Content-Length")
			return nil
		},
	})
	t.Cleanup(server.Close)
	return server.URL
}

// items returns the objects of a page.
func items(answer map[string]any) []map[string]any {
	list, _ := answer["items"].([]any)
	all := make([]map[string]any, len(list))
	for i := range list {
		all[i] = list[i].(map[string]any)
	}
	return all
}
