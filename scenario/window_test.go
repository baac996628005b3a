package scenario

import (
	"testing"
	"time"
)

// A window is open from its first minute to the one before its last, every day, across midnight too.
func TestWindowsOpen(t *testing.T) {
	day := func(d, hour, minute int) time.Time { return time.Date(2026, 7, d, hour, minute, 0, 0, time.UTC) }
	night := []hours{{23 * 60, 0}, {12 * 60, 13 * 60}}
	for _, c := range []struct {
		hours    []hours
		at, want time.Time
	}{
		{night, day(1, 9, 0), day(1, 12, 0)},
		{night, day(1, 12, 0), day(1, 12, 0)},
		{night, day(1, 12, 59), day(1, 12, 59)},
		{night, day(1, 13, 0), day(1, 23, 0)},
		{night, day(1, 23, 59), day(1, 23, 59)},
		{night, day(2, 0, 0), day(2, 12, 0)},
		{[]hours{{22 * 60, 2 * 60}}, day(2, 1, 59), day(2, 1, 59)},
		{[]hours{{22 * 60, 2 * 60}}, day(2, 2, 0), day(2, 22, 0)},
		{[]hours{{60, 2 * 60}}, day(1, 3, 0), day(2, 1, 0)},
		{[]hours{{60, 60}}, day(1, 0, 30), day(1, 0, 30)},
		{[]hours{{0, 0}}, day(1, 17, 30), day(1, 17, 30)},
	} {
		if got := (&window{Hours: c.hours}).next(c.at); !got.Equal(c.want) {
			t.Errorf("%v at %v opens at %v, want %v", c.hours, c.at, got, c.want)
		}
	}
}

// The clock of a play goes back as well, and times of a job do not.
func TestWaitGoesBack(t *testing.T) {
	play(t, "x.txt", release+`ann: start_job
wait -1h
report 1.1: a running
wait 30m
report 1.1: a succeeded, b succeeded
expect job: succeeded, created 2026-07-01T09:00:00.000Z, updated 2026-07-01T09:00:00.000Z
job late
  script copy, targets a
expect job: pending, created 2026-07-01T08:30:00.000Z
`, Config{})
}
