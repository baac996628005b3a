// Package crash kills programs, and a database server, while they operate jobs, and proves
// from what is stored afterwards that every acknowledged operation has been kept, once.
//
// A child process operates jobs from several goroutines and keeps a ledger: what it asks for,
// before it does, and the answer, after it got it. The parent kills it with SIGKILL at some
// moment, reads ledger and store, and holds one against the other. Then the next child goes on
// with the same store and the same ledger, and first repeats what the one before got no answer
// to. The ledger keeps what was written before a SIGKILL. No test here shows what a store does
// after a loss of power.
//
// Executors' reports meet: they are committed as one change. Three children of four are killed while
// one is under way.
//
// Another child is a worker that carries out steps by package executor. It is killed, or told to
// end, and another one has to go on with its runs: see TestTakeover.
package crash
