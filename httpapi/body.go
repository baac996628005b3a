package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The maximum sizes of a body, in bytes.
const (
	maxOperation = 64 << 10 // of an operation, and whatever else is small
	maxJob       = 4 << 20  // of a job that is created, and of a report
)

// impatient has h serve requests whose bodies are waited for so long and no longer. What a
// handler leaves of a body, as when it refuses the request, the server reads before it answers.
func (a *API) impatient(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 { // or the deadline would end the request
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(a.c.BodyTimeout))
		}
		h.ServeHTTP(w, r)
	})
}

var (
	errBusy     = errors.New("too many large requests or answers at once: try again")
	errTooLarge = errors.New("the body is too large")
	errCut      = errors.New("the body did not arrive completely and in time")
)

// body reads the whole body of r, most bytes at the maximum, and calls use with it, which must
// not keep it. most is at most maxJob. It takes as long as within to read a small body, to wait for the client's
// share for a large one, to read the rest of that, and to wait for a turn to decode it. It fails
// with one of the errors above, with that of r's context, or with what use returns.
func (b *room) body(w http.ResponseWriter, r *http.Request, client string, most int64, within time.Duration, use func(data []byte) error) error {
	if r.ContentLength > most {
		return fmt.Errorf("%w: it has %d bytes, the maximum is %d", errTooLarge, r.ContentLength, most)
	}
	connection := http.NewResponseController(w)
	patience := func() { _ = connection.SetReadDeadline(time.Now().Add(within)) }
	patience() // stays in force if the body is not read to its end, as the server then reads on
	body := http.MaxBytesReader(w, r.Body, most)
	data, cause := fill(body, make([]byte, 0, 512), maxOperation+1)
	if cause == nil { // it is a large one
		size := most + 1
		if r.ContentLength >= 0 {
			size = r.ContentLength + 1
		}
		held, err := b.bodies.take(r.Context(), client, size, within)
		if err != nil {
			return err
		}
		defer held.release()
		patience()
		data, cause = fill(body, append(make([]byte, 0, size), data...), int(size))
	}
	var beyond *http.MaxBytesError
	switch {
	case errors.As(cause, &beyond):
		return fmt.Errorf("%w: the maximum is %d bytes", errTooLarge, most)
	case cause != io.EOF:
		return errCut
	}
	_ = connection.SetReadDeadline(time.Time{}) // or it would end the request
	if len(data) > maxOperation {
		turn, err := b.decoding.take(r.Context(), client, 1, within)
		if err != nil {
			return err
		}
		defer turn.release()
	}
	return use(data)
}

// fill reads on into data, which grows to as much as most, until that is full or an error,
// which may be io.EOF.
func fill(body io.Reader, data []byte, most int) ([]byte, error) {
	for len(data) < most {
		if len(data) == cap(data) {
			data = append(make([]byte, 0, min(2*cap(data), most)), data...)
		}
		n, err := body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err != nil {
			return data, err
		}
	}
	return data, nil
}
