package executortest

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var runPromises = []promise{
	{name: "Run/calls the function once for each host", keep: callsEachHost},
	{name: "Run/reads every page of hosts", keep: readsEveryPage},
	{name: "Run/reports what the function returned", keep: reportsWhatIsReturned},
	{name: "Run/takes a panic for a failure", keep: takesAPanicForAFailure},
	{name: "Run/takes the end of the goroutine for a failure", keep: takesAnEndedGoroutineForAFailure},
	{name: "Run/takes a result without a finished status for a failure", keep: takesNoStatusForAFailure},
	{name: "Run/a retry is of the hosts that are due", keep: retriesWhatIsDue},
	{name: "Run/delivered twice runs once", keep: runsOnce},
	{name: "Run/first ends what runs of earlier attempts", keep: endsEarlierAttemptsFirst},
	{name: "Run/waits for earlier attempts in another process", keep: awaitsEarlierAttemptElsewhere},
	{name: "Run/waits for an attempt in another process that was given up", keep: awaitsAttemptGivenUpElsewhere},
	{name: "Run/is dropped after a stop of its attempt", keep: dropsRunAfterStop},
	{name: "Run/is dropped after a stop of a later attempt", keep: dropsRunAfterLaterStop},
	{name: "Run/is dropped if a later attempt was seen", keep: dropsEarlierAttempt},
	{name: "Run/of another step type is left to others", keep: leavesOtherTypes},
	{name: "Run/takes no hosts of a later attempt for its own", keep: readsItsOwnHosts},
	{name: "Run/of a batch is of its hosts", keep: runsItsBatch},
	{name: "Run/is dropped at a gate", keep: dropsRunAtGate},
}

func callsEachHost(x *trial) {
	const hosts = 40
	x.launch()
	job := x.job(spec(hosts))
	x.awaitState(job, step.Succeeded)
	for i := range int32(hosts) {
		x.wantCalls(fmt.Sprintf("host %d of a step that succeeds", i), 1, like(1, i))
	}
}

// A page has 10,000 targets at most.
func readsEveryPage(x *trial) {
	const hosts = 10_050
	x.launch()
	job := x.job(spec(hosts))
	x.soon(x.patience, func() bool { return x.step(job).State == step.Succeeded })
	called := make([]int, hosts)
	for _, c := range x.matching(of(job)) {
		called[c.Index]++
	}
	for i, n := range called {
		if n != 1 {
			x.fatalf("host %d of %d: the function was called %d times, want once", i, hosts, n)
		}
	}
	x.awaitState(job, step.Succeeded)
}

func reportsWhatIsReturned(x *trial) {
	want := []store.Result{
		{Status: step.TargetSucceeded, Detail: "all is well"},
		{Status: step.NonZeroExit, ExitCode: 7, Detail: "seven"},
		{Status: step.NotDelivered},
	}
	x.does(func(c *call) store.Result { return want[c.Index] })
	x.launch()
	job := x.job(spec(len(want)))
	x.awaitState(job, step.Failed)
	for i, w := range want {
		got := x.target(job, int32(i))
		if got.Attempt != 1 || got.Status != w.Status || got.ExitCode != w.ExitCode || got.Detail != w.Detail {
			x.errorf("host %d: the function returned %v, exit code %d, %q, and attempt %d has %v, exit code %d, %q",
				i, w.Status, w.ExitCode, w.Detail, got.Attempt, got.Status, got.ExitCode, got.Detail)
		}
	}
}

func takesAPanicForAFailure(x *trial) {
	x.takesForAFailure("panics", func() { panic("the function panics, as the trial has it") })
}

// The function ends its goroutine, like a test that calls t.FailNow.
func takesAnEndedGoroutineForAFailure(x *trial) {
	x.takesForAFailure("ends its goroutine", runtime.Goexit)
}

// takesForAFailure makes the function fail on more hosts than most executors work on at once, so that
// places that are not given back show.
func (x *trial) takesForAFailure(how string, fails func()) {
	const hosts = 100
	x.does(func(c *call) store.Result {
		if c.Index%2 == 1 {
			fails()
		}
		return success
	})
	x.launch()
	job := x.job(spec(hosts))
	x.awaitState(job, step.Failed)
	for i := range int32(hosts) {
		if got := x.target(job, i).Status; !got.Finished() || got.Success() != (i%2 == 0) {
			x.errorf("host %d is %v, want it failed if its function %s, and else succeeded", i, got, how)
		}
		x.wantCalls(fmt.Sprintf("host %d", i), 1, like(1, i))
	}
	x.does(succeed)
	x.awaitState(x.job(spec(1)), step.Succeeded)
}

func takesNoStatusForAFailure(x *trial) {
	x.does(func(c *call) store.Result {
		return []store.Result{{}, {Status: step.TargetRunning}, {Status: step.TargetSucceeded}}[c.Index]
	})
	x.launch()
	job := x.job(spec(3))
	x.awaitState(job, step.Failed)
	for i := range int32(3) {
		if got := x.target(job, i).Status; !got.Finished() || got.Success() != (i == 2) {
			x.errorf("host %d is %v, want the first two failed and the last one succeeded", i, got)
		}
		x.wantCalls(fmt.Sprintf("host %d", i), 1, like(1, i))
	}
}

