package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/store"
)

// An Identify says who makes a request, or why nobody that it knows does. The error is not
// shown to the client. It must be safe for concurrent use, and leave the body of r alone.
type Identify func(r *http.Request, c Credentials) (Caller, error)

// A Caller is who makes a request, and what they see. The zero Caller sees nothing: each of
// its requests is refused. A Caller with Executor and without Person is only an executor, and is
// denied everything that a person does: to create, start, terminate and operate. The authorizer
// sees whether a person is an executor as well.
type Caller struct {
	Person    string      // for the history, the authorizer and lists of confirmers
	Scope     store.Scope // the jobs of this scope exist for the caller, and no others
	AllScopes bool        // instead of Scope: all jobs exist for the caller
	Executor  bool        // may claim and settle effects, and report
}

// sees returns the engine as c sees it.
func (c Caller) sees(eng *engine.Engine) (*engine.Engine, error) {
	switch none := (store.Scope{}); {
	case c.AllScopes && c.Scope != none:
		return nil, errors.New("a caller with a scope sees all scopes")
	case c.AllScopes:
		return eng, nil
	case c.Scope.Type == "" || c.Scope.ID == "":
		return nil, errors.New("a caller sees no scope")
	}
	return eng.In(c.Scope), nil
}

// options tells the engine who makes a request.
func (c Caller) options() []engine.OperateOption {
	if c.Executor {
		return []engine.OperateOption{engine.By(c.Person), engine.AsExecutor()}
	}
	return []engine.OperateOption{engine.By(c.Person)}
}

// Credentials are what a client of the reference calls sends to say who it is: in the header
// X-Bkapi-Authorization, as JSON, or else in the body or the query. If the header is there, it
// counts alone. A header that is no JSON object of strings is refused before Identify is
// called. Credentials are zero on the native API, whose clients use headers of the embedder's
// choice. They reach Identify and nothing else, the request that Identify sees does not hold
// them, and however they are printed, logged or marshalled, they read "[redacted]".
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
