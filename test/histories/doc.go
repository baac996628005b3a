// Package histories plays the same commands of people, executors and dispatchers on two stores,
// and compares all answers and all stored rows, byte by byte. One of the two is memstore, so all
// stores with equal histories are equal to each other.
//
// Now and then reports meet in the line of a job, by construction. On memstore they come one by one
// instead, to an engine that keeps nothing of a job: so the two also compare engines.
//
// The commands depend on a seed and on the store's own answers, and on nothing else: the player
// supplies the clock, the job ids and the engine's random numbers. Where the contract of
// [store.Store] leaves something open, for instance which effects of one NotBefore a Claim takes,
// the history leaves it out.
//
// A store's test calls [Run].
package histories
