//go:build !unix

package pgtest

import (
	"errors"
	"fmt"
)

const logFile = "log"

// An instance is a server in a folder of its own. newInstance always fails on this platform.
type instance struct{}

func newInstance() (*instance, error) {
	return nil, fmt.Errorf("%w: pgtest starts servers on Unix only", errNone)
}

func (*instance) dsn() string   { return "" }
func (*instance) start() error  { return errors.ErrUnsupported }
func (*instance) kill() error   { return errors.ErrUnsupported }
func (*instance) remove() error { return errors.ErrUnsupported }
