package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/stepgate/stepgate/engine"
)

// A Config sets up an [API]. But for Identify, the zero value of each field is its default.
type Config struct {
	// Identify says who makes a request. Without it, every request is refused.
	Identify Identify

	// Streams is how many event streams are open at once, and StreamsPerPerson how many of
	// one person; the defaults are 256 and 16.
	Streams, StreamsPerPerson int

	// StreamFor is how long an event stream lasts at most. Its client then comes back where it
	// broke off, and Identify is asked again; the default is one hour.
	StreamFor time.Duration

	// TrustedOrigins are origins ("https://ops.example.com") whose pages may write. Writes
	// from pages of other origins than the one asked are refused. That a browser lets such a
	// page ask takes CORS headers as well, which are the embedder's.
	TrustedOrigins []string

	// BodyTimeout is how long a client has to send a body, and WriteTimeout how long to take
	// an answer, or one event of a stream; the defaults are 20 s each. They replace those of
	// the server.
	BodyTimeout, WriteTimeout time.Duration

	// Heartbeat is the interval of an event stream's beats, which show that it is alive; the
	// default is 15 s.
	Heartbeat time.Duration

	// Host says how clients of the reference calls are told of a target; the default is
	// [ParseHost].
	Host func(target string) Host
}

// An API serves an engine over HTTP: [API.Reference] under /api/ and [API.Native] under /v1/.
// It is safe for concurrent use. A middleware that wraps the ResponseWriter must give it Unwrap,
// as [http.ResponseController] has it: without, event streams are answered with 500, and slow
// clients are not cut off. Event streams and waiting claims end with their request's context and,
// on a server of [NewServer], with its Shutdown.
type API struct {
	eng       *engine.Engine
	c         Config
	origins   *http.CrossOriginProtection
	streams   *streams
	persons   *room
	executors *room
	statuses  *room // of clients of get_job_instance_status
	native    http.Handler
	reference http.Handler
}

// New returns the API of eng. It panics if a trusted origin is not one: that is a mistake in
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

func positive[N int | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}

// ServeHTTP serves both.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") { // a ServeMux would redirect what it takes for untidy
		a.reference.ServeHTTP(w, r)
		return
	}
	a.native.ServeHTTP(w, r)
}

// Native returns the handler of the native API, for paths that begin with /v1/.
func (a *API) Native() http.Handler { return a.native }

// Reference returns the handler of the reference platform's calls, for paths that begin with
// /api/: operate_step_instance, operate_job_instance and get_job_instance_status, at each place
// where clients of that platform ask for them. Its answers are HTTP 200 with a code in the
// body, as those clients read them, to unknown paths and methods as well. docs/reference.md
// says what they may send. A client that uses GET may put its credentials into the URL, which
// Identify no longer sees there, but handlers before this one do.
func (a *API) Reference() http.Handler { return a.reference }
