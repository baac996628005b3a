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

	Ask    *player.Ask    `json:"ask,omitzero"`    // the request of a person,
	Report *engine.Report `json:"report,omitzero"` // or of an executor
	Job    store.JobID    `json:"job,omitzero"`    // of the request; in an answer the created one too
	Seq    store.Seq      `json:"seq,omitzero"`    // of the record, or of the effect
	Why    string         `json:"why,omitzero"`    // error of a "no" that is not a refusal
}

// A word is the kind of a line.
type word string

const (
	ask     word = "ask"     // before a request is made
	yes     word = "yes"     // it was carried out
	no      word = "no"      // it was not carried out, and nothing changed
	handled word = "handled" // an effect was carried out, before its handler returns
	settle  word = "settle"  // before an effect is settled
	settled word = "settled" // it was settled
	share   word = "share"   // before reports are committed together, of which this is the first record
	shared  word = "shared"  // the outcome of that commit is known
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

// note appends a line, in one write. It panics on an error: a child without a ledger proves
// nothing.
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

// A book is the content of a ledger, in order.
type book struct {
	asks     map[store.RequestID]*asked
	order    []*asked // by the first attempt
	handled  map[effect]bool
	settles  map[effect]bool
	settled  map[effect]bool
	shares   int                  // changes of several reports that were sent
	cut      map[effect]bool      // changes whose outcome is unknown, by their first record
	touched  map[store.JobID]bool // all jobs that a line names
	failures []string             // errors that are not refusals

	offset int64 // bytes read
}

// An asked is a request with the answers to it.
type asked struct {
	line
	times int    // attempts
	yes   []line // answers; several if it was repeated
	no    bool   // the last answer
}

// open reports whether the outcome is unknown.
func (a *asked) open() bool { return len(a.yes) == 0 && !a.no }

// denied reports whether the request certainly had no effect. An earlier attempt of it may have
// taken effect since.
func (a *asked) denied() bool { return a.no && a.times == 1 }

// An effect is identified by its record.
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

// readOn reads the lines that were appended to the ledger at path since the last call.
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
			return nil // an unfinished line is read by a later call
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

// open returns the requests whose outcome is unknown.
func (b *book) open() []*asked {
	var all []*asked
	for _, a := range b.order {
		if a.open() {
			all = append(all, a)
		}
	}
	return all
}

// answers returns how many requests were acknowledged as changes, and how many had an unknown
// outcome at some time.
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
