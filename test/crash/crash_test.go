package crash

import (
	"os"
	"testing"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

func TestMain(m *testing.M) {
	asChild()
	os.Exit(m.Run())
}

// A store keeps each acknowledged request, once and whole, when a process that uses it is killed.
// Three cycles of four kill the process while reports share a change.
func TestProcessCrashes(t *testing.T) {
	for _, c := range []struct {
		kind
		cycles int
	}{
		{sqlite, 40},
		{postgres, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newTrial(t, c.kind, c.make(t), testkit.Seed(t))
			ended := map[instant]int{}
			for i := range cycles(c.cycles) {
				at := instants[i%len(instants)]
				ended[at]++
				r.cycle(c.kind, at, func() {})
			}
			r.end()
			if r.cut[before] != ended[before] || r.cut[after] != ended[after] || ended[during] > 4 && r.cut[during] == 0 {
				t.Errorf("%v cycles ended while reports shared a change, of %v", r.cut, ended)
			}
			for _, why := range r.book.failures {
				t.Errorf("an operation failed, although only its process ever did: %v", why)
			}
		})
	}
}

// The same holds when the server is killed. The process lives on, and repeats its requests once the
// server is back.
func TestServerCrashes(t *testing.T) {
	server := pgtest.Start(t)
	migrate(t, server.DSN())
	r := newTrial(t, postgres, server.DSN(), testkit.Seed(t))
	for range cycles(5) {
		r.cycle(postgres, anytime, func() {
			r.awaitAnswers(1 + r.dice.IntN(50))
			server.Crash()
			server.Restart()
		})
	}
	r.end()
	t.Logf("crash: while the server was away, %d operations failed without effect", len(r.book.failures))
}

// One or two crashes reveal a store that acknowledges before it has written.
func TestCrashesBite(t *testing.T) {
	r := newTrial(t, sqlite, file(t), testkit.Seed(t))
	for range 3 {
		if r.cycle(writesLate, anytime, func() {}); len(r.findings[lost]) > 0 {
			return
		}
	}
	t.Errorf("nothing is lost; what is found:\n%v", r.findings)
}

// cycles returns how many crashes are tried, a few under -short.
func cycles(n int) int {
	if testing.Short() {
		return (n + 7) / 8
	}
	return n
}
