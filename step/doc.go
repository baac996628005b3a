// Package step holds the nouns of a workflow: step types, states, targets and
// what a step is defined by, and the lifecycle that each type runs through when
// nobody interferes. What people may do to a step is package operation's.
package step
