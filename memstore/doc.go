// Package memstore keeps jobs in memory: for tests, for programs whose jobs end with
// them, and as the model that other stores are compared with. A process that ends
// takes its jobs along.
package memstore
