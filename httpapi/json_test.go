package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A pieceCounter keeps the length of the longest write.
type pieceCounter struct {
	bytes.Buffer
	longest int
}

func (w *pieceCounter) Write(text []byte) (int, error) {
	w.longest = max(w.longest, len(text))
	return w.Buffer.Write(text)
}

// marshalledText is v as encoding/json writes it.
func marshalledText(t rapid.TB, v any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// normal is JSON in one spelling.
func normal(t rapid.TB, text []byte) string {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return marshalledText(t, v)
}

// A value that is written piece by piece reads as if it were marshalled whole, and no piece is long.
func TestLongAnswersAreWrittenInPieces(t *testing.T) {
	text := rapid.OneOf(
		rapid.String(),
		rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat(rapid.StringN(1, 9, -1).Draw(t, "unit"), rapid.IntRange(0, 9000).Draw(t, "times"))
		}),
		rapid.Just(strings.Repeat("\u2028", 100_000)),
	)
	names := rapid.Custom(func(t *rapid.T) step.Names {
		if rapid.Bool().Draw(t, "no list") {
			return step.Names{}
		}
		return step.NamesOf(slices.Repeat(rapid.SliceOf(rapid.String()).Draw(t, "names"), rapid.IntRange(0, 999).Draw(t, "times")))
	})
	rapid.Check(t, func(t *rapid.T) {
		s := store.Step{
			ID: 7, Type: step.Script, Name: "a<b>&\u2028\"", Timeout: time.Second,
			Confirmers: names.Draw(t, "confirmers"), Payload: text.Draw(t, "payload"), State: step.Running, Attempt: 2,
		}
		d := engine.Delivery{Effect: store.RunTargets, Seq: 3, Job: store.Job{ID: 1, Name: "j", State: step.Running}, Step: s, Count: 1}
		for _, v := range []interface{ encode(io.Writer) }{
			stepOf(&s), wholeStep(&s),
			&wireExplanation{Job: jobOf(&d.Job), Step: stepOf(&s), Causes: []engine.Verdict{}},
			&wireDeliveries{Items: []wireDelivery{}}, &wireDeliveries{Items: []wireDelivery{deliveryOf(&d), deliveryOf(&d)}},
		} {
			var got pieceCounter
			v.encode(&got)
			if got, want := normal(t, got.Bytes()), normal(t, []byte(marshalledText(t, v))); got != want {
				t.Fatalf("%T: got %.300q, want %.300q", v, got, want)
			}
			if got.longest > 5*piece { // half a piece of text, each byte of it as \u00XX, and what was left
				t.Fatalf("%T: wrote %d bytes at once", v, got.longest)
			}
		}
	})
}

// A wirePage is a page as a client reads it.
type wirePage[T any] struct {
	Items []T    `json:"items"`
	Next  *int64 `json:"next,omitempty"`
}

// testCall returns a call of a person on an API of its own.
func testCall(t testing.TB) *call {
	r, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &call{Request: r, api: New(nil, Config{}), caller: Caller{Person: "ann"}}
}

// A source lists jobs 1 to n, and keeps the limits of the calls.
type source struct {
	n, name   int // jobs, and bytes of the name of each
	asked     []int
	failsFrom store.JobID // fails after this one; 0 never does
}

func (s *source) get(after store.JobID, limit int) (all []store.Job, err error) {
	s.asked = append(s.asked, limit)
	if s.failsFrom > 0 && after >= s.failsFrom {
		return nil, io.ErrUnexpectedEOF
	}
	for id := after + 1; id <= store.JobID(s.n) && len(all) < limit; id++ {
		all = append(all, store.Job{ID: id, Name: strings.Repeat("<", s.name), State: step.Pending})
	}
	return all, nil
}

func (s *source) page(c *call, heavy bool) *page[store.Job, store.JobID] {
	p := &page[store.Job, store.JobID]{
		call: c, get: s.get, write: marshalled[store.Job], key: func(j *store.Job) store.JobID { return j.ID },
	}
	if heavy {
		p.size = func(j *store.Job) int64 { return int64(len(j.Name)) }
	}
	return p
}

