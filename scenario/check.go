package scenario

import (
	"errors"
	"slices"
	"strings"

	"github.com/stepgate/stepgate/engine"
)

// check compares the outcome of an action with its clauses, and notes the right ones.
func (p *player) check(i int, o outcome) {
	a := &p.actions[i]
	got := o.facts
	var refusal *engine.Refusal
	kind := "" // the key of a clause for the kind of the actual outcome
	switch {
	case errors.As(o.err, &refusal):
		kind, got = refused, refusalFacts(refusal)
	case errors.Is(o.err, engine.ErrUnknownOutcome):
		kind, got = "unknown", facts{"unknown": "outcome", "says": o.err.Error()}
	case o.err != nil:
		jobless := errors.Is(o.err, errNoJob)
		if !jobless || !p.jobless { // which is told once, as the rest follows from it
			p.fail(a, wanted(a.Want), o.err.Error(), o.err)
		}
		p.jobless = p.jobless || jobless
		return
	}
	if o.list == nil && a.Command.shape().list && kind == "" {
		o.list = []string{none}
	}
	came := func() []clause { return a.layout(a.defaults(kind, o)) }
	switch first := firstKey(a.Want); {
	case first == fill:
		p.came[i] = came()
		p.fail(a, `what golden mode writes in the place of "?"`, text(p.came[i]), o.err)
	case kind != first && (kind != "" || first == refused || first == "unknown"):
		p.came[i] = came()
		answer := text(p.came[i])
		if o.err != nil {
			answer += ": " + o.err.Error()
		}
		p.fail(a, wanted(a.Want), answer, o.err)
	case o.list != nil && kind == "":
		p.checkList(i, o, came)
	default:
		p.checkFields(i, got, o.err)
	}
}

// firstKey returns the kind of the expected outcome: refused, unknown, "?" or, for an acceptance,
// "".
func firstKey(want []clause) string {
	if len(want) > 0 && (want[0].Key == refused || want[0].Key == "unknown" || want[0].Key == fill) {
		return want[0].Key
	}
	return ""
}

func (p *player) checkList(i int, o outcome, came func() []clause) {
	a := &p.actions[i]
	if len(a.Want) == 0 || slices.EqualFunc(a.Want, o.list, func(c clause, entry string) bool { return c.Value == entry }) {
		return
	}
	p.came[i] = came()
	p.fail(a, wanted(a.Want), text(p.came[i]), nil)
}

func (p *player) checkFields(i int, got facts, err error) {
	a := &p.actions[i]
	var want, came []clause
	all := slices.Clone(a.Want)
	for k, c := range all {
		is := got[c.Key]
		if c.Value == is || c.Key == "says" && strings.Contains(is, c.Value) {
			continue
		}
		all[k].Value = is
		want, came = append(want, c), append(came, all[k])
	}
	if want == nil {
		return
	}
	p.came[i] = all
	answer := text(came)
	if err != nil && !slices.ContainsFunc(came, func(c clause) bool { return c.Key == "says" }) {
		answer += ": " + err.Error()
	}
	p.fail(a, text(want), answer, err)
}

func wanted(want []clause) string {
	if len(want) == 0 {
		return "it to be accepted"
	}
	return text(want)
}

// text returns clauses on one line.
func text(all []clause) string {
	texts := make([]string, len(all))
	for i, c := range all {
		texts[i] = c.String()
	}
	return strings.Join(texts, ", ")
}
