//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// runs runs the program to its end.
func runs(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	var out, complaints bytes.Buffer
	status = run(t.Context(), args, strings.NewReader(stdin), &out, &complaints)
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "jobrunner*")); len(left) > 0 {
		t.Errorf("%v was left behind", left)
	}
	return status, out.String(), complaints.String()
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "job.json")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

var times = regexp.MustCompile(` *\b[0-9]+\.[0-9]s`)

// inOrder wants lines to stand in the output, in this order, times left out.
func inOrder(t *testing.T, output string, want ...string) {
	t.Helper()
	rest := times.ReplaceAllString(output, "")
	for _, line := range want {
		_, after, ok := strings.Cut(rest, line+"\n")
		if !ok {
			t.Errorf("no line %q in its place in\n%s", line, output)
			return
		}
		rest = after
	}
}

func TestRelease(t *testing.T) {
	status, out, complaints := runs(t, "", "-as", "carol", "release.json")
	if status != 0 || complaints != "" {
		t.Errorf("status %d, stderr %q, want 0 and nothing", status, complaints)
	}
	inOrder(t, out,
		"  step 1 copy  succeeded  attempt 1  3 of 3 done, 0 failed",
		"  step 2 migrate  running  attempt 1  0 of 1 done, 0 failed",
		"  step 2 migrate  succeeded  attempt 1  1 of 1 done, 0 failed",
		"  step 3 restart  succeeded  attempt 1  3 of 3 done, 0 failed",
		"  step 4 warm up the cache  error_ignored  attempt 1  3 of 3 done, 1 failed",
		"the job is succeeded, 1 step with errors ignored",
		"history:",
		"   1  created by carol, job pending",
		"   2  start_job by carol, step 1 pending -> running, attempt 1 on 3 targets, job running",
	)
	if !strings.Contains(out, "step 4 running -> error_ignored, job succeeded") {
		t.Errorf("the history does not show how the job ended:\n%s", out)
	}
}

func TestRollout(t *testing.T) {
	status, out, complaints := runs(t, `
		wait
		confirm 2
		13 2
		confirm 9
		start
		allowed 2
		explain 2
		targets 2
		output 2 web-2
		output 1 web-2
		output 2 web-9
		retry_failed 2 link is back
		wait
		6 3
		as alice
		6 3 looks good
		`, "-as", "carol", "rollout.json")
	if status != 0 || complaints != "" {
		t.Errorf("status %d, stderr %q, want 0 and nothing", status, complaints)
	}
	out = regexp.MustCompile(`job [0-9]{5,}`).ReplaceAllString(out, "job J")
	inOrder(t, out,
		"  step 2 install  running  attempt 1  0 of 3 done, 0 failed",
		"  step 2 install  failed  attempt 1  3 of 3 done, 1 failed",
		"  web-2: non_zero_exit, exit code 7: web-2: the link is down",
		`step 2 is failed and awaits a person: type "retry_failed 2", "ignore_error 2" or "retry_all 2"`,
		"refused: job J, step 2: confirm (6) does not apply to a script step; legal now: retry_failed, ignore_error, retry_all",
		`"13" is no command and no operation: type help for the commands`,
		"refused: job J, step 9: no such step",
		"refused: job J, step 2: start_job (job 2) is not legal in failed, only in pending; legal now: retry_failed, ignore_error, retry_all",
		"step 2, carol: retry_failed (2), ignore_error (3), retry_all (8)",
		"yes  retry_failed (2): the step goes from failed to running, attempt 2, 1 target runs",
		"yes  ignore_error (3): the step goes from failed to error_ignored, step 3 is entered",
		"yes  retry_all (8): the step goes from failed to running, attempt 2, 3 targets run",
		"  web-1: succeeded",
		"  web-2: non_zero_exit, exit code 7: web-2: the link is down",
		"  web-3: succeeded",
		"  unpacking",
		"  web-2: the link is down",
		"web-2 has no output: no script ran there",
		"step 2 has no target web-9",
		"accepted: retry_failed on step 2: the step goes from failed to running, attempt 2, 1 target runs",
		"  step 2 install  running  attempt 2  2 of 3 done, 0 failed",
		"  step 2 install  succeeded  attempt 2  3 of 3 done, 0 failed",
		`step 3 is waiting and awaits alice or bob: type "confirm 3" or "terminate_confirmation 3"`,
		"refused: job J, step 3: confirm (6) is for a confirmer of the step, and carol is not one; legal now: none, on the job: terminate_job",
		"accepted: confirm on step 3: the step goes from waiting to succeeded, step 4 is entered, 3 targets run",
		"  step 4 go live  succeeded  attempt 1  3 of 3 done, 0 failed",
		"the job is succeeded",
		"history:",
	)
	if !strings.Contains(out, "step 2 retry_failed by carol, step 2 failed -> running, attempt 2 on 1 target, job running: link is back") {
		t.Errorf("the history does not show the retry:\n%s", out)
	}
}

