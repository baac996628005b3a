package main

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// policy limits the page to its own scripts, styles, images and requests, and to scripts that are
// not made from strings.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"font-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// guard answers requests for the console's own names only: a page of another site cannot point its
// name to this server and pass for the console. It also sets the headers that restrict browsers.
func guard(addr string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !answersTo(hostOf(addr), hostOf(r.Host)) {
			http.Error(w, "the console does not answer to this name: use the address that it prints, or set the name with -addr", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// answersTo reports whether a console that listens on own answers to name.
func answersTo(own, name string) bool {
	ip, err := netip.ParseAddr(name)
	switch {
	case name == "":
		return false
	case strings.EqualFold(name, "localhost"), strings.EqualFold(name, own):
		return true
	}
	return err == nil && ip.IsLoopback()
}

// hostOf returns an address without its port.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return strings.Trim(addr, "[]")
}
