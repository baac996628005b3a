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
	maxOperation = 64 << 10 // of an operation, and of every other small request
	maxJob       = 4 << 20  // of a new job, and of a report
)

// impatient wraps h: the client must send the whole body within BodyTimeout. That includes a body
// that h does not read, as when it refuses the request: the server reads it before it answers.
func (a *API) impatient(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 { // without a body, a deadline would end the request
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

// body reads the whole body of r and calls use with it; use must not keep it. The maximum is most
// bytes, and most is at most maxJob. Each of these may take as long as within: to read the first
// maxOperation bytes, and for a larger body to wait for the client's share, to read the rest, and
// to wait for a turn to decode. The errors are the ones above, that of r's context and that of use.
func (b *room) body(w http.ResponseWriter, r *http.Request, client string, most int64, within time.Duration, use func(data []byte) error) error {
	if r.ContentLength > most {
		return fmt.Errorf("%w: it has %d bytes, the maximum is %d", errTooLarge, r.ContentLength, most)
	}
	connection := http.NewResponseController(w)
	patience := func() { _ = connection.SetReadDeadline(time.Now().Add(within)) }
	patience() // stays in force if the body is not read to its end: the server then reads the rest
	body := http.MaxBytesReader(w, r.Body, most)
	data, cause := fill(body, make([]byte, 0, 512), maxOperation+1)
	if cause == nil { // a large body
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
	_ = connection.SetReadDeadline(time.Time{}) // a deadline would end the request
	if len(data) > maxOperation {
		turn, err := b.decoding.take(r.Context(), client, 1, within)
		if err != nil {
			return err
		}
		defer turn.release()
	}
	return use(data)
}

// fill appends to data from body until data has most bytes, or until an error, which may be
// io.EOF.
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
