//go:build unix

package localexec_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Each test is a sentence of the executor's contract, see engine.Handler.

func TestRun(t *testing.T) {
	// A run of attempt n first ends whatever still runs of an earlier attempt.
	t.Run("first ends what runs of an earlier attempt", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up := l.pipe("up")
		job := l.start(l.script(`
			if [ $STEPGATE_ATTEMPT = 1 ]; then
				trap 'echo old >>$LAB/order; exit 1' TERM
				echo $$ >$LAB/up
				while :; do sleep 0.01; done
			fi
			echo new >>$LAB/order`, "a"))
		first := l.run(job, 1)
		old := up.pid()
		l.breakDown(job, 1)
		l.operate(job, 1, operation.RetryAll)
		l.settles(l.run(job, 2))
		l.settles(first)
		l.dead(old)
		if got := l.read("order"); got != "old\nnew\n" {
			t.Errorf("order = %q, want the old attempt to have ended first", got)
		}
		l.untilState(job, 1, step.Succeeded)
		l.idle()
	})

	// A run is dropped after a stop of its attempt or a later one.
	t.Run("is dropped after a stop of its attempt", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		job := l.start(l.script(`echo ran >>$LAB/ran`, "a"))
		l.terminate(job)
		l.settles(l.stop(job, 1))
		l.untilState(job, 1, step.Terminated)
		l.settles(l.run(job, 1))
		l.lines("ran", 0)
		l.idle()
	})

	t.Run("is dropped while its stop is on its way", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		job := l.start(l.script(`echo ran >>$LAB/ran`, "a"))
		l.terminate(job)
		l.settles(l.run(job, 1))
		l.lines("ran", 0)
		l.untilState(job, 1, step.Terminating)
	})

	// A run is dropped below an attempt already seen.
	t.Run("is dropped below an attempt already seen", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up, gate := l.pipe("up"), l.pipe("gate")
		job := l.start(l.script(`echo $STEPGATE_ATTEMPT >>$LAB/ran; echo up >$LAB/up; read x <$LAB/gate`, "a"))
		l.breakDown(job, 1)
		l.operate(job, 1, operation.RetryFailed)
		second := l.run(job, 2)
		up.get()
		l.settles(l.run(job, 1))
		gate.put()
		l.settles(second)
		l.settles(l.run(job, 1))
		l.untilState(job, 1, step.Succeeded)
		if got := l.read("ran"); got != "2\n" {
			t.Errorf("attempts that ran: %q, want only 2", got)
		}
		l.idle()
	})

	// A run delivered twice runs once.
	t.Run("delivered twice runs once", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up, gate := l.pipe("up"), l.pipe("gate")
		job := l.start(l.script(`echo ran >>$LAB/ran; echo up >$LAB/up; read x <$LAB/gate`, "a"))
		one := l.run(job, 1)
		up.get()
		two := l.run(job, 1)
		select {
		case err := <-two:
			t.Errorf("the second run returned %v while the first was running", err)
		default:
		}
		gate.put()
		l.settles(one)
		l.settles(two)
		l.settles(l.run(job, 1))
		l.lines("ran", 1)
		l.idle()
	})

	t.Run("whose context ends is taken over by a second delivery", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up, gate := l.pipe("up"), l.pipe("gate")
		job := l.start(l.script(`echo $$ >$LAB/up; read x <$LAB/gate`, "a"))
		ctx, cancel := context.WithCancel(l.ctx)
		one := l.handle(ctx, l.x, store.RunTargets, job, 1)
		first := up.pid()
		two := l.run(job, 1)
		cancel()
		if err := <-one; !errors.Is(err, context.Canceled) {
			t.Errorf("Handle = %v, want the end of its context", err)
		}
		if second := up.pid(); second == first {
			t.Errorf("process %d ran on", first)
		}
		l.dead(first)
		gate.put()
		l.settles(two)
		l.untilState(job, 1, step.Succeeded)
		l.idle()
	})

	// After a crash, only the targets without an accepted result run again.
	t.Run("after a crash covers only targets without a result", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up, gate := l.pipe("up"), l.pipe("gate")
		job := l.start(l.script(`
			echo $STEPGATE_TARGET >>$LAB/ran.$STEPGATE_TARGET
			if [ $STEPGATE_TARGET = b ]; then echo $$ >$LAB/up; read x <$LAB/gate; fi`, "a", "b"))
		ctx, cancel := context.WithCancel(l.ctx)
		crashed := l.handle(ctx, l.x, store.RunTargets, job, 1)
		killed := up.pid()
		l.until(job, 1, "half done", func(s store.Step) bool { return s.Unfinished == 1 })
		cancel()
		if err := <-crashed; !errors.Is(err, context.Canceled) {
			t.Errorf("Handle = %v, want the end of its context", err)
		}
		l.dead(killed)
		l.is(job, 1, 0, step.TargetSucceeded)
		if got := l.target(job, 1, 1); got.Status.Finished() {
			t.Errorf("target b is %v, want it to have no result", got.Status)
		}

		l.x = localexec.New(l.eng, l.config) // the next process
		again := l.run(job, 1)
		up.get()
		gate.put()
		l.settles(again)
		l.untilState(job, 1, step.Succeeded)
		l.lines("ran.a", 1)
		l.lines("ran.b", 2)
	})
}

