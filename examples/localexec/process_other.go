//go:build !unix

package localexec

import (
	"os"
	"os/exec"
)

// Without process groups a script is killed at once, and its children are left. If this
// process dies, its scripts are left.

func start(script *exec.Cmd, _ *hold) (exited <-chan struct{}, err error) {
	if err := script.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		_ = script.Wait() // its ProcessState says it better
		close(ended)
	}()
	return ended, nil
}

func terminate(p *os.Process) error { return p.Kill() }

func kill(p *os.Process) { _ = p.Kill() }

func childrenOf(*os.Process) bool { return false }

func exitCode(s *os.ProcessState) int32 { return int32(s.ExitCode()) }

func syncDir(*os.File) error { return nil } // a directory cannot be synced everywhere
