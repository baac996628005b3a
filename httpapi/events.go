package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/stepgate/stepgate/engine"
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
	if last := c.Header.Values("Last-Event-ID"); len(last) > 0 { // a browser that comes back repeats its query
		n, err := number("Last-Event-ID", last[0])
		if err != nil || len(last) > 1 {
			return reply{}, invalid("Last-Event-ID", "it is the id of an event: a sequence number")
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
	if !c.api.streams.open(c.caller.Person) {
		p := newProblem(reasonTooManyStreams, "")
		p.header = http.Header{"Retry-After": {"10"}, "Connection": {"close"}} // it takes memory while it is idle, too
		return reply{}, p
	}
	opts := []engine.WatchOption{engine.WatchPoll(streamPoll)}
	if !progress {
		opts = append(opts, engine.WithoutProgress())
	}
	return reply{stream: func() {
		defer c.api.streams.close(c.caller.Person)
		c.stream(job, after, opts)
	}}, nil
}

// streamPoll is how often each stream asks a store that does not tell of commits, those of
// other processes among them: 256 streams then cost it as many reads a second.
const streamPoll = time.Second

// stream writes until the client goes, does not take an event in time, has to say anew who it
// is, or the store fails. The client then comes back.
func (c *call) stream(job store.JobID, after store.Seq, opts []engine.WatchOption) {
	ctx, cancel := context.WithTimeout(c.Context(), c.api.c.StreamFor)
	records := make(chan store.Record)
	defer func() {
		cancel()
		for range records { // until the watch has ended
		}
	}()
	go func() {
		defer close(records)
		for r, err := range c.eng.Watch(ctx, job, after, opts...) {
			if err != nil {
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
				_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(c.api.c.WriteTimeout)) // for the end of it
				return
			}
			text = event(text[:0], r)
			heartbeat.Reset(c.api.c.Heartbeat)
		case <-heartbeat.C:
			text = append(text[:0], ":\n\n"...)
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
