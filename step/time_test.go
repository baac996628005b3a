package step_test

import (
	"math"
	"testing"
	"time"

	"github.com/stepgate/stepgate/step"
)

func TestTimeIsUnixMilliseconds(t *testing.T) {
	at := time.Date(2026, 7, 1, 12, 30, 0, 999_999, time.FixedZone("", 7200))
	got := step.At(at)
	if want := step.Time(1_782_901_800_000); got != want {
		t.Errorf("At(%v) = %d, want %d", at, got, want)
	}
	if want := time.Date(2026, 7, 1, 10, 30, 0, 0, time.UTC); !got.Std().Equal(want) || got.Std().Location() != time.UTC {
		t.Errorf("Std() = %v, want %v", got.Std(), want)
	}
	if want := "2026-07-01T10:30:00.000Z"; got.String() != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}

func TestTheZeroTimeMeansNever(t *testing.T) {
	if got := step.At(time.Time{}); got != 0 {
		t.Errorf("At(the zero time.Time) = %d, want 0", got)
	}
	if got := step.Time(0).Std(); !got.IsZero() {
		t.Errorf("Time(0).Std() = %v, want the zero time.Time", got)
	}
	if got := step.Time(0).String(); got != "never" {
		t.Errorf("Time(0) prints %q, want never", got)
	}
}

func TestAddRoundsUpAndStopsAtTheLastTime(t *testing.T) {
	for _, c := range []struct {
		t    step.Time
		d    time.Duration
		want step.Time
	}{
		{1000, 0, 1000},
		{1000, 1, 1001}, // a deadline lies in the future, however short
		{1000, time.Millisecond, 1001},
		{1000, time.Millisecond + 1, 1002},
		{1000, -time.Millisecond, 999},
		{1000, -1, 1000},
		{math.MaxInt64 - 1, time.Second, math.MaxInt64},
		{1_782_901_800_000, math.MaxInt64, 1_782_901_800_000 + 9_223_372_036_855},
	} {
		if got := c.t.Add(c.d); got != c.want {
			t.Errorf("Time(%d).Add(%v) = %d, want %d", c.t, c.d, got, c.want)
		}
	}
}

func TestSubIsTheTimeBetween(t *testing.T) {
	if got, want := step.Time(5000).Sub(3500), 1500*time.Millisecond; got != want {
		t.Errorf("Time(5000).Sub(3500) = %v, want %v", got, want)
	}
}
