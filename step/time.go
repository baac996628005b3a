package step

import "time"

// Time is a moment in Unix milliseconds, as on the wire; the zero Time means never.
type Time int64

// MaxTime is the last moment that a report can name: the last of a JavaScript Date, in the year
// 275760.
const MaxTime Time = 8_640_000_000_000_000

// At returns t in whole milliseconds; the zero time.Time gives the zero Time.
func At(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMilli())
}

// Std returns t as a time.Time in UTC; the zero Time gives the zero time.Time.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(t)).UTC()
}

// Add returns t+d, with d rounded up to a whole millisecond, so that a positive d always lies in
// the future. If the sum exceeds the range of Time, Add returns the last Time.
func (t Time) Add(d time.Duration) Time {
	ms := d.Milliseconds()
	if d > 0 && d%time.Millisecond != 0 {
		ms++
	}
	sum := t + Time(ms)
	if ms > 0 && sum < t {
		return 1<<63 - 1
	}
	return sum
}

// Sub returns t-u. The difference must fit a time.Duration, 292 years.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// String returns t in RFC 3339 with milliseconds, or "never".
func (t Time) String() string {
	if t == 0 {
		return "never"
	}
	return t.Std().Format("2006-01-02T15:04:05.000Z07:00")
}
