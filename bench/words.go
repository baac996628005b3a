package main

import (
	"fmt"
	"math"
	"strings"
)

// A duel is a peer's figure beside Stepgate's, for comparable work.
type duel struct {
	peer     string
	stepgate string  // the row of Stepgate that it is compared with
	where    string  // such as "with 8 callers"
	times    float64 // how many times as good the peer is; NaN if not known
}

// level is the largest ratio that counts as equal: a smaller difference is noise.
const level = 1.05

func (d duel) ahead() bool { return d.times > level }

// String returns the ratio, in bold where the peer is ahead.
func (d duel) String() string {
	if d.ahead() {
		return "**" + factor(d.times) + "**"
	}
	return factor(d.times)
}

// ahead returns a sentence that lists where peers are ahead of Stepgate.
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

// units returns a list of the operations that have a unit of their own.
func units(results []result) string {
	all := []string{"One operation is"}
	for _, r := range results {
		if r.unit != "" {
			all = append(all, fmt.Sprintf("- of *%s*: %s", r.name, r.unit))
		}
	}
	return strings.Join(all, "\n")
}
