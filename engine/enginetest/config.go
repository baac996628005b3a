package enginetest

import (
	"cmp"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
)

// A Config is what is tested. The zero Config is the documented rules on memstore.
type Config struct {
	// Rules are the rules under test; nil means the documented ones.
	Rules *operation.Rules

	// Expect says what Rules are meant to be, in the words of the model, which knows
	// nothing of how rules are compiled; nil means the documented rules.
	Expect *model.Rules

	// Open returns a fresh, empty store that is closed with its t; nil means memstore.
	Open func(t testing.TB) store.Store

	// Engine makes an engine on a store; nil means engine.New. The options must be
	// passed on: they set the rules, the clock and whatever else a check controls.
	Engine func(st store.Store, opts ...engine.Option) *engine.Engine
}

// withDefaults returns c with nothing left nil.
func (c Config) withDefaults() Config {
	c.Rules = cmp.Or(c.Rules, operation.Standard())
	c.Expect = cmp.Or(c.Expect, model.Documented())
	if c.Open == nil {
		c.Open = func(testing.TB) store.Store { return memstore.New() }
	}
	if c.Engine == nil {
		c.Engine = engine.New
	}
	return c
}
