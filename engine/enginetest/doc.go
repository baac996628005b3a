// Package enginetest is the test kit of Stepgate, for embedders with their own rules, their own
// store, or both. [Check] runs all of it; the parts can be used alone.
package enginetest
