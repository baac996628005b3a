package main

import (
	"fmt"
	"math"
	"strings"
)

// A duel is a peer's figure beside Stepgate's, where both did comparable work.
type duel struct {
	peer     string
	stepgate string  // the row of Stepgate that it is compared with
	where    string  // such as "with 8 callers"
	times    float64 // how many times as good the peer is; NaN if not known
}

// level is up to where a peer is not told from Stepgate: less is noise.
const level = 1.05

func (d duel) ahead() bool { return d.times > level }

// String returns the ratio, in bold where the peer is ahead.
func (d duel) String() string {
	if d.ahead() {
		return "**" + factor(d.times) + "**"
	}
	return factor(d.times)
}

// ahead says in a sentence where peers are ahead of Stepgate.
func ahead(duels []duel) string {
	type pair struct{ peer, stepgate string }
	var order []pair
	leads := map[pair][]string{}
	known := false
	for _, d := range duels {
		known = known || !math.IsNaN(d.times)
		if !d.ahead() {
			continue
		}
		p := pair{d.peer, d.stepgate}
		if leads[p] == nil {
			order = append(order, p)
		}
		leads[p] = append(leads[p], strings.TrimSpace(factor(d.times)+" times "+d.where))
	}
	switch {
	case !known:
		return "No figures to compare here."
	case len(order) == 0:
		return "No peer is ahead here."
	}
	var all []string
	for _, p := range order {
		all = append(all, fmt.Sprintf("*%s* of *%s* (%s)", p.peer, p.stepgate, strings.Join(leads[p], ", ")))
	}
	return "**A peer is ahead**: " + strings.Join(all, "; ") + "."
}

// units says in a list what one operation is, of those that say it.
func units(results []result) string {
	all := []string{"One operation is"}
	for _, r := range results {
		if r.unit != "" {
			all = append(all, fmt.Sprintf("- of *%s*: %s", r.name, r.unit))
		}
	}
	return strings.Join(all, "\n")
}
