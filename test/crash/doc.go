// Package crash kills programs, and a database server, while they operate jobs, and proves
// from what is stored afterwards that every acknowledged operation has been kept, once.
//
// A child process operates jobs from several goroutines and keeps a ledger: what it asks for,
// before it does, and the answer, after it got it. The parent kills it with SIGKILL at some
// moment, reads ledger and store, and holds one against the other. Then the next child goes on
// with the same store and the same ledger, and first repeats what the one before got no answer
// to. What was written to the ledger before a SIGKILL stays written; a loss of power is another
// matter, and nothing here shows what a store would make of it.
//
// Executors' reports meet: they are committed as one change. Three children of four are killed while
// one is under way.
//
// Another child is a worker that carries out steps by package executor. It is killed, or told to
// end, and another one has to go on with its runs: see TestTakeover.
package crash
