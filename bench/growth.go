package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An axis is a quantity that grows.
type axis struct {
	file  string // of its plot
	title string
	x     string // name of the quantity
	note  string // the measurement, in sentences
	lines []line
}

// A line is one system along an axis.
type line struct {
	name   string
	unit   string // name of its operation, if it differs from that of the others
	sizes  []int  // in ascending order
	system func(ctx context.Context, size int) (system, error)
	absent string // why this run has no such system, or ""
}

// A system holds a quantity of an axis and is ready for the measurement.
type system struct {
	// operate does the n-th operation and returns its duration. The duration leaves out the
	// preparation of the next operation.
	operate func(ctx context.Context, n int) (time.Duration, error)

	// close ends the system and removes its data.
	close func() error
}

// A growth is the measurement of a line.
type growth struct {
	line
	took   [][]float64 // seconds, by size and round: the median of a turn
	failed error       // why it ended early
}

// A pace is the amount of measurement along an axis.
type pace struct {
	rounds int           // turns of each size of each line
	warm   int           // operations before the first turn
	turn   int           // operations of a turn
	within time.Duration // a turn has fewer operations rather than last longer
}

const fewest = 3 // operations of a turn, however long they take

// A field is the systems of an axis, each at its place, with the measurements so far.
type field struct {
	pace    pace
	all     []growth // by line
	systems []placed
}

// placed is the system of one size of a line.
type placed struct {
	system
	line, size int // indices of its line and of its size
	done       int // operations so far
}

// measure fills all systems of the axis and gives them turns: in each round each of them has one,
// and each round begins with another one. The systems of one line follow each other, so that a
// disturbance of one size also disturbs the next.
func (a axis) measure(ctx context.Context, p pace, ready func(context.Context) error) (all []growth, err error) {
	f := field{pace: p, all: make([]growth, len(a.lines))}
	defer func() {
		err = errors.Join(err, f.close())
		runtime.GC() // the next axis begins with little memory
	}()
	for i, l := range a.lines {
		if err := f.fill(ctx, i, l); err != nil {
			return nil, err
		}
	}
	if err := ready(ctx); err != nil {
		return nil, err
	}
	runtime.GC()
	for i := range f.systems {
		f.turn(ctx, &f.systems[i], p.warm, 4*p.within)
	}
	for round := range p.rounds {
		for i := range f.systems {
			s := &f.systems[(i+round)%len(f.systems)]
			if took := f.turn(ctx, s, p.turn, p.within); len(took) > 0 {
				at := &f.all[s.line].took[s.size]
				*at = append(*at, median(took))
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return f.all, nil
}

// fill makes the systems of the i-th line. If one fails, the line has failed and the larger ones
// are left out; the error is ctx's.
func (f *field) fill(ctx context.Context, i int, l line) error {
	g := &f.all[i]
	*g = growth{line: l, took: make([][]float64, len(l.sizes))}
	if l.absent != "" {
		g.failed = errors.New(l.absent)
		return nil
	}
	for at, size := range l.sizes {
		s, err := l.system(ctx, size)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			g.failed = fmt.Errorf("with %s: %w", whole(size), err)
			return nil
		}
		f.systems = append(f.systems, placed{system: s, line: i, size: at})
	}
	return nil
}

// turn returns how many seconds each operation of a turn took: none if the line has failed.
func (f *field) turn(ctx context.Context, s *placed, most int, within time.Duration) []float64 {
	g := &f.all[s.line]
	if g.failed != nil {
		return nil
	}
	took, err := f.pace.take(ctx, s.system, s.done, most, within)
	if err != nil {
		g.failed = fmt.Errorf("with %s: %w", whole(g.sizes[s.size]), err)
	}
	s.done += len(took)
	return took
}

// close closes all systems and forgets them.
func (f *field) close() (err error) {
	for _, s := range f.systems {
		err = errors.Join(err, s.close())
	}
	f.systems = nil
	return err
}

// take measures up to most operations, from the n-th on, and returns the duration of each in
// seconds.
func (p pace) take(ctx context.Context, s system, n, most int, within time.Duration) (took []float64, err error) {
	late := time.Now().Add(within)
	for i := range most {
		if i >= fewest && time.Now().After(late) {
			break
		}
		d, err := s.operate(ctx, n+i)
		if err != nil {
			return took, err
		}
		took = append(took, d.Seconds())
	}
	return took, nil
}

// at returns the typical time at a size; NaN if it was not measured.
func (g growth) at(size int) float64 {
	if i := slices.Index(g.sizes, size); i >= 0 {
		return median(g.took[i])
	}
	return nan
}

// most returns the largest size.
func (g growth) most() int { return g.sizes[len(g.sizes)-1] }

// ratio returns the time at the size many divided by that at few: the median over the rounds, or NaN
// if one of them was not measured.
func (g growth) ratio(few, many int) float64 {
	i, j := slices.Index(g.sizes, few), slices.Index(g.sizes, many)
	if i < 0 || j < 0 {
		return nan
	}
	return medianRatio(g.took[j], g.took[i])
}

// medianRatio returns the median over the rounds of a divided by b; NaN if there is none.
func medianRatio(a, b []float64) float64 {
	var all []float64
	for i := range min(len(a), len(b)) {
		all = append(all, a[i]/b[i])
	}
	return median(all)
}

// table shows the times and how they grow.
func (a axis) table(all []growth) table {
	var sizes []int
	for _, g := range all {
		sizes = append(sizes, g.sizes...)
	}
	slices.Sort(sizes)
	sizes = slices.Compact(sizes)
	t := table{title: a.title, note: a.note, head: []string{a.x}}
	for _, size := range sizes {
		t.head = append(t.head, whole(size))
	}
	t.head = append(t.head, "most / least")
	var wrong []string
	for _, g := range all {
		row := []string{g.name}
		for _, size := range sizes {
			row = append(row, timeOf(g.at(size)))
		}
		row = append(row, factor(g.ratio(g.sizes[0], g.most())))
		t.rows = append(t.rows, row)
		if g.failed != nil {
			wrong = append(wrong, fmt.Sprintf("*%s*: %v.", g.name, g.failed))
		}
	}
	for _, g := range all {
		if g.unit != "" {
			t.note += fmt.Sprintf(" One operation of *%s* is %s.", g.name, g.unit)
		}
	}
	if wrong != nil {
		t.note += " Not measured: " + strings.Join(wrong, " ")
	}
	return t
}

// whole returns a whole number with all its digits.
func whole(n int) string {
	if n < 100 {
		return strconv.Itoa(n)
	}
	return count(float64(n))
}

// timeOf returns seconds as the page has them; a dash if they are not known.
func timeOf(seconds float64) string {
	if seconds != seconds {
		return count(nan)
	}
	return duration(time.Duration(seconds * 1e9))
}

// duels compares peers with Stepgate on the same database, size by size.
func duels(all []growth, stepgate, what string) (found []duel) {
	base := slices.IndexFunc(all, func(g growth) bool { return g.name == stepgate })
	if base < 0 {
		return nil
	}
	for _, g := range all {
		if g.unit == "" { // not a peer
			continue
		}
		for i, size := range g.sizes {
			if j := slices.Index(all[base].sizes, size); j >= 0 {
				found = append(found, duel{g.name, stepgate, fmt.Sprintf("with %s %s", whole(size), what), medianRatio(all[base].took[j], g.took[i])})
			}
		}
	}
	return found
}

// draw writes the plot of an axis and returns its file, "" if there is nothing to draw.
func (a axis) draw(r *run, all []growth) (string, error) {
	var lines []series
	for _, g := range all {
		s := series{name: g.name}
		for _, size := range g.sizes {
			s.points = append(s.points, point{float64(size), g.at(size) * 1e6})
		}
		lines = append(lines, s)
	}
	drawn, err := plotLines(filepath.Join(r.out, a.file), a.title, a.x, "microseconds", lines)
	if !drawn || err != nil {
		return "", err
	}
	return a.file, nil
}

// growths measures how the time of an operation grows with the quantities of the axes.
func growths(ctx context.Context, r *run) (section, error) {
	p := pace{rounds: 8, warm: 300, turn: 100, within: 150 * time.Millisecond}
	if r.quick {
		p = pace{rounds: 2, warm: 10, turn: 10, within: 20 * time.Millisecond}
	}
	s := section{
		title: "How cost grows",
		words: []string{
			fmt.Sprintf("The time of one operation of one caller, while the amount of data that it does not need grows. Each figure is the median over %d rounds of the median of up to %d operations; in a round all sizes and all rows take turns in one process and on one server, so that a disturbance meets all. *Most / least* is the ratio of the largest size of the row to its smallest, the median over the rounds. The figures exclude the time of reading the clock twice.", p.rounds, p.turn),
			"Stepgate's operation is an operator's: load, decide, commit with record and effect.",
		},
	}
	brief := table{title: s.title, head: []string{"time of an operation, from the least to the most", "least", "most", "most / least"}}
	var compared []duel
	for _, a := range r.axes() {
		began := time.Now()
		all, err := a.measure(ctx, p, r.settled)
		if err != nil {
			return section{}, fmt.Errorf("%s: %w", a.title, err)
		}
		plot, err := a.draw(r, all)
		if err != nil {
			return section{}, err
		}
		if plot != "" {
			s.plots = append(s.plots, plot)
		}
		s.tables = append(s.tables, a.table(all))
		for _, g := range all {
			least, most := g.sizes[0], g.most()
			brief.rows = append(brief.rows, []string{
				fmt.Sprintf("%s: %s to %s %s", g.name, whole(least), whole(most), a.x),
				timeOf(g.at(least)), timeOf(g.at(most)), factor(g.ratio(least, most)),
			})
		}
		compared = append(compared, duels(all, postgresName, a.x)...)
		r.log("growth by %s took %v", a.x, time.Since(began).Round(time.Second))
	}
	brief.note = ahead(compared)
	s.brief, s.words = []table{brief}, append(s.words, brief.note)
	return s, nil
}
