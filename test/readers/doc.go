// Package readers tests that clients which ask for large answers and do not read them cost the server
// a bounded amount of memory, on every store.
package readers
