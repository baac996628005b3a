package httpapi

import (
	"io"
	"slices"
	"strconv"
)

// A page answers with a list. It is read in parts, as the client takes it: while a client is
// waited for there is the text of one part and nothing else. So its items are as of several
// moments, in their order, if it has several parts; up to partRows small ones are as of one. It
// ends early, with a key to continue after, if a later part cannot be had.
type page[T any, K ~int32 | ~int64] struct {
	call  *call
	get   func(after K, limit int) ([]T, error)
	write func(*jsonWriter, *T)
	key   func(*T) K
	keep  func(*T) bool  // nil keeps all
	size  func(*T) int64 // bytes of a row's long fields; nil if it has none
	tail  string         // fields of the page after its items, with a comma before each

	after K // the key of the last row that was read
	left  int
	part  part[T, K] // the next one to be written
	large *share     // of large parts; nil for small ones
	held  *share     // of part, if it is large
	more  bool       // there may be rows after after
	any   bool       // an item was written
}

// A part is some rows: as text or, if one may be large, as they were read.
type part[T, K any] struct {
	text  *jsonWriter
	items []T
	rows  int
	after K
	more  bool
}

// A partName names a part of a heavy page.
type partName struct {
	job   string
	after int64
	left  int
}

// A small part has as much as every answer has without a share, and a large one about 1 MiB: the
// rest of its share is for the rows of which it is made.
const (
	partRows, partText           = 200, 48 << 10 // a buffer doubles: to maxOperation
	largePartRows, largePartText = 4000, 1 << 20
	largePart                    = 2 << 20
	pageLimit                    = 100    // rows of a page that does not say
	maxPageLimit                 = 10_000 // that the engine returns
)

// open reads the first part, so that its error is the answer. The others are written by encode.
func (p *page[T, K]) open(limit int) (*page[T, K], error) {
	p.left = limit
	if limit == 0 {
		p.left = pageLimit
	}
	if p.left > partRows && p.left <= maxPageLimit && p.size == nil {
		p.large, _ = p.call.room().answers.take(p.call.Context(), p.call.caller.client(), largePart, 0)
	}
	if err := p.next(); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

func (p *page[T, K]) release() {
	p.large.release()
	p.held.release()
}

// next has the next part.
func (p *page[T, K]) next() (err error) {
	if p.size != nil {
		c := p.call
		p.part, p.held, err = admit(c.Context(), c.room(), c.caller.client(), c.api.c.WriteTimeout, partName{c.PathValue("job"), int64(p.after), p.left}, p.read)
	} else {
		p.part, _, err = p.read()
	}
	if err == nil {
		p.left -= p.part.rows
		p.after, p.more = p.part.after, p.part.more
	}
	return err
}

// read reads a part, and returns how many bytes it holds.
func (p *page[T, K]) read() (part part[T, K], bytes int64, err error) {
	rows, enough := partRows, partText
	if p.large != nil {
		rows, enough = largePartRows, largePartText
	}
	if p.left <= maxPageLimit { // or the engine refuses it
		rows = min(rows, p.left)
	} else {
		rows = p.left
	}
	all, err := p.get(p.after, rows)
	if err != nil {
		return part, 0, err
	}
	part.text, part.after = newJSONWriter(nil), p.after
	if p.size != nil {
		for part.rows < len(all) && bytes < partText {
			bytes += p.size(&all[part.rows])
			part.rows++
		}
		part.items = slices.Clone(all[:part.rows])
		if part.rows > 0 {
			part.after = p.key(&all[part.rows-1])
		}
		part.more = part.rows < len(all) || len(all) >= rows
		return part, bytes, nil
	}
	anyBefore := p.any
	for part.rows < len(all) && part.text.text.Len() < enough {
		row := &all[part.rows]
		part.rows++
		part.after = p.key(row)
		if p.keep != nil && !p.keep(row) {
			continue
		}
		if anyBefore {
			part.text.raw(",")
		}
		p.write(part.text, row)
		anyBefore = true
	}
	part.more = part.rows < len(all) || len(all) >= rows
	return part, int64(part.text.text.Cap()), nil
}

// encode writes the page. It stops at the first error of to.
func (p *page[T, K]) encode(to io.Writer) {
	defer p.release()
	if _, err := io.WriteString(to, `{"items":[`); err != nil {
		return
	}
	for {
		p.any = p.any || p.part.text.text.Len() > 0
		_, err := p.part.text.text.WriteTo(to)
		if len(p.part.items) > 0 {
			err = p.stream(to)
		}
		p.held.release()
		if err != nil {
			return
		}
		if !p.more || p.left == 0 || p.next() != nil {
			break
		}
	}
	end := "]" + p.tail
	if p.more {
		end += `,"next":` + strconv.FormatInt(int64(p.after), 10)
	}
	_, _ = io.WriteString(to, end+"}\n")
}

// stream writes the items of a part, piece by piece.
func (p *page[T, K]) stream(to io.Writer) error {
	w := newJSONWriter(to)
	for i := range p.part.items {
		if p.any {
			w.raw(",")
		}
		p.any = true
		p.write(w, &p.part.items[i])
	}
	w.flush(0)
	return w.err
}
