package scenario

import "time"

// wrongAnswers are answers that a function of windows must not give.
var wrongAnswers = []string{"never", "past", "panic"}

// opens is the function of windows. A name without a window action has no answer, as never has.
func (p *player) opens(name string, t time.Time) time.Time {
	w := p.windows[name]
	if w == nil {
		return time.Time{}
	}
	switch w.Answer {
	case "never":
		return time.Time{}
	case "past":
		return t.Add(-time.Hour)
	case "panic":
		panic("the window has no hours")
	}
	return w.next(t.UTC())
}

// next returns t if the window is open at t, and else the next moment at which it opens.
func (w *window) next(t time.Time) time.Time {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	next := day.Add(48 * time.Hour) // later than the first opening tomorrow
	for _, h := range w.Hours {
		shut := h.Shut
		if shut <= h.Open {
			shut += 24 * 60 // on the day after
		}
		for ago := -1; ago <= 1; ago++ {
			open := day.AddDate(0, 0, ago).Add(time.Duration(h.Open) * time.Minute)
			if !t.Before(open) && t.Before(open.Add(time.Duration(shut-h.Open)*time.Minute)) {
				return t
			}
			if open.After(t) && open.Before(next) {
				next = open
			}
		}
	}
	return next
}
