// Package enginetest is the kit that Stepgate is tested with, for those who embed it:
// with rules of their own, a store of their own, or both. [Check] does everything at once;
// its parts can be used alone.
package enginetest
