package httpapi

import "net/http"

// failed passes to Config.Failed the cause of an answer that hides it from the client of r. A client that has
// left causes no failure.
func (a *API) failed(r *http.Request, err error) {
	if a.c.Failed != nil && r.Context().Err() == nil {
		a.c.Failed(r, err)
	}
}
