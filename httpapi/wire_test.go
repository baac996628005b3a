package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// written keeps how long the longest text is that was written at once.
type written struct {
	bytes.Buffer
	longest int
}

func (w *written) Write(text []byte) (int, error) {
	w.longest = max(w.longest, len(text))
	return w.Buffer.Write(text)
}

// A page is written a few items at a time, and reads as if it were written at once.
func TestPagesAreWrittenInParts(t *testing.T) {
	for _, n := range []int{0, 1, 2, 100, 10_000} {
		jobs := make([]store.Job, n)
		for i := range jobs {
			jobs[i] = store.Job{ID: store.JobID(i + 1), Name: fmt.Sprintf("<job & %d>", i), State: step.Pending}
		}
		for _, limit := range []int{n, n + 1} {
			page := pageOf(jobs, limit, func(j store.Job) store.JobID { return j.ID })
			var want bytes.Buffer
			encoder := json.NewEncoder(&want)
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode(page); err != nil {
				t.Fatal(err)
			}
			var got written
			page.encode(&got)
			if got.String() != want.String() {
				t.Errorf("%d of %d: got %.200s, want %.200s", n, limit, &got, &want)
			}
			if got.longest > 20_000 {
				t.Errorf("%d: wrote %d bytes at once", n, got.longest)
			}
		}
	}
}
