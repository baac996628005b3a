package schema

import (
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A StepTarget is a target of a step.
type StepTarget struct {
	Step step.ID
	store.Target
}

// Arrange returns the targets of all steps of a job, in order, from the names of all of them and
// the results of those that have one.
func Arrange(steps []store.Step, names []NameBlock, results []StepTarget) []store.Target {
	first := make([]int, len(steps)+1) // of each step among all targets
	for i := range steps {
		first[i+1] = first[i] + int(steps[i].Total)
	}
	targets := make([]store.Target, first[len(steps)])
	for i := range results {
		targets[first[results[i].Step-1]+int(results[i].Index)] = results[i].Target
	}
	for _, b := range names {
		index := b.Block * NamesPerBlock
		for name := range b.Names.All() {
			t := &targets[first[b.Step-1]+int(index)]
			t.Index, t.Name = index, name
			index++
		}
	}
	return targets
}
