package executor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/operation"
)

func TestStreams(t *testing.T) {
	testkit.Alphabet[executor.Stream](t, map[int]string{1: "stdout", 2: "stderr"}, executor.Stream.Valid, executor.ParseStream)
}

var aLog = executor.Log{Job: 5, Step: 1, Attempt: 2, Target: 7, Stream: executor.Stdout}

// bound is of a log in the tests, in bytes.
const bound = 10

func TestMemoryLogs(t *testing.T) {
	testLogs(t, func(t *testing.T) executor.Logs { return executor.NewMemoryLogs(bound, 0) })
}

func TestFileLogs(t *testing.T) {
	testLogs(t, func(t *testing.T) executor.Logs { return newFileLogs(t, t.TempDir()) })
}

func newFileLogs(t *testing.T, dir string) *executor.FileLogs {
	t.Helper()
	logs, err := executor.NewFileLogs(dir, bound)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = logs.Close() })
	return logs
}

// testLogs has a subtest for each sentence of the contract of [executor.Logs].
func testLogs(t *testing.T, open func(*testing.T) executor.Logs) {
	for _, c := range []struct {
		name string
		f    func(*testing.T, executor.Logs)
	}{
		{"Append adds to the end", func(t *testing.T, logs executor.Logs) {
			write(t, logs, aLog, "one ")
			write(t, logs, aLog, "")
			write(t, logs, aLog, "two")
			is(t, logs, aLog, 0, 100, "one two", 0, 7, 7)
		}},
		{"Append/keeps no reference", func(t *testing.T, logs executor.Logs) {
			p := []byte("one")
			if err := logs.Append(t.Context(), aLog, p); err != nil {
				t.Fatal(err)
			}
			copy(p, "two")
			is(t, logs, aLog, 0, 100, "one", 0, 3, 3)
		}},
		{"Append/what is over the bound is lost and counts", func(t *testing.T, logs executor.Logs) {
			write(t, logs, aLog, "0123456")
			write(t, logs, aLog, "789abc")
			is(t, logs, aLog, 0, 100, "0123456789", 0, 10, 13)
			write(t, logs, aLog, "def")
			is(t, logs, aLog, 8, 100, "89", 8, 10, 16)
		}},
		{"Append/each log has its own", logsAreApart},
		{"Append/a log that names nothing", logsAreChecked},
		{"Append/of many at once", appendsAtOnce},
		{"Read/windows", windows},
		{"Read/the data are the caller's", func(t *testing.T, logs executor.Logs) {
			write(t, logs, aLog, "one")
			e, err := logs.Read(t.Context(), aLog, 0, 3)
			if err != nil {
				t.Fatal(err)
			}
			copy(e.Data, "two")
			_ = append(e.Data, '!')
			is(t, logs, aLog, 0, 100, "one", 0, 3, 3)
		}},
		{"Read/of what was never written", func(t *testing.T, logs executor.Logs) {
			is(t, logs, aLog, 0, 100, "", 0, 0, 0)
			is(t, logs, aLog, 5, 100, "", 0, 0, 0)
		}},
		{"calls after the end of the context", func(t *testing.T, logs executor.Logs) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := logs.Append(ctx, aLog, []byte("one")); !errors.Is(err, context.Canceled) {
				t.Errorf("Append = %v, want %v", err, context.Canceled)
			}
			if _, err := logs.Read(ctx, aLog, 0, 1); !errors.Is(err, context.Canceled) {
				t.Errorf("Read = %v, want %v", err, context.Canceled)
			}
			is(t, logs, aLog, 0, 100, "", 0, 0, 0)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { c.f(t, open(t)) })
	}
}

func write(t *testing.T, logs executor.Logs, l executor.Log, text string) {
	t.Helper()
	if err := logs.Append(t.Context(), l, []byte(text)); err != nil {
		t.Fatalf("Append(%v, %q) = %v", l, text, err)
	}
}

