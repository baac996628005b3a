package executortest

import (
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var stopPromises = []promise{
	{name: "Stop/ends what runs", keep: stopEnds},
	{name: "Stop/is reported once all functions have returned", keep: stopWaits},
	{name: "Stop/results after it count", keep: resultsAfterStopCount},
	{name: "Stop/ends earlier attempts too", keep: stopEndsEarlierAttempts},
	{name: "Stop/waits for no other run", keep: stopIsNotBlocked},
	{name: "Stop/waits for no other stop", keep: stopIsNotBlockedByStop},
	{name: "Stop/during the first page of hosts", keep: stopDuringFirstPage},
	{name: "Stop/in another process ends what runs here", keep: stopElsewhere},
	{name: "Stop/in another process is reported once functions here have returned", keep: stopWaitsElsewhere},
}

var endPromises = []promise{
	{name: "End/ends what runs", keep: endEnds},
	{name: "End/by a deadline ends what runs", keep: deadlineEnds},
	{name: "End/in another process ends what runs here", keep: endElsewhere},
	{name: "End/leaves a later attempt alone", keep: endLeavesLaterAttempt},
	{name: "End/is settled, as are questions", keep: settlesNotices},
}

func stopEnds(x *trial) {
	x.does(x.held)
	x.launch()
	job := x.job(spec(2))
	c := x.awaitCall("host 0", like(1, 0))
	d := x.awaitCall("host 1", like(1, 1))
	x.terminate(job)
	x.awaitEnd(c, "the stop")
	x.awaitEnd(d, "the stop")
	x.awaitState(job, step.Terminated)
	x.wantCalls("a stopped attempt of two hosts", 2, of(job))
}

func stopWaits(x *trial) {
	x.does(x.stubborn)
	x.launch()
	job := x.job(spec(2))
	c := x.awaitCall("host 0", like(1, 0))
	d := x.awaitCall("host 1", like(1, 1))
	x.terminate(job)
	x.awaitEnd(c, "the stop")
	c.finish(interrupted)
	x.rest()
	if s := x.step(job); s.State != step.Terminating {
		x.errorf("the step is %v while a function is at work, want it terminating", s.State)
	}
	d.finish(interrupted)
	x.awaitState(job, step.Terminated)
}

func resultsAfterStopCount(x *trial) {
	x.does(x.stubborn)
	x.launch()
	job := x.job(spec(2))
	c := x.awaitCall("host 0", like(1, 0))
	d := x.awaitCall("host 1", like(1, 1))
	x.terminate(job)
	x.awaitEnd(c, "the stop")
	x.awaitEnd(d, "the stop")
	c.finish(success)
	d.finish(store.Result{Status: step.ScriptTerminated})
	x.awaitState(job, step.Terminated)
	for i, want := range []step.Status{step.TargetSucceeded, step.ScriptTerminated} {
		if got := x.target(job, int32(i)).Status; got != want {
			x.errorf("host %d is %v, want %v, which its function returned after the stop", i, got, want)
		}
	}
}

// Attempt 1 ends without an effect for the executor, and of attempt 2 only the stop comes.
func stopEndsEarlierAttempts(x *trial) {
	x.does(x.stubborn)
	p := x.launch(store.JobEnded)
	job := x.job(spec(1))
	first := x.awaitCall("the host in attempt 1", like(1, 0))
	p.link.withhold(store.RunTargets, store.JobEnded)
	x.breakDown(job, 1)
	x.operate(job, operation.RetryFailed)
	x.terminate(job)
	x.awaitEnd(first, "the stop of a later attempt")
	x.await("the stop to be delivered", func() bool { return p.link.deliveries(store.StopAttempt) > 0 })
	x.rest()
	if s := x.step(job); s.State != step.Terminating {
		x.errorf("the step is %v while a function of an earlier attempt is at work, want it terminating", s.State)
	}
	first.finish(interrupted)
	x.awaitState(job, step.Terminated)
	x.wantCalls("a job of which attempt 2 was stopped before it ran", 1, of(job))
}

// There are more runs than any executor has places for. The stop of a running one and of a waiting
// one must not wait for a place.
func stopIsNotBlocked(x *trial) {
	const runs = 100
	x.does(x.held)
	x.launch()
	jobs := make([]store.JobID, runs)
	for i := range jobs {
		jobs[i] = x.job(spec(1))
	}
	at := x.awaitCall("one of many jobs", like(1, 0))
	x.rest() // for the others to take all places
	x.terminate(at.Job)
	x.awaitEnd(at, "its stop, beside 99 other runs")
	x.awaitState(at.Job, step.Terminated)
	x.rest() // for another one to take its place
	for _, job := range jobs {
		if len(x.matching(of(job))) == 0 {
			x.terminate(job)
			x.awaitState(job, step.Terminated)
			for _, late := range x.matching(of(job)) { // it got a place before the stop came
				x.awaitEnd(late, "its stop")
			}
			return
		}
	}
}

// The first stop waits for its function.
func stopIsNotBlockedByStop(x *trial) {
	first, second := x.job(spec(1)), x.job(spec(1))
	x.does(func(c *call) store.Result {
		if c.Job == first {
			return x.stubborn(c)
		}
		return x.held(c)
	})
	x.launch()
	c, d := x.awaitCall("the first job", of(first)), x.awaitCall("the second job", of(second))
	x.terminate(first)
	x.awaitEnd(c, "the stop")
	x.terminate(second)
	x.awaitEnd(d, "the stop, while another one waits for its function")
	x.awaitState(second, step.Terminated)
	c.finish(interrupted)
	x.awaitState(first, step.Terminated)
}

func stopDuringFirstPage(x *trial) {
	p := x.launch(store.JobEnded) // which would end the run as well
	page := p.link.hold(readTargets)
	job := x.job(spec(3))
	x.await("the hosts to be read", page.isReached)
	x.terminate(job)
	x.await("the stop to be delivered while the hosts are read", func() bool { return p.link.deliveries(store.StopAttempt) > 0 })
	x.rest() // for the stop to be heeded
	page.open()
	x.awaitState(job, step.Terminated)
	x.rest()
	x.wantCalls("an attempt that was stopped before its hosts were read", 0, of(job))
}

// The one process has the run, the other gets the stop, and then the end of the job.
func stopElsewhere(x *trial) {
	x.does(x.held)
	x.launch(store.StopAttempt, store.JobEnded)
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	x.launch(store.RunTargets)
	x.rest() // reports of progress have been made, whose answers would tell
	x.terminate(job)
	x.awaitEnd(c, "another process got the stop")
	x.awaitState(job, step.Terminated)
}

func stopWaitsElsewhere(x *trial) {
	x.lease = 2 * x.patience // that of the run does not end
	x.does(x.stubborn)
	x.launch(store.StopAttempt, store.JobEnded)
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	x.launch(store.RunTargets)
	x.terminate(job)
	x.awaitEnd(c, "another process got the stop")
	x.rest()
	if s := x.step(job); s.State != step.Terminating {
		x.errorf("the step is %v while a function is at work in another process, want it terminating", s.State)
	}
	c.finish(interrupted)
	x.awaitState(job, step.Terminated)
}

// The attempt is over without the executor: there is no stop.
func endEnds(x *trial) {
	x.does(x.held)
	x.launch()
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	x.breakDown(job, 1)
	x.awaitEnd(c, "the end of its job")
	x.await("the end to be settled", func() bool { return !x.waiting(job, store.JobEnded) })
}

func endElsewhere(x *trial) {
	x.does(x.held)
	x.launch(store.JobEnded)
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	x.launch(store.RunTargets)
	x.rest() // reports of progress have been made, whose answers would tell
	x.breakDown(job, 1)
	x.awaitEnd(c, "another process was told of the end of its job")
}

func deadlineEnds(x *trial) {
	x.does(x.held)
	x.launch()
	var job store.JobID
	ended := func() bool {
		_, err := x.eng.Sweep(x.ctx())
		x.must(err)
		return x.step(job).State == step.Abnormal
	}
	limited := spec(1)
	called := false
	// A busy machine may reach the deadline before the function.
	for limited.Timeout = time.Second; !called && limited.Timeout <= x.patience; limited.Timeout *= 2 {
		job = x.job(limited)
		x.await("the function to be called for the host, or the deadline", func() bool {
			called = len(x.matching(of(job))) > 0
			return called || ended()
		})
	}
	x.await("the attempt to end at its deadline", ended)
	x.awaitEnd(x.awaitCall("the host", of(job)), "the deadline")
	x.does(succeed)
	x.awaitState(x.job(spec(1)), step.Succeeded)
}

// The end of attempt 1 comes while attempt 2 runs.
func endLeavesLaterAttempt(x *trial) {
	x.does(x.held)
	job := x.job(spec(1))
	x.breakDown(job, 1)
	ended := x.take(store.JobEnded)
	x.operate(job, operation.RetryFailed)
	x.launch()
	c := x.awaitCall("the host in attempt 2", like(2, 0))
	x.giveBack(ended)
	x.await("the end to be settled", func() bool { return !x.waiting(job, store.JobEnded) })
	x.rest()
	x.wantLive(c, "an earlier attempt ended the job, and it runs again since")
	x.does(succeed)
	if c.ctx.Err() == nil {
		c.finish(success)
	}
	x.awaitState(job, step.Succeeded)
	x.wantCalls("attempt 2", 1, like(2, 0))
}

func settlesNotices(x *trial) {
	x.launch()
	job := x.job(step.Spec{Type: step.Confirmation, Name: "go on?"}, spec(1))
	x.await("the question to be settled", func() bool { return !x.waiting(job, store.AskConfirmers) })
	x.operate(job, operation.Confirm)
	x.await("the job to end", func() bool {
		j, err := x.eng.Job(x.ctx(), job)
		x.must(err)
		return j.State == step.Succeeded
	})
	x.await("every effect of a job that has ended to be settled", func() bool {
		return !x.waiting(job, store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded)
	})
}
