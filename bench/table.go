package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var nan = math.NaN()

// A table is a table of the page. Its first column is text, the others are figures.
type table struct {
	title string
	note  string // a paragraph below it
	head  []string
	rows  [][]string
}

// String returns the table as Markdown.
func (t table) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "### %s\n\n", t.title)
	line := func(cells []string) { fmt.Fprintf(&s, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	rule := make([]string, len(t.head))
	for i := range rule {
		rule[i] = "--:"
	}
	rule[0] = ":--"
	line(rule)
	for _, row := range t.rows {
		cells := make([]string, len(t.head))
		for i := range min(len(row), len(cells)) {
			cells[i] = strings.NewReplacer("|", `\|`, "\n", " ").Replace(row[i])
		}
		line(cells)
	}
	if t.note != "" {
		fmt.Fprintf(&s, "\n%s\n", t.note)
	}
	return s.String()
}

// count returns a number in three digits, or all before the point: 1,234,567, 12.3, 0.012. An unknown
// number is a dash.
func count(x float64) string {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return "–"
	case x == 0:
		return "0"
	case math.Abs(x) < 99.95:
		digits := 2 - int(math.Floor(math.Log10(math.Abs(x))))
		return strconv.FormatFloat(x, 'f', min(digits, 6), 64)
	}
	s := strconv.FormatFloat(math.Abs(x), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if x < 0 {
		s = "-" + s
	}
	return s
}

// factor returns a ratio in two digits: 0.042, 0.53, 3.1, 41. An unknown ratio is a dash.
func factor(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) || x <= 0 {
		return "–"
	}
	digits := 1 - int(math.Floor(math.Log10(x)))
	if digits < 0 {
		return count(x)
	}
	return strconv.FormatFloat(x, 'f', digits, 64)
}

// duration returns d in three digits and one unit; 0 is a dash.
func duration(d time.Duration) string {
	switch {
	case d <= 0:
		return "–"
	case d < time.Microsecond:
		return count(float64(d)) + " ns"
	case d < time.Millisecond:
		return count(float64(d)/1e3) + " µs"
	case d < time.Second:
		return count(float64(d)/1e6) + " ms"
	}
	return count(d.Seconds()) + " s"
}
