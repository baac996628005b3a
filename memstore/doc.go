// Package memstore keeps jobs in memory: for tests, for programs whose jobs end with the process,
// and as the model that other stores are compared with.
package memstore
