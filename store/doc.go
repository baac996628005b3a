// Package store says what is remembered of a job and what a store promises of
// remembering it. It holds data and contracts, no behaviour: deciding is package
// engine's, an implementation is memstore, and storetest checks any other.
package store
