package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A screen shows how a job fares, and what is said.
type screen interface {
	// say prints lines that stay.
	say(lines ...string)
	// show brings what is shown of the job up to date.
	show(p *progress, now step.Time)
	// entered is told that the person has pressed enter.
	entered()
	// close leaves the screen as it is.
	close()
}

// lines is a screen for pipes and files: one line per change of a step.
type lines struct {
	w     io.Writer
	shown map[step.ID]string
}

func newLines(w io.Writer) *lines { return &lines{w: w, shown: map[step.ID]string{}} }

func (l *lines) say(said ...string) {
	for _, line := range said {
		fmt.Fprintln(l.w, line)
	}
}

func (l *lines) show(p *progress, now step.Time) {
	for _, s := range p.steps {
		what := strings.Join(fieldsOf(s, ""), "  ")
		if l.shown[s.ID] == what || s.Attempt == 0 {
			continue
		}
		l.shown[s.ID] = what
		fmt.Fprintf(l.w, "%8s  %s\n", seconds(now.Sub(p.job.Created)), strings.Join(fieldsOf(s, elapsed(s, now)), "  "))
	}
}

func (*lines) entered() {}
func (*lines) close()   {}

// fieldsOf returns what there is to say of a step, without what is empty.
func fieldsOf(s store.Step, elapsed string) []string {
	all := []string{fmt.Sprintf("step %d %s", s.ID, plain(s.Name)), s.State.String(), attempt(s), counts(s), elapsed}
	kept := all[:0]
	for _, field := range all {
		if field != "" {
			kept = append(kept, field)
		}
	}
	return kept
}

// block is a screen for terminals: it draws the steps again and again in the same place,
// with a prompt below, and what is said above. Whoever types is not disturbed.
type block struct {
	w      io.Writer
	height int // lines above the prompt; 0 before the first drawing
	last   []string
}

// What a terminal is told, in the escapes that all of them know.
const (
	noWrap   = "\x1b[?7l"
	wrap     = "\x1b[?7h"
	save     = "\x1b7"
	restore  = "\x1b8"
	wipeLine = "\x1b[2K"
	wipeDown = "\x1b[J"
	prompt   = "> "
	mostRows = 16 // steps that are drawn, around the current one
	barWidth = 20
)

func up(lines int) string {
	if lines == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA", lines)
}

func (b *block) say(said ...string) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "\r%s%s", up(b.height), wipeDown)
	for _, line := range said {
		fmt.Fprintln(&out, line)
	}
	b.height = 0
	b.draw(&out)
}

func (b *block) show(p *progress, now step.Time) {
	b.last = drawing(p, now)
	var out bytes.Buffer
	if len(b.last) != b.height {
		fmt.Fprintf(&out, "\r%s%s", up(b.height), wipeDown)
		b.draw(&out)
		return
	}
	// Only the lines are drawn, and the cursor goes back to what is being typed.
	fmt.Fprintf(&out, "%s%s%s", save, noWrap, up(b.height))
	for _, line := range b.last {
		fmt.Fprintf(&out, "\r%s%s\n", wipeLine, line)
	}
	fmt.Fprintf(&out, "%s%s", wrap, restore)
	_, _ = b.w.Write(out.Bytes())
}

// draw writes out, the lines and the prompt.
func (b *block) draw(out *bytes.Buffer) {
	out.WriteString(noWrap)
	for _, line := range b.last {
		fmt.Fprintln(out, line)
	}
	out.WriteString(wrap)
	out.WriteString(prompt)
	b.height = len(b.last)
	_, _ = b.w.Write(out.Bytes())
}

// entered notes that the terminal has gone to the line below the prompt.
func (b *block) entered() { b.height++ }

func (b *block) close() { fmt.Fprintf(b.w, "\r%s", wipeLine) }

// drawing returns the lines that show a job.
func drawing(p *progress, now step.Time) []string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s: %v\n", plain(p.job.Name), p.job.State)
	first := max(0, min(int(p.job.Current)-mostRows/2, len(p.steps)-mostRows))
	rows := p.steps[first:min(first+mostRows, len(p.steps))]
	if first > 0 {
		fmt.Fprintf(&out, "  ... %d steps before\n", first)
	}
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, s := range rows {
		mark := " "
		if s.ID == p.job.Current {
			mark = "*"
		}
		fmt.Fprintf(table, "%s %d %s\t%v\t%s\t%s\t%s\t%s\n", mark, s.ID, plain(s.Name), s.State, attempt(s), bar(s), counts(s), elapsed(s, now))
	}
	_ = table.Flush()
	if after := len(p.steps) - first - len(rows); after > 0 {
		fmt.Fprintf(&out, "  ... %d steps after\n", after)
	}
	return strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
}

// bar draws how many targets of a step have succeeded and failed.
func bar(s store.Step) string {
	if s.Attempt == 0 || s.Total == 0 {
		return ""
	}
	good := barWidth * int(s.Succeeded) / int(s.Total)
	bad := barWidth*int(s.Total-s.Unfinished)/int(s.Total) - good
	return "[" + strings.Repeat("#", good) + strings.Repeat("!", bad) + strings.Repeat(".", barWidth-good-bad) + "]"
}