func TestSessionEnds(t *testing.T) {
	endless := file(t, `{"name":"n","steps":[{"type":"script","name":"s","targets":["a"],"script":"exec sleep 300"}]}`)
	for _, c := range []struct {
		what, stdin string
		args        []string
		status      int
		want        []string
	}{
		{
			"when the job has failed and no line is left", "", []string{"rollout.json"}, 1,
			[]string{`step 2 is failed and awaits a person: type "retry_failed 2", "ignore_error 2" or "retry_all 2"`, "the job is failed"},
		},
		{
			"when a confirmation waits and no line is left", "wait\nignore_error 2", []string{"rollout.json"}, 1,
			[]string{"standard input has ended, and the job awaits a person: it is terminated", "the job is terminated, 1 step with errors ignored"},
		},
		{
			"on quit, and terminates what runs", "quit", []string{endless}, 1,
			[]string{"accepted: terminate_job: the step goes from running to terminating", "the job is terminated"},
		},
		{
			"on quit when nothing runs", "wait\nquit\nretry_all 2", []string{"rollout.json"}, 1,
			[]string{"the job is failed"},
		},
		{
			"skipped", "terminate too slow\nwait\nnext_step 1 never mind", []string{endless}, 0,
			[]string{`step 1 is terminated and awaits a person: type "retry_failed 1", "retry_all 1", "next_step 1" or "forced_skip 1"`, "the job is succeeded, 1 step skipped"},
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			status, out, complaints := runs(t, c.stdin, c.args...)
			if status != c.status || complaints != "" {
				t.Errorf("status %d, stderr %q, want %d and nothing", status, complaints, c.status)
			}
			inOrder(t, out, c.want...)
		})
	}
}

func TestInterrupt(t *testing.T) {
	endless := file(t, `{"name":"n","steps":[{"type":"script","name":"s","targets":["a"],"script":"exec sleep 300"}]}`)
	stdin, typing := io.Pipe()
	defer typing.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	var out bytes.Buffer
	go func() {
		// A second line is read when the first has been taken, and that is when the start shows.
		_, _ = io.WriteString(typing, "allowed 1\n")
		_, _ = io.WriteString(typing, "allowed 1\n")
		interrupt()
	}()
	if status := run(ctx, []string{endless}, stdin, &out, &out); status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	inOrder(t, out.String(), "accepted: terminate_job: the step goes from running to terminating", "the job is terminated")
}

func TestDirIsKept(t *testing.T) {
	job := file(t, `{"name":"n","steps":[{"type":"file_transfer","name":"s","targets":["a"],"files":[{"from":"job.json","to":"copy"}]}]}`)
	dir := t.TempDir()
	if status, out, complaints := runs(t, "", "-dir", dir, job); status != 0 {
		t.Fatalf("status %d\n%s\n%s", status, out, complaints)
	}
	want, _ := os.ReadFile(job)
	if got, err := os.ReadFile(filepath.Join(dir, "targets", "a", "copy")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("copy = %q, %v, want %q", got, err, want)
	}
}

func TestCannotRun(t *testing.T) {
	bad := file(t, `{"name":"n","steps":[{"type":"script"}]}`)
	for _, c := range []struct {
		want string // in stderr
		args []string
	}{
		{"usage: jobrunner [flags] FILE.json", nil},
		{"usage: jobrunner [flags] FILE.json", []string{"a.json", "b.json"}},
		{"flag provided but not defined: -x", []string{"-x", "release.json"}},
		{"open missing.json: no such file or directory", []string{"missing.json"}},
		{bad + ":1:22: steps[0].name: missing", []string{bad}},
		{"job: invalid actor: 300 characters: the maximum is 256", []string{"-as", strings.Repeat("a", 300), "release.json"}},
	} {
		status, out, complaints := runs(t, "", c.args...)
		if status != 2 || out != "" || !strings.Contains(complaints, c.want) {
			t.Errorf("%q: status %d, stdout %q, stderr %q, want 2, nothing and %q", c.args, status, out, complaints, c.want)
		}
	}
}

func TestHelp(t *testing.T) {
	if status, _, complaints := runs(t, "", "-h"); status != 0 || !strings.Contains(complaints, "usage: jobrunner") {
		t.Errorf("-h: status %d, stderr %q", status, complaints)
	}
	_, out, _ := runs(t, "help\nfly me\nallowed\nallowed x\nexplain x\ntargets x\noutput x y\noutput 99 y\nquit", "rollout.json")
	inOrder(t, out,
		"output STEP TARGET  print the output of a script on a target, from the latest attempt",
		`"fly" is no command and no operation: type help for the commands`,
		`allowed STEP: type help for the commands`,
		`"x" is not a step number: type help for the commands`,
		`"x" is not a step number: type help for the commands`,
		`"x" is not a step number: type help for the commands`,
		`"x" is not a step number: type help for the commands`,
		`step 99 does not exist: type help for the commands`,
	)
}
