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

// A Caller identifies the client of a request and the jobs that it sees. The API refuses each
// request of the zero Caller, which sees no jobs. A Caller with Executor and without Person is
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
	// nothing else, and it settles, renews, fails, releases and reports only these. Questions
	// and ends of jobs belong to no type: others take them. The empty set is no limit. Reads are
	// not limited. The API refuses a caller with Types and without Executor.
	Types step.Types
}

// sees returns the engine as c sees it.
func (c Caller) sees(eng *engine.Engine) (*engine.Engine, error) {
	switch none := (store.Scope{}); {
	case !c.Types.Empty() && !c.Executor:
		return nil, errors.New("a caller with types is no executor")
	case c.AllScopes && c.Scope != none:
		return nil, errors.New("a caller with a scope sees all scopes")
	case c.AllScopes:
		return eng, nil
	case c.Scope.Type == "" || c.Scope.ID == "":
		return nil, errors.New("a caller sees no scope")
	}
	return eng.In(c.Scope), nil
}

// serves reports whether c, an executor, takes an effect of a step of a type.
func (c Caller) serves(e store.Effect, t step.Type) bool {
	return c.Types.Empty() || e.ByType() && c.Types.Has(t)
}

// client names c among those that the server's memory is shared out to: a person by name, and
// an executor that is no person by its scope and name.
func (c Caller) client() string {
	if c.Person == "" {
		return strings.Join([]string{c.Scope.Type, c.Scope.ID, c.Name}, "\x00") // which no name holds
	}
	return c.Person
}

// reporter names c in the history of reports.
func (c Caller) reporter() string { return cmp.Or(c.Person, c.Name) }

// request identifies the caller to the engine.
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

func (Credentials) String() string               { return redacted }
func (Credentials) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Credentials) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format prints no field under any verb.
func (Credentials) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

var _ json.Marshaler = Credentials{}

// MarshalJSON writes no field.
func (Credentials) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }
