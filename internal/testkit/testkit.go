// Package testkit has helpers for the tests of several packages. Only tests import it.
package testkit

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Main runs the tests of a package, with checks as the default of rapid's flag -rapid.checks. Unless
// GOGC is set, it collects garbage a quarter as often: in these tests, with a small heap, the
// collector takes a fifth of the time.
func Main(m *testing.M, checks int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", strconv.Itoa(checks)); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// EndIfHung ends tests that hang after STEPGATE_TEST_TIMEOUT, if that is set: mutation
// testing, which makes some hang, waits for an hour.
func EndIfHung() {
	if limit, err := time.ParseDuration(os.Getenv("STEPGATE_TEST_TIMEOUT")); err == nil {
		time.AfterFunc(limit, func() { panic("the tests hang") })
	}
}

// SetFlag sets a flag for the time of a test.
func SetFlag(t testing.TB, name, value string) {
	t.Helper()
	f := flag.Lookup(name)
	before := f.Value.String()
	t.Cleanup(func() {
		if err := f.Value.Set(before); err != nil {
			t.Error(err)
		}
	})
	if err := f.Value.Set(value); err != nil {
		t.Fatal(err)
	}
}

// ChecksBy divides the number of times that rapid checks a property for the time of a test.
func ChecksBy(t testing.TB, divisor int) {
	t.Helper()
	n, err := strconv.Atoi(flag.Lookup("rapid.checks").Value.String())
	if err != nil {
		t.Fatal(err)
	}
	SetFlag(t, "rapid.checks", strconv.Itoa(max(n/divisor, 1)))
}

// Failure returns rapid's message about a property, "" if it holds. It neither shrinks a failure nor
// keeps it in a file.
func Failure(t testing.TB, property func(*rapid.T)) string {
	t.Helper()
	SetFlag(t, "rapid.nofailfile", "true")
	SetFlag(t, "rapid.shrinktime", "0s")
	s := &silent{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rapid.Check(s, property)
	}()
	<-done
	return s.text.String()
}

// silent is a test that does not report its failures.
type silent struct {
	text   strings.Builder
	failed bool
}

func (s *silent) Helper()                   {}
func (s *silent) Name() string              { return "broken on purpose" }
func (s *silent) Logf(string, ...any)       {}
func (s *silent) Log(...any)                {}
func (s *silent) Skipf(string, ...any)      {}
func (s *silent) Skip(...any)               {}
func (s *silent) SkipNow()                  {}
func (s *silent) Errorf(f string, a ...any) { s.failed = true; fmt.Fprintf(&s.text, f, a...) }
func (s *silent) Error(a ...any)            { s.failed = true; fmt.Fprint(&s.text, a...) }
func (s *silent) Fatalf(f string, a ...any) { s.Errorf(f, a...); runtime.Goexit() }
func (s *silent) Fatal(a ...any)            { s.Error(a...); runtime.Goexit() }
func (s *silent) FailNow()                  { s.failed = true; runtime.Goexit() }
func (s *silent) Fail()                     { s.failed = true }
func (s *silent) Failed() bool              { return s.failed }

// RoundTrip asserts that data, if it reads as a T, is written so that it reads the same. A T
// that lacks a name, as a record without its kind does, reads and cannot be written.
func RoundTrip[T any](t testing.TB, data []byte) {
	t.Helper()
	var read, again T
	if json.Unmarshal(data, &read) != nil {
		return
	}
	written, err := json.Marshal(read)
	if err != nil {
		return
	}
	if err := json.Unmarshal(written, &again); err != nil {
		t.Fatalf("%T: %s reads and is written as %s, which does not read: %v", read, data, written, err)
	}
	if !reflect.DeepEqual(again, read) {
		t.Fatalf("%T: %s reads as\n%+v and is written as %s, which reads as\n%+v", read, data, read, written, again)
	}
}

// Seed returns the seed of a test whose schedule a seed does not fix. STEPGATE_SEED sets it. It is
// logged.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64() >> 32
	if text := os.Getenv("STEPGATE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("STEPGATE_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("seed %d: STEPGATE_SEED=%d rolls the same dice", seed, seed)
	return seed
}
