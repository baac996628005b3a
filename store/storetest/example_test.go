package storetest_test

import (
	"fmt"
	"testing"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// t is the argument of the test whose body ExampleRun is.
var t *testing.T

func TestExampleRun(argument *testing.T) {
	t = argument
	ExampleRun()
}

// The body of func TestStore(t *testing.T) of a store of your own.
func ExampleRun() {
	storetest.Run(t, func(testing.TB) store.Store { return memstore.New() }) // yours, empty
}

// The promises that a store must keep, each of them a subtest of Run.
func ExamplePromises() {
	for _, name := range storetest.Promises()[:4] {
		fmt.Println(name)
	}
	// Output:
	// General/methods are safe for concurrent use
	// General/nothing kept shares memory with what was passed
	// General/nothing kept shares memory with what was returned
	// General/a context that has ended fails every call and nothing is done
}
