package httpapi

import (
	"io"
	"slices"
	"strconv"
)

// A page is an answer with a list. The server reads its rows in parts while the client receives
// them, and holds one part at a time. A part shows its rows at one moment: so does a page of at
// most partRows small rows, and the parts of a longer page show later and later moments. If a later
// part cannot be read, the page ends early, with a key to continue after.
type page[T any, K ~int32 | ~int64] struct {
	call  *call
	get   func(after K, limit int) ([]T, error)
	write func(*jsonWriter, *T)
	key   func(*T) K
	keep  func(*T) bool  // nil keeps all
	size  func(*T) int64 // bytes of a row's long fields; nil if it has none
	tail  string         // fields of the page after its items, each with a leading comma

	after K          // key of the last row read
	left  int        // rows that the page may still have
	part  part[T, K] // the next part to write
	large *share     // share for large parts; nil for small ones
	held  *share     // share for part, if it is large
	more  bool       // rows may follow
	any   bool       // encode has written an item
}

// A part is a run of rows: their text or, if a row may be large, the rows as read.
type part[T, K any] struct {
	text  *jsonWriter
	items []T
	rows  int
	after K
	more  bool
}

// A partName identifies a part of a page with large rows in [room.sizes].
type partName struct {
	job   string
	after int64
	left  int
}

// The sizes of parts. A small part needs no share. A large one has about 1 MiB of text; the rest
// of its share is for the rows that the text is made of.
const (
	partRows, partText           = 200, 48 << 10 // the buffer doubles, up to maxOperation
	largePartRows, largePartText = 4000, 1 << 20
	largePart                    = 2 << 20 // bytes of its share
	pageLimit                    = 100     // rows, by default
	maxPageLimit                 = 10_000  // rows: the engine's maximum
)

// open reads the first part: its error is the answer. encode reads and writes the others.
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

// next reads the next part, and waits for its share.
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

// read reads a part and returns the bytes that it holds.
func (p *page[T, K]) read() (part part[T, K], bytes int64, err error) {
	rows, enough := partRows, partText
	if p.large != nil {
		rows, enough = largePartRows, largePartText
	}
	if p.left <= maxPageLimit { // the engine refuses a higher limit
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

// stream writes the items of a part in pieces.
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
