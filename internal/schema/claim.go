package schema

import (
	"slices"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Queue names the effects of one kind whose steps are of one type. An index has them in the order
// in which they fall due, another index those of each scope.
type Queue struct {
	Effect store.Effect
	Type   step.Type
}

// Queues returns the queues that a claim reads, each once, and the kinds whose queues it reads all:
// questions, ends of jobs and, if c selects all types, runs and stops.
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
