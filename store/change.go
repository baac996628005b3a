package store

import "slices"

// Clone returns c in memory of its own, for a store that goes on with it after its caller
// may have left.
func (c Change) Clone() Change {
	c.Specs, c.Steps, c.Targets, c.Records = slices.Clone(c.Specs), slices.Clone(c.Steps), slices.Clone(c.Targets), slices.Clone(c.Records)
	for i := range c.Specs {
		s := &c.Specs[i]
		s.Targets, s.Confirmers = slices.Clone(s.Targets), slices.Clone(s.Confirmers)
	}
	return c
}
