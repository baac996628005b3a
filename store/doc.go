// Package store defines the data of a stored job, and the contract of a [Store]. Package engine
// decides on changes; package memstore is an implementation in memory; package storetest checks
// any implementation.
package store
