package httpapi

import (
	"context"
	"net"
	"net/http"
	"time"
)

// NewServer returns a server for h that bounds the time for the headers of a request (5 s) and
// between two requests (2 min), which a handler cannot bound. The caller starts and ends it.
// Shutdown ends the event streams and waiting claims of an [API] within h, which would otherwise
// delay it, and no other request. It signals them through the server's BaseContext: a replacement
// must derive from that.
func NewServer(addr string, h http.Handler) *http.Server {
	ending, end := context.WithCancel(context.Background())
	base := context.WithValue(context.Background(), endingKey{}, ending)
	s := &http.Server{
		Addr: addr, Handler: h,
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return base },
	}
	s.RegisterOnShutdown(end)
	return s
}

// endingKey is the key of a context that ends when the server shuts down.
type endingKey struct{}

// untilShutdown calls end once the server of the request with this context shuts down, unless
// stop is called before.
func untilShutdown(ctx context.Context, end func()) (stop func() bool) {
	if ending, ok := ctx.Value(endingKey{}).(context.Context); ok {
		return context.AfterFunc(ending, end)
	}
	return func() bool { return false }
}
