package httpapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An Identify authenticates a request. Its error refuses the request and is hidden from the
// client. It must be safe for concurrent use, and must not read the body of r.
type Identify func(r *http.Request, c Credentials) (Caller, error)

// A Caller identifies the client of a request and the jobs that it sees: by exactly one of Scope and
// AllScopes. The zero Caller is unknown, and its request is answered with 401. A Caller that
// contradicts itself is a mistake of Identify: its request is answered with 500, and Config.Failed
// receives the reason. A Caller with Executor and without Person is
// only an executor: the API denies it create, start, terminate and operate. The authorizer
// learns whether a person is an executor too.
type Caller struct {
	Person    string      // for the history, the authorizer and lists of confirmers
	Scope     store.Scope // the caller sees the jobs of this scope only
	AllScopes bool        // instead of Scope: the caller sees all jobs
	Executor  bool        // may claim and settle effects, and report

	// Name names an executor without Person in the history. It grants nothing.
	Name string

	// Types limits an executor to steps of these types: a claim gives it their runs and stops and
	// nothing else, and it settles, renews, fails, releases and reports only these. Questions and
	// ends of jobs belong to no type: executors without a limit claim them. The empty set sets no
	// limit. Reads have none. A Caller with Types and without Executor contradicts itself.
	Types step.Types
}

// sees returns eng limited to the jobs that c sees. It fails if c contradicts itself.
func (c Caller) sees(eng *engine.Engine) (*engine.Engine, error) {
	switch none := (store.Scope{}); {
	case !c.Types.Empty() && !c.Executor:
		return nil, errors.New("Identify returned a Caller with Types and without Executor")
	case c.AllScopes && c.Scope != none:
		return nil, errors.New("Identify returned a Caller with AllScopes and with a Scope")
	case c.AllScopes:
		return eng, nil
	case c.Scope.Type == "" || c.Scope.ID == "":
		return nil, errors.New("Identify returned a Caller without AllScopes and without a Scope of a type and an id")
	}
	return eng.In(c.Scope), nil
}

// serves reports whether the executor c serves an effect of a step of type t.
func (c Caller) serves(e store.Effect, t step.Type) bool {
	return c.Types.Empty() || e.ByType() && c.Types.Has(t)
}

// client returns the key under which budgets count c: the name of a person, or the scope and the
// name of an executor without Person.
func (c Caller) client() string {
	if c.Person == "" {
		return strings.Join([]string{c.Scope.Type, c.Scope.ID, c.Name}, "\x00") // no name contains NUL
	}
	return c.Person
}

// reporter returns the name of c in the history of reports.
func (c Caller) reporter() string { return cmp.Or(c.Person, c.Name) }

// request returns a request of c for the engine.
func (c Caller) request() engine.Request {
	return engine.Request{By: c.Person, Executor: c.Executor}
}

// Credentials authenticate a client of the reference calls. The client sends them in the header
// X-Bkapi-Authorization, as JSON, or else in the body or the query. The header, if present,
// replaces the other two. The API refuses a header that is not a JSON object of strings before it
// calls Identify. Credentials are zero on the native API, whose clients use headers of the
// embedder's choice. Only Identify receives them, and the request that it receives does not hold
// them. Printed, logged or marshalled, they read "[redacted]".
type Credentials struct {
	AppCode     string // bk_app_code
	AppSecret   string // bk_app_secret
	Username    string // bk_username
	Token       string // bk_token
	AccessToken string // access_token
}

const redacted = "[redacted]"

// String returns "[redacted]".
func (Credentials) String() string { return redacted }

// LogValue returns "[redacted]".
func (Credentials) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (Credentials) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format writes "[redacted]" for every verb.
func (Credentials) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

var _ json.Marshaler = Credentials{}

// MarshalJSON returns "[redacted]" as a JSON string.
func (Credentials) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }
