package scenario

import (
	"cmp"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
)

// A Config says what scenarios are played on. The zero Config is the documented rules on
// memstore.
type Config struct {
	// Rules are what is decided by; nil means the documented ones.
	Rules *operation.Rules

	// Open returns a fresh, empty store, one for each play; nil means memstore. Whoever
	// opens it closes it.
	Open func() store.Store

	// Engine makes an engine on a store; nil means engine.New. The options must be passed
	// on, and none of them replaced: they set the rules, the clock, the authorizer, and where
	// ids come from.
	Engine func(st store.Store, opts ...engine.Option) *engine.Engine

	// Update has Test write the files anew, with what came in the place of what was wanted.
	Update bool
}

func (c Config) withDefaults() Config {
	c.Rules = cmp.Or(c.Rules, operation.Standard())
	if c.Open == nil {
		c.Open = func() store.Store { return memstore.New() }
	}
	if c.Engine == nil {
		c.Engine = engine.New
	}
	return c
}
