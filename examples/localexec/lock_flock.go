//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package localexec

import (
	"os"
	"syscall"
)

// tryLock locks a file until it is unlocked or nobody has it open any more: this process
// and those that have it from this one. It reports false if another opening of it is locked.
func tryLock(file *os.File) (bool, error) {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK || err == syscall.EINTR {
		return false, nil
	}
	return err == nil, err
}

func unlock(file *os.File) error { return syscall.Flock(int(file.Fd()), syscall.LOCK_UN) }
