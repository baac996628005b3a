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

	// Open returns a store that is fresh and empty, whatever was done to those before it, and
	// that is closed with its t: t.Cleanup is the place for that. It is called for every test
	// of the conformance suite and for every random sequence and simulation, hundreds of
	// times, so it should be quick: an emptied database rather than a new one. There t has
	// no Setenv and no Chdir. nil means memstore.
	//
	// Goroutines and connections may outlive a store and serve the next one. That is why
	// [Check] plays nothing in a bubble of synctest if there is an Open: an engine that backs
	// off then takes real time, some milliseconds per conflict.
	//
	// Except in the store's own tests, the time is the test's: a store.Clock is not asked.
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
