package scenario

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// facts are the values of a subject, by key.
type facts map[string]string

// factsOf returns the fields of a struct as facts; the keys are their JSON names.
func factsOf(v any) facts {
	f := facts{}
	for field, value := range reflect.ValueOf(v).Fields() {
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous:
			maps.Copy(f, factsOf(value.Interface()))
		case field.IsExported():
			f[key] = show(value.Interface())
		}
	}
	return f
}

// show returns a value in words, a list of things without commas.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case store.Scope:
		if v == (store.Scope{}) {
			return none
		}
		return v.Type + "/" + v.ID
	case step.Names:
		if !v.IsSet() {
			return none
		}
		return listed(slices.Collect(v.All()))
	case step.Decision: // the zero one is one, too
		return v.String()
	case store.Gate:
		return gateText(v)
	case *step.Policy:
		if v == nil {
			return none
		}
		return strings.Join(rulesOf(v), " ")
	case *store.JobPolicy:
		if v == nil {
			return none
		}
		return strings.ReplaceAll(strings.TrimPrefix((&creation{JobPolicy: *v}).when(), ", "), ", ", " ")
	case []engine.Rejection:
		return fmt.Sprint(len(v))
	case interface{ Empty() bool }: // a set
		return strings.ReplaceAll(fmt.Sprint(v), ", ", " ")
	}
	switch value := reflect.ValueOf(v); value.Kind() {
	case reflect.Uint8, reflect.Uint16, reflect.Array: // a code, a state, the id of a request, but no number
		if value.IsZero() {
			return none
		}
	}
	return fmt.Sprint(v)
}

// none is the value of an empty list, an unset operation, and the like.
const none = "none"

// confirmers is the key of the one fact that is a list of names. The names keep their quotes, so
// that different lists read differently.
const confirmers = "confirmers"

// listed returns a list of names, quoted so that it differs from none.
func listed(list []string) string {
	text := strings.TrimPrefix(names(list), " ")
	if text == "" || text == none {
		return strconv.Quote(text)
	}
	return text
}

// parseNames returns what [listed] does for the names in tokens.
func parseNames(tokens []token) string {
	if len(tokens) == 1 && tokens[0] == (token{word, none}) {
		return none
	}
	list := make([]string, len(tokens))
	for i, t := range tokens {
		list[i] = t.text
	}
	return listed(list)
}

// A shape is the set of clauses that are valid for a command.
type shape struct {
	list   bool  // entries
	fields facts // or values by key, of which these are the keys; nil for none

	refusable bool // it can be refused
	commits   bool // it changes a job if it is accepted, and its outcome can be unknown
}

func (c *creation) shape() shape { return shape{fields: ofAnswer, refusable: true, commits: !c.DryRun} }
func (c *operate) shape() shape {
	return shape{fields: ofAnswer, refusable: true, commits: !c.DryRun}
}
func (c *effectRequest) shape() shape {
	return shape{fields: ofAnswer, refusable: true, commits: !c.DryRun}
}
func (*report) shape() shape  { return shape{fields: ofReport, refusable: true, commits: true} }
func (*sweep) shape() shape   { return shape{list: true, commits: true} }
func (*deliver) shape() shape { return shape{list: true} }
func (*wait) shape() shape    { return shape{} }
func (*crash) shape() shape   { return shape{} }
func (*restart) shape() shape { return shape{} }
func (*window) shape() shape  { return shape{} }
func (*deny) shape() shape    { return shape{} }
func (*allow) shape() shape   { return shape{} }
func (*turnTo) shape() shape  { return shape{} }

func (c *look) shape() shape {
	switch c.At {
	case theJob:
		return shape{fields: ofJob, refusable: true}
	case theWait:
		return shape{fields: ofWait, refusable: true}
	case oneStep:
		return shape{fields: ofStep, refusable: true}
	case oneTarget:
		return shape{fields: ofTarget, refusable: true}
	case oneRecord:
		return shape{fields: ofRecord, refusable: true}
	}
	return shape{list: true, refusable: true}
}

