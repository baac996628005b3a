package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stepgate/stepgate/httpapi"
)

// A caller is admitted by the whole token, in the header or in the credentials of a reference call, and
// the header counts if it is there.
func TestTokens(t *testing.T) {
	ann, worker := httpapi.Caller{Person: "ann", AllScopes: true}, httpapi.Caller{Name: "worker", Executor: true, AllScopes: true}
	tokens := httpapi.Tokens{"a": ann, "ab c": worker, "": {Person: "anyone", AllScopes: true}}
	for _, c := range []struct {
		header string
		body   httpapi.Credentials
		want   httpapi.Caller // the zero Caller: an error
	}{
		{"Bearer a", httpapi.Credentials{}, ann},
		{"bearer ab c", httpapi.Credentials{}, worker},
		{"", httpapi.Credentials{Token: "a"}, ann},
		{"", httpapi.Credentials{AccessToken: "ab c", Token: "a"}, worker},
		{"Basic YTph", httpapi.Credentials{Token: "a"}, ann},
		{"Bearer ab", httpapi.Credentials{Token: "a"}, httpapi.Caller{}},
		{"Bearer ", httpapi.Credentials{}, httpapi.Caller{}},
		{"Bearer", httpapi.Credentials{}, httpapi.Caller{}},
		{"a", httpapi.Credentials{}, httpapi.Caller{}},
		{"Bearer  a", httpapi.Credentials{}, httpapi.Caller{}},
		{"", httpapi.Credentials{Username: "a", AppSecret: "a"}, httpapi.Caller{}},
		{"", httpapi.Credentials{}, httpapi.Caller{}},
	} {
		r := &http.Request{Header: http.Header{}}
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		got, err := tokens.Identify(r, c.body)
		if got != c.want || (err == nil) != (c.want != httpapi.Caller{}) {
			t.Errorf("Identify with Authorization %q and %#v = %+v, %v; want %+v", c.header, [2]string{c.body.AccessToken, c.body.Token}, got, err, c.want)
		}
	}
}
