package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// What a body may hold, in bytes.
const (
	maxOperation = 64 << 10 // of an operation, and whatever else is small
	maxJob       = 4 << 20  // of a job that is created, and of a report
)

// bodies bounds what bodies take while they are read and understood: those beyond
// maxOperation share a budget, and one at a time of them is decoded, as that takes several
// times its size.
type bodies struct {
	spare    atomic.Int64 // bytes left of the budget
	decoding chan struct{}
}

func newBodies() *bodies {
	b := &bodies{decoding: make(chan struct{}, 1)}
	b.spare.Store(4 * maxJob)
	return b
}

var (
	errBusy  = errors.New("too many large bodies at once: try again")
	errLarge = errors.New("the body is too large")
)

// read reads the whole body of r, at most so many bytes, within a time, and has use look at
// it. It fails with errBusy or errLarge, with the client's failure to send, or with what use
// returns.
func (b *bodies) read(w http.ResponseWriter, r *http.Request, most int64, within time.Duration, use func(data []byte) error) error {
	if r.ContentLength > most {
		return fmt.Errorf("%w: it has %d bytes, %d are the most", errLarge, r.ContentLength, most)
	}
	// Left in force if the body is not read to its end, as the server then reads on.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(within))
	body := http.MaxBytesReader(w, r.Body, most)
	data := make([]byte, 0, 512)
	var taken int64 // of the budget
	defer func() { b.spare.Add(taken) }()
	for {
		if len(data) == cap(data) {
			grown := int64(2 * cap(data))
			if need := grown - maxOperation; need > taken {
				if b.spare.Add(taken-need) < 0 {
					b.spare.Add(need - taken)
					return errBusy
				}
				taken = need
			}
			data = append(make([]byte, 0, grown), data...)
		}
		n, err := body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			break
		}
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return fmt.Errorf("%w: %d bytes are the most", errLarge, most)
		}
		if err != nil {
			return fmt.Errorf("the body did not arrive: %w", err)
		}
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // or it would end the request
	if len(data) > maxOperation {
		select {
		case b.decoding <- struct{}{}:
			defer func() { <-b.decoding }()
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
	return use(data)
}
