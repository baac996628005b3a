package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Client calls the API of one server as one caller: whom the server's Identify finds in the
// headers. It sees what that caller sees. A Client is safe for concurrent use.
//
// Methods that an engine has too are like the engine's, errors included: a *[engine.Refusal],
// [store.ErrLeaseLost], [engine.ErrConflict], [engine.ErrAhead], [engine.ErrUnknownOutcome]. Every
// other answer of the server is a *[StatusError]. A call that ctx ends, or that cannot reach
// the server, has the error of net/http.
//
// The Client repeats what is safe to repeat, with a growing pause: reads, what carries a request id
// or is a dry run, reports, renewals, releases, and every call of which the server says, or net/http, that
// nothing was done. It draws the id of a request that has none. Repetitions obey
// Retry-After up to 30 s, and end with ctx.
//
// Names of types and operations that belong to embedders are registered in this process too, as
// with [step.Type.Register]: an answer with a name that this process does not know cannot be read. So
// a client is of the server's version, or of a later one.
type Client struct {
	base    string // without a slash at its end
	http    *http.Client
	header  func(ctx context.Context, h http.Header) error
	timeout time.Duration
	retries int
	most    int64 // bytes of an answer
}

// An Option sets up a [Client].
type Option func(*Client)

// WithHTTPClient has c send the requests. The default follows no redirect and keeps up to 64 idle
// connections; it uses [http.DefaultTransport] as it is if that is no *[http.Transport]. A Timeout
// of c bounds claims that wait, and streams, too.
func WithHTTPClient(c *http.Client) Option {
	return func(to *Client) {
		if c != nil {
			to.http = c
		}
	}
}

// WithHeader has f add to the header of each request that is sent, as authorization does. Its
// error is the call's, and nothing is sent. It must be safe for concurrent use.
func WithHeader(f func(ctx context.Context, h http.Header) error) Option {
	return func(to *Client) { to.header = f }
}

// WithTimeout bounds each request from its beginning to the end of its answer; the default, also
// for 0 and less, is 30 s. A claim may take as long as it waits in addition. An event stream may
// take any time, but must not be silent for 1 min.
func WithTimeout(d time.Duration) Option {
	return func(to *Client) {
		if d > 0 {
			to.timeout = d
		}
	}
}

// WithRetries sets how often a request is repeated that is safe to repeat; the default is 3. 0 or
// less repeats none.
func WithRetries(n int) Option { return func(to *Client) { to.retries = max(n, 0) } }

// New returns a client of the server at base, the URL below which it has /v1/:
// "https://ops.example.com" or, behind a proxy, "https://ops.example.com/stepgate". It sends
// nothing yet. The error says what is wrong with base.
func New(base string, opts ...Option) (*Client, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil && shown(base) != base: // err can quote a piece of the password
		return nil, fmt.Errorf("client: the server's URL %q is malformed: escape the user and the password", shown(base))
	case err != nil:
		return nil, fmt.Errorf("client: the server's URL is malformed: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("client: the server's URL %q is not absolute: want http:// or https:// and a host", shown(base))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("client: the server's URL %q has a query or a fragment: omit it", shown(base))
	}
	c := &Client{base: strings.TrimRight(u.String(), "/"), timeout: 30 * time.Second, retries: 3, most: maxAnswer}
	for _, o := range opts {
		if o != nil {
			o(c)
		}
	}
	if c.http == nil {
		c.http = &http.Client{
			Transport:     newTransport(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return c, nil
}

// shown returns a URL, well-formed or not, without what may be a password.
func shown(base string) string {
	if i := strings.LastIndexByte(base, '@'); i >= 0 {
		return "..." + base[i:]
	}
	return base
}

// newTransport returns the default transport with more idle connections. One that a program has put
// in its place, as for traces, is used as it is.
func newTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = 64
	return t
}
