//go:build !unix

package browser

import (
	"errors"
	"fmt"
	"os/exec"
)

func kept(string, ...string) (*exec.Cmd, error) {
	return nil, fmt.Errorf("the console is run on Unix only: %w", errors.ErrUnsupported)
}

func halt(*exec.Cmd) error   { return errors.ErrUnsupported }
func resume(*exec.Cmd) error { return errors.ErrUnsupported }

func kill(cmd *exec.Cmd) error { return cmd.Process.Kill() }