// A page is written in parts, and reads as a whole: all items up to the limit, and the next cursor if
// there may be more.
func TestPagesAreWrittenInParts(t *testing.T) {
	c := testCall(t)
	for _, n := range []int{0, 1, 2, 100, partRows, partRows + 1, 9_999, 10_000} {
		for _, limit := range []int{0, 1, n, min(n+1, 10_000), partRows, partRows + 1, 10_000} {
			for _, heavy := range []bool{false, true} {
				s := &source{n: n, name: 9}
				p, err := s.page(c, heavy).open(limit)
				if err != nil {
					t.Fatal(err)
				}
				var got pieceCounter
				p.encode(&got)
				var read wirePage[store.Job]
				if err := json.Unmarshal(got.Bytes(), &read); err != nil {
					t.Fatalf("%d of %d: %v in %.200s", limit, n, err, &got)
				}
				if limit == 0 {
					limit = pageLimit
				}
				want := wirePage[store.Job]{Items: []store.Job{}}
				want.Items, _ = (&source{n: n, name: 9}).get(0, limit)
				if n >= limit {
					next := int64(limit)
					want.Next = &next
				}
				if want.Items == nil {
					want.Items = []store.Job{}
				}
				if got, want := marshalledText(t, read), marshalledText(t, want); got != want {
					t.Errorf("%d of %d, heavy %v: got %.200s, want %.200s", limit, n, heavy, got, want)
				}
				if most := slices.Max(s.asked); most > largePartRows || got.longest > largePartText+piece {
					t.Errorf("%d of %d: read %d rows and wrote %d bytes at once", limit, n, most, got.longest)
				}
			}
		}
	}
	c.unheld(t)
}

// unheld reports what is held of the rooms.
func (c *call) unheld(t testing.TB) {
	t.Helper()
	for _, r := range []*room{c.api.persons, c.api.executors} {
		for _, b := range []*budget{r.bodies, r.decoding, r.reading, r.answers} {
			if b.held != 0 || len(b.of) != 0 || len(b.waiting) != 0 {
				t.Errorf("a budget holds %d for %v, %d wait", b.held, b.of, len(b.waiting))
			}
		}
	}
}

// Without a share, and with items of any size, the text of a part stays small: items that do not fit
// are read again for the next part.
func TestPartsWithoutAShareAreSmall(t *testing.T) {
	c := testCall(t)
	taken, err := c.room().answers.take(t.Context(), "ann", math.MaxInt64, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &source{n: 1000, name: 2000}
	p, err := s.page(c, false).open(10_000)
	if err != nil {
		t.Fatal(err)
	}
	var got pieceCounter
	p.encode(&got)
	var read wirePage[store.Job]
	if err := json.Unmarshal(got.Bytes(), &read); err != nil || len(read.Items) != 1000 || read.Next != nil {
		t.Errorf("%d items, next %v, %v; want 1000 and none", len(read.Items), read.Next, err)
	}
	if most := slices.Max(s.asked); most > partRows || got.longest > partText+piece {
		t.Errorf("read %d rows and wrote %d bytes at once", most, got.longest)
	}
	taken.release()
	c.unheld(t)
}

// A page whose later part cannot be read ends before that part. A page whose first part cannot be read
// is an error.
func TestPagesEndEarly(t *testing.T) {
	c := testCall(t)
	s := &source{n: 10_000, name: 9, failsFrom: 100}
	p, err := s.page(c, true).open(10_000)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	p.encode(&got)
	var read wirePage[store.Job]
	if err := json.Unmarshal(got.Bytes(), &read); err != nil || len(read.Items) != partRows || read.Next == nil || *read.Next != partRows {
		t.Errorf("%d items, next %v, %v; want %d and that", len(read.Items), read.Next, err, partRows)
	}
	p = s.page(c, true)
	p.after = partRows
	if _, err := p.open(1); err != io.ErrUnexpectedEOF {
		t.Errorf("the first part fails with %v", err)
	}
	c.unheld(t)
}
