package httpapi

import "net/http"

// newReference returns the handler of the reference platform's calls.
func (a *API) newReference() http.Handler { return http.NotFoundHandler() }

// A Host is how clients of the reference calls are told of a target.
type Host struct {
	ID      int64  // bk_host_id; 0 for none
	CloudID int64  // bk_cloud_id
	IP      string // ip
}

// ParseHost reads a target's name: "ID" of digits alone, "CLOUD:IP", or anything else as an IP.
func ParseHost(target string) Host { return Host{IP: target} }
