// Package step holds the nouns of a workflow: step types, states, target statuses, the definition
// of a step, and the lifecycle of each type when no person interferes. The operations of people
// are in package operation.
package step
