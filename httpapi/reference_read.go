package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stepgate/stepgate/internal/strictjson"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The fields of the reference calls.
const (
	fieldScopeType = "bk_scope_type"
	fieldScopeID   = "bk_scope_id"
	fieldBiz       = "bk_biz_id"
	fieldJob       = "job_instance_id"
	fieldStep      = "step_instance_id"
	fieldCode      = "operation_code"
	fieldTargets   = "return_ip_result"
	fieldBatch     = "batch"
)

// credentialFields are the fields of [Credentials], in their order: in the body, in the query or,
// as JSON, in the header.
var credentialFields = []string{"bk_app_code", "bk_app_secret", "bk_username", "bk_token", "access_token"}

const headerCredentials = "X-Bkapi-Authorization"

// everyField are the fields that all calls read.
var everyField = append(slices.Clone(credentialFields), fieldScopeType, fieldScopeID, fieldBiz, fieldJob)

const maxID = math.MaxInt64

// fields are the known fields of a request, each as JSON. No error quotes one: it may hold a
// secret by mistake.
type fields map[string]json.RawMessage

// read reads the fields that a call knows, from the body of a POST or the query of a GET. It
// ignores unknown fields, and refuses a body that is not strict JSON.
func (r *referenceRequest) read(w http.ResponseWriter, more []string) (f fields, err error) {
	known := append(slices.Clone(everyField), more...)
	if r.Method == http.MethodGet {
		return queryFields(r.URL.RawQuery, known)
	}
	err = r.api.persons.body(w, r.Request, "", maxOperation, r.api.c.BodyTimeout, func(data []byte) error {
		f, err = strictjson.Fields(data, known...)
		if len(data) == 0 {
			err = errors.New("empty, must be a JSON object")
		}
		if err != nil {
			return unacceptable("body", err.Error())
		}
		return nil
	})
	var answer *referenceError
	switch {
	case err == nil, errors.As(err, &answer), errors.Is(err, errBusy):
		return f, err
	case errors.Is(err, errTooLarge):
		return nil, unacceptable("body", fmt.Sprintf("the maximum is %d bytes", maxOperation))
	}
	return nil, unacceptable("body", "did not arrive completely and in time")
}

// queryFields reads the fields of a query, where everything is a string.
func queryFields(raw string, known []string) (fields, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, unacceptable("query", "malformed")
	}
	f := fields{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		given := values[name]
		at := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, name) })
		switch {
		case at < 0:
			continue
		case name != known[at]:
			return nil, unacceptable(known[at], "the field name is spelled "+known[at])
		case len(given) > 1:
			return nil, unacceptable(name, "duplicate")
		case !utf8.ValidString(given[0]):
			return nil, unacceptable(name, "must be UTF-8")
		}
		f[name], _ = json.Marshal(given[0])
	}
	return f, nil
}

// given returns a field and whether it is present; null counts as absent.
func (f fields) given(name string) (json.RawMessage, bool) {
	raw := f[name]
	return raw, raw != nil && string(raw) != "null"
}

// text returns a string, "" if the field is absent.
func (f fields) text(name string) (text string, err error) {
	if raw, ok := f.given(name); ok && json.Unmarshal(raw, &text) != nil {
		return "", unacceptable(name, "must be a string")
	}
	return text, nil
}

// number returns a whole number, which may be a string of digits, and whether the field is one.
func (f fields) number(name string) (int64, bool) {
	raw, ok := f.given(name)
	if !ok {
		return 0, false
	}
	return digits(unquoted(raw))
}

// unquoted returns the content of a string, and any other value as it is.
func unquoted(raw json.RawMessage) string {
	text := string(raw)
	if raw[0] == '"' {
		_ = json.Unmarshal(raw, &text) // raw is valid JSON
	}
	return text
}

// id returns a whole number from 1 to most.
func (f fields) id(name string, most int64) (int64, error) {
	n, ok := f.number(name)
	if !ok || n < 1 || n > most {
		return 0, f.wrong(name, fmt.Sprintf("a whole number from 1 to %d, or a string of its digits", most))
	}
	return n, nil
}

