// Package linearizability records what concurrent clients ask of engines on one store and
// what they are told, and has porcupine judge whether the answers are those of a job that
// takes one request at a time, each at some moment between its call and its return. The
// sequential job is that of engine/enginetest/model, which shares no code with the engine.
//
// It is a module of its own so that nobody who imports the library downloads porcupine. A
// store's test calls [Run].
package linearizability
