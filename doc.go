// Package stepgate documents its module, a library of jobs made of steps: a table says which operation
// is legal on a step and what follows, and every change is held against it.
//
// A program imports the packages below it: engine holds and operates jobs, memstore, store/sqlitestore
// and store/pgstore keep them, executor carries out their steps, httpapi serves them, and step, operation and
// store have the vocabulary.
package stepgate

// With this import, go get of the module's path brings the hashes of all that these packages need.
import _ "github.com/stepgate/stepgate/executor"
