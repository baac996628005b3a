package schema

import (
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Queue is the effects of one kind whose steps are of one type. An index has them in the order in
// which they fall due; another one has those of each scope.
type Queue struct {
	Effect store.Effect
	Type   step.Type
}

// Queues returns the queues that a claim looks at, each once, and the kinds of which it looks at every
// queue that has effects: questions, ends of jobs and, if c selects all types, runs and stops.
func Queues(c *store.Claim) (some []Queue, every []store.Effect) {
	for _, effect := range slices.Compact(slices.Sorted(slices.Values(c.Effects))) {
		if !effect.ByType() || c.Types.Empty() {
			every = append(every, effect)
			continue
		}
		for typ := range c.Types.All() {
			some = append(some, Queue{effect, typ})
		}
	}
	return some, every
}

// WithScope is the condition of the index by scope, which jobs without a scope are not in. A query has
// to repeat it to be answered from that index.
const WithScope = `(e.scope_type <> '' OR e.scope_id <> '')`

// Delivered is what is read of effects e, in the order of [Effects]. A program of version 2 of the schema
// writes effects without what asked for them: the record has it.
var Delivered = Effects.List(func(c Column[store.Delivery]) string {
	switch c.Name {
	case "cause", "actor", "reason":
		return fmt.Sprintf(`CASE WHEN e.cause <> 0 THEN e.%[1]s ELSE coalesce((
			SELECT r.%[1]s FROM stepgate_records r WHERE r.job = e.job AND r.seq = e.seq), e.%[1]s) END AS %[1]s`, c.Name)
	}
	return "e." + c.Name
})
