// Package engine decides and commits. [Decide] is pure: a view of a job, a
// command and a moment give a change or a refusal. [Engine] wraps it in one loop
// that loads, decides and commits with compare-and-swap, hands out the effects
// that follow, and answers what would be legal.
package engine