// The facts of each kind of subject.
var (
	ofJob     = factsOf(store.Job{})
	ofWait    = waitFacts(engine.Diagnosis{})
	ofStep    = stepFacts(store.Step{})
	ofTarget  = targetFacts(store.Target{})
	ofRecord  = recordFacts(store.Record{})
	ofAnswer  = factsOf(store.Record{})
	ofReport  = factsOf(engine.ReportReceipt{})
	ofRefusal = refusalFacts(&engine.Refusal{})
	ofUnknown = facts{"unknown": "outcome", "says": ""}
)

func waitFacts(d engine.Diagnosis) facts {
	f := factsOf(d)
	f["state"] = f["awaits"]
	return f
}

func stepFacts(s store.Step) facts {
	f := factsOf(s)
	f["failed"] = fmt.Sprint(s.Failed())
	return f
}

func targetFacts(t store.Target) facts {
	f := factsOf(t)
	f["state"] = f["status"]
	return f
}

func recordFacts(r store.Record) facts {
	f := factsOf(r)
	f["state"] = r.Cause.String()
	return f
}

func refusalFacts(r *engine.Refusal) facts {
	f := factsOf(*r)
	f[refused], f["says"] = f["reason"], r.Error()
	return f
}

// gateText describes a gate: its reason, what follows it, and its moment, if it has one.
func gateText(g store.Gate) string {
	switch {
	case g == store.Gate{}:
		return none
	case g.Until == 0:
		return fmt.Sprintf("%v then %v", g.Reason, g.Then)
	}
	return fmt.Sprintf("%v until %v then %v", g.Reason, g.Until, g.Then)
}

// batchText describes a batch: its number, state, successes and attempts.
func batchText(b store.Batch) string {
	return fmt.Sprintf("%d %v %d of %d in %d to %d", b.Number, b.State, b.Succeeded, b.End-b.First, b.Since, b.Attempt)
}

// delivery describes an effect. The run of a step with batches has the number of its batch.
func (p *player) delivery(d store.Delivery) string {
	text := fmt.Sprintf("%v %d.%d", d.Effect, d.Step, d.Attempt)
	switch {
	case d.Effect == store.JobEnded:
		text = fmt.Sprintf("%v %v", d.Effect, d.JobTo)
	case d.Effect == store.RunTargets && d.Run.All(d.Attempt):
		text += " all"
	case d.Effect == store.RunTargets:
		text += " due"
	}
	if d.Effect == store.RunTargets && d.Run.End != 0 {
		text += " of batch " + p.batchOf(d)
	}
	return text
}

// batchOf returns the number of the batch that a run covers, or ? for none.
func (p *player) batchOf(d store.Delivery) string {
	job := p.find(d.Job)
	if job == nil || d.Step < 1 || int64(d.Step) > int64(len(job.Steps)) {
		return "?"
	}
	spec := job.Steps[d.Step-1]
	ends, _ := step.Batches(spec.Rolling.Batches, int32(len(spec.Targets)))
	if n := slices.Index(ends, d.Run.End); n >= 0 {
		return fmt.Sprint(n + 1)
	}
	return "?"
}

// waiting describes an effect and its deliveries so far.
func (p *player) waiting(d store.Delivery) string {
	text := p.delivery(d)
	if d.Delivered {
		text += " delivered"
	}
	if d.LastError != "" {
		text += fmt.Sprintf(" tried %d: %s", d.Count, d.LastError)
	}
	return text
}

// verdictsOf lists the legal operations; in full, all operations with the reason against each.
func verdictsOf(x engine.Explanation, full bool) []string {
	var all []string
	for _, v := range x.Causes {
		switch {
		case v.Legal:
			all = append(all, v.Cause.String())
		case full:
			all = append(all, fmt.Sprintf("%v is %v", v.Cause, v.Refusal.Reason))
		}
	}
	return all
}
