package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/stepgate/stepgate/engine"
)

// A Config configures an [API]. The zero value of each field but Identify selects its default.
type Config struct {
	// Identify authenticates a request. If it is nil, the API refuses every request.
	Identify Identify

	// Failed receives the errors whose causes the API hides from clients: the cause of each answer with
	// status 500 and of each reference call that failed in the server, a Caller that contradicts itself
	// among them, and the error of the store that ended an event stream. A request whose client has left
	// is not reported. r is the request, without the credentials of a reference call; its body may be
	// read. The answer waits for Failed, which must be safe for concurrent use. If it is nil, the causes
	// are lost.
	Failed func(r *http.Request, err error)

	// Streams is the maximum number of open event streams, and StreamsPerPerson the maximum per
	// person; the defaults are 256 and 16.
	Streams, StreamsPerPerson int

	// StreamFor is the maximum duration of an event stream; the default is one hour. The client
	// then reconnects and resumes the stream, and Identify authenticates it again.
	StreamFor time.Duration

	// TrustedOrigins are origins ("https://ops.example.com") whose pages may write. The API
	// refuses writes from pages of any other origin than its own. Browsers also require CORS
	// headers, which the embedder sets.
	TrustedOrigins []string

	// BodyTimeout bounds the time in which a client sends a body, and WriteTimeout the time in
	// which it receives an answer, or one event of a stream; the defaults are 20 s each. They
	// replace the timeouts of the server.
	BodyTimeout, WriteTimeout time.Duration

	// Heartbeat is the interval of an event stream's beats; the default is 15 s.
	Heartbeat time.Duration

	// Host maps a target's name to the host that the reference calls return; the default is
	// [ParseHost].
	Host func(target string) Host
}

// An API serves an engine over HTTP: [API.Reference] under /api/ and [API.Native] under /v1/.
// It is safe for concurrent use. A middleware that wraps the ResponseWriter must implement Unwrap
// for [http.ResponseController]: otherwise the API answers event streams with 500 and does not
// disconnect slow clients. Event streams and waiting claims end with their request's context and,
// on a server of [NewServer], with its Shutdown.
type API struct {
	eng       *engine.Engine
	c         Config
	origins   *http.CrossOriginProtection
	streams   *streams
	persons   *room
	executors *room
	statuses  *room // of clients of get_job_instance_status and get_step_instance_status
	native    http.Handler
	reference http.Handler
}

// New returns the API of eng. It panics if a trusted origin is malformed: that is a mistake in
// the program.
func New(eng *engine.Engine, c Config) *API {
	c.Streams = positive(c.Streams, 256)
	c.StreamsPerPerson = positive(c.StreamsPerPerson, 16)
	c.StreamFor = positive(c.StreamFor, time.Hour)
	c.BodyTimeout = positive(c.BodyTimeout, 20*time.Second)
	c.WriteTimeout = positive(c.WriteTimeout, 20*time.Second)
	c.Heartbeat = positive(c.Heartbeat, 15*time.Second)
	if c.Host == nil {
		c.Host = ParseHost
	}
	a := &API{
		eng: eng, c: c, origins: http.NewCrossOriginProtection(),
		streams: newStreams(c.Streams, c.StreamsPerPerson),
		persons: newRoom(), executors: newRoom(),
		statuses: newStatusRoom(),
	}
	for _, origin := range c.TrustedOrigins {
		if err := a.origins.AddTrustedOrigin(origin); err != nil {
			panic("httpapi: " + err.Error())
		}
	}
	a.native, a.reference = a.impatient(a.newNative()), a.impatient(a.newReference())
	return a
}

// positive returns n, or otherwise if n is not positive.
func positive[N int | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}

// ServeHTTP serves both APIs.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") { // no ServeMux: it redirects a path with // or ..
		a.reference.ServeHTTP(w, r)
		return
	}
	a.native.ServeHTTP(w, r)
}

// Native returns the handler of the native API, for paths that begin with /v1/.
func (a *API) Native() http.Handler { return a.native }

// Reference returns the handler of the reference platform's calls, for paths that begin with
// /api/: operate_step_instance, operate_job_instance, get_job_instance_status and
// get_step_instance_status, under each path prefix that clients of that platform use. Each answer is
// HTTP 200 with a code in the body, also for unknown paths and methods. docs/reference.md specifies the requests. A client
// that uses GET may put its credentials into the URL: the handler removes them before Identify
// sees the request, but outer handlers see them.
func (a *API) Reference() http.Handler { return a.reference }
