package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Each round begins with another subject; a subject that fails has no further turn, and the
// others have theirs.
func TestContestRotates(t *testing.T) {
	var order []string
	closed := 0
	broken := errors.New("broken")
	subjects := make([]subject, 3)
	for i, name := range []string{"a", "b", "c"} {
		subjects[i] = subject{
			name: name, unit: "unit of " + name,
			turn: func(context.Context, int, time.Duration) (sample, error) {
				order = append(order, name)
				if name == "b" && len(order) > 3 {
					return sample{}, broken
				}
				return sample{perSecond: float64(len(order))}, nil
			},
			close: func() error { closed++; return nil },
		}
	}
	results, err := contest{callers: 1, rounds: 3, each: time.Millisecond, subjects: subjects}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(order, ""), "abc"+"bca"+"ca"; got != want {
		t.Errorf("turns are %s, want %s", got, want)
	}
	for i, want := range []int{3, 1, 3} {
		if got := len(results[i].samples); got != want {
			t.Errorf("%s has %d samples, want %d", results[i].name, got, want)
		}
	}
	if got := named(results, "b"); !errors.Is(got.failed, broken) || got.unit != "unit of b" {
		t.Errorf("b: %+v", got)
	}
	if closed != 3 {
		t.Errorf("%d subjects were closed, want all 3", closed)
	}
}

// Callers call concurrently, each one call after another, between begin and end, and pause when each
// has made its calls.
func TestContestCalls(t *testing.T) {
	const callers, every = 3, 4
	var (
		said   []string
		inside [callers]atomic.Int32
		calls  atomic.Int32
		meet   sync.WaitGroup
	)
	meet.Add(callers)
	s := subject{
		name: "s", times: 10, every: every,
		begin: func(context.Context) error { said = append(said, "begin"); return nil },
		op: func(_ context.Context, caller, n int) error {
			if n == 0 {
				meet.Done()
				meet.Wait() // for ever, if the calls were not concurrent
			}
			calls.Add(1)
			if inside[caller].Add(1) != 1 {
				t.Errorf("caller %d calls twice at once", caller)
			}
			time.Sleep(100 * time.Microsecond)
			inside[caller].Add(-1)
			return nil
		},
		pause: func(context.Context) error {
			if n := calls.Swap(0); n > callers*every {
				t.Errorf("a pause after %d calls, want at most %d", n, callers*every)
			}
			said = append(said, "pause")
			return nil
		},
		end: func(context.Context) error { said = append(said, "end"); return nil },
	}
	results, err := contest{callers: callers, rounds: 1, each: 5 * time.Millisecond, subjects: []subject{s}}.run(t.Context())
	if err != nil || results[0].failed != nil {
		t.Fatal(err, results[0].failed)
	}
	if first, last := said[0], said[len(said)-1]; first != "begin" || last != "end" || !slices.Contains(said, "pause") {
		t.Errorf("in turn: %v", said)
	}
	got := results[0].samples[0]
	if got.p50 < 10*time.Microsecond || got.p99 < got.p50 || got.perSecond <= 0 {
		t.Errorf("ten operations in a call of 100 µs: %+v", got)
	}
}

// A call that fails ends the turn with its error, and one that waits for ever with that of its time.
func TestContestFails(t *testing.T) {
	broken := errors.New("broken")
	ended := false
	s := subject{
		op: func(_ context.Context, caller, n int) error {
			if caller == 1 { // at its first call, as it may have no other
				return fmt.Errorf("call: %w", broken)
			}
			return nil
		},
		end: func(context.Context) error { ended = true; return nil },
	}
	if _, err := (contest{callers: 2, each: time.Millisecond}).turn(t.Context(), s); !errors.Is(err, broken) || !ended {
		t.Errorf("a call that fails: %v, ended %v", err, ended)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	s.op = func(ctx context.Context, _, _ int) error { <-ctx.Done(); return ctx.Err() }
	if _, err := (contest{callers: 2, each: time.Millisecond}).turn(ctx, s); !errors.Is(err, broken) {
		t.Errorf("a call that is ended: %v", err)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{
		{[]float64{3}, 3},
		{[]float64{3, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		given := slices.Clone(c.of)
		if got := median(c.of); got != c.want || !slices.Equal(c.of, given) {
			t.Errorf("median(%v) = %v, want %v, and its argument left alone", given, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of none is %v, want NaN", got)
	}
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, c := range []struct {
		of   []time.Duration
		p    int
		want time.Duration
	}{{hundred, 50, 50}, {hundred, 99, 99}, {hundred[:10], 50, 5}, {hundred[:10], 99, 10}, {hundred[:1], 50, 1}, {nil, 99, 0}} {
		if got := percentile(c.of, c.p); got != c.want {
			t.Errorf("percentile %d of %d = %v, want %v", c.p, len(c.of), got, c.want)
		}
	}
}

// A ratio is taken round by round: a machine that slows down during the contest does not change
// it.
func TestRatio(t *testing.T) {
	rates := func(all ...float64) (r result) {
		for _, x := range all {
			r.samples = append(r.samples, sample{perSecond: x})
		}
		return r
	}
	if got := ratio(rates(200, 20, 2), rates(100, 10, 1)); got != 2 {
		t.Errorf("the ratio is %v, want 2", got)
	}
	if got := ratio(rates(200, 20), rates(100, 5, 1)); got != 3 {
		t.Errorf("the ratio of what both have is %v, want 3", got)
	}
	if got := ratio(rates(), rates(1)); !math.IsNaN(got) {
		t.Errorf("the ratio of nothing is %v, want NaN", got)
	}
}
