// Package readers holds the proof that clients which ask for much and do not read it cost the
// server a bounded amount of memory, on every store.
package readers
