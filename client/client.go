package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Client calls the API of one server as one caller, whom the server identifies by the headers of
// [WithHeader]. It sees the jobs that this caller may see. A Client is safe for concurrent use.
//
// A method with the name of an engine's method works like it, errors included: a *[engine.Refusal],
// [store.ErrLeaseLost], [engine.ErrConflict], [engine.ErrAhead], [engine.ErrUnknownOutcome]. Every
// other error answer of the server is a *[StatusError]. If ctx ends, or the server cannot be
// reached, the error is net/http's.
//
// The Client repeats calls that are safe to repeat, with growing pauses: reads, dry runs, requests
// with an id, reports, renewals, releases, and every call that did nothing according to the server
// or to net/http. It draws an id for a request without one. Repetitions obey Retry-After up to
// 30 s, and end with ctx.
//
// A program registers the names of an embedder's types and operations in the client's process as
// well, as with [step.Type.Register]: an answer with an unknown name cannot be read. For the same
// reason a client has the server's version of this module, or a later one.
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

// WithHTTPClient sets the client that sends the requests. The default follows no redirect and keeps
// up to 64 idle connections; it uses [http.DefaultTransport] unchanged if that is no
// *[http.Transport]. A Timeout of c also ends claims that wait, and event streams.
func WithHTTPClient(c *http.Client) Option {
	return func(to *Client) {
		if c != nil {
			to.http = c
		}
	}
}

// WithHeader calls f before each request, repetitions included, to add headers such as
// Authorization. If f returns an error, nothing is sent and the call returns that error. f must be
// safe for concurrent use.
func WithHeader(f func(ctx context.Context, h http.Header) error) Option {
	return func(to *Client) { to.header = f }
}

// WithTimeout sets the maximum duration of each request, from its beginning to the end of its
// answer; the default, also for d <= 0, is 30 s. For a claim, the Wait of its query is added. An
// event stream has no maximum duration, but is reopened after 1 min of silence.
func WithTimeout(d time.Duration) Option {
	return func(to *Client) {
		if d > 0 {
			to.timeout = d
		}
	}
}

// WithRetries sets the maximum of repetitions of a request that is safe to repeat; the default is
// 3. 0 or less means none.
func WithRetries(n int) Option { return func(to *Client) { to.retries = max(n, 0) } }

// New returns a client of the server at base, the URL below which the API has /v1/:
// "https://ops.example.com" or, behind a proxy, "https://ops.example.com/stepgate". New sends
// nothing. It returns an error if base is no such URL.
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

// shown returns a URL, well-formed or not, without the part that may be a password.
func shown(base string) string {
	if i := strings.LastIndexByte(base, '@'); i >= 0 {
		return "..." + base[i:]
	}
	return base
}

// newTransport returns a copy of the default transport with more idle connections, or the default
// transport itself if a program has replaced it by another type, as for traces.
func newTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = 64
	return t
}
