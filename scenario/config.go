package scenario

import (
	"cmp"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
)

// A Config has the rules, the store and the engine for scenarios. The zero Config is the documented
// rules on memstore.
type Config struct {
	// Rules are the rules of the engines; nil means [operation.Standard].
	Rules *operation.Rules

	// Open returns an empty store for one play; nil means memstore. The caller of Play or Test
	// closes the stores.
	Open func() store.Store

	// Engine makes an engine on a store; nil means engine.New. It must pass on opts and replace
	// none of them: they set the rules, the clock, the windows, the authorizer, and the sources of ids.
	Engine func(st store.Store, opts ...engine.Option) *engine.Engine

	// Update makes Test rewrite the files: the actual outcomes replace the wrong ones.
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
