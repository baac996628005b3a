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
	fields  []string // read in addition to everyField
	answer  func(*referenceRequest) (data any, err error)
}

// referenceCalls has each call by its name.
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
	"get_step_instance_status": {
		methods: []string{http.MethodGet, http.MethodPost},
		fields:  []string{fieldStep, fieldBatch},
		answer:  (*referenceRequest).stepStatus,
	},
}

// referencePrefixes are the path prefixes of the calls that existing clients use.
var referencePrefixes = []string{
	"/api/v3/",                 // the platform's gateway
	"/api/v3/system/",          // likewise
	"/api/job/v3/job-execute/", // the backend behind the gateway
	"/api/c/compapi/v2/jobv3/", // the older bus
	"/api/c/compapi/jobv3/",    // the bus, without a version
	"/api/c/compapi/v2/job/",   // the bus of edition 6.0
}

// referenceCallAt returns the name of the call at a path, which may have a trailing slash, and
// whether there is one.
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
	scope  store.Scope    // named by the request
	job    store.JobID    // likewise
	eng    *engine.Engine // sees the caller's jobs only, and after narrow those of scope
	held   *share         // share of api.statuses, until the client has received the answer; nil for a small one
}

// newReference returns the handler of the reference platform's calls. Every answer is an
// envelope, also for unknown paths and methods: clients show its message.
func (a *API) newReference() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := &referenceRequest{Request: r, api: a}
		data, err := req.call(w)
		defer req.held.release()
		var answer any = req.envelope(data, err)
		if status, ok := data.(status); ok {
			answer = statusAnswer{req.envelope(nil, nil), status}
		}
		a.write(w, http.StatusOK, "application/json", answer)
	})
}

// call finds the call at the path of the request and runs it.
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

// run reads the fields, authenticates the caller and answers the call.
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
	if err != nil || r.caller == (Caller{}) {
		return nil, errNotKnown
	}
	if r.eng, err = r.caller.sees(r.api.eng); err != nil {
		return nil, err
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

// narrow limits r.eng to the scope of the request. Each call checks all its fields first: for a
// job outside the caller's scope the answer is then the same as for an unknown job, whatever the
// other fields are.
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

// id returns the id of the request for logs: the client's if a log can hold it, otherwise a new
// one. It is no idempotency key, as clients send the same id with several calls.
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

// withoutCredentials returns r without the credentials in its header and its query: an Identify
// that logs r does not log them.
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
