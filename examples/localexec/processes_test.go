//go:build unix

package localexec_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

func TestStop(t *testing.T) {
	t.Run("ends a script and its children", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up := l.pipe("up")
		done, stop := l.start(`sleep 300 & echo $! >$LAB/up; wait`, "a")
		child := up.pid()
		stop()
		if got := l.result(done, step.ScriptTerminated); got.ExitCode != 128+15 || got.Detail != "signal: terminated" {
			t.Errorf("exit code %d, %q, want 143, as in a shell", got.ExitCode, got.Detail)
		}
		l.dead(child)
		l.clean()
	})

	t.Run("kills after the grace period", func(t *testing.T) {
		l := newLab(t, localexec.Config{Grace: 50 * time.Millisecond})
		up := l.pipe("up")
		done, stop := l.start(`
			trap 'echo deaf' TERM
			sh -c 'trap "" TERM; echo $$ >$LAB/up; while :; do sleep 300; done' &
			while :; do wait; done`, "a")
		child := up.pid()
		stop()
		if got := l.result(done, step.ScriptTerminated); got.ExitCode != 128+9 {
			t.Errorf("exit code %d, want 137", got.ExitCode)
		}
		l.dead(child)
		if got := l.log("a", executor.Stdout); got != "deaf\n" {
			t.Errorf("stdout = %q, want the script to have been asked first, and what it said to be kept", got)
		}
	})

	t.Run("waits for children that outlive their script", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up := l.pipe("up")
		done, stop := l.start(`
			sh -c 'trap "sleep 0.1; echo clean >>$LAB/order; exit" TERM
				echo $$ >$LAB/up; while :; do sleep 0.01; done' >$LAB/nothing 2>&1 &
			wait`, "a")
		child := up.pid()
		stop()
		l.result(done, step.ScriptTerminated)
		if got := l.read("order"); got != "clean\n" {
			t.Errorf("the result came before the child %d was done", child)
		}
		l.dead(child)
	})

	t.Run("kills children that outlive their script", func(t *testing.T) {
		l := newLab(t, localexec.Config{Grace: 50 * time.Millisecond})
		up := l.pipe("up")
		done, stop := l.start(`sh -c 'trap "" TERM; echo $$ >$LAB/up; while :; do sleep 300; done' >$LAB/nothing 2>&1 & wait`, "a")
		child := up.pid()
		stop()
		l.result(done, step.ScriptTerminated)
		l.dead(child)
	})
}

// A process that a script leaves in the background lives on when the script ends by itself.
func TestBackgroundProcess(t *testing.T) {
	l := newLab(t, localexec.Config{})
	up := l.pipe("up")
	done, _ := l.start(`sleep 300 & echo $! >$LAB/up`, "a")
	child := up.pid()
	t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
	l.result(done, step.TargetSucceeded)
	if err := syscall.Kill(child, 0); err != nil {
		t.Errorf("the background process is gone: %v", err)
	}
	l.script(`true`, "a", step.TargetSucceeded) // it does not hold the target
}

// elsewhere returns directories that know of the lab's no more than those of another process do.
func (l *lab) elsewhere() *localexec.Directories { return localexec.New(l.config) }

// As after a lost lease: the other process has not ended its script yet.
func TestATargetIsHeldFromOtherProcesses(t *testing.T) {
	const held = `
		if [ $STEPGATE_ATTEMPT = 1 ]; then
			trap 'echo old >>$LAB/order; exit 1' TERM
			echo $$ >$LAB/up
			while :; do sleep 0.01; done
		fi
		echo new >>$LAB/order`

	t.Run("until its script has ended", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up := l.pipe("up")
		first, stop := l.start(held, "a")
		up.pid()
		second := l.begin(l.ctx, l.elsewhere().Script, l.text(held), 2, "a")
		l.result(l.begin(l.ctx, l.elsewhere().Script, l.text(`true`), 2, "b"), step.TargetSucceeded) // the others are not
		select {
		case r := <-second:
			t.Errorf("the result is %+v while the first script runs, want it to wait", r)
		default:
		}
		stop()
		l.result(second, step.TargetSucceeded)
		l.result(first, step.ScriptTerminated)
		if got := l.read("order"); got != "old\nnew\n" {
			t.Errorf("order = %q, want the first script to have ended first", got)
		}
		l.clean()
	})

	t.Run("one after the other", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		const alone = `mkdir $LAB/alone || exit 3; sleep 0.02; rmdir $LAB/alone`
		var all []<-chan store.Result
		for range 12 {
			all = append(all, l.begin(l.ctx, l.elsewhere().Script, l.text(alone), 1, "a"))
		}
		for _, done := range all {
			l.result(done, step.TargetSucceeded)
		}
		l.clean()
	})

	t.Run("from copies too, and a stop ends the wait", func(t *testing.T) {
		l := newLab(t, localexec.Config{})
		up := l.pipe("up")
		first, stop := l.start(held, "a")
		up.pid()
		ctx, cancel := context.WithCancel(l.ctx)
		second := l.begin(ctx, l.elsewhere().Copy, localexec.Files{Files: []localexec.File{{Content: new("x"), To: "x"}}}.Payload(), 2, "a")
		cancel()
		l.result(second, step.TargetTerminated)
		if got := l.read("targets/a/x"); got != "" {
			t.Errorf("x holds %q, want no file", got)
		}
		stop()
		l.result(first, step.ScriptTerminated)
	})
}

// died is set, to a lab's directory, in the process that the test kills.
const died = "LOCALEXEC_DIES"

// A process that is killed outright takes its scripts with it, and all that they have started,
// though they do not end when they are asked to; the target is held until then.
func TestKilledProcessLeavesNoScript(t *testing.T) {
	if dir := os.Getenv(died); dir != "" {
		d := localexec.New(localexec.Config{Root: dir + "/targets", State: dir + "/state"})
		r := d.Script(context.Background(), task(localexec.Script{Script: fmt.Sprintf(`
			trap '' TERM
			sleep 300 & for pid in $$ $!; do echo $pid >%s/up; done
			while :; do wait; done`, dir)}.Payload(), 1), executor.Host{Name: "a"})
		t.Fatalf("the result is %+v, and no one killed the process", r)
	}
	l := newLab(t, localexec.Config{})
	up := l.pipe("up")
	cmd := exec.CommandContext(l.ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), died+"="+l.dir)
	l.must(cmd.Start())
	script, child := up.pid(), up.pid()
	again := l.begin(l.ctx, l.d.Script, l.text(fmt.Sprintf(`
		for pid in %d %d; do
			! kill -0 $pid 2>/dev/null || grep -q ') Z ' /proc/$pid/stat || exit 3
		done`, script, child)), 1, "a")
	l.must(cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	l.dead(script)
	l.dead(child)
	l.result(again, step.TargetSucceeded)
}
