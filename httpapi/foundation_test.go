package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
)

// Credentials show in no printed form.
func TestCredentialsDoNotPrint(t *testing.T) {
	c := httpapi.Credentials{AppCode: "s3cret", AppSecret: "s3cret", Token: "s3cret", Username: "s3cret"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{c, &c, struct{ C httpapi.Credentials }{c}} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "s3cret") || strings.Contains(text, "733363726574") {
				t.Errorf("Sprintf(%q, %T) = %s", verb, v, text)
			}
		}
	}
	if text, err := json.Marshal(struct{ C httpapi.Credentials }{c}); err != nil || strings.Contains(string(text), "s3cret") {
		t.Errorf("Marshal = %s, %v", text, err)
	}
}

// The API refuses every request if there is no Identify, and every caller without a scope.
func TestUnidentified(t *testing.T) {
	for name, identify := range map[string]httpapi.Identify{
		"nobody says who": nil,
		"the zero caller": func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) { return httpapi.Caller{}, nil },
		"not known": func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
			return httpapi.Caller{}, fmt.Errorf("no")
		},
	} {
		a := httpapi.New(engine.New(memstore.New()), httpapi.Config{Identify: identify})
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/v1/jobs/1", nil))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want 401", name, w.Code)
		}
	}
}
