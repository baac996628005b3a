//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

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

// guarded starts a script and, in its process group, a guard that reads from a pipe. A line on the
// pipe dismisses the guard. If the pipe ends without a line, the process that started the script
// has died, and the guard kills the group. The guard holds the lock until then.
const guarded = `{ trap '' TERM; read -r dismissed || kill -9 -$$; } <&3 >/dev/null 2>&1 &
exec "$0" "$@" 3<&- 4<&-`

// guard makes a script start in its own process group, with a guard that keeps held open.
func guard(script *exec.Cmd, held *os.File) (dismiss func(), err error) {
	alive, dismissal, err := os.Pipe()
	script.Args = append([]string{script.Path, "-c", guarded}, script.Args...)
	script.ExtraFiles = []*os.File{alive, held} // 3 and 4
	script.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return func() {
		_, _ = dismissal.WriteString("\n") // the guard may have been killed
		_ = errors.Join(dismissal.Close(), alive.Close())
	}, err
}

// terminate sends SIGTERM to the group of p. It returns os.ErrProcessDone if p itself has ended;
// the rest of the group gets the signal too.
func terminate(p *os.Process) error {
	err := p.Signal(syscall.Signal(0))
	_ = syscall.Kill(-p.Pid, syscall.SIGTERM) // it may be gone
	return err
}

// kill ends the group of p at once.
func kill(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// childrenOf reports whether the group of p, which has ended, has processes left. Zombies, which
// init processes in containers reap late, do not count; only Linux's /proc shows them.
func childrenOf(p *os.Process) bool {
	if syscall.Kill(-p.Pid, 0) != nil {
		return false
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, name := range stats {
		stat, _ := os.ReadFile(name)
		// "pid (name) state parent group ...", and a name may have any characters.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 2 && fields[2] == strconv.Itoa(p.Pid) && fields[0] != "Z" && fields[0] != "X" {
			return true
		}
	}
	return len(stats) == 0
}

// tryLock locks a file for as long as this process or a guard has it open. It returns false if the
// file is locked already.
func tryLock(file *os.File) (bool, error) {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK || err == syscall.EINTR {
		return false, nil
	}
	return err == nil, err
}
