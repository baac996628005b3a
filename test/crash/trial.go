package crash

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stepgate/stepgate/store"
)

// patience bounds a wait that takes a second on an idle machine.
const patience = 2 * time.Minute

// A trial is a store and a ledger through many crashes.
type trial struct {
	testing.TB
	kind
	place  string
	ledger string
	seed   uint64
	dice   *rand.Rand

	book     *book
	known    map[store.JobID]bool // jobs that were examined
	findings findings             // of all examinations
	cycles   int
	child    *child          // of this cycle
	cut      map[instant]int // cycles that ended while reports shared a change, by when they ended
}

// newTrial returns a trial of a store without jobs.
func newTrial(t testing.TB, k kind, place string, seed uint64) *trial {
	return &trial{
		TB: t, kind: k, place: place, ledger: filepath.Join(t.TempDir(), "ledger"),
		seed: seed, dice: rand.New(rand.NewPCG(seed, 0)),
		book: newBook(), known: map[store.JobID]bool{}, findings: findings{}, cut: map[instant]int{},
	}
}

// cycle starts a child of kind k that operates jobs. Once meanwhile has returned and the child has had
// an answer, cycle kills it at the instant, and examines the jobs that it touched.
func (r *trial) cycle(k kind, at instant, meanwhile func()) {
	r.Helper()
	r.cycles++
	r.child = startChild(r, assignment{Kind: k.name, Place: r.place, Ledger: r.ledger, Seed: r.seed + uint64(r.cycles), Moment: at})
	meanwhile()
	r.awaitAnswers(20)
	if at == anytime {
		r.child.kill(r, time.Duration(r.dice.IntN(500))*time.Millisecond)
	} else {
		r.child.reach(r)
		r.child.kill(r, 0)
	}
	r.examine(func(j store.Job) bool { return r.book.touched[j.ID] || !r.known[j.ID] })
	clear(r.book.touched)
	if len(r.book.cut) > 0 {
		r.cut[at]++
	}
	clear(r.book.cut)
}

// awaitAnswers returns once n more requests have been acknowledged.
func (r *trial) awaitAnswers(n int) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	answers := func() int {
		r.child.lives(r)
		if err := errors.Join(ctx.Err(), r.book.readOn(r.ledger)); err != nil {
			r.Fatalf("wait for the child to be answered: %v", err)
		}
		acknowledged, _ := r.book.answers()
		return acknowledged
	}
	for had := answers(); answers() < had+n; {
		rest(ctx)
	}
}

// examine examines the chosen jobs once no dead process works on the store.
func (r *trial) examine(look func(store.Job) bool) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if r.calm != nil {
		if err := r.calm(ctx, r.place); err != nil {
			r.Fatal(err)
		}
	}
	if err := r.book.readOn(r.ledger); err != nil {
		r.Fatal(err)
	}
	st, done, err := r.open(ctx, r.place)
	if err != nil {
		r.Fatalf("open the store after crash %d: %v", r.cycles, err)
	}
	defer done()
	found, err := examine(ctx, st, r.book, func(j store.Job) bool {
		wanted := look(j)
		r.known[j.ID] = true
		return wanted
	})
	if err != nil {
		r.Fatalf("examine the store after crash %d: %v", r.cycles, err)
	}
	r.findings.merge(found)
}

// end examines all jobs once more and fails the test on findings. Each crash should have left some
// requests without an answer.
func (r *trial) end() {
	r.Helper()
	r.examine(func(store.Job) bool { return true })
	acknowledged, unknown := r.book.answers()
	count := func(h harm) int { return len(r.findings[h]) }
	r.Logf("crash: %s: %d cycles, %d acknowledged operations on %d jobs, %d unknown outcomes, %d settled effects: lost %d, doubled %d, orphan %d, missing %d, half %d",
		r.name, r.cycles, acknowledged, len(r.known), unknown, len(r.book.settled),
		count(lost), count(doubled), count(orphan), count(missing), count(half))
	if len(r.findings) > 0 {
		r.Errorf("after crashes of seed %d, the store is not as it should be:\n%v", r.seed, r.findings)
	}
	r.Logf("crash: %s: %d changes of several reports, and cycles that ended with one under way: %d at any time, %d before it was sent, %d meanwhile, %d once it was carried out",
		r.name, r.book.shares, r.cut[anytime], r.cut[before], r.cut[during], r.cut[after])
	if unknown < r.cycles || len(r.book.settled) < r.cycles {
		r.Error("too little happened for that to mean anything")
	}
}
