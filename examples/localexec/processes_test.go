//go:build unix

package localexec_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// elsewhere hands an effect to an executor that knows of the lab's no more than one in
// another process would.
func (l *lab) elsewhere(effect store.Effect, job store.JobID, attempt int32) <-chan error {
	l.Helper()
	return l.handle(l.ctx, localexec.New(l.eng, l.config), effect, job, attempt)
}

// returnsNot wants a handler to wait still.
func (l *lab) returnsNot(returned <-chan error) {
	l.Helper()
	select {
	case err := <-returned:
		l.Errorf("Handle = %v while a script ran elsewhere, want it to wait", err)
	default:
	}
}

func TestOtherProcesses(t *testing.T) {
	t.Run("a run waits for a run of the attempt elsewhere", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up, gate := l.pipe("up"), l.pipe("gate")
		job := l.start(l.script(`echo ran >>$LAB/ran; echo up >$LAB/up; read x <$LAB/gate`, "a"))
		one := l.run(job, 1)
		up.get()
		two := l.elsewhere(store.RunTargets, job, 1)
		l.returnsNot(two)
		gate.put()
		l.settles(one)
		l.settles(two)
		l.untilState(job, 1, step.Succeeded)
		l.lines("ran", 1)
	})

	t.Run("a stop ends what runs elsewhere", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up := l.pipe("up")
		job := l.start(l.script(`trap 'echo clean >>$LAB/order; exit 1' TERM; echo $$ >$LAB/up; while :; do sleep 0.01; done`, "a"))
		run := l.run(job, 1)
		script := up.pid()
		l.terminate(job)
		l.settles(l.elsewhere(store.StopAttempt, job, 1))
		l.dead(script)
		l.lines("order", 1)
		l.settles(run)
		l.untilState(job, 1, step.Terminated)
		l.is(job, 1, 0, step.ScriptTerminated)
		l.idle()
	})

	t.Run("a later attempt waits until the earlier has ended elsewhere", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up := l.pipe("up")
		job := l.start(l.script(`
			if [ $STEPGATE_ATTEMPT = 1 ]; then
				trap 'echo old >>$LAB/order; exit 1' TERM
				echo up >$LAB/up
				while :; do sleep 0.01; done
			fi
			echo new >>$LAB/order`, "a"))
		first := l.run(job, 1)
		up.get()
		l.breakDown(job, 1)
		l.operate(job, 1, operation.RetryAll)
		l.settles(l.elsewhere(store.RunTargets, job, 2))
		l.settles(first)
		if got := l.read("order"); got != "old\nnew\n" {
			t.Errorf("order = %q, want the old attempt to have ended first", got)
		}
		l.settles(l.elsewhere(store.StopAttempt, job, 1)) // which is no more
		l.untilState(job, 1, step.Succeeded)
	})

	t.Run("the end of a job ends what runs elsewhere", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up := l.pipe("up")
		s := l.script(`echo $$ >$LAB/up; exec sleep 300`, "a")
		s.Timeout = time.Second
		job := l.start(s)
		run := l.run(job, 1)
		script := up.pid()
		l.ahead.Store(int64(time.Second))
		if n, err := l.eng.Sweep(l.ctx); n != 1 || err != nil {
			t.Fatalf("Sweep = %d, %v, want the attempt to expire", n, err)
		}
		l.settles(l.elsewhere(store.JobEnded, job, 1))
		l.dead(script)
		l.settles(run)
		l.idle()
	})

	t.Run("the end of a job does not wait for a later attempt elsewhere", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up, gate := l.pipe("up"), l.pipe("gate")
		job := l.start(l.script(`echo up >$LAB/up; read x <$LAB/gate`, "a"))
		l.breakDown(job, 1)
		l.operate(job, 1, operation.RetryAll)
		run := l.run(job, 2)
		up.get()
		l.settles(l.elsewhere(store.JobEnded, job, 1))
		gate.put()
		l.settles(run)
		l.untilState(job, 1, step.Succeeded)
	})
}

// died is set, to a lab's directory, in a process that is to be killed.
const died = "LOCALEXEC_DIES"

// A process that is killed outright takes its scripts with it, and all that they have
// started, though they do not end when they are asked to.
func TestKilledProcessLeavesNoScript(t *testing.T) {
	if dir := os.Getenv(died); dir != "" {
		runUntilKilled(t, dir)
	}
	l := newLab(t, localexec.Config{})
	up := l.pipe("up")
	cmd := exec.CommandContext(l.ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), died+"="+l.dir)
	l.must(cmd.Start())
	script, child := up.pid(), up.pid()
	l.must(cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	l.dead(script)
	l.dead(child)
}

func runUntilKilled(t *testing.T, dir string) {
	eng := engine.New(memstore.New())
	x := localexec.New(eng, localexec.Config{Root: dir + "/targets"})
	created, err := eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{
		Type: step.Script, Name: "script", Targets: []string{"a"}, Payload: localexec.Script{Script: fmt.Sprintf(`
			trap '' TERM
			sleep 300 & for pid in $$ $!; do echo $pid >%s/up; done
			while :; do wait; done`, dir)}.Payload(),
	}}}, engine.Request{})
	if err == nil {
		_, err = eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{})
	}
	if err == nil {
		err = eng.Dispatch(context.Background(), x.Handle)
	}
	t.Fatalf("Dispatch = %v, and nobody killed the process", err)
}