func retriesWhatIsDue(x *trial) {
	x.does(func(c *call) store.Result {
		if c.Attempt < 3 && c.Index == 1 {
			return store.Result{Status: step.TargetFailed}
		}
		return success
	})
	x.launch()
	job := x.job(spec(3))
	x.awaitState(job, step.Failed)
	x.operate(job, operation.RetryFailed)
	x.await("the step to fail in attempt 2", func() bool {
		s := x.step(job)
		return s.Attempt == 2 && s.State == step.Failed
	})
	x.operate(job, operation.RetryAll)
	x.awaitState(job, step.Succeeded)
	for i, want := range [][3]int{1: {1, 1, 1}, 2: {0, 1, 0}, 3: {1, 1, 1}} {
		for host, n := range want {
			if i > 0 {
				x.wantCalls(fmt.Sprintf("attempt %d, host %d", i, host), n, like(int32(i), int32(host)))
			}
		}
	}
}

// The run comes a second time while the first is at work: the lease is with the second claim.
func runsOnce(x *trial) {
	x.does(x.held)
	p := x.launch()
	job := x.job(spec(1))
	first := x.awaitCall("the host", of(job))
	x.giveBack(x.take(store.RunTargets))
	x.await("the run to be delivered a second time", func() bool { return p.link.deliveries(store.RunTargets) >= 2 })
	x.rest()
	x.does(succeed)
	lost := first.ctx.Err() != nil
	first.finish(success)
	x.awaitState(job, step.Succeeded)
	if !lost {
		x.wantCalls("a run that was delivered twice while it was at work", 1, of(job))
	}
}

func endsEarlierAttemptsFirst(x *trial) {
	x.does(x.stubborn)
	p := x.launch(store.JobEnded)
	job := x.job(spec(2))
	first := x.awaitCall("host 0 in attempt 1", like(1, 0))
	second := x.awaitCall("host 1 in attempt 1", like(1, 1))
	x.breakDown(job, 1)
	x.operate(job, operation.RetryFailed)
	x.awaitEnd(first, "a later attempt began")
	x.awaitEnd(second, "a later attempt began")
	first.finish(success)
	x.await("the run of attempt 2 to be delivered", func() bool { return p.link.deliveries(store.RunTargets) >= 2 })
	x.rest()
	x.wantCalls("attempt 2 while a function of attempt 1 was at work", 0, like(2, -1))
	x.does(succeed)
	second.finish(success)
	x.awaitState(job, step.Succeeded)
	for i := range int32(2) {
		x.wantCalls(fmt.Sprintf("host %d in attempt 2, after attempt 1 came too late", i), 1, like(2, i))
		if got := x.target(job, i); got.Attempt != 2 {
			x.errorf("host %d has its result in attempt %d, want 2", i, got.Attempt)
		}
	}
}

func awaitsEarlierAttemptElsewhere(x *trial) {
	x.awaitsElsewhere(func(job store.JobID) { x.breakDown(job, 1) })
}

// A person gives the run up while its lease is live.
func awaitsAttemptGivenUpElsewhere(x *trial) { x.awaitsElsewhere(x.giveUp) }

// awaitsElsewhere ends attempt 1 by over, and then retries. The process with attempt 1 gets no effect
// of attempt 2.
func (x *trial) awaitsElsewhere(over func(store.JobID)) {
	x.lease = 2 * x.patience // that of attempt 1 does not end
	x.does(x.stubborn)
	p := x.launch(store.JobEnded)
	job := x.job(spec(1))
	first := x.awaitCall("the host in attempt 1", like(1, 0))
	p.link.withhold(store.RunTargets, store.JobEnded)
	q := x.launch()
	over(job)
	x.operate(job, operation.RetryFailed)
	x.awaitEnd(first, "its attempt was over, and a later one began in another process")
	x.await("the run of attempt 2 to be delivered", func() bool { return q.link.deliveries(store.RunTargets) > 0 })
	x.rest()
	x.wantCalls("attempt 2 while a function of attempt 1 was at work in another process", 0, like(2, -1))
	x.does(succeed)
	first.finish(success)
	x.awaitState(job, step.Succeeded)
	x.wantCalls("attempt 2", 1, like(2, 0))
}

// The run was claimed before the stop, and comes after it.
func dropsRunAfterStop(x *trial) {
	p := x.launch(store.JobEnded) // which would end the run as well
	run := p.link.hold(readDetails)
	job := x.job(spec(2))
	x.await("the run to be claimed", run.isReached)
	x.terminate(job)
	x.soon(2*x.pause, func() bool { return x.step(job).State == step.Terminated }) // the claim may be in the stop's way
	run.open()
	x.awaitState(job, step.Terminated)
	x.rest()
	x.wantCalls("a run that came after its stop", 0, of(job))
}

