package scenario

import (
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// everything is a scenario with most kinds of lines.
const everything = `# A story.

job "release 1.4", by ann, in biz/2
  script copy, targets a "b c", timeout 10m, ignore_errors, payload "cp x y"
  confirmation ask, confirmers ann bob, timeout 1h, confirm_on_timeout
  custom-32 deploy, targets a
  job_to pending, seq 1
job gated, start_at 2026-07-01T10:00:00.000Z, timeout 2h, turn "a b" 2
  script copy, targets a b, stop_before, total_timeout 1h, delay 1m, window night, retry 3 after 1m most 1h except no_such_user bad_password
  script more, targets a b, retry 1 except failed, batches 1 +1 *2 10%, between person 5m, tolerate 10%
  script last, targets a, batches "1  2", between 5m, tolerate 3
window "at night": 23:00 to 00:00, 12:30 to 13:00
window never: never
in between, report 1.1 by agent in biz/2: a running, "b c" non_zero_exit exit 3 detail "no, it \"failed\"", abnormal "lost"
ann: start_job, request go
nobody: retry_failed 1, because "it's back", if_attempt 1, if_version 2, dry_run
  refused wrong_state
  legal none, says "not legal"
expect target 1."b c": waiting
expect "Ann Lee" on 2 in full in biz/2:
  confirm is not_confirmer
  start_job
wait 90s
`

// Parse returns a scenario as data.
func TestParse(t *testing.T) {
	s := parse(t, "x.txt", everything)
	want := []action{
		{Line: 3, Command: &creation{
			Name: "release 1.4", By: "ann", conditions: conditions{In: store.Scope{Type: "biz", ID: "2"}},
			Steps: []step.Spec{
				{Type: step.Script, Name: "copy", Targets: []string{"a", "b c"}, Timeout: 10 * time.Minute, IgnoreErrors: true, Payload: "cp x y"},
				{Type: step.Confirmation, Name: "ask", Confirmers: []string{"ann", "bob"}, Timeout: time.Hour, OnTimeout: step.ConfirmOnTimeout},
				{Type: step.Type(32), Name: "deploy", Targets: []string{"a"}},
			},
		}, Want: []clause{{Line: 7, Key: "job_to", Value: "pending"}, {Line: 7, Key: "seq", Value: "1"}}},
		{Line: 8, Command: &creation{
			Name: "gated",
			JobPolicy: store.JobPolicy{
				StartAt: step.At(time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC)), Timeout: 2 * time.Hour, Turn: store.Turn{Key: "a b", Limit: 2},
			},
			Steps: []step.Spec{
				{
					Type: step.Script, Name: "copy", Targets: []string{"a", "b"}, StopBefore: true, TotalTimeout: time.Hour,
					Delay: time.Minute, Window: "night", Retry: step.Retry{
						Attempts: 3, After: time.Minute, Most: time.Hour, Except: []step.Status{step.NoSuchUser, step.BadPassword},
					},
				},
				{
					Type: step.Script, Name: "more", Targets: []string{"a", "b"},
					Retry:    step.Retry{Attempts: 1, Except: []step.Status{step.TargetFailed}},
					Rolling:  step.Rolling{Batches: "1 +1 *2 10%", Between: step.Between{Person: true, Delay: 5 * time.Minute}},
					Tolerate: step.Tolerance{Percent: 10},
				},
				{
					Type: step.Script, Name: "last", Targets: []string{"a"},
					Rolling: step.Rolling{Batches: "1  2", Between: step.Between{Delay: 5 * time.Minute}}, Tolerate: step.Tolerance{Count: 3},
				},
			},
		}},
		{Line: 12, Command: &window{Name: "at night", Hours: []hours{{23 * 60, 0}, {12*60 + 30, 13 * 60}}}},
		{Line: 13, Command: &window{Name: "never", Answer: "never"}},
		{Line: 14, Between: true, Command: &report{
			Step: 1, Attempt: 1, By: "agent", In: store.Scope{Type: "biz", ID: "2"},
			Results: []targetResult{
				{Target: "a", Status: step.TargetRunning},
				{Target: "b c", Status: step.NonZeroExit, ExitCode: 3, Detail: `no, it "failed"`},
			},
			Outcome: step.Broke, Reason: "lost",
		}},
		{Line: 15, Command: &operate{Person: "ann", Cause: operation.StartJob.Cause(), conditions: conditions{Request: "go"}}},
		{Line: 16, Command: &operate{Cause: operation.RetryFailed.Cause(), Step: 1, conditions: conditions{
			Because: "it's back", IfAttempt: 1, IfVersion: 2, DryRun: true,
		}}, Want: []clause{
			{Line: 17, Key: "refused", Value: "wrong_state"}, {Line: 18, Key: "legal", Value: "none"}, {Line: 18, Key: "says", Value: "not legal"},
		}},
		{Line: 19, Command: &look{At: oneTarget, Number: 1, Name: "b c"}, Want: []clause{{Line: 19, Key: "state", Value: "waiting"}}},
		{Line: 20, Command: &look{At: verdicts, Number: 2, Name: "Ann Lee", Full: true, In: store.Scope{Type: "biz", ID: "2"}},
			Want: []clause{{Line: 21, Value: "confirm is not_confirmer"}, {Line: 22, Value: "start_job"}}},
		{Line: 23, Command: &wait{For: 90 * time.Second}},
	}
	for i := range want {
		if i >= len(s.actions) || !reflect.DeepEqual(s.actions[i], want[i]) {
			t.Errorf("line %d is read as\n%+v, want\n%+v", want[i].Line, s.actions[min(i, len(s.actions)-1)], want[i])
		}
	}
	if len(s.actions) != len(want) || len(s.comments) != 2 {
		t.Errorf("got %d actions and %d comments, want %d and 2", len(s.actions), len(s.comments), len(want))
	}
}

