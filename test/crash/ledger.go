package crash

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/store"
)

// A line is one entry of a ledger.
type line struct {
	Word    word            `json:"word"`
	Request store.RequestID `json:"request,omitzero"` // of an ask and of its answer; the zero one for effects

	Ask    *player.Ask    `json:"ask,omitzero"`    // what is asked for,
	Report *engine.Report `json:"report,omitzero"` // or reported
	Job    store.JobID    `json:"job,omitzero"`    // that it is about; in an answer the one that there is now
	Seq    store.Seq      `json:"seq,omitzero"`    // of the record, or of the effect
	Why    string         `json:"why,omitzero"`    // of a no that is not a refusal
}

// A word says what a line is.
type word string

const (
	ask     word = "ask"     // before a request is made
	yes     word = "yes"     // it was carried out
	no      word = "no"      // it was not carried out, and nothing changed
	handled word = "handled" // an effect was carried out, and its handler is about to say so
	settle  word = "settle"  // before an effect is settled
	settled word = "settled" // it was settled
	share   word = "share"   // before reports are committed together, of which this is the first record
	shared  word = "shared"  // what that has come to is known
)

// A ledger is a file to which children append lines. It is safe for concurrent use.
type ledger struct{ file *os.File }

// openLedger opens the ledger at path, or begins it. The last line of a child that was killed
// may be torn: it ends here, and readers skip it.
func openLedger(path string) (*ledger, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = file.WriteString("\n")
	return &ledger{file}, err
}

// note appends a line, in one write. It panics if it cannot, as a child without a ledger
// proves nothing.
func (l *ledger) note(e line) {
	text, err := json.Marshal(e)
	if err == nil {
		_, err = l.file.Write(append(text, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("the ledger cannot be written: %v", err))
	}
}

func (l *ledger) close() error { return l.file.Close() }

// A book is what a ledger says, in order.
type book struct {
	asks     map[store.RequestID]*asked
	order    []*asked // as they were asked first
	handled  map[effect]bool
	settles  map[effect]bool
	settled  map[effect]bool
	shares   int                  // changes of several reports that were sent
	cut      map[effect]bool      // those of which nothing more is known, by their first record
	touched  map[store.JobID]bool // whatever is told of them
	failures []string             // why something was not carried out, other than for a refusal

	offset int64 // what has been read
}

// An asked is a request with the answers to it.
type asked struct {
	line
	times int    // it was made
	yes   []line // answers; one that was repeated may have several
	no    bool   // the last answer
}

// open reports whether nobody was told what came of it.
func (a *asked) open() bool { return len(a.yes) == 0 && !a.no }

// denied reports whether it was certainly not carried out. If it was made before, then that
// may have taken effect since it was made again.
func (a *asked) denied() bool { return a.no && a.times == 1 }

// An effect is named by its record.
type effect struct {
	job store.JobID
	seq store.Seq
}

func newBook() *book {
	return &book{
		asks:    map[store.RequestID]*asked{},
		handled: map[effect]bool{}, settles: map[effect]bool{}, settled: map[effect]bool{},
		cut: map[effect]bool{}, touched: map[store.JobID]bool{},
	}
}

// readOn reads what was appended to the ledger at path since the last time.
func (b *book) readOn(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(b.offset, io.SeekStart); err != nil {
		return err
	}
	lines := bufio.NewReader(file)
	for {
		text, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // and what there is of a line is read when it has ended
		}
		if err != nil {
			return err
		}
		b.offset += int64(len(text))
		var e line
		if json.Unmarshal(text, &e) != nil {
			continue // empty or torn
		}
		if err := b.enter(e); err != nil {
			return fmt.Errorf("ledger: %s: %w", text, err)
		}
	}
}

// open returns what nobody was told the outcome of.
func (b *book) open() []*asked {
	var all []*asked
	for _, a := range b.order {
		if a.open() {
			all = append(all, a)
		}
	}
	return all
}

// answers returns how many requests were acknowledged to have changed something, and of how
// many the outcome was unknown at some time.
func (b *book) answers() (acknowledged, unknown int) {
	for _, a := range b.order {
		if slices.ContainsFunc(a.yes, func(told line) bool { return told.Seq != 0 }) {
			acknowledged++
		}
		if a.times > 1 || a.open() {
			unknown++
		}
	}
	return acknowledged, unknown
}

func (b *book) enter(e line) error {
	b.touched[e.Job] = true
	at := effect{e.Job, e.Seq}
	switch e.Word {
	case handled:
		b.handled[at] = true
		return nil
	case settle:
		b.settles[at] = true
		return nil
	case settled:
		b.settled[at] = true
		return nil
	case share:
		b.shares++
		b.cut[at] = true
		return nil
	case shared:
		delete(b.cut, at)
		return nil
	}
	a := b.asks[e.Request]
	if a == nil {
		if e.Word != ask {
			return errors.New("an answer to what was not asked")
		}
		a = &asked{line: e}
		b.asks[e.Request] = a
		b.order = append(b.order, a)
	}
	switch e.Word {
	case ask:
		a.times++
	case yes:
		a.yes = append(a.yes, e)
	case no:
		a.no = true
		if e.Why != "" {
			b.failures = append(b.failures, e.Why)
		}
	default:
		return errors.New("an unknown word")
	}
	return nil
}
