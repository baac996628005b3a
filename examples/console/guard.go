package main

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// policy is what the page may load and do: its own scripts, styles, images and requests, and
// nothing from elsewhere. Nothing may make a script out of a string.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"font-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// guard answers only to the names that the console goes by, so that no page of another site
// can have its own name lead here and pass for this one; and says what browsers must not do.
func guard(addr string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !answersTo(hostOf(addr), hostOf(r.Host)) {
			http.Error(w, "the console does not go by this name: use the address that it prints, or give the name in -addr", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// answersTo reports whether a console that listens on own goes by name.
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

// hostOf returns an address less its port.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return strings.Trim(addr, "[]")
}
