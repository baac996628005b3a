package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// events answers with the history of a job as server-sent events: the existing records, then each
// new one. The id of an event is the record's sequence number. A client that reconnects with the
// last id it received misses no record and receives none twice.
func (c *call) events() (reply, error) {
	job, err := c.job()
	if err != nil {
		return reply{}, err
	}
	after, err := param[store.Seq](c, "after")
	if err != nil {
		return reply{}, err
	}
	if last := c.Header.Values("Last-Event-ID"); strings.Join(last, "") != "" { // replaces after: a browser reconnects with its first query
		n, err := number("Last-Event-ID", last[0])
		if err != nil || len(last) > 1 {
			return reply{}, invalid("Last-Event-ID", "must be the id of an event: a sequence number")
		}
		after = store.Seq(n)
	}
	progress, err := c.flag("progress", true)
	if err != nil {
		return reply{}, err
	}
	if _, err := c.eng.Job(c.Context(), job); err != nil {
		return reply{}, err
	}
	if !flushes(c.w) {
		return reply{}, newProblem(reasonInternal, "the server cannot stream: a middleware wraps the response writer without Flush or Unwrap")
	}
	if !c.api.streams.open(c.caller.client()) {
		p := newProblem(reasonTooManyStreams, "")
		p.header = http.Header{"Retry-After": {"10"}, "Connection": {"close"}} // an idle connection takes memory too
		return reply{}, p
	}
	opts := []engine.WatchOption{engine.WatchPoll(streamPoll)}
	if !progress {
		opts = append(opts, engine.WithoutProgress())
	}
	return reply{stream: func() {
		defer c.api.streams.close(c.caller.client())
		c.stream(job, after, opts)
	}}, nil
}

// flushes reports whether w can be flushed. [http.ResponseController] would report it with the
// first event only, after the status has been sent.
func flushes(w http.ResponseWriter) bool {
	for {
		switch v := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return false
		}
	}
}

// streamPoll is the interval at which a stream reads from a store that does not announce the
// commits of all processes: 256 streams cost 256 reads per second.
const streamPoll = time.Second

// stream writes events until the client disconnects or does not receive an event within
// WriteTimeout, StreamFor is over, the server shuts down, or the store fails. The client then
// reconnects. If after is ahead of the history, the last event is a reset.
func (c *call) stream(job store.JobID, after store.Seq, opts []engine.WatchOption) {
	ctx, cancel := context.WithTimeout(c.Context(), c.api.c.StreamFor)
	endsEarly := untilShutdown(ctx, cancel)
	records := make(chan store.Record)
	var ahead *engine.AheadError // valid once records is closed
	defer func() {
		cancel()
		endsEarly()
		for range records { // wait until the watch has ended
		}
	}()
	go func() {
		defer close(records)
		for r, err := range c.eng.Watch(ctx, job, after, opts...) {
			if err != nil {
				if !errors.As(err, &ahead) && ctx.Err() == nil {
					c.api.failed(c.Request, err)
				}
				return
			}
			select {
			case records <- r:
			case <-ctx.Done():
				return
			}
		}
	}()

	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // a proxy would buffer the events
	heartbeat := time.NewTicker(c.api.c.Heartbeat)
	defer heartbeat.Stop()
	text := []byte("retry: 1000\n\n")
	for err := c.send(text); err == nil; err = c.send(text) {
		select {
		case r, ok := <-records:
			if !ok {
				if ahead != nil {
					_ = c.send(reset(text[:0], ahead.Last))
				}
				_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(c.api.c.WriteTimeout)) // for the end of the answer
				return
			}
			text = event(text[:0], r)
		case <-heartbeat.C:
			text = beat(text[:0], step.At(time.Now()))
		}
	}
}

// send writes text and flushes it. It leaves no deadline in force: a deadline that passes between
// two events would end the stream.
func (c *call) send(text []byte) error {
	w := http.NewResponseController(c.w)
	_ = w.SetWriteDeadline(time.Now().Add(c.api.c.WriteTimeout))
	if _, err := c.w.Write(text); err != nil {
		return err
	}
	err := w.Flush() // the first flush of HTTP/1 also reads the request's body
	_, _ = w.SetReadDeadline(time.Time{}), w.SetWriteDeadline(time.Time{})
	return err
}

// event appends r as an event to text.
func event(text []byte, r store.Record) []byte {
	data, err := json.Marshal(r)
	if err != nil { // a bug: every record marshals
		panic(err)
	}
	text = append(text, "id: "...)
	text = strconv.AppendInt(text, int64(r.Seq), 10)
	text = append(text, "\nevent: record\ndata: "...)
	text = append(text, data...)
	return append(text, "\n\n"...)
}

// beat appends a heartbeat. It has no id: the client keeps its last one.
func beat(text []byte, at step.Time) []byte {
	return fmt.Appendf(text, "event: beat\ndata: {\"at\":%d}\n\n", at)
}

// reset appends the event for a cursor ahead of the history; last is the last sequence number.
// The empty id clears the client's cursor: a client that merely reconnects gets the whole history.
func reset(text []byte, last store.Seq) []byte {
	return fmt.Appendf(text, "id\nevent: reset\ndata: {\"last\":%d}\n\n", last)
}
