//go:build unix

package browser

import (
	"os/exec"
	"syscall"
)

// keeper runs a program and waits for the end of its own input: it comes when the tests are
// over, or when their process is, whichever way it ended. Then it has the program end.
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

// halt stops a kept command and what it runs where they are, as a machine that hangs would, until
// resume.
func halt(cmd *exec.Cmd) error   { return syscall.Kill(-cmd.Process.Pid, syscall.SIGSTOP) }
func resume(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT) }

// kill ends the whole group of a kept command.
func kill(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
