package store

import (
	"slices"

	"github.com/stepgate/stepgate/step"
)

// Clone returns a deep copy of c, for a store that still uses the change after its caller may have
// left.
func (c Change) Clone() Change {
	c.Specs, c.Steps, c.Targets, c.Records = slices.Clone(c.Specs), slices.Clone(c.Steps), slices.Clone(c.Targets), slices.Clone(c.Records)
	c.Batches = slices.Clone(c.Batches)
	for i := range c.Specs {
		s := &c.Specs[i]
		s.Targets, s.Confirmers = slices.Clone(s.Targets), slices.Clone(s.Confirmers)
	}
	return c
}

// BatchesOf returns the batches of c that are of a step, by number, as a part of c.Batches.
func (c *Change) BatchesOf(id step.ID) []Batch {
	first := 0
	for first < len(c.Batches) && c.Batches[first].Step != id {
		first++
	}
	end := first
	for end < len(c.Batches) && c.Batches[end].Step == id {
		end++
	}
	return c.Batches[first:end:end]
}
