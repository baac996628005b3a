//go:build unix

package sshexec_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/executor/sshexec"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// serve has an executor work on the lab's hosts until the test ends.
func (l *lab) serve(opts ...executor.Option) *engine.Engine {
	l.Helper()
	eng := engine.New(memstore.New())
	x := executor.New(eng, append(opts, executor.Hosts(step.Script, l.x.Script), executor.Hosts(step.FileTransfer, l.x.Files))...)
	ctx, end := context.WithCancel(l.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	l.Cleanup(func() {
		end()
		l.must(<-done)
	})
	return eng
}

// start starts a job of these steps.
func (l *lab) start(eng *engine.Engine, steps ...step.Spec) store.JobID {
	l.Helper()
	created, err := eng.Create(l.Context(), engine.JobSpec{Name: "job", Steps: steps}, engine.Request{})
	l.must(err)
	_, err = eng.OperateJob(l.Context(), created.Job, operation.StartJob, engine.Request{})
	l.must(err)
	return created.Job
}

// ends waits for a job to end in a state, and returns the reason of the record that says so.
func (l *lab) ends(eng *engine.Engine, job store.JobID, want step.State) (reason string) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), 5*enough)
	defer cancel()
	for r, err := range eng.Watch(ctx, job, 0) {
		if err != nil {
			l.Fatal(err)
		}
		if r.JobTo.Finished() {
			if r.JobTo != want {
				l.Errorf("job %d is %v, want %v: %s", job, r.JobTo, want, r.Reason)
			}
			return r.Reason
		}
	}
	l.Fatal("the job's records have ended")
	return ""
}

func (l *lab) targets(eng *engine.Engine, job store.JobID, id step.ID) (statuses string) {
	l.Helper()
	targets, err := eng.Targets(l.Context(), job, id, engine.TargetQuery{})
	l.must(err)
	for _, t := range targets {
		statuses += fmt.Sprintf("%s %v; ", t.Name, t.Status)
	}
	return statuses
}

// A job copies a file to hosts and runs it there.
func TestRun(t *testing.T) {
	l := newLab(t)
	eng := l.serve()
	hosts := []string{"h0", "h1", "h2"}
	to := l.path("program")
	job := l.start(eng,
		step.Spec{Type: step.FileTransfer, Name: "copy", Targets: hosts[:1], Payload: sshexec.Files{Files: []sshexec.File{
			{Content: new("#!/bin/sh\necho on $1\n"), To: to, Mode: "700"},
		}}.Payload()},
		step.Spec{Type: step.Script, Name: "run", Targets: append(hosts, "stranger"), Payload: sshexec.Script{Script: to + " $STEPGATE_TARGET"}.Payload()},
	)
	l.ends(eng, job, step.Failed)
	if got, want := l.targets(eng, job, 2), "h0 succeeded; h1 succeeded; h2 succeeded; stranger invalid_target; "; got != want {
		t.Errorf("targets: %s, want %s", got, want)
	}
	for i, host := range hosts {
		e, err := l.logs.Read(t.Context(), executor.Log{Job: job, Step: 2, Attempt: 1, Target: int32(i), Stream: executor.Stdout}, 0, 100)
		if got, want := string(e.Data), "on "+host+"\n"; got != want || err != nil {
			t.Errorf("%s wrote %q, %v; want %q", host, got, err, want)
		}
	}
}

// A payload that is none makes the step abnormal, with the reason.
func TestMalformedPayloads(t *testing.T) {
	l := newLab(t, func(l *lab) { l.config.Sources = "" })
	eng := l.serve()
	for _, c := range []struct {
		typ           step.Type
		payload, want string
	}{
		{step.Script, `{}`, "payload: script: empty: want the text of a shell script"},
		{step.Script, `{"script": "true", "user": "root"}`, `payload: json: unknown field "user": want something like {"script":"uptime"}`},
		{step.Script, `{"script": "true"} {}`, `payload: data after the end: want something like {"script":"uptime"}`},
		{step.FileTransfer, `{"files": [{"content": "secret", "to": "b", "mod": "0644"}]}`,
			`payload: json: unknown field "mod": want something like {"files":[{"from":"app/app.ini","to":"/etc/app.ini"}]}`},
		{step.FileTransfer, `{"files": [{"from": "a", "to": "b"}]}`, `payload: files[0].from: "a": this executor has no sources: want content`},
	} {
		job := l.start(eng, step.Spec{Type: c.typ, Name: "bad", Targets: []string{"h0", "h1"}, Payload: c.payload})
		if reason := l.ends(eng, job, step.Abnormal); reason != c.want {
			t.Errorf("%s: the reason is %q, want %q", c.payload, reason, c.want)
		}
	}
}

// A person who terminates a job ends its script on the host.
func TestTerminate(t *testing.T) {
	l := newLab(t)
	up := l.pipe("up")
	eng := l.serve()
	job := l.start(eng, step.Spec{
		Type: step.Script, Name: "long", Targets: []string{"h0"}, Payload: sshexec.Script{Script: `echo $$ >$LAB/up; exec sleep 300`}.Payload(),
	})
	pid := up()
	_, err := eng.OperateJob(t.Context(), job, operation.TerminateJob, engine.Request{})
	l.must(err)
	l.ends(eng, job, step.Terminated)
	l.dead(pid)
	if got, want := l.targets(eng, job, 1), "h0 script_terminated; "; got != want {
		t.Errorf("targets: %s, want %s", got, want)
	}
}

// A process that ends gives its runs back and leaves nothing on the hosts.
func TestShutdown(t *testing.T) {
	l := newLab(t)
	up := l.pipe("up")
	eng := engine.New(memstore.New())
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- executor.New(eng, executor.Hosts(step.Script, l.x.Script)).Run(ctx) }()
	job := l.start(eng, step.Spec{
		Type: step.Script, Name: "long", Targets: []string{"h0"}, Payload: sshexec.Script{Script: `echo $$ >$LAB/up; exec sleep 300`}.Payload(),
	})
	pid := up()
	end()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l.dead(pid)
	if s, err := eng.Step(t.Context(), job, 1); err != nil || s.Unfinished != 1 {
		t.Errorf("%d targets are unfinished, %v; want 1", s.Unfinished, err)
	}
}