func TestRunReportsWhatHadFinished(t *testing.T) {
	l := newLab(t, localexec.Config{Parallel: 1})
	up := l.pipe("up")
	// a's result may still wait to be reported when the context ends
	job := l.start(l.script(`[ $STEPGATE_TARGET = a ] && exit 0; echo up >$LAB/up; exec sleep 300`, "a", "b"))
	ctx, cancel := context.WithCancel(l.ctx)
	returned := l.handle(ctx, l.x, store.RunTargets, job, 1)
	up.get()
	cancel()
	if err := <-returned; !errors.Is(err, context.Canceled) {
		t.Errorf("Handle = %v, want the end of its context", err)
	}
	l.is(job, 1, 0, step.TargetSucceeded)
	l.untilState(job, 1, step.Running)
}

func TestStop(t *testing.T) {
	// A stop of attempt n ends every attempt up to n.
	t.Run("ends scripts and their children", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up := l.pipe("up")
		job := l.start(l.script(`
			if [ $STEPGATE_TARGET = a ]; then echo done; exit 0; fi
			sleep 300 & echo $! >$LAB/up; wait`, "a", "b"))
		run := l.run(job, 1)
		child := up.pid()
		l.until(job, 1, "half done", func(s store.Step) bool { return s.Unfinished == 1 })
		l.terminate(job)
		l.settles(l.stop(job, 1))
		l.settles(run)
		l.dead(child)
		l.untilState(job, 1, step.Terminated)
		l.is(job, 1, 0, step.TargetSucceeded)
		if got := l.is(job, 1, 1, step.ScriptTerminated); got.ExitCode != 128+15 || got.Finished < got.Started || got.Started == 0 {
			t.Errorf("target b: exit code %d, %v to %v, want 143 and the times", got.ExitCode, got.Started, got.Finished)
		}
		l.idle()
	})

	t.Run("kills after the grace period", func(t *testing.T) {
		l := newLab(t, localexec.Config{Grace: 50 * time.Millisecond})
		up := l.pipe("up")
		job := l.start(l.script(`
			trap 'echo deaf' TERM
			sh -c 'trap "" TERM; echo $$ >$LAB/up; while :; do sleep 300; done' &
			while :; do wait; done`, "a"))
		run := l.run(job, 1)
		child := up.pid()
		l.terminate(job)
		l.settles(l.stop(job, 1))
		l.settles(run)
		l.dead(child)
		if got := l.is(job, 1, 0, step.ScriptTerminated); got.ExitCode != 128+9 {
			t.Errorf("exit code %d, want 137", got.ExitCode)
		}
		out, err := l.x.Output(job, 1, 1, 0)
		l.must(err)
		if string(out.Stdout) != "deaf\n" {
			t.Errorf("stdout = %q, want the script to have been asked first", out.Stdout)
		}
	})

	t.Run("waits for children that outlive their script", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up := l.pipe("up")
		job := l.start(l.script(`
			sh -c 'trap "sleep 0.1; echo clean >>$LAB/order; exit" TERM
				echo $$ >$LAB/up; while :; do sleep 0.01; done' >$LAB/nothing 2>&1 &
			wait`, "a"))
		run := l.run(job, 1)
		child := up.pid()
		l.terminate(job)
		l.settles(l.stop(job, 1))
		if got := l.read("order"); got != "clean\n" {
			t.Errorf("the stop returned before the child %d was done", child)
		}
		l.settles(run)
		l.dead(child)
	})

	t.Run("kills children that outlive their script", func(t *testing.T) {
		l := newLab(t, localexec.Config{Grace: 50 * time.Millisecond})
		up := l.pipe("up")
		job := l.start(l.script(`sh -c 'trap "" TERM; echo $$ >$LAB/up; while :; do sleep 300; done' >$LAB/nothing 2>&1 & wait`, "a"))
		run := l.run(job, 1)
		child := up.pid()
		l.terminate(job)
		l.settles(l.stop(job, 1))
		l.settles(run)
		l.dead(child)
	})

	t.Run("leaves a later attempt alone", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up, gate := l.pipe("up"), l.pipe("gate")
		job := l.start(l.script(`echo up >$LAB/up; read x <$LAB/gate`, "a"))
		l.breakDown(job, 1)
		l.operate(job, 1, operation.RetryFailed)
		second := l.run(job, 2)
		up.get()
		l.settles(l.stop(job, 1))
		gate.put()
		l.settles(second)
		l.untilState(job, 1, step.Succeeded)
	})

	t.Run("is reported though nothing runs here", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		job := l.start(l.script(`echo ran >>$LAB/ran`, "a"))
		l.terminate(job)
		l.settles(l.stop(job, 1))
		l.untilState(job, 1, step.Terminated)
		if history, err := l.eng.History(l.ctx, job, 3, 0); err != nil || len(history) != 1 || history[0].Cause != step.Stopped {
			t.Errorf("history ends with %+v, %v, want one report that it has stopped", history, err)
		}
		l.settles(l.stop(job, 1)) // stale, and that is fine
		l.idle()
	})

	t.Run("starts no further target", func(t *testing.T) {
		l := newLab(t, localexec.Config{Parallel: 1})
		up := l.pipe("up")
		job := l.start(l.script(`echo $STEPGATE_TARGET >>$LAB/ran; echo up >$LAB/up; exec sleep 300`, "a", "b"))
		run := l.run(job, 1)
		up.get()
		l.terminate(job)
		l.settles(l.stop(job, 1))
		l.settles(run)
		l.lines("ran", 1)
		l.is(job, 1, 0, step.ScriptTerminated)
		l.is(job, 1, 1, step.TargetTerminated)
	})
}

func TestStale(t *testing.T) {
	l := newLab(t, localexec.Config{})
	up, gate := l.pipe("up"), l.pipe("gate")
	job := l.start(l.script(`
		echo $$ >$LAB/up
		if [ $STEPGATE_TARGET = a ]; then read x <$LAB/gate; else exec sleep 300; fi`, "a", "b"))
	run := l.run(job, 1)
	one, two := up.pid(), up.pid()
	l.breakDown(job, 1)
	gate.put()
	l.settles(run)
	l.dead(one)
	l.dead(two)
	if got := l.untilState(job, 1, step.Abnormal); got.Unfinished != 2 {
		t.Errorf("%d targets are unfinished, want both: late results change nothing", got.Unfinished)
	}
	l.idle()
}