func is(t *testing.T, logs executor.Logs, l executor.Log, offset int64, limit int, data string, from, kept, written int64) {
	t.Helper()
	e, err := logs.Read(t.Context(), l, offset, limit)
	if err != nil {
		t.Fatalf("Read(%v, %d, %d) = %v", l, offset, limit, err)
	}
	got := fmt.Sprintf("%q from %d, %d of %d kept", e.Data, e.Offset, e.Kept, e.Written)
	if want := fmt.Sprintf("%q from %d, %d of %d kept", data, from, kept, written); got != want {
		t.Errorf("Read(%v, %d, %d) = %s, want %s", l, offset, limit, got, want)
	}
}

// Two logs whose names differ in one part are separate.
func logsAreApart(t *testing.T, logs executor.Logs) {
	all := []executor.Log{aLog, aLog, aLog, aLog, aLog, aLog}
	all[1].Job++
	all[2].Step++
	all[3].Attempt++
	all[4].Target++
	all[5].Stream = executor.Stderr
	for i, l := range all {
		write(t, logs, l, fmt.Sprint("log ", i))
	}
	for i, l := range all {
		is(t, logs, l, 0, 100, fmt.Sprint("log ", i), 0, 5, 5)
	}
}

func logsAreChecked(t *testing.T, logs executor.Logs) {
	for field, spoil := range map[string]func(*executor.Log){
		"job":     func(l *executor.Log) { l.Job = 0 },
		"step":    func(l *executor.Log) { l.Step = -1 },
		"attempt": func(l *executor.Log) { l.Attempt = 0 },
		"target":  func(l *executor.Log) { l.Target = -1 },
		"stream":  func(l *executor.Log) { l.Stream = 3 },
		"limit":   nil,
	} {
		l, limit := aLog, 1
		if spoil == nil {
			limit = -1
		} else {
			spoil(&l)
			invalid(t, "Append", field, logs.Append(t.Context(), l, []byte("one")))
		}
		_, err := logs.Read(t.Context(), l, 0, limit)
		invalid(t, "Read", field, err)
	}
}

func invalid(t *testing.T, call, field string, err error) {
	t.Helper()
	var r *engine.Refusal
	if !errors.As(err, &r) || r.Reason != operation.InvalidInput || r.Field != field {
		t.Errorf("%s = %v, want an invalid %s", call, err, field)
	}
}

