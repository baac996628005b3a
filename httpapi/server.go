package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// NewServer returns a server for h with the limits that a handler cannot set: 5 s and 16 KiB for
// the headers of a request, and 2 min between two requests. The caller starts the server and shuts
// it down. Shutdown ends the event streams and waiting claims of an [API] within h at once, and
// waits for all other requests. It signals them through the server's BaseContext: a replacement
// must derive from that context.
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

// untilShutdown calls end when the server of the request with this context shuts down, unless
// stop is called first.
func untilShutdown(ctx context.Context, end func()) (stop func() bool) {
	if ending, ok := ctx.Value(endingKey{}).(context.Context); ok {
		return context.AfterFunc(ending, end)
	}
	return func() bool { return false }
}

// ListenAndServe serves h at the TCP address addr, on a server of [NewServer], and runs tasks beside it,
// for example the Run of an executor. It begins to stop when ctx ends or a task or the server fails:
// it ends the contexts of the tasks and shuts the server down. It returns when every task has returned
// and every request is answered, with the errors of all, or nil. Requests of an [API] are bounded by its
// timeouts; those of other handlers, and tasks, by nothing. No task runs if it cannot listen.
func ListenAndServe(ctx context.Context, addr string, h http.Handler, tasks ...func(context.Context) error) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	s := NewServer(addr, h)
	serve := func(context.Context) error {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
	shutDown := func(ctx context.Context) error {
		<-ctx.Done()
		return s.Shutdown(context.WithoutCancel(ctx))
	}
	all := append([]func(context.Context) error{serve, shutDown}, tasks...)
	errs := make([]error, len(all))
	var running sync.WaitGroup
	for i, run := range all {
		running.Go(func() {
			if errs[i] = run(ctx); errs[i] != nil {
				end()
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
