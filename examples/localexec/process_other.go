//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package localexec

import (
	"os"
	"os/exec"
)

func guard(*exec.Cmd, *os.File) (dismiss func(), err error) { return func() {}, nil }

func terminate(p *os.Process) error { return p.Kill() } // there is no softer signal

func kill(p *os.Process) { _ = p.Kill() }

func childrenOf(*os.Process) bool { return false }

func tryLock(*os.File) (bool, error) { return true, nil }
