package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// A trial is a part of the page: entrants work with a growing number of callers.
type trial struct {
	name     string // of the part
	title    string
	file     string // of its plot, or "" for none
	words    string
	against  []string // heads of the columns that compare an entrant with others
	entrants []entrant
}

// An entrant of a trial. One without a stepgate is Stepgate itself, or a limit.
type entrant struct {
	name     string
	against  []string // names of entrants, in the order of the trial's columns
	stepgate string   // the row of Stepgate that a peer is compared with
	postgres bool     // whether it needs one
	open     func(ctx context.Context, r *run, name string, callers int) (subject, error)
}

// measure measures the entrants.
func (t trial) measure(ctx context.Context, r *run) (section, error) {
	s := section{title: t.title}
	callers := []int{1, 8, 32, 128}
	if r.quick {
		callers = []int{1, 4}
	}
	rates := map[string][]point{}
	brief := table{title: s.title, head: []string{"operations a second, by callers"}}
	for _, e := range t.entrants {
		brief.rows = append(brief.rows, []string{e.name})
	}
	var (
		said  []result // for their units
		duels []duel
	)
	for _, n := range callers {
		results, err := t.contest(ctx, r, n)
		if err != nil {
			return s, err
		}
		said = results
		s.tables = append(s.tables, t.table(n, results))
		for _, d := range t.duels(results) {
			d.where = "with " + callersOf(n)
			duels = append(duels, d)
		}
		brief.head = append(brief.head, whole(n))
		for i, e := range t.entrants {
			brief.rows[i] = append(brief.rows[i], count(named(results, e.name).perSecond()))
		}
		for _, got := range results {
			rates[got.name] = append(rates[got.name], point{float64(n), got.perSecond()})
		}
	}
	brief.note = ahead(duels)
	s.brief = []table{brief}
	s.words = []string{t.words, units(said)}
	if t.file == "" {
		return s, nil
	}
	drawn, err := plotLines(filepath.Join(r.out, t.file), t.title, "callers", "operations a second", t.lines(rates))
	if drawn {
		s.plots = append(s.plots, t.file)
	}
	return s, err
}

// lines returns a series for each entrant that was measured.
func (t trial) lines(rates map[string][]point) []series {
	var all []series
	for _, e := range t.entrants {
		if points := rates[e.name]; points != nil {
			all = append(all, series{e.name, points})
		}
	}
	return all
}

// contest measures the entrants with a number of callers. The result of an entrant that is not
// available says why.
func (t trial) contest(ctx context.Context, r *run, callers int) ([]result, error) {
	c := contest{callers: callers, rounds: 6, warm: 60 * time.Millisecond, each: 400 * time.Millisecond}
	if r.quick {
		c.rounds, c.warm, c.each = 1, 10*time.Millisecond, 50*time.Millisecond
	}
	var missing []result
	for _, e := range t.entrants {
		if e.postgres && r.dsn == "" {
			missing = append(missing, result{name: e.name, failed: errors.New("no PostgreSQL")})
			continue
		}
		s, err := e.open(ctx, r, e.name, callers)
		if err != nil {
			missing = append(missing, result{name: e.name, failed: err})
			continue
		}
		c.subjects = append(c.subjects, s)
	}
	results, err := c.run(ctx)
	results = append(results, missing...)
	order := func(r result) int {
		return slices.IndexFunc(t.entrants, func(e entrant) bool { return e.name == r.name })
	}
	slices.SortFunc(results, func(a, b result) int { return order(a) - order(b) })
	r.log("%s: %d callers are done", t.name, callers)
	return results, err
}

// table shows the results of a number of callers.
func (t trial) table(callers int, results []result) table {
	shown := table{
		title: callersOf(callers),
		head:  slices.Concat([]string{"", "operations/s", "p50", "p99", "allocations"}, t.against, []string{"times as many as Stepgate, same database"}),
	}
	for _, e := range t.entrants {
		got := named(results, e.name)
		if got.failed != nil {
			shown.rows = append(shown.rows, []string{got.name, got.failed.Error()})
			continue
		}
		row := []string{got.name, count(got.perSecond()), duration(got.p50()), duration(got.p99()), count(got.allocs())}
		for i := range t.against {
			cell := ""
			if i < len(e.against) {
				cell = factor(ratio(got, named(results, e.against[i])))
			}
			row = append(row, cell)
		}
		last := ""
		if e.stepgate != "" {
			last = duel{times: ratio(got, named(results, e.stepgate))}.String()
		}
		shown.rows = append(shown.rows, append(row, last))
	}
	shown.note = ahead(t.duels(results))
	return shown
}

// duels returns the peers that were measured, each beside what it is compared with.
func (t trial) duels(results []result) (all []duel) {
	for _, e := range t.entrants {
		if got := named(results, e.name); e.stepgate != "" && got.failed == nil {
			all = append(all, duel{peer: e.name, stepgate: e.stepgate, times: ratio(got, named(results, e.stepgate))})
		}
	}
	return all
}

func callersOf(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}
