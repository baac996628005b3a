//go:build unix

package localexec

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// guarded starts a script and, in its process group, a guard that reads from a pipe. A
// line on it dismisses the guard. If the pipe ends without, the process that started the
// script has died, and the guard kills the group. Until then it keeps the step held.
const guarded = `{ trap '' TERM; read -r dismissed || kill -9 -$$; } <&3 >/dev/null 2>&1 &
exec "$0" "$@" 3<&- 4<&-`

// start starts a script in a process group of its own, which its children share and
// which this process does not leave behind when it dies. exited is closed when the
// script itself has ended.
func start(script *exec.Cmd, held *hold) (exited <-chan struct{}, err error) {
	alive, dismissal, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer alive.Close()
	script.Args = append([]string{shell, "-c", guarded}, script.Args...)
	script.ExtraFiles = []*os.File{alive, held.file} // 3 and 4
	script.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := script.Start(); err != nil {
		return nil, errors.Join(err, dismissal.Close())
	}
	ended := make(chan struct{})
	go func() {
		_ = script.Wait()                  // its ProcessState says it better
		_, _ = dismissal.WriteString("\n") // the guard may have been killed
		_ = dismissal.Close()
		close(ended)
	}()
	return ended, nil
}

// terminate asks the group of p to end. It is os.ErrProcessDone if p itself has ended;
// what is left of its group is asked all the same.
func terminate(p *os.Process) error {
	err := p.Signal(syscall.Signal(0))
	_ = syscall.Kill(-p.Pid, syscall.SIGTERM) // it may be gone
	return err
}

// kill ends the group of p at once.
func kill(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// childrenOf reports whether anything is left of the group of p, which has ended.
func childrenOf(p *os.Process) bool { return syscall.Kill(-p.Pid, 0) == nil && !onlyZombies(p.Pid) }

// onlyZombies reports whether all that is left of a group waits to be buried by init,
// which some inits, those of containers above all, are slow to do. Where there is no
// Linux /proc it says no.
func onlyZombies(group int) bool {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	zombies := 0
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // gone by now
		}
		// "pid (name) state parent group ...", and a name can hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 3 || fields[2] != strconv.Itoa(group) {
			continue
		}
		if fields[0] != "Z" && fields[0] != "X" {
			return false
		}
		zombies++
	}
	return zombies > 0
}

// exitCode returns what a shell would: 128 and the signal for a process that was killed.
func exitCode(s *os.ProcessState) int32 {
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int32(status.Signal())
	}
	return int32(s.ExitCode())
}

// syncDir makes a rename in dir last.
func syncDir(dir *os.File) error { return dir.Sync() }
