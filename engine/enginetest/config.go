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

// A Config has the rules, the store and the engine under test. The zero Config is the documented
// rules on memstore.
type Config struct {
	// Rules are the rules under test; nil means the documented ones.
	Rules *operation.Rules

	// Expect has the intended rules, as a value of the model, which shares no code with the
	// compiler of rules; nil means the documented rules.
	Expect *model.Rules

	// Open returns an empty store and closes it by t.Cleanup; nil means memstore. It is called
	// hundreds of times, for every test of the conformance suite and for every random sequence
	// and simulation, so it must be quick: clear a database rather than create one. t does not
	// support Setenv and Chdir.
	//
	// Goroutines and connections may outlive a store and serve the next one. So with Open,
	// [Check] does not use bubbles of synctest, and a back-off of an engine takes real time:
	// some milliseconds per conflict.
	//
	// Except in the conformance suite, the time is the test's, and a store.Clock is not asked.
	Open func(t testing.TB) store.Store

	// Engine makes an engine on a store; nil means engine.New. It must pass on opts, which
	// set the rules, the clock and other parts that a check controls.
	Engine func(st store.Store, opts ...engine.Option) *engine.Engine
}

// withDefaults returns c with defaults for nil fields.
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
