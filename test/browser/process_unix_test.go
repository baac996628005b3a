//go:build unix

package browser

import (
	"os/exec"
	"syscall"
)

// keeper runs a program until its own input ends, which it does when the tests or their process end,
// killed or not. Then keeper ends the program.
const keeper = `
"$@" </dev/null &
exec >&-
read -r _
kill -TERM $!
wait $!
`

// kept returns a command that runs a program under the keeper, in a process group of its own.
func kept(program string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", keeper, "keeper", program}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, nil
}

// halt suspends a kept command and its program until resume, as a machine that hangs would.
func halt(cmd *exec.Cmd) error   { return syscall.Kill(-cmd.Process.Pid, syscall.SIGSTOP) }
func resume(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT) }

// kill ends the whole group of a kept command.
func kill(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
