package executor_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A step at its maximum of places keeps no place from other steps.
func TestAStepAtItsBoundKeepsNoPlace(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(3), executor.AtOncePerStep(2), executor.Hosts(step.Script, l.work(time.Minute)))
		l.job(nil, "a", "b", "c", "d")
		pass(time.Second)
		l.called("a", "b")
		l.job(nil, "e", "f")
		pass(time.Second)
		l.called("a", "b", "e")
		pass(time.Minute)
		if l.most != 3 {
			t.Errorf("%d hosts were worked on at once, want 3", l.most)
		}
	})
}

// A step that has all places gives every second one to the next step.
func TestPlacesAreShared(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(4), executor.Hosts(step.Script, l.work(time.Minute)))
		big := l.job(nil, numbered(400)...)
		pass(time.Second)
		small := l.job(nil, numbered(4)...)
		pass(time.Minute) // until the first four have returned
		byJob := map[store.JobID]int{}
		for _, job := range []store.JobID{big, small} {
			byJob[job] = int(l.state(job).Succeeded)
		}
		pass(time.Minute + time.Second)
		if got := l.state(small).Succeeded; got != 2 {
			t.Errorf("%d hosts of the small step are done, want 2 of the first 4 places", got)
		}
		pass(time.Minute)
		l.is(small, step.Succeeded)
	})
}

// Steps have equal parts of the places, however long their functions take.
func TestSlowStepsTakeNoMorePlaces(t *testing.T) {
	inLab(t, func(l *lab) {
		slow := l.job(nil, numbered(400)...)
		l.start(executor.AtOnce(4), executor.Hosts(step.Script, func(ctx context.Context, task *executor.Task, h executor.Host) store.Result {
			if task.Job.ID == slow {
				return l.work(time.Minute)(ctx, task, h)
			}
			return l.work(time.Second)(ctx, task, h)
		}))
		pass(time.Second)
		quick := l.job(nil, numbered(400)...)
		pass(89*time.Second + 300*time.Millisecond) // for the first minute, the slow step has them all
		if got := l.state(quick).Succeeded; got != 60 {
			t.Errorf("%d quick hosts are done after 90 s, want 60: 2 of 4 places for 30 s", got)
		}
	})
}

// A host that waits because its name is in use delays no other host, and no other step.
func TestAHostAtItsBoundHoldsUpNoOther(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(2), executor.AtOncePerHost(1), executor.Hosts(step.Script, l.work(time.Minute)))
		l.job(nil, "a")
		pass(time.Second)
		for range 5 {
			l.job(nil, "a") // more than there are places
		}
		l.job(nil, "a", "b")
		pass(time.Second)
		l.called("a", "b")
		pass(8 * time.Minute)
		l.called("a", "a", "a", "a", "a", "a", "a", "b")
		if l.most != 2 {
			t.Errorf("%d hosts were worked on at once, want 2", l.most)
		}
	})
}

// Hosts that wait for their names do not keep the hosts after them from running, beyond the page too.
func TestAPageOfBusyHosts(t *testing.T) {
	inLab(t, func(l *lab) {
		busy := numbered(600)
		l.start(executor.AtOnce(601), executor.AtOncePerHost(1), executor.Hosts(step.Script, l.work(time.Hour)))
		l.job(nil, busy...)
		pass(time.Second)
		l.job(nil, append(busy, "free")...)
		pass(time.Second)
		l.called(append(busy, "free")...)
	})
}

// A step function has one place for any number of hosts, and no name.
func TestAStepFunctionHasOnePlace(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(2), executor.AtOncePerStep(1), executor.AtOncePerHost(1), executor.Steps(step.Script,
			func(ctx context.Context, task *executor.Task) store.Result {
				return l.work(time.Minute)(ctx, task, executor.Host{Name: "all"})
			}))
		jobs := []store.JobID{l.job(nil, "a", "b"), l.job(nil, "a", "b"), l.job(nil, "a", "b")}
		pass(61 * time.Second)
		var states []step.State
		for _, job := range jobs {
			states = append(states, l.state(job).State)
		}
		if !slices.Equal(states, []step.State{step.Succeeded, step.Succeeded, step.Running}) {
			t.Errorf("the steps are %v, want two done", states)
		}
	})
}

// An executor claims no more steps than it has places.
func TestStepsAreLeftToOthers(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(2), executor.Hosts(step.Script, l.work(time.Hour)))
		var jobs []store.JobID
		for range 10 {
			jobs = append(jobs, l.job(nil, "a"))
		}
		pass(time.Minute)
		claimed := 0
		for _, job := range jobs {
			left, err := l.eng.Effects(l.Context(), job, 0, 0)
			l.must(err)
			if left[0].Count > 0 {
				claimed++
			}
		}
		if claimed != 2 {
			t.Errorf("%d steps are claimed, want 2", claimed)
		}
	})
}

// Results that cannot be reported delay their own step, and no other.
func TestResultsThatWaitHoldUpTheirStep(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(2), executor.Hosts(step.Script, l.work(time.Millisecond)))
		bad := l.job(nil, numbered(20_000)...)
		l.src.set(func() {
			l.src.reportHook = func(job store.JobID) error {
				if job == bad {
					return errCut
				}
				return nil
			}
		})
		pass(time.Minute)
		if n := len(l.calls); n < 4000 || n > 4000+1000+2 {
			t.Errorf("%d hosts were worked on, want 4,000 that wait and one report more", n)
		}
		good := l.job(nil, numbered(100)...)
		pass(time.Second)
		l.is(good, step.Succeeded)
		l.src.set(func() { l.src.reportHook = nil })
		pass(time.Minute)
		l.is(bad, step.Succeeded)
		if n := len(l.calls); n != 20_100 {
			t.Errorf("%d hosts were worked on, want each once", n)
		}
	})
}

// Steps run with the maximum of places.
func TestTheMostPlaces(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(1<<20), executor.AtOncePerStep(1<<20), executor.AtOncePerHost(1<<20),
			executor.Hosts(step.Script, l.work(time.Second)))
		job := l.job(nil, numbered(100)...)
		pass(5 * time.Second)
		l.is(job, step.Succeeded)
		if l.most != 100 {
			t.Errorf("%d functions were at work at once, want 100", l.most)
		}
	})
}