// A scenario is written as a text that reads the same, and a text in the usual form is written
// unchanged.
func TestStringParsesToTheSame(t *testing.T) {
	for _, path := range append(files(t, "testdata/*.txt"), files(t, "testdata/own/*.txt")...) {
		s := parse(t, path, read(t, path))
		again := parse(t, path, s.String())
		if !reflect.DeepEqual(again.actions, s.actions) || !reflect.DeepEqual(again.comments, s.comments) {
			t.Errorf("%s is written as\n%s", path, s)
		}
		if again.String() != s.String() {
			t.Errorf("%s is written once as\n%s\nand the second time as\n%s", path, s, again)
		}
	}
	for _, text := range []string{
		everything,
		release + "expect job: \"?\"\nexpect job: \"refused\"\nexpect job: \"a b\"\nexpect history: \"refused stale\", \"?\", \"a, b\", c: d\n",
		release + "expect step 1: confirmers none\nexpect step 1: confirmers \"none\"\nexpect step 1: confirmers ann \"b c\" \"a:\" \",\" x:\nexpect step 1: confirmers \"\"\n",
		release + "\"a:\": confirm -1\n\"#1\": start_job\n\"nobody\": start_job\nexpect target 1.\"a\": running\n",
	} {
		s := parse(t, "x.txt", text)
		if again := parse(t, "x.txt", s.String()); !reflect.DeepEqual(again.actions, s.actions) {
			t.Errorf("%s is written as\n%s", text, s)
		}
	}
	const loose = "job  \"release\" ,request go\n\tscript\tcopy ,targets a,timeout 60s\nnobody:\t2"
	const custom = "job release, request go\n  script copy, targets a, timeout 1m0s\nnobody: start_job\n"
	if got := parse(t, "x.txt", loose).String(); got != custom {
		t.Errorf("got\n%s\nwant\n%s", got, custom)
	}
}

// An outcome reads by its earlier name too, and is written by today's.
func TestFormerNamesAreRead(t *testing.T) {
	const former = "report 1.1: abnormal \"lost\"\nreport 1.1: abandoned\nexpect history: created, abnormal, abandoned\n" +
		"expect record 2: abnormal, cause abandoned, to abnormal\nexpect step 1: abnormal\nexpect jobs: release abandoned\n"
	const now = "report 1.1: broke \"lost\"\nreport 1.1: dropped\nexpect history: created, broke, dropped\n" +
		"expect record 2: broke, cause dropped, to abnormal\nexpect step 1: abnormal\nexpect jobs: release abandoned\n"
	s, want := parse(t, "x.txt", former), parse(t, "x.txt", now)
	if got := s.String(); got != now || !reflect.DeepEqual(s.actions, want.actions) {
		t.Errorf("got\n%s\nwant\n%s", got, now)
	}
}

