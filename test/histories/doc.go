// Package histories has people, executors and dispatchers do the same things, command by
// command, to two stores, and demands that both answer the same, byte by byte, and end up
// holding the same. One of the two is memstore, so whatever gives the same histories as it
// gives the same as any other store that does.
//
// Now and then reports meet in the line of a job, by construction. On memstore they come one by one
// instead, to an engine that keeps nothing of a job: so the two also compare engines.
//
// What is done depends on a seed and on the store's own answers, and on nothing else: the
// clock, the job ids and the engine's random numbers are the player's. Where the contract
// of [store.Store] leaves something open, which of the effects of one NotBefore a Claim
// takes for instance, the history says only what is not open.
//
// A store's test calls [Run].
package histories
