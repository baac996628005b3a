package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
)

// A person is a role for visitors of the demo.
type person struct {
	Name  string `json:"name"`
	Title string `json:"title"`

	operates bool // may operate, and not only read
}

var people = []person{
	{Name: "alice", Title: "operator and confirmer", operates: true},
	{Name: "bob", Title: "operator", operates: true},
	{Name: "carol", Title: "viewer"},
}

func personNamed(name string) (person, bool) {
	i := slices.IndexFunc(people, func(p person) bool { return p.Name == name })
	if i < 0 {
		return person{}, false
	}
	return people[i], true
}

// authorize allows operators everything and other people nothing.
func authorize(_ context.Context, a engine.Access) error {
	if p, ok := personNamed(a.Actor); !ok || !p.operates {
		return engine.Public("viewers cannot operate")
	}
	return nil
}

// cookie is the name of the cookie with the person. Cookies ignore ports: the name must differ from
// those of other programs on this machine.
const cookie = "stepgate-console-person"

var errNoPerson = errors.New("the request has no signed-in person")

// identify is the demo's [httpapi.Identify]: it trusts the cookie.
func identify(r *http.Request, _ httpapi.Credentials) (httpapi.Caller, error) {
	c, err := r.Cookie(cookie)
	if err != nil {
		return httpapi.Caller{}, errNoPerson
	}
	p, ok := personNamed(c.Value)
	if !ok {
		return httpapi.Caller{}, errNoPerson
	}
	return httpapi.Caller{Person: p.Name, AllScopes: true}, nil
}

// A session has the current person and all people.
type session struct {
	Person  string   `json:"person"` // empty before signing in
	Persons []person `json:"persons"`
}

func getSession(w http.ResponseWriter, r *http.Request) {
	caller, _ := identify(r, httpapi.Credentials{})
	answer(w, session{Person: caller.Person, Persons: people})
}

// postSession signs a visitor in as the person of their choice. It does not authenticate.
func postSession(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "the body must be application/json", http.StatusUnsupportedMediaType)
		return
	}
	var choice struct {
		Person string `json:"person"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10))
	d.DisallowUnknownFields()
	err := d.Decode(&choice)
	_, after := d.Token()
	p, ok := personNamed(choice.Person)
	if err != nil || after != io.EOF || !ok {
		http.Error(w, `want {"person": NAME}, with a name that GET /session tells`, http.StatusBadRequest)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookie, Value: p.Name, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	answer(w, session{Person: p.Name, Persons: people})
}

func answer(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil { // a bug: every answer marshals
		http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(data)
}
