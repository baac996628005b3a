// Package linearizability records the calls of concurrent clients of engines on one store. Porcupine
// then decides whether a job that takes one request at a time, each at some moment between its call
// and its return, gives the same answers. The sequential job is that of engine/enginetest/model,
// which shares no code with the engine.
//
// It is in a module of its own: programs that import the library do not download porcupine. A
// store's test calls [Run].
package linearizability