// Appends of several goroutines to one log, and to several, are all whole and all counted.
func appendsAtOnce(t *testing.T, logs executor.Logs) {
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			l := aLog
			l.Target = int32(w % 2)
			for range 5 {
				if err := logs.Append(t.Context(), l, []byte("ab")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	for target := range int32(2) {
		l := aLog
		l.Target = target
		is(t, logs, l, 0, 100, "ababababab", 0, 10, 40)
	}
}

func windows(t *testing.T, logs executor.Logs) {
	write(t, logs, aLog, "01234")
	for _, c := range []struct {
		offset int64
		limit  int
		data   string
		from   int64
	}{
		{0, 0, "", 0},
		{0, 2, "01", 0},
		{0, math.MaxInt, "01234", 0},
		{3, 2, "34", 3},
		{3, 9, "34", 3},
		{5, 9, "", 5},
		{6, 9, "", 5},
		{math.MaxInt64, math.MaxInt, "", 5},
		{-2, 9, "34", 3},
		{-2, 1, "3", 3},
		{-5, 9, "01234", 0},
		{-6, 2, "01", 0},
		{math.MinInt64, math.MaxInt, "01234", 0},
	} {
		is(t, logs, aLog, c.offset, c.limit, c.data, c.from, 5, 5)
	}
}

// To make room, whole logs are dropped, the least recently appended ones first.
func TestMemoryLogsAreBounded(t *testing.T) {
	logs := executor.NewMemoryLogs(100, 3*(256+100))
	name := func(target int32) executor.Log {
		l := aLog
		l.Target = target
		return l
	}
	full := strings.Repeat("x", 100)
	for target := range int32(3) {
		write(t, logs, name(target), full)
	}
	write(t, logs, name(0), "more")
	write(t, logs, name(3), full)
	is(t, logs, name(0), 0, 1, "x", 0, 100, 104)
	is(t, logs, name(1), 0, 1, "", 0, 0, 0)
	is(t, logs, name(2), 0, 1, "x", 0, 100, 100)
	is(t, logs, name(3), 0, 1, "x", 0, 100, 100)
	write(t, logs, name(1), "anew")
	is(t, logs, name(1), 0, 100, "anew", 0, 4, 4)
	is(t, logs, name(2), 0, 1, "", 0, 0, 0)

	small := executor.NewMemoryLogs(100, 300) // the bound in all is below that of one log
	write(t, small, aLog, full)
	is(t, small, aLog, 0, 0, "", 0, 44, 100)
}

// Another process, or the next one, reads the kept bytes and learns how many were dropped.
func TestFileLogsLast(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	first, second := newFileLogs(t, dir), newFileLogs(t, dir)
	write(t, first, aLog, "0123456789ab")
	write(t, second, aLog, "cd")
	is(t, first, aLog, 0, 100, "0123456789", 0, 10, 14)
	if text, err := os.ReadFile(filepath.Join(dir, "5", "1.2", "7.out")); err != nil || string(text) != "0123456789" {
		t.Errorf("the file holds %q, %v; want the log alone", text, err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "5")); err != nil {
		t.Fatal(err)
	}
	is(t, first, aLog, 0, 100, "", 0, 0, 0)
	write(t, first, aLog, "anew")
	is(t, second, aLog, 0, 100, "anew", 0, 4, 4)
}

func TestFileLogsFail(t *testing.T) {
	dir := t.TempDir()
	logs := newFileLogs(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "5"), nil, 0o600); err != nil { // in the way
		t.Fatal(err)
	}
	var failed *fs.PathError
	if err := logs.Append(t.Context(), aLog, []byte("one")); !errors.As(err, &failed) {
		t.Errorf("Append = %v, want a *fs.PathError", err)
	} else if want := "append to stdout of job 5, step 1, attempt 2, target 7: "; !strings.Contains(err.Error(), want) {
		t.Errorf("Append = %v, want %q in it", err, want)
	}
	if _, err := executor.NewFileLogs(filepath.Join(dir, "5"), 0); !errors.As(err, &failed) {
		t.Errorf("NewFileLogs of a file = %v, want a *fs.PathError", err)
	}
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := logs.Read(t.Context(), aLog, 0, 1); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Read after Close = %v, want %v", err, fs.ErrClosed)
	}
}

// A writer keeps all in the log and remembers the last line; a log that fails does not fail it.
func TestLogWriter(t *testing.T) {
	for _, c := range []struct {
		writes []string
		last   string
	}{
		{nil, ""},
		{[]string{"\n \n"}, ""},
		{[]string{"one\ntw", "o\n\n"}, "two"},
		{[]string{strings.Repeat("x", 2000), "y"}, strings.Repeat("x", 1023) + "y"},
	} {
		logs := executor.NewMemoryLogs(0, 0)
		w := executor.NewLogWriter(logs, aLog)
		for _, text := range c.writes {
			if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
				t.Errorf("Write(%.20q) = %d, %v", text, n, err)
			}
		}
		if got := w.LastLine(); got != c.last {
			t.Errorf("%.20q: the last line is %.20q, want %.20q", c.writes, got, c.last)
		}
		all := strings.Join(c.writes, "")
		is(t, logs, aLog, 0, 1<<20, all, 0, int64(len(all)), int64(len(all)))
		if err := w.Err(); err != nil {
			t.Error(err)
		}
	}

	w := executor.NewLogWriter(executor.NewMemoryLogs(0, 0), executor.Log{})
	if n, err := w.Write([]byte("one\n")); n != 4 || err != nil {
		t.Errorf("Write to a log that fails = %d, %v, want 4, nil", n, err)
	}
	invalid(t, "Err", "job", w.Err())
	if got := w.LastLine(); got != "one" {
		t.Errorf("the last line is %q, want one", got)
	}
	none := executor.NewLogWriter(nil, aLog)
	_, _ = none.Write([]byte("one\n"))
	if none.LastLine() != "one" || none.Err() != nil {
		t.Errorf("without logs: %q, %v", none.LastLine(), none.Err())
	}
}
