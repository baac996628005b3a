// Package engine decides and commits. [Decide] is pure: a view of a job, a
// command and a moment give a change or a refusal. [Engine] wraps it in one loop
// that loads, decides and commits with compare-and-swap. It delivers the effects
// that follow to executors, and answers which operations are legal now.
package engine
