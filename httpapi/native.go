package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/strictjson"
	"github.com/stepgate/stepgate/store"
)

// A call is one authenticated request.
type call struct {
	*http.Request
	w      http.ResponseWriter
	api    *API
	caller Caller
	eng    *engine.Engine // sees the caller's jobs only
	query  url.Values
	body   []byte // nil for none; valid while the handler runs

	ifMatch store.Seq // version in the If-Match header; 0 without a condition, and for *
}

// A reply is the answer to a successful call.
type reply struct {
	status int       // 0 means 200
	body   any       // as JSON; nil for no content
	held   *share    // share of the room, held until the client has received the answer
	moved  store.Seq // for the ETag; 0 for none
	at     string    // for the Location; empty for none
	stream func()    // writes the whole answer; the fields above are unused then
}

// newNative returns the handler of the native API.
func (a *API) newNative() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]route{}
	for _, r := range routes {
		methods[r.path] = append(methods[r.path], r)
	}
	for path, routes := range methods {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { a.choose(w, r, routes) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { a.fail(w, newProblem(reasonNoSuchRoute, "")) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean(r.URL.Path) != r.URL.Path { // mux would redirect
			a.fail(w, newProblem(reasonNoSuchRoute, ""))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// choose serves r on the route for its method, one of the routes of its path.
func (a *API) choose(w http.ResponseWriter, r *http.Request, routes []route) {
	var allow []string
	for _, route := range routes {
		if r.Method == route.method {
			a.serve(w, r, route)
			return
		}
		allow = append(allow, route.method)
	}
	p := newProblem(reasonMethod, "the path allows "+strings.Join(allow, " and "))
	p.header = http.Header{"Allow": {strings.Join(allow, ", ")}}
	a.fail(w, p)
}

// serve runs a request on a route and writes the answer.
func (a *API) serve(w http.ResponseWriter, r *http.Request, route route) {
	c := &call{Request: r, w: w, api: a}
	answer, err := c.run(route)
	defer answer.held.release()
	switch {
	case err != nil:
		p := problemOf(err)
		if p.Status == http.StatusInternalServerError {
			a.failed(r, err)
		}
		a.fail(w, p)
	case answer.stream != nil:
		answer.stream()
	default:
		if answer.moved != 0 {
			w.Header().Set("ETag", etag(answer.moved))
		}
		if answer.at != "" {
			w.Header().Set("Location", answer.at)
		}
		if answer.body == nil {
			w.WriteHeader(answer.status)
			return
		}
		a.write(w, max(answer.status, http.StatusOK), "application/json", answer.body)
	}
}

// run authenticates and parses the request, in the same order on all routes, and calls the route's
// handler.
func (c *call) run(route route) (answer reply, err error) {
	if err := c.api.origins.Check(c.Request); err != nil {
		return reply{}, newProblem(reasonCrossOrigin, "")
	}
	if !route.open {
		if err := c.identify(route.executor); err != nil {
			return reply{}, err
		}
	}
	if c.query, err = query(c.URL.RawQuery, route.query); err != nil {
		return reply{}, err
	}
	if c.ifMatch, err = c.condition(route.conditional); err != nil {
		return reply{}, err
	}
	if route.body == 0 {
		return route.handle(c)
	}
	if err := c.acceptsJSON(); err != nil {
		return reply{}, err
	}
	err = c.room().body(c.w, c.Request, c.caller.client(), route.body, c.api.c.BodyTimeout, func(data []byte) error {
		c.body = data
		answer, err = route.handle(c)
		return err
	})
	if errors.Is(err, errTooLarge) {
		err = invalid("body", err.Error())
	}
	return answer, err
}

// room returns the room for callers of this kind.
func (c *call) room() *room {
	if c.caller.Executor {
		return c.api.executors
	}
	return c.api.persons
}

// identify authenticates the caller and selects the jobs that it sees.
func (c *call) identify(executor bool) (err error) {
	if c.api.c.Identify == nil {
		return newProblem(reasonUnauthenticated, "the server has no authentication configured")
	}
	c.caller, err = c.api.c.Identify(c.Request, Credentials{})
	if err != nil || c.caller == (Caller{}) {
		return newProblem(reasonUnauthenticated, "")
	}
	if c.eng, err = c.caller.sees(c.api.eng); err != nil {
		return err
	}
	if executor && !c.caller.Executor {
		return newProblem(reasonNotExecutor, "")
	}
	return nil
}

// acceptsJSON refuses a body whose Content-Type is not JSON. An absent body needs no
// Content-Type.
func (c *call) acceptsJSON() error {
	given := c.Header.Get("Content-Type")
	if given == "" && c.ContentLength == 0 {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(given); err != nil || kind != "application/json" {
		return newProblem(reasonContentType, "")
	}
	if c.Header.Get("Content-Encoding") != "" {
		return newProblem(reasonContentType, "the body must have no Content-Encoding")
	}
	return nil
}

// decode reads the body into v. An absent body counts as {}.
func (c *call) decode(v any) error {
	if len(c.body) == 0 {
		c.body = []byte("{}")
	}
	err := strictjson.Request(c.body, v)
	if wrong := (*strictjson.Error)(nil); errors.As(err, &wrong) && wrong.Path != "" {
		return invalid(wrong.Path, wrong.Text)
	}
	if err != nil {
		return invalid("body", err.Error())
	}
	return nil
}

// condition returns the version in the If-Match header. A route that takes no condition refuses
// the header: no client relies on a condition that the server ignores.
func (c *call) condition(takes bool) (store.Seq, error) {
	given := c.Header.Values("If-Match")
	switch {
	case c.Method == http.MethodGet || len(given) == 0:
		return 0, nil
	case !takes:
		return 0, invalid("If-Match", "this call takes no condition: omit the header")
	case len(given) == 1 && given[0] == "*":
		return 0, nil
	}
	text := strings.TrimPrefix(strings.Join(given, ", "), "W/") // compressing proxies add W/; the number alone identifies the version
	digits, ok := strings.CutPrefix(text, `"`)
	digits, ok2 := strings.CutSuffix(digits, `"`)
	n, err := number("If-Match", digits)
	if !ok || !ok2 || err != nil || n == 0 {
		return 0, invalid("If-Match", `must be "*" or one ETag of an answer: a number in double quotes, with or without W/ before it`)
	}
	return store.Seq(n), nil
}

func etag(moved store.Seq) string { return `"` + strconv.FormatInt(int64(moved), 10) + `"` }

// fail answers with a problem.
func (a *API) fail(w http.ResponseWriter, p *problem) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	a.write(w, p.Status, "application/problem+json", p)
}

// write answers with v as JSON.
func (a *API) write(w http.ResponseWriter, status int, kind string, v any) {
	if long, ok := v.(interface{ encode(io.Writer) }); ok {
		a.begin(w, status, kind)
		long.encode(w)
		return
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil { // a bug: every answer marshals
		status, kind = http.StatusInternalServerError, "application/problem+json"
		text.Reset()
		_ = encoder.Encode(newProblem(reasonInternal, ""))
	}
	a.send(w, status, kind, text.Bytes())
}

// send answers with text.
func (a *API) send(w http.ResponseWriter, status int, kind string, text []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	a.begin(w, status, kind)
	_, _ = w.Write(text)
}

// begin starts an answer. The server disconnects a client that does not receive the whole answer
// within WriteTimeout.
func (a *API) begin(w http.ResponseWriter, status int, kind string) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(a.c.WriteTimeout))
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
}