// An embedder's operation without a step is one on the job, and reads as that.
func TestOperationsOfEmbeddersOnTheJob(t *testing.T) {
	s := parse(t, "x.txt", "ann: custom-32\nann: custom-job-32\nann: 32\nann: custom-32 1\n")
	const want = "ann: custom-job-32\nann: custom-job-32\nann: custom-job-32\nann: custom-32 1\n"
	if got := s.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// malformed are mistakes of form: the line after a job, the number of the wrong line, the mistake, and the right
// form.
var malformed = []struct {
	text string
	line int
	got  string
	want string
}{
	{"ann: strat_job", 4, `"strat_job"`, "terminate_job, start_job"},
	{"ann: retry_failed", 4, `"retry_failed"`, "the number of a step"},
	{"ann: retry 1", 4, `"retry"`, "retry_failed, ignore_error"},
	{"ann: retry_failed one", 4, `"one"`, "the number of a step"},
	{"ann: retry_failed 1 2", 4, `"1 2"`, "the number of a step"},
	{"ann: start_job because \"x\"", 4, `"because x"`, "a comma after start_job"},
	{"ann: terminate_job 1", 4, `"1"`, "a comma after terminate_job, or nothing"},
	{"ann: retry_failed 1 because \"x\"", 4, `"1 because x"`, "and a comma before anything else"},
	{"ann: custom-64 1", 4, `"custom-64"`, "custom-32 to custom-63"},
	{"ann:", 4, "nothing", "something before and after each comma"},
	{"ann: start_job,", 4, "nothing", "something before and after each comma"},
	{"ann: start_job, becuase \"x\"", 4, `"becuase x"`, "because"},
	{"ann: start_job, because \"x\", because \"y\"", 4, `"because y"`, "because once"},
	{"ann: start_job, because", 4, `"because"`, "because \"WHY\""},
	{"ann: start_job, if_attempt 0", 4, `"if_attempt 0"`, "with N from 1"},
	{"ann: start_job, if_attempt 3000000000", 4, `"if_attempt 3000000000"`, "with N from 1"},
	{"ann: start_job, if_version -1", 4, `"if_version -1"`, "with N from 1"},
	{"ann: start_job, in biz", 4, `"in biz"`, "in TYPE/ID"},
	{"ann: start_job, by bob", 4, `"by bob"`, "dry_run"},
	{"ann: start_job, because \"x", 4, `"x`, "a text between two quotes"},
	{"ann: start_job, because \"x\"y", 4, `"y"`, "a blank, a comma or a colon after what is quoted"},
	{"ann: start_job, because x\"y\"", 4, `"\"y\""`, "a blank before what is quoted"},
	{"ann: start_job\x00", 4, `"\x00"`, "quoted, as in Go"},
	{"ann: start_job, request \xff", 4, "not UTF-8", "UTF-8"},
	{"# \xff", 4, "not UTF-8", "UTF-8"},
	{"reprot 1.1: a succeeded", 4, `"reprot 1.1: a succeeded"`, "PERSON: CODE STEP, or one of job, report"},
	{"report 1.1: a sucess", 4, `"sucess"`, "agent_error"},
	{"report 1.1: a", 4, `"a"`, "TARGET STATUS"},
	{"report 1.1: stoped", 4, `"stoped"`, "stopped, broke"},
	{"report 1.1: a succeeded exit x", 4, `"exit x"`, "exit N"},
	{"report 1.1: a succeeded exit 1 2", 4, `"2"`, "detail"},
	{"report 1.1: expired", 4, `"expired"`, "stopped, broke"},
	{"report 1.1: stopped, a succeeded", 4, `"a succeeded"`, "nothing after stopped"},
	{"report 1: stopped", 4, `"1"`, "STEP.ATTEMPT"},
	{"report one.two: stopped", 4, `"one.two"`, "STEP.ATTEMPT"},
	{"report 1.1 stopped", 4, `"1.1 stopped"`, "STEP.ATTEMPT:"},
	{"report 1.1 from x: stopped", 4, `"from x"`, "by EXECUTOR"},
	{"report 1.1 in x: stopped", 4, `"in x"`, "by EXECUTOR"},
	{"report 1.1:", 4, "nothing", "something before and after each comma"},
	{"wait a while", 4, `"a while"`, "a duration"},
	{"wait", 4, "nothing", "a duration"},
	{"window", 4, "nothing", "NAME: and when it is open"},
	{"window night", 4, `"night"`, "NAME: and when it is open"},
	{"window night:", 4, `"night:"`, "NAME: and when it is open"},
	{"window night: 23:00", 4, `"23:00"`, "HH:MM to HH:MM, or one of never, past, panic"},
	{"window night: 23:00 to 24:00", 4, `"23:00 to 24:00"`, "HH:MM to HH:MM"},
	{"window night: 9:00 to 10:00", 4, `"9:00 to 10:00"`, "HH:MM to HH:MM"},
	{"window night: open", 4, `"open"`, "one of never, past, panic"},
	{"job a, start_at soon", 4, `"start_at soon"`, "start_at TIME"},
	{"job a, timeout 0s", 4, `"timeout 0s"`, "timeout DURATION"},
	{"job a, turn production", 4, `"turn production"`, "turn KEY LIMIT"},
	{"ann: start_job, start_at 2026-07-01T10:00:00Z", 4, `"start_at 2026-07-01T10:00:00Z"`, "dry_run"},
	{"job a\n  script copy, stop_before now", 5, `"stop_before now"`, "stop_before,"},
	{"job a\n  script copy, delay", 5, `"delay"`, "delay DURATION"},
	{"job a\n  script copy, delay 0s", 5, `"delay 0s"`, "delay DURATION"},
	{"job a\n  script copy, window a b", 5, `"window a b"`, "window NAME"},
	{"job a\n  script copy, total_timeout long", 5, `"total_timeout long"`, "total_timeout DURATION"},
	{"job a\n  script copy, retry", 5, `"retry"`, "retry N [after DURATION"},
	{"job a\n  script copy, retry 0", 5, `"retry 0"`, "retry N [after DURATION"},
	{"job a\n  script copy, retry 1 most 1m", 5, `"retry 1 most 1m"`, "[after DURATION [most DURATION]]"},
	{"job a\n  script copy, retry 1 after", 5, `"retry 1 after"`, "[after DURATION [most DURATION]]"},
	{"job a\n  script copy, retry 1 except", 5, `"retry 1 except"`, "[except STATUS ...]"},
	{"job a\n  script copy, retry 1 except lost", 5, `"retry 1 except lost"`, "[except STATUS ...]"},
	{"job a\n  script copy, batches", 5, `"batches"`, "batches SIZE ..."},
	{"job a\n  script copy, between", 5, `"between"`, "between [person] [DURATION]"},
	{"job a\n  script copy, between ann", 5, `"between ann"`, "between [person] [DURATION]"},
	{"job a\n  script copy, tolerate 0", 5, `"tolerate 0"`, "tolerate N or N%"},
	{"job a\n  script copy, tolerate %", 5, `"tolerate %"`, "tolerate N or N%"},
	{"expect batches: none", 4, `"batches"`, "batches N"},
	{"wait 0s", 4, `"0s"`, "a duration"},
	{"sweep now", 4, `"now"`, "nothing after it"},
	{"restart now", 4, `"now"`, "nothing after it"},
	{"crash", 4, "nothing", "before or after"},
	{"crash around", 4, `"around"`, "before or after"},
	{"deliver failing", 4, `"failing"`, "failing \"WHY\""},
	{"deliver and dye", 4, `"and dye"`, "and die"},
	{"deny", 4, "nothing", "something before"},
	{"deny ann bob", 4, `"ann bob"`, "a person"},
	{"deny ann, as she left", 4, `"as she left"`, "because \"WHY\""},
	{"allow", 4, "nothing", "a person"},
	{"turn release", 4, `"release"`, "to and the name of a job"},
	{"job", 4, "nothing", "something before"},
	{"job a b", 4, `"a b"`, "the name of the job"},
	{"job a, if_attempt 1", 4, `"if_attempt 1"`, "by PERSON"},
	{"job a\n  scirpt copy, targets a", 5, `"scirpt"`, "TYPE one of script, file_transfer"},
	{"job a\n  script", 5, `"script"`, "TYPE NAME"},
	{"job a\n  script copy, hosts a", 5, `"hosts a"`, "targets NAME"},
	{"job a\n  script copy, targets", 5, `"targets"`, "targets NAME"},
	{"job a\n  script copy, targets a, targets b", 5, `"targets b"`, "targets once"},
	{"job a\n  script copy, timeout soon", 5, `"timeout soon"`, "timeout DURATION"},
	{"job a\n  job_to pending\n  script copy, targets a", 6, `"script copy"`, "one of actor"},
	{"expect", 4, "nothing", "SUBJECT:"},
	{"expect job", 4, `"job"`, "SUBJECT:"},
	{"expect job:", 4, "nothing", "something before"},
	{"expect jov: running", 4, `"jov"`, "one of job, diagnosis, step N"},
	{"expect step: running", 4, `"step"`, "step N"},
	{"expect step one: running", 4, `"step one"`, "step N"},
	{"expect ann on one: none", 4, `"ann on one"`, "PERSON on N"},
	{"expect ann on 1 in fall: none", 4, `"ann on 1 in fall"`, "in full"},
	{"expect job: running, currant 2", 4, `"currant 2"`, "current"},
	{"expect job: running, waiting", 4, `"waiting" alone`, "a key and a value"},
	{"expect job: current 1, current 2", 4, "current a second time", "it once"},
	{"expect job: unknown outcome", 4, `"unknown outcome"`, "or refused"},
	{"ann: start_job\n  too running", 5, `"too running"`, "job_to"},
	{"ann: start_job\n  running", 5, `"running" alone`, "job_to"},
	{"ann: start_job\n  refused", 5, `"refused"`, "its reason: invalid_input"},
	{"ann: start_job\n  refused wrong_sate", 5, `"wrong_sate"`, "wrong_state"},
	{"ann: start_job\n  refused wrong_state, to running", 5, `"to running"`, "legal_from"},
	{"ann: start_job\n  to running, refused wrong_state", 5, `"refused wrong_state"`, "one of a"},
	{"ann: start_job\n  ?, to running", 5, `"to running"`, `"?" alone`},
	{"ann: start_job\n  to running, ?", 5, `"?"`, `"?" alone`},
	{"ann: start_job\n  to running,", 5, "nothing", "something before and after each comma"},
	{"ann: start_job\n  # why", 5, "an indented comment", "at the margin"},
	{"ann: start_job\n\n  to running", 6, "an indented line", "at the margin"},
	{"ann: start_job\n  \n  to running", 6, "an indented line", "at the margin"},
	{"# why\n  to running", 5, "an indented line", "at the margin"},
	{"wait 1s\n  state running", 5, "an indented line", `none below "wait 1s"`},
	{"in between, wait 1s", 4, "no action after it", "one that changes something"},
	{"in between, crash after", 4, `crash after`, "what can happen while"},
	{"in between, ann: start_job\nexpect job: running", 5, "expect job", "line 4 comes in between"},
	{"in between,", 4, "nothing", "PERSON: CODE STEP"},
	{"ann: give_up", 4, `"give_up"`, "give_up effect and the number of its record"},
	{"ann: give_up 2", 4, `"give_up 2"`, "give_up effect and the number of its record"},
	{"ann: hurry effect two", 4, `"hurry effect two"`, "hurry effect and the number of its record"},
	{"ann: hurry effect 2 3", 4, `"hurry effect 2 3"`, "a comma before anything else"},
	{"in between, in between, ann: start_job", 4, `"in between, ann: start_job"`, "in between once"},
	{"in between wait 1s", 4, `"in between wait 1s"`, "a comma"},
	{"in between, wait 1s\nann: strat_job", 5, `"strat_job"`, "start_job"},
	{"in between, wait 1s\nann: start_job, because \"x", 5, `"x`, "two quotes"},
	{"in between, wait 1s\nin between, wait a while\nann: start_job", 5, `"a while"`, "a duration"},
	{"in between, wait 1s\nann: start_job, dry_run", 5, "ann: start_job, dry_run", "line 4 comes in between"},
	{"in between, wait 1s\nann: retry_all 1, dry_run", 5, "dry_run", "line 4 comes in between"},
	{"in between, wait 1s\njob x, dry_run", 5, "dry_run", "line 4 comes in between"},
	{"expect step 1: running, attempt: 1", 4, `"attempt: 1"`, "KEY VALUE, without a colon"},
	{"ann: start_job\n  to: running", 5, `"to: running"`, "KEY VALUE, without a colon"},
	{"ann: start_job, dry_run\n  unknown outcome", 5, `"unknown outcome"`, "one of a"},
	{"\ufeffjob a\n  script copy, targets a\nann: start_job", 4, "a byte order mark", "without it"},
	{"\ufeff# why", 4, "a byte order mark", "without it"},
}

// Every mistake of form is an error with its file, its line, and the right form.
func TestMistakesOfForm(t *testing.T) {
	for _, m := range malformed {
		_, err := Parse("x.txt", []byte("# A story\njob release\n  script copy, targets a b\n"+m.text+"\n"))
		var e *SyntaxError
		if !errors.As(err, &e) {
			t.Errorf("%q: %v, want a *SyntaxError", m.text, err)
			continue
		}
		if e.File != "x.txt" || e.Line != m.line || !strings.Contains(e.Got, m.got) || !strings.Contains(e.Want, m.want) || len(split(err)) != 1 {
			t.Errorf("%q:\n%v\nwant line %d, got %s, want %s", m.text, err, m.line, m.got, m.want)
		}
	}
}

// A message has the beginning of a text that is too long for it.
func TestLongLinesAreCut(t *testing.T) {
	long := strings.Repeat("é", 1<<20)
	for _, text := range []string{long, "ann: start_job, because \"" + long, "deny " + long + "\n  " + long, long + ": " + long + " 1"} {
		_, err := Parse("x.txt", []byte(text))
		if err == nil || len(err.Error()) > 4000 || !utf8.ValidString(err.Error()) || !strings.Contains(err.Error(), "ééé...") {
			t.Errorf("got %.100v and so on, %d bytes", err, len(err.Error()))
		}
	}
}

// The time to read a file grows with its length, and not with its square.
func TestLongFilesAreRead(t *testing.T) {
	const n, perLine = 10_000, 4 << 10 // bytes
	for _, text := range []string{"expect history:\n" + strings.Repeat("  created\n", n), "job x\n" + strings.Repeat("  scirpt a\n", n)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := Parse("x.txt", []byte(text))
		runtime.ReadMemStats(&after)
		if err == nil && len(s.actions[0].Want) != n || err != nil && len(split(err)) != n {
			t.Errorf("%.20q and so on is not read whole", text)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > n*perLine {
			t.Errorf("%.20q and so on takes %d bytes, want at most %d a line", text, took, perLine)
		}
	}
}

// The error has all mistakes of a file in their order, without those that follow from another.
func TestAllMistakesAreTold(t *testing.T) {
	const text = `  indented
ann: start_job
job release
  scirpt copy, targets a
  script check, hosts a
ann: strat_job
report 1.1: a sucess
expect target 1.a: running
ann: terminate_job
  refused wrong
`
	_, err := Parse("x.txt", []byte(text))
	var lines []int
	for _, err := range split(err) {
		var e *SyntaxError
		if errors.As(err, &e) {
			lines = append(lines, e.Line)
		}
	}
	if want := []int{1, 4, 5, 6, 7, 10}; !reflect.DeepEqual(lines, want) {
		t.Errorf("mistakes in lines %v, want %v:\n%v", lines, want, err)
	}
	if first, _, _ := strings.Cut(err.Error(), "\n"); first != "x.txt:1: indented: got an indented line, want one at the margin, as it belongs to no action" {
		t.Errorf("the first is told as %q", first)
	}
}
