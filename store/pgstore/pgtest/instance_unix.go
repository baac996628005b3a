//go:build unix

package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const logFile = "log" // in the folder of an instance

// An instance is a server in a folder of its own: data, socket and log.
type instance struct {
	postgres string              // the program
	folder   string              // owned by the user that the server runs as
	as       *syscall.Credential // that user; nil for the user of this process

	keeper *exec.Cmd      // runs the server; nil while none runs
	word   io.WriteCloser // standard input of the keeper
	server int            // process id of the server
	gone   chan struct{}  // closed when no process of the server is left
}

// keeper is a shell script that runs a server, prints its process id, and reads its standard input.
// A line means that the server has crashed. The end of input means that the tests are over, or that
// their process has ended in any way: the keeper then stops the server and removes its folder. Its
// output ends when no process of the server is left, as only they hold it open.
const keeper = `
"$@" 3>&1 >&2 &
echo $!
exec >&-
if read -r crashed; then
	wait
	exit
fi
kill -INT $!
wait
rm -rf "$0"
`

// newInstance makes a folder with an empty database cluster.
func newInstance() (*instance, error) {
	initdb, postgres, err := programs()
	if err != nil {
		return nil, err
	}
	i := &instance{postgres: postgres}
	if i.as, err = unprivileged(); err != nil {
		return nil, err
	}
	if i.folder, err = os.MkdirTemp("", "stepgate-pg-"); err != nil {
		return nil, err
	}
	if i.as != nil {
		if err := os.Chown(i.folder, int(i.as.Uid), int(i.as.Gid)); err != nil {
			return nil, errors.Join(err, i.remove())
		}
	}
	// --no-sync is faster: the cluster need not survive a crash of the machine.
	cmd := i.command(initdb, "--pgdata", i.data(), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w: %s", err, said), i.remove())
	}
	return i, nil
}

func (i *instance) data() string { return filepath.Join(i.folder, "data") }

func (i *instance) dsn() string {
	return fmt.Sprintf("host='%s' user=postgres dbname=postgres", i.folder)
}

// command returns a command that runs in the folder, as the user of the server, with messages in
// English. It has a process group of its own: an interrupt from the terminal does not reach it, and
// the keeper ends it.
func (i *instance) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = i.folder
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: i.as, Setpgid: true}
	return cmd
}

// start starts the server and returns when it answers.
func (i *instance) start() error {
	log, err := os.OpenFile(filepath.Join(i.folder, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := i.command("/bin/sh", "-c", keeper, i.folder,
		i.postgres, "-D", i.data(), "-k", i.folder, "-c", "listen_addresses=", "-c", "fsync=on")
	cmd.Stderr = log
	word, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	i.keeper, i.word, i.gone = cmd, word, make(chan struct{})
	said := bufio.NewReader(out)
	line, err := said.ReadString('\n')
	if err == nil {
		i.server, err = strconv.Atoi(strings.TrimSpace(line))
	}
	go func() {
		_, _ = io.Copy(io.Discard, said)
		close(i.gone)
	}()
	if err == nil {
		err = await(i.dsn(), i.gone)
	}
	if err != nil {
		return withLog(err, i.folder)
	}
	return nil
}

// kill ends every process of the server with SIGKILL. It stops the main process first, which then
// starts no others.
func (i *instance) kill() error {
	if err := syscall.Kill(i.server, syscall.SIGSTOP); err != nil {
		return err
	}
	all, err := children(i.server)
	for _, pid := range append(all, i.server) {
		// A process that has ended already is dead too. Its id is not reused while its parent
		// exists.
		if killed := syscall.Kill(pid, syscall.SIGKILL); killed != nil && !errors.Is(killed, syscall.ESRCH) {
			err = errors.Join(err, killed)
		}
	}
	if err != nil {
		return err
	}
	select {
	case <-i.gone:
	case <-time.After(patience):
		return errors.New("processes of the server are still running")
	}
	if _, err := io.WriteString(i.word, "crashed\n"); err != nil {
		return err
	}
	err = i.keeper.Wait()
	i.keeper = nil
	return err
}

// remove stops the server, if it runs, and removes its folder.
func (i *instance) remove() error {
	if i.keeper == nil {
		return os.RemoveAll(i.folder)
	}
	return errors.Join(i.word.Close(), i.keeper.Wait())
}

// children returns the processes that pid has started.
func children(pid int) ([]int, error) {
	table, err := exec.Command("ps", "-A", "-o", "pid=", "-o", "ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("ps: %w", err)
	}
	var all []int
	for line := range strings.Lines(string(table)) {
		var child, parent int
		if _, err := fmt.Sscan(line, &child, &parent); err == nil && parent == pid {
			all = append(all, child)
		}
	}
	return all, nil
}

// programs returns the paths of initdb and postgres: those in the PATH, otherwise the newest in
// /usr/lib/postgresql, Debian's folder with a subfolder per version.
func programs() (initdb, postgres string, err error) {
	initdb, err = exec.LookPath("initdb")
	if err == nil {
		if postgres, err = exec.LookPath("postgres"); err == nil {
			return initdb, postgres, nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", "", fmt.Errorf("%w: no initdb in the PATH or in /usr/lib/postgresql", errNone)
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) })
	return newest, filepath.Join(filepath.Dir(newest), "postgres"), nil
}

// major returns the version in the path of an initdb, 0 for versions before 10.
func major(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}

// unprivileged returns the user that the server runs as if this process is root, otherwise nil.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("PostgreSQL refuses to run as root, and there is no user postgres or nobody: %w", err)
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
