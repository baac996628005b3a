package main

import (
	"fmt"
	"strings"
)

// A duel is a peer's figure beside Stepgate's, where both did comparable work.
type duel struct {
	peer     string
	stepgate string  // the row of Stepgate that it is compared with
	where    string  // such as "with 8 callers"
	times    float64 // how many times as good the peer is; NaN if not known
}

// ahead says in a sentence where peers are ahead of Stepgate.
func ahead(duels []duel) string {
	type pair struct{ peer, stepgate string }
	var order []pair
	leads := map[pair][]string{}
	known := false
	for _, d := range duels {
		known = known || d.times == d.times
		if !(d.times > 1) {
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
		return "Nothing could be compared here."
	case len(order) == 0:
		return "No peer is ahead here."
	}
	var all []string
	for _, p := range order {
		all = append(all, fmt.Sprintf("%s of %s (%s)", p.peer, p.stepgate, strings.Join(leads[p], ", ")))
	}
	return "**A peer is ahead**: " + strings.Join(all, "; ") + "."
}

// units says in sentences what one operation is where it differs.
func units(results []result) string {
	var all []string
	for _, r := range results {
		if r.unit != "" {
			all = append(all, fmt.Sprintf("*%s*: %s.", r.name, r.unit))
		}
	}
	if all == nil {
		return ""
	}
	return "One operation is, of " + strings.Join(all, " ")
}
