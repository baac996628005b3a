package executortest

import (
	"fmt"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var leasePromises = []promise{
	{name: "Lease/is renewed while functions run", keep: renewsWhileItRuns},
	{name: "Lease/that another process has taken ends the functions", keep: lostLeaseEnds, times: 30},
	{name: "Lease/that has run out ends the functions", keep: leaseThatRanOutEnds, times: 30},
	{name: "Lease/a function that ignores its loss is not called beside itself", keep: notCalledBesideItself},
	{name: "Lease/is renewed although a failure is told and not heard", keep: renewsUnheard},
	{name: "Lease/that is lost ends the functions although a failure is told and not heard", keep: lostLeaseEndsUnheard},
	{name: "Report/is repeated until it is taken", keep: repeatsReports},
	{name: "Report/that is refused settles no run that has hosts left", keep: refusedReportSettlesNothing},
}

var crashPromises = []promise{
	{name: "Crash/the hosts without a result run again, and no others", keep: crashLosesNothing},
	{name: "Crash/after a stop, another process reports it", keep: crashWhileStopping},
}

var shutdownPromises = []promise{
	{name: "Shutdown/reports what has finished", keep: shutdownReports},
	{name: "Shutdown/gives back at once what is not done", keep: shutdownGivesBack, times: 30},
	{name: "Shutdown/waits for functions, and gives nothing back before", keep: shutdownWaits},
	{name: "Shutdown/gives no run back that came twice while a function is at work", keep: shutdownWithTwoDeliveries},
	{name: "Shutdown/a success of a function that it has waited for counts", keep: shutdownTakesSuccess},
}

// A function that runs longer than a lease keeps it.
func renewsWhileItRuns(x *trial) {
	x.lease = 3 * x.short
	x.does(x.held)
	p := x.launch()
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	p.link.withhold(store.RunTargets) // only the other process can claim the run again
	x.launch()
	time.Sleep(x.lease + x.lease/2)
	x.wantLive(c, "its process is alive")
	x.wantCalls("a host that takes longer than a lease", 1, of(job))
	x.does(succeed)
	c.finish(success)
	x.awaitState(job, step.Succeeded)
}

func lostLeaseEnds(x *trial) {
	x.does(x.held)
	x.launch()
	job := x.job(spec(2))
	c := x.awaitCall("host 0", like(1, 0))
	d := x.awaitCall("host 1", like(1, 1))
	taken := x.take(store.RunTargets)
	x.awaitEnd(c, "another process took its lease")
	x.awaitEnd(d, "another process took its lease")
	x.does(succeed)
	x.giveBack(taken)
	x.awaitState(job, step.Succeeded)
}

// The store does not answer: no renewal passes.
func leaseThatRanOutEnds(x *trial) {
	x.lease = x.short
	x.does(x.held)
	p := x.launch()
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	p.link.set(frozen)
	x.awaitEnd(c, "no renewal passed any more")
	x.does(succeed)
	p.link.set(well)
	x.awaitState(job, step.Succeeded)
}

func notCalledBesideItself(x *trial) {
	x.does(x.stubborn)
	p := x.launch()
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	taken := x.take(store.RunTargets)
	x.awaitEnd(c, "another process took its lease")
	x.rest()
	x.giveBack(taken)
	x.await("the run to be delivered a second time", func() bool { return p.link.deliveries(store.RunTargets) >= 2 })
	x.rest()
	x.does(succeed)
	c.finish(success)
	x.awaitState(job, step.Succeeded)
}

// A renewal fails, and the embedder's function that is told of it does not return.
func renewsUnheard(x *trial) {
	x.lease = 5 * x.short // of which half must be enough for a slow machine
	x.does(x.held)
	p := x.launch()
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	heard := x.block()
	p.link.withhold(store.RunTargets) // only the other process can claim the run again
	p.link.set(deaf)
	time.Sleep(x.lease / 2) // a renewal was due
	p.link.set(well)
	x.launch()
	time.Sleep(x.lease + x.lease/2)
	x.wantLive(c, "renewals pass, and only what tells of failures blocks")
	x.wantCalls("a host whose process is alive", 1, of(job))
	close(heard)
	x.does(succeed)
	c.finish(success)
	x.awaitState(job, step.Succeeded)
}

func lostLeaseEndsUnheard(x *trial) {
	x.does(x.held)
	x.launch()
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	heard := x.block()
	taken := x.take(store.RunTargets)
	x.awaitEnd(c, "another process took its lease, and what tells of it blocks")
	close(heard)
	x.does(succeed)
	x.giveBack(taken)
	x.awaitState(job, step.Succeeded)
}

// block keeps Failed from returning until heard is closed.
func (x *trial) block() (heard chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.silence = make(chan struct{})
	return x.silence
}

func repeatsReports(x *trial) {
	const hosts = 3
	p := x.launch()
	p.link.set(failing)
	job := x.job(spec(hosts))
	x.await("a report to be tried a third time while the store fails", func() bool { return p.link.failures() >= 3 })
	p.link.set(well)
	x.awaitState(job, step.Succeeded)
	for i := range int32(hosts) {
		x.wantCalls(fmt.Sprintf("host %d, whose report failed three times", i), 1, like(1, i))
	}
}

// One host has its result when the results of the others are refused, as too long ones are, and then
// are not any more.
func refusedReportSettlesNothing(x *trial) {
	const hosts = 3
	x.does(func(c *call) store.Result {
		if c.Index == 0 {
			return success
		}
		return x.held(c)
	})
	p := x.launch()
	job := x.job(spec(hosts))
	x.await("the result of host 0 to be reported", func() bool { return x.step(job).Succeeded == 1 })
	held := []*call{x.awaitCall("host 1", like(1, 1)), x.awaitCall("host 2", like(1, 2))}
	p.link.set(refusing)
	x.does(succeed)
	for _, c := range held {
		c.finish(success)
	}
	x.await("a report to be refused", func() bool { return p.link.failures() > 0 })
	p.link.set(well)
	x.awaitState(job, step.Succeeded)
	x.wantCalls("the host whose result was taken", 1, like(1, 0))
}

// Two hosts of six have a result when the process dies, one of them a failure.
func crashLosesNothing(x *trial) {
	const hosts, done = 6, 2
	x.lease = x.short
	x.does(func(c *call) store.Result {
		switch c.Index {
		case 0:
			return success
		case 1:
			return store.Result{Status: step.TargetFailed}
		}
		return x.held(c)
	})
	p := x.launch()
	job := x.job(spec(hosts))
	x.await("the results of two hosts to be reported while others are at work", func() bool {
		return x.step(job).Unfinished == hosts-done
	})
	x.awaitCall("host 2", like(1, done))
	p.kill()
	x.does(succeed)
	x.launch()
	x.awaitState(job, step.Failed)
	for i := range int32(hosts) {
		again := x.matching(func(c *call) bool { return c.Index == i && c.process != p })
		if (len(again) > 0) != (i >= done) {
			x.errorf("host %d of %d, of which the first %d had a result: it was called %d times after the crash", i, hosts, done, len(again))
		}
	}
}

func crashWhileStopping(x *trial) {
	x.lease = x.short
	x.does(x.stubborn)
	p := x.launch()
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	x.terminate(job)
	x.awaitEnd(c, "the stop")
	p.kill()
	x.launch()
	x.awaitState(job, step.Terminated)
	x.wantCalls("a job that was stopped", 1, of(job))
}

// One host has finished, a moment ago; one is at work.
func (x *trial) halfDone(hosts int) (*process, store.JobID) {
	x.does(func(c *call) store.Result {
		if c.Index == 0 {
			return success
		}
		return x.eager(c)
	})
	p := x.launch()
	job := x.job(spec(hosts))
	x.awaitCall("host 1", like(1, 1))
	x.await("the function to return for host 0", func() bool {
		c := x.awaitCall("host 0", like(1, 0))
		x.mu.Lock()
		defer x.mu.Unlock()
		return c.returned
	})
	return p, job
}

func shutdownReports(x *trial) {
	p, job := x.halfDone(2)
	p.shutDown()
	if s := x.step(job); s.Succeeded != 1 || s.State != step.Running {
		x.errorf("after a shutdown the step is %v with %d hosts succeeded, want it running with the one that had finished",
			s.State, s.Succeeded)
	}
	x.does(succeed)
	x.launch()
	x.awaitState(job, step.Succeeded)
	x.wantCalls("the host that had finished before the shutdown", 1, like(1, 0))
}

func shutdownGivesBack(x *trial) {
	const hosts = 50         // more than most executors work on at once
	x.lease = 2 * x.patience // so that it cannot run out
	p, job := x.halfDone(hosts)
	close(x.alarm)
	p.shutDown()
	x.wantDue(job)
	x.does(succeed)
	q := x.launch()
	x.awaitState(job, step.Succeeded)
	for i := range int32(hosts) {
		again := x.matching(func(c *call) bool { return c.Index == i && c.process == q })
		if (len(again) > 0) != (i > 0) {
			x.errorf("host %d of %d, of which the first had finished: it was called %d times after the shutdown", i, hosts, len(again))
		}
	}
}

// wantDue notes an error unless the run of a job is due, and has not failed.
func (x *trial) wantDue(job store.JobID) {
	now := step.At(time.Now())
	effects, err := x.eng.Effects(x.ctx(), job, 0, 1000)
	x.must(err)
	for _, d := range effects {
		if d.Effect == store.RunTargets && d.NotBefore <= now && d.Failures == 0 {
			return
		}
	}
	x.errorf("after a shutdown the effects are %+v, want the run, due at once and without a failure", effects)
}

func shutdownWaits(x *trial) {
	x.does(x.stubborn)
	p := x.launch()
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	q := x.launch()
	p.end()
	x.awaitEnd(c, "the end of its process")
	time.Sleep(3 * x.pause)
	x.wantCalls("a function that is still at work in a process that is to end", 1, of(job))
	x.does(succeed)
	c.finish(success)
	x.await("the process to return", func() bool { return !p.alive() })
	x.awaitState(job, step.Succeeded)
	if !q.alive() {
		x.errorf("the other process has returned")
	}
}

// The lease is with the second delivery, which waits for the first.
func shutdownWithTwoDeliveries(x *trial) {
	x.does(x.stubborn)
	p := x.launch()
	job := x.job(spec(1))
	c := x.awaitCall("the host", of(job))
	x.giveBack(x.take(store.RunTargets))
	x.await("the run to be delivered a second time", func() bool { return p.link.deliveries(store.RunTargets) >= 2 })
	x.rest()
	p.end()
	x.awaitEnd(c, "the end of its process")
	x.launch()
	time.Sleep(3 * x.pause)
	x.wantCalls("a function that is still at work in a process that is to end", 1, of(job))
	x.does(succeed)
	c.finish(success)
	x.await("the process to return", func() bool { return !p.alive() })
	x.awaitState(job, step.Succeeded)
}

func shutdownTakesSuccess(x *trial) {
	x.does(x.stubborn)
	p := x.launch()
	job := x.job(spec(2))
	c := x.awaitCall("host 0", like(1, 0))
	d := x.awaitCall("host 1", like(1, 1))
	p.end()
	x.awaitEnd(c, "the end of its process")
	c.finish(success)
	d.finish(interrupted)
	p.shutDown()
	if s := x.step(job); s.Succeeded != 1 || s.State != step.Running {
		x.errorf("after a shutdown the step is %v with %d hosts succeeded, want it running with the one that succeeded meanwhile",
			s.State, s.Succeeded)
	}
	x.does(succeed)
	x.launch()
	x.awaitState(job, step.Succeeded)
	x.wantCalls("the host that succeeded during the shutdown", 1, like(1, 0))
	x.wantCalls("the host that was interrupted by the shutdown", 2, like(1, 1))
}
