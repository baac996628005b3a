package store

import "context"

// aloneKey is the key of the mark that [Alone] sets.
type aloneKey struct{}

// Alone returns a context whose commit is of one call alone. A store that reads from a context
// what to do in the transaction of a commit marks that context: an engine commits reports that
// meet under a context of their own, from which it could not be read, and leaves out those that
// are marked.
func Alone(ctx context.Context) context.Context { return context.WithValue(ctx, aloneKey{}, true) }

// IsAlone reports whether [Alone] has marked ctx.
func IsAlone(ctx context.Context) bool { return ctx.Value(aloneKey{}) != nil }
