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

// events answers with the history of a job as server-sent events, and its tail as it grows:
// one event for each record, whose id is the record's sequence number. A client that comes
// back with the last id that it has seen misses nothing and gets nothing twice.
func (c *call) events() (reply, error) {
	job, err := c.job()
	if err != nil {
		return reply{}, err
	}
	after, err := param[store.Seq](c, "after")
	if err != nil {
		return reply{}, err
	}
	if last := c.Header.Values("Last-Event-ID"); strings.Join(last, "") != "" { // a browser that comes back repeats its query
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
		p.header = http.Header{"Retry-After": {"10"}, "Connection": {"close"}} // it takes memory while it is idle, too
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

// flushes reports whether what is written to w can be made to leave, as [http.ResponseController]
// finds out with the first event only, when a status has left.
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

// streamPoll is how often each stream asks a store that does not tell of commits, those of
// other processes among them: 256 streams then cost it as many reads a second.
const streamPoll = time.Second

// stream writes until the client leaves or does not take an event in time, its time is over,
// the server shuts down, or the store fails. The client then comes back. Where it was is told
// to be void, by the last event, if the history does not reach that far.
func (c *call) stream(job store.JobID, after store.Seq, opts []engine.WatchOption) {
	ctx, cancel := context.WithTimeout(c.Context(), c.api.c.StreamFor)
	endsEarly := untilShutdown(ctx, cancel)
	records := make(chan store.Record)
	var ahead *engine.AheadError // once records is closed
	defer func() {
		cancel()
		endsEarly()
		for range records { // until the watch has ended
		}
	}()
	go func() {
		defer close(records)
		for r, err := range c.eng.Watch(ctx, job, after, opts...) {
			if err != nil {
				errors.As(err, &ahead)
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
	h.Set("X-Accel-Buffering", "no") // or a proxy may keep events to itself
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
				_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(c.api.c.WriteTimeout)) // for the end of it
				return
			}
			text = event(text[:0], r)
		case <-heartbeat.C:
			text = beat(text[:0], step.At(time.Now()))
		}
	}
}

// send writes text and has it leave at once. Then no deadline is in force: one that passes
// while there is nothing to tell ends a stream.
func (c *call) send(text []byte) error {
	w := http.NewResponseController(c.w)
	_ = w.SetWriteDeadline(time.Now().Add(c.api.c.WriteTimeout))
	if _, err := c.w.Write(text); err != nil {
		return err
	}
	err := w.Flush() // the first one of HTTP/1 reads what there is of a body, too
	_, _ = w.SetReadDeadline(time.Time{}), w.SetWriteDeadline(time.Time{})
	return err
}

// event appends r as an event to text.
func event(text []byte, r store.Record) []byte {
	data, err := json.Marshal(r)
	if err != nil { // what a store holds marshals: a mistake here
		panic(err)
	}
	text = append(text, "id: "...)
	text = strconv.AppendInt(text, int64(r.Seq), 10)
	text = append(text, "\nevent: record\ndata: "...)
	text = append(text, data...)
	return append(text, "\n\n"...)
}

// beat appends the event of a stream that is alive. It has no id: the client's last one stays.
func beat(text []byte, at step.Time) []byte {
	return fmt.Appendf(text, "event: beat\ndata: {\"at\":%d}\n\n", at)
}

// reset appends the event of a cursor ahead of the history, whose last record it names. Its
// empty id has a client forget the cursor, and begin anew if it only comes back.
func reset(text []byte, last store.Seq) []byte {
	return fmt.Appendf(text, "id\nevent: reset\ndata: {\"last\":%d}\n\n", last)
}
