package store

import "context"

// aloneKey is the key of the mark that [Alone] sets.
type aloneKey struct{}

// Alone returns a context whose report an engine commits by itself. An engine commits reports that
// meet together, under a context without their values. A program that passes values to its store
// by context, such as statements for the commit's transaction, marks that context with Alone.
func Alone(ctx context.Context) context.Context { return context.WithValue(ctx, aloneKey{}, true) }

// IsAlone reports whether [Alone] has marked ctx.
func IsAlone(ctx context.Context) bool { return ctx.Value(aloneKey{}) != nil }
