package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/store"
)

const (
	maxSilence = time.Minute // of a stream, before it is opened anew; a server has a beat every 15 s
	maxEvent   = 1 << 20     // bytes
)

// Watch returns the records of a job whose sequence numbers are greater than after, and then each
// new record, as [engine.Engine.Watch] does. It reopens a stream that has ended or is silent for
// 1 min, after the last record. The sequence ends with the error once more failures in a row
// have come than [WithRetries] permits. A new Watch from the last number seen loses and repeats no
// record.
func (c *Client) Watch(ctx context.Context, job store.JobID, after store.Seq) iter.Seq2[store.Record, error] {
	return c.watch(ctx, job, after, "")
}

// WatchMoves is [Client.Watch] without the records of results alone, which neither change a state
// nor start an attempt.
func (c *Client) WatchMoves(ctx context.Context, job store.JobID, after store.Seq) iter.Seq2[store.Record, error] {
	return c.watch(ctx, job, after, "false")
}

func (c *Client) watch(ctx context.Context, job store.JobID, after store.Seq, progress string) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		s := &stream{c: c, job: job, seq: after, progress: progress}
		for failures := 0; ; {
			alive, fate, err := s.run(ctx, yield)
			if failures++; alive {
				failures = 0
			}
			switch {
			case err == errStopped:
				return
			case ctx.Err() != nil:
				yield(store.Record{}, ctx.Err())
				return
			case fate == final || failures > c.retries || !pause(ctx, max(failures, 1), err):
				if ctx.Err() != nil {
					err = ctx.Err()
				}
				yield(store.Record{}, err)
				return
			}
		}
	}
}

var (
	errStopped = errors.New("the caller wants no more")
	errSilent  = errors.New("the server is silent")
)

// orSilent returns err, or the silence for which the client has ended the stream.
func orSilent(ctx context.Context, err error) error {
	if context.Cause(ctx) == errSilent {
		return errSilent
	}
	return err
}

// A stream is the state of a watch.
type stream struct {
	c        *Client
	job      store.JobID
	seq      store.Seq // of the last record
	progress string
}

// run opens the stream and reads it to its end. It reports whether an event came.
func (s *stream) run(ctx context.Context, yield func(store.Record, error) bool) (alive bool, f fate, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(s.c.timeout, func() { cancel(errSilent) })
	defer silence.Stop()
	k := get("watch", "/v1/jobs/%d/events", s.job).of(s.job, 0)
	k.cursor = s.seq
	k.query = url.Values{"after": {strconv.FormatInt(int64(s.seq), 10)}}
	if s.progress != "" {
		k.query.Set("progress", s.progress)
	}
	resp, f, err := s.c.send(ctx, k, nil)
	if err != nil {
		return false, f, k.wrap(orSilent(ctx, err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		f, err := k.problem(resp)
		return false, f, k.wrap(err)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		return false, final, k.wrap(&StatusError{Status: resp.StatusCode, Text: fmt.Sprintf("the answer is %q and not text/event-stream", kind)})
	}
	events := bufio.NewReader(resp.Body)
	for {
		silence.Reset(maxSilence)
		name, data, err := readEvent(events)
		if err == nil {
			alive = true
			silence.Stop() // the caller may take its time
			f, err = s.take(name, data, yield)
		} else {
			f, err = unknown, fmt.Errorf("job %d: the stream ended: %w", s.job, orSilent(ctx, err))
		}
		if err != nil {
			return alive, f, err
		}
	}
}

// take passes an event on.
func (s *stream) take(name string, data []byte, yield func(store.Record, error) bool) (fate, error) {
	switch name {
	case "record":
		var r store.Record
		if err := json.Unmarshal(data, &r); err != nil {
			return final, fmt.Errorf("job %d: a record cannot be read: %w", s.job, err)
		}
		if r.Seq <= s.seq {
			return final, nil
		}
		s.seq = r.Seq
		if !yield(r, nil) {
			return final, errStopped
		}
	case "reset":
		var end struct {
			Last store.Seq `json:"last"`
		}
		if err := json.Unmarshal(data, &end); err != nil {
			return final, fmt.Errorf("job %d: an event cannot be read: %w", s.job, err)
		}
		return final, &engine.AheadError{Job: s.job, After: s.seq, Last: end.Last}
	}
	return final, nil
}

// readEvent reads one server-sent event that has data.
func readEvent(r *bufio.Reader) (name string, data []byte, err error) {
	for {
		line, err := readLine(r, maxEvent-len(data))
		if err != nil {
			return "", nil, err
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			data = append(data, value...)
		case "":
			if len(line) == 0 && len(data) > 0 {
				return name, data, nil
			}
			if len(line) == 0 {
				name = ""
			}
		}
	}
}

// readLine reads a line of up to most bytes.
func readLine(r *bufio.Reader, most int) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil && len(line) <= most:
			return bytes.TrimRight(line, "\r\n"), nil
		case err == bufio.ErrBufferFull && len(line) <= most:
			continue
		case err == nil || err == bufio.ErrBufferFull:
			return nil, fmt.Errorf("an event is longer than %d bytes", maxEvent)
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
}
