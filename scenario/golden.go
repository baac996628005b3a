package scenario

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/store"
)

// golden returns the file with the actual outcomes.
func (p *player) golden() string {
	var b strings.Builder
	copied := 0 // number of lines
	for i := range p.actions {
		want, changed := p.came[i]
		if !changed {
			continue
		}
		a := &p.actions[i]
		keep, last := a.extent()
		b.WriteString(strings.Join(p.source[copied:keep], ""))
		copied = last
		end := p.lineEnd(a.Line)
		lines := a.lines(want)
		for _, n := range slices.Sorted(maps.Keys(lines)) {
			if n <= keep {
				continue
			}
			if b.Len() > 0 && !strings.HasSuffix(b.String(), "\n") {
				b.WriteString(end)
			}
			b.WriteString(lines[n] + end)
		}
	}
	b.WriteString(strings.Join(p.source[copied:], ""))
	return b.String()
}

// lineEnd returns the end of a line; a last one that has none gets that of the one before it.
func (s *Scenario) lineEnd(n int) string {
	if n > 1 && !strings.HasSuffix(s.source[n-1], "\n") {
		n--
	}
	if strings.HasSuffix(s.source[n-1], "\r\n") {
		return "\r\n"
	}
	return "\n"
}

// extent returns the last line of an action before its clauses, and the last line of its clauses.
// The clauses of a look begin on its own line.
func (a *action) extent() (keep, last int) {
	keep = a.Line
	switch c := a.Command.(type) {
	case *look:
		keep--
	case *creation:
		keep += len(c.Steps)
	}
	last = max(keep, a.Line)
	for _, c := range a.Want {
		last = max(last, c.Line)
	}
	return keep, last
}

// defaults returns the clauses that golden mode writes for an outcome without clauses.
func (a *action) defaults(kind string, o outcome) []clause {
	var refusal *engine.Refusal
	switch {
	case kind == "unknown":
		return []clause{{Key: "unknown", Value: "outcome"}}
	case errors.As(o.err, &refusal):
		return refusalDefaults(refusal)
	case o.list != nil:
		all := make([]clause, len(o.list))
		for i, entry := range o.list {
			all[i].Value = entry
		}
		return all
	}
	keys := []string{"state"}
	switch c := a.Command.(type) {
	case *operate:
		keys = []string{"from", "to", "job_to"}
		if r := o.record; r.Effect == store.RunTargets || r.Effect == store.AskConfirmers || r.Effect == store.StopAttempt {
			keys = append(keys, "attempt", "targets")
		}
		if o.record.Entered != 0 {
			keys = append(keys, "entered")
		}
		keys = append(keys, "gate", "effect")
	case *effectRequest:
		keys = []string{"cause", "reason", "to", "job_to", "effect"}
	case *creation:
		keys = []string{"job_to"}
	case *report:
		keys = append(keys, "job_state", "accepted")
	case *look:
		switch c.At {
		case theWait:
			keys = append(keys, "owed", "legal")
		case theJob:
			keys = append(keys, "current", "version")
		case oneStep:
			keys = append(keys, "attempt", "succeeded", "unfinished", "gate")
		case oneTarget:
			keys = append(keys, "attempt")
		case oneRecord:
			keys = append(keys, "actor", "from", "to")
		}
	}
	var all []clause
	for i, key := range keys {
		if value := o.facts[key]; i == 0 || value != "" && value != none {
			all = append(all, clause{Key: key, Value: value})
		}
	}
	return all
}

func refusalDefaults(r *engine.Refusal) []clause {
	f := refusalFacts(r)
	all := []clause{{Key: refused, Value: f[refused]}}
	keys := []string{"state", "legal"}
	switch {
	case r.Field != "":
		keys = []string{"field"}
	case r.State == 0:
		keys = nil
	}
	for _, key := range keys {
		all = append(all, clause{Key: key, Value: f[key]})
	}
	return all
}
