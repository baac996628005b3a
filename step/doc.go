// Package step holds the nouns of a workflow: step types, states, targets and
// what a step is defined by, and the lifecycle that each type runs through when
// no person interferes. The operations of people are in package operation.
package step