// operationAmong returns the operation of the request, which must be a known one.
func operationAmong(f fields, known step.Causes) (step.Cause, error) {
	n, ok := f.number(fieldCode)
	for cause := range known.All() {
		if ok && n == int64(cause.Code()) {
			return cause, nil
		}
	}
	return 0, f.wrong(fieldCode, "one of "+listed(known))
}

// flag returns a boolean, false if the field is absent.
func (f fields) flag(name string) (bool, error) {
	raw, ok := f.given(name)
	if !ok {
		return false, nil
	}
	switch unquoted(raw) {
	case "true", "True", "1": // Python writes True
		return true, nil
	case "false", "False", "0":
		return false, nil
	}
	return false, f.wrong(name, "true or false")
}

// scope returns the scope of the request: that of the two scope fields if either is present and
// not empty, otherwise that of bk_biz_id.
func (f fields) scope() (store.Scope, error) {
	typed, named := f.says(fieldScopeType), f.says(fieldScopeID)
	if !typed && !named && f.says(fieldBiz) {
		id, err := f.id(fieldBiz, maxID)
		return scopeOfBusiness(id), err
	}
	kind, err := f.text(fieldScopeType)
	if err != nil || kind != "biz" && kind != "biz_set" {
		want := `"biz" (a business) or "biz_set" (a business set)`
		if !typed && !named {
			want += ", or bk_biz_id instead of the scope"
		}
		return store.Scope{}, f.wrong(fieldScopeType, want)
	}
	id, err := f.text(fieldScopeID)
	if n, ok := f.number(fieldScopeID); err != nil && ok { // a number is accepted too
		id, err = fmt.Sprint(n), nil
	}
	if n := utf8.RuneCountInString(id); err != nil || n < 1 || n > 256 || strings.Trim(id, "0") == "" || strings.ContainsFunc(id, blank) {
		return store.Scope{}, f.wrong(fieldScopeID, "the id of the business or the business set, as a string or a whole number from 1")
	}
	return store.Scope{Type: kind, ID: id}, nil
}

// says reports whether a field is present and not empty.
func (f fields) says(name string) bool {
	raw, ok := f.given(name)
	return ok && string(raw) != `""`
}

// The range of the platform's numbers that are business sets; all others are businesses.
const firstSet, lastSet = 8_000_000, 9_999_999

// scopeOfBusiness returns the scope of a bk_biz_id without scope fields.
func scopeOfBusiness(id int64) store.Scope {
	kind := "biz"
	if firstSet <= id && id <= lastSet {
		kind = "biz_set"
	}
	return store.Scope{Type: kind, ID: fmt.Sprint(id)}
}

// businessOf returns the bk_biz_id of a scope, or nil if the scope has none.
func businessOf(scope store.Scope) *int64 {
	if id, ok := digits(scope.ID); ok && id > 0 && scopeOfBusiness(id) == scope {
		return &id
	}
	return nil
}

func blank(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }

// credentials returns the credentials of the header if it is present, otherwise those of the body
// or the query. It never mixes the two: a client could add a person of its choice to an
// application that a gateway has checked.
func (r *referenceRequest) credentials() (Credentials, error) {
	given := r.Header.Values(headerCredentials)
	if strings.Join(given, "") == "" {
		return r.fields.credentials()
	}
	if len(given) > 1 {
		return Credentials{}, unacceptable(headerCredentials, "duplicate")
	}
	f, err := strictjson.Fields([]byte(given[0]), credentialFields...)
	var c Credentials
	if err == nil {
		c, err = fields(f).credentials()
	}
	if err != nil {
		return Credentials{}, unacceptable(headerCredentials, err.Error())
	}
	return c, nil
}

func (f fields) credentials() (c Credentials, err error) {
	for i, into := range []*string{&c.AppCode, &c.AppSecret, &c.Username, &c.Token, &c.AccessToken} {
		if *into, err = f.text(credentialFields[i]); err != nil {
			return Credentials{}, err
		}
	}
	return c, nil
}

// wrong returns the error of a field that is missing or invalid.
func (f fields) wrong(name, want string) error {
	if _, ok := f.given(name); !ok {
		return unacceptable(name, "missing, must be "+want)
	}
	return unacceptable(name, "must be "+want)
}
