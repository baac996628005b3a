package httpapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A referenceCall is one of the reference platform's calls.
type referenceCall struct {
	methods []string
	fields  []string // that it reads, beside those that all calls have
	answer  func(*referenceRequest) (data any, err error)
}

var referenceCalls = map[string]referenceCall{
	"operate_step_instance": {
		methods: []string{http.MethodPost},
		fields:  []string{fieldStep, fieldCode},
		answer:  (*referenceRequest).operateStep,
	},
	"operate_job_instance": {
		methods: []string{http.MethodPost},
		fields:  []string{fieldCode},
		answer:  (*referenceRequest).operateJob,
	},
	"get_job_instance_status": {
		methods: []string{http.MethodGet, http.MethodPost},
		fields:  []string{fieldTargets},
		answer:  (*referenceRequest).status,
	},
}

// referencePrefixes are the paths below which real clients ask for the calls.
var referencePrefixes = []string{
	"/api/v3/",                 // the platform's gateway
	"/api/v3/system/",          // likewise
	"/api/job/v3/job-execute/", // the backend behind the gateway
	"/api/c/compapi/v2/jobv3/", // the older bus
	"/api/c/compapi/jobv3/",    // the bus, asked without a version
	"/api/c/compapi/v2/job/",   // the bus of edition 6.0
}

// referenceCallAt returns the name of the call at a path, with or without a slash at its end,
// and whether there is one.
func referenceCallAt(path string) (name string, ok bool) {
	for _, prefix := range referencePrefixes {
		if name, ok = strings.CutPrefix(path, prefix); ok {
			name = strings.TrimSuffix(name, "/")
			if _, ok = referenceCalls[name]; ok {
				return name, true
			}
		}
	}
	return "", false
}

// A referenceRequest is one authenticated request.
type referenceRequest struct {
	*http.Request
	api    *API
	fields fields
	caller Caller
	scope  store.Scope    // that the request names
	job    store.JobID    // likewise
	eng    *engine.Engine // of the scope, once it is known that the caller sees it
	held   *share         // of api.statuses, until the answer is taken; nil for a small one
}

// newReference returns the handler of the reference platform's calls. Every answer has the
// form of theirs, those to unknown paths and methods included: clients show its message.
func (a *API) newReference() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := &referenceRequest{Request: r, api: a}
		data, err := req.call(w)
		defer req.held.release()
		var answer any = req.envelope(data, err)
		if status, ok := data.(*jobStatus); ok {
			answer = statusAnswer{req.envelope(nil, nil), status}
		}
		a.write(w, http.StatusOK, "application/json", answer)
	})
}

// call finds the call at the path of the request, and makes it.
func (r *referenceRequest) call(w http.ResponseWriter) (any, error) {
	name, ok := referenceCallAt(r.URL.Path)
	if !ok {
		return nil, unacceptable("path", "unknown call, want one of "+strings.Join(slices.Sorted(maps.Keys(referenceCalls)), ", "))
	}
	call := referenceCalls[name]
	if !slices.Contains(call.methods, r.Method) {
		w.Header().Set("Allow", strings.Join(call.methods, ", "))
		return nil, unacceptable("method", name+" takes "+strings.Join(call.methods, " or "))
	}
	return r.run(w, call)
}

func (r *referenceRequest) run(w http.ResponseWriter, call referenceCall) (any, error) {
	if r.api.c.Identify == nil {
		return nil, errNotKnown
	}
	if r.api.origins.Check(r.Request) != nil {
		return nil, errCrossOrigin
	}
	var err error
	if r.fields, err = r.read(w, call.fields); err != nil {
		return nil, err
	}
	credentials, err := r.credentials()
	if err != nil {
		return nil, err
	}
	r.caller, err = r.api.c.Identify(withoutCredentials(r.Request), credentials)
	if err != nil {
		return nil, errNotKnown
	}
	if r.eng, err = r.caller.sees(r.api.eng); err != nil {
		return nil, errNotKnown
	}
	if r.scope, err = r.fields.scope(); err != nil {
		return nil, err
	}
	job, err := r.fields.id(fieldJob, int64(store.MaxJobID))
	if err != nil {
		return nil, err
	}
	r.job = store.JobID(job)
	return call.answer(r)
}

// narrow has r.eng see the scope of the request and no other. It comes after all that can be
// wrong with the fields, so that a job of a scope that the caller does not see is answered
// as one that never was, whatever else the request says.
func (r *referenceRequest) narrow() error {
	if !r.caller.AllScopes && r.caller.Scope != r.scope {
		return errNoSuchJob
	}
	r.eng = r.eng.In(r.scope)
	return nil
}

func (r *referenceRequest) operateStep() (any, error) {
	id, err := r.fields.id(fieldStep, maxID)
	if err != nil {
		return nil, err
	}
	cause, err := operationAmong(r.fields, only(r.eng.Rules().Causes(), step.Cause.OfStep))
	if err != nil {
		return nil, err
	}
	if err := r.narrow(); err != nil {
		return nil, err
	}
	if _, err := r.eng.Operate(r.Context(), r.job, step.ID(id), operation.Code(cause.Code()), r.caller.request()); err != nil {
		return nil, err
	}
	return struct {
		Step int64       `json:"step_instance_id"`
		Job  store.JobID `json:"job_instance_id"`
	}{id, r.job}, nil
}

func (r *referenceRequest) operateJob() (any, error) {
	cause, err := operationAmong(r.fields, operation.CausesOf(operation.AllJobCodes()...))
	if err != nil {
		return nil, err
	}
	if err := r.narrow(); err != nil {
		return nil, err
	}
	if _, err := r.eng.OperateJob(r.Context(), r.job, operation.JobCode(cause.Code()), r.caller.request()); err != nil {
		return nil, err
	}
	return struct {
		Job store.JobID `json:"job_instance_id"`
	}{r.job}, nil
}

// id returns how logs know the request: as the client says, if that can stand in a log, or
// by a new id. It has nothing to do with the engine's request ids, as clients send one for
// all that they do on behalf of one of theirs.
func (r *referenceRequest) id() string {
	for _, name := range []string{"X-Bkapi-Request-Id", "X-Request-Id"} {
		if id := r.Header.Get(name); 1 <= len(id) && len(id) <= 64 && !strings.ContainsFunc(id, unusual) {
			return id
		}
	}
	return uuid.NewString()
}

func unusual(c rune) bool {
	return (c < '0' || '9' < c) && (c < 'A' || 'Z' < c) && (c < 'a' || 'z' < c) && c != '-' && c != '_'
}

// withoutCredentials returns r without the credentials that its header and its query may hold,
// so that an Identify that logs r does not log them.
func withoutCredentials(r *http.Request) *http.Request {
	clean := r.WithContext(r.Context())
	if r.Header.Values(headerCredentials) != nil {
		clean.Header = r.Header.Clone()
		clean.Header.Del(headerCredentials)
	}
	if r.URL.RawQuery == "" {
		return clean
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		query = nil
	}
	for _, name := range credentialFields {
		query.Del(name)
	}
	at := *r.URL
	at.RawQuery = query.Encode()
	clean.URL, clean.RequestURI, clean.Form = &at, at.RequestURI(), nil
	return clean
}