// The run of attempt 1 was claimed before attempt 2 began, and comes after the stop of that.
func dropsRunAfterLaterStop(x *trial) {
	p := x.launch(store.JobEnded)
	run := p.link.hold(readDetails)
	job := x.job(spec(2))
	x.await("the run of attempt 1 to be claimed", run.isReached)
	p.link.withhold(store.RunTargets, store.JobEnded)
	x.breakDown(job, 1)
	x.operate(job, operation.RetryAll)
	x.terminate(job)
	x.soon(2*x.pause, func() bool { return x.step(job).State == step.Terminated }) // the claim may be in the stop's way
	run.open()
	x.awaitState(job, step.Terminated)
	x.rest()
	x.wantCalls("a run of attempt 1 that came after the stop of attempt 2", 0, of(job))
}

// The run of attempt 1 was claimed before attempt 2 began, and comes after it.
func dropsEarlierAttempt(x *trial) {
	x.does(x.held)
	p := x.launch(store.JobEnded) // which would end the run as well
	run := p.link.hold(readDetails)
	job := x.job(spec(1))
	x.await("the run of attempt 1 to be claimed", run.isReached)
	x.breakDown(job, 1)
	x.operate(job, operation.RetryFailed)
	x.soon(2*x.pause, func() bool { return len(x.matching(like(2, 0))) > 0 }) // the claim may be in its way
	run.open()
	later := x.awaitCall("the host in attempt 2", like(2, 0))
	x.rest()
	x.wantCalls("attempt 1 after attempt 2 was seen", 0, like(1, -1))
	x.wantLive(later, "only an earlier attempt was delivered")
	later.finish(success)
	x.awaitState(job, step.Succeeded)
}

// Attempt 2 begins while the hosts of attempt 1 are read: those that come are of attempt 2.
func readsItsOwnHosts(x *trial) {
	p := x.launch(store.JobEnded)
	page := p.link.hold(readTargets)
	job := x.job(spec(2))
	x.await("the hosts to be read", page.isReached)
	p.link.withhold(store.RunTargets, store.JobEnded)
	x.breakDown(job, 1)
	x.operate(job, operation.RetryFailed)
	page.open()
	x.rest()
	x.wantCalls("attempt 1, of which the hosts came after attempt 2 had begun", 0, like(1, -1))
	p.link.withhold()
	x.awaitState(job, step.Succeeded)
}

func leavesOtherTypes(x *trial) {
	x.launch()
	foreign := spec(1)
	foreign.Type = step.FileTransfer
	other := x.job(foreign)
	x.awaitState(x.job(spec(1)), step.Succeeded)
	x.rest()
	x.wantCalls("a step of another type", 0, of(other))
	x.terminate(other)
	x.rest()
	effects, err := x.eng.Effects(x.ctx(), other, 0, 1000)
	x.must(err)
	for _, d := range effects {
		if d.Effect.ByType() && d.Count > 0 {
			x.errorf("the %v of a step of type %v was claimed %d times, want only those of type %v claimed", d.Effect, d.Type, d.Count, typ)
		}
	}
	if s := x.step(other); s.State != step.Terminating {
		x.errorf("a step of type %v is %v, want its stop left to others", foreign.Type, s.State)
	}
}

// The last host of batch 2 fails at first: the retry is of that host alone. In bk-job #1241, every batch
// ran on all hosts.
func runsItsBatch(x *trial) {
	x.does(func(c *call) store.Result {
		if c.Attempt == 2 && c.Index == 3 {
			return store.Result{Status: step.TargetFailed}
		}
		return success
	})
	x.launch()
	rolling := spec(6)
	rolling.Rolling = step.Rolling{Batches: "2"}
	job := x.job(rolling)
	x.awaitState(job, step.Failed)
	x.operate(job, operation.RetryFailed)
	x.awaitState(job, step.Succeeded)
	for attempt, hosts := range [][]int32{1: {0, 1}, 2: {2, 3}, 3: {3}, 4: {4, 5}} {
		for host := range int32(6) {
			n := 0
			if slices.Contains(hosts, host) {
				n = 1
			}
			if attempt > 0 {
				x.wantCalls(fmt.Sprintf("attempt %d, host %d", attempt, host), n, like(int32(attempt), host))
			}
		}
	}
}

// The run of attempt 1 was claimed before the attempt broke, and comes while the step waits for the end of
// the hold.
func dropsRunAtGate(x *trial) {
	p := x.launch(store.JobEnded)
	run := p.link.hold(readDetails)
	job := x.job(spec(2))
	x.await("the run of attempt 1 to be claimed", run.isReached)
	x.operateJob(job, operation.HoldJob)
	x.breakDown(job, 1)
	x.operate(job, operation.RetryAll)
	x.awaitState(job, step.Gated)
	run.open()
	x.rest()
	x.wantCalls("a run of attempt 1 that came while the step was gated", 0, of(job))
	x.operateJob(job, operation.ResumeJob)
	x.awaitState(job, step.Succeeded)
	for host := range int32(2) {
		x.wantCalls(fmt.Sprintf("attempt 2, host %d", host), 1, like(2, host))
	}
}
