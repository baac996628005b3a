package localexec

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An Output is what a script wrote, each stream up to Config.OutputLimit.
type Output struct {
	Stdout []byte
	Stderr []byte
}

// Output returns what one target wrote in one attempt, as far as it has got. It is an
// error that matches fs.ErrNotExist if no script has run there.
func (e *Executor) Output(job store.JobID, id step.ID, attempt, target int32) (Output, error) {
	base := e.log(key{job, id, attempt}, target)
	stdout, err := os.ReadFile(base + ".out")
	if err != nil {
		return Output{}, err
	}
	stderr, err := os.ReadFile(base + ".err")
	return Output{Stdout: stdout, Stderr: stderr}, err
}

// logs returns the directory of an attempt's logs.
func (e *Executor) logs(k key) string {
	return filepath.Join(e.c.Logs, strconv.FormatInt(int64(k.job), 10), fmt.Sprintf("%d.%d", k.step, k.attempt))
}

// log returns the path of a target's logs, less its ending.
func (e *Executor) log(k key, target int32) string {
	return filepath.Join(e.logs(k), strconv.Itoa(int(target)))
}

// A recording keeps what one script writes.
type recording struct{ stdout, stderr *stream }

func (e *Executor) record(k key, target int32) (recording, error) {
	base := e.log(k, target)
	stdout, err := create(base + ".out")
	if err != nil {
		return recording{}, err
	}
	stderr, err := create(base + ".err")
	if err != nil {
		return recording{}, errors.Join(err, stdout.Close())
	}
	return recording{
		stdout: &stream{file: stdout, room: e.c.OutputLimit},
		stderr: &stream{file: stderr, room: e.c.OutputLimit},
	}, nil
}

// create is os.Create of a file that others cannot read.
func create(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// close gives the files back. What could not be kept of an output fails no script.
func (r recording) close() {
	_ = r.stdout.file.Close()
	_ = r.stderr.file.Close()
}

// A stream keeps the beginning of what is written to it in a file, and its end in
// memory. Writing never fails, as the script would be killed by it.
type stream struct {
	file *os.File
	room int    // bytes left in the file
	tail []byte // the last maxTail bytes
}

const maxTail = 1024

func (s *stream) Write(p []byte) (int, error) {
	if kept := p[:min(len(p), s.room)]; len(kept) > 0 {
		s.room -= len(kept)
		if _, err := s.file.Write(kept); err != nil {
			s.room = 0
		}
	}
	s.tail = append(s.tail, p[max(0, len(p)-maxTail):]...)
	s.tail = s.tail[max(0, len(s.tail)-maxTail):]
	return len(p), nil
}

// lastLine returns the last line that is not blank, or "".
func (s *stream) lastLine() string {
	end := bytes.TrimSpace(s.tail)
	return string(end[bytes.LastIndexByte(end, '\n')+1:])
}
