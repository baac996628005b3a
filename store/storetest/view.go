package storetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var viewPromises = []promise{
	{"View/has the header and the step in question", viewStep},
	{"View/step 0 is the current step", viewCurrent},
	{"View/next is the step after it, or none", viewNext},
	{"View/a job that does not exist is not found", viewNoJob},
	{"View/a step that does not exist is not found", viewNoStep},
	{"View/targets come in the order asked for, without names", viewTargets},
	{"View/targets that the step does not have are left out", viewNoTargets},
	{"View/replay is the record that carries the request", viewReplay},
	{"View/replay is none for a request that no record of the job carries", viewNoReplay},
	{"View/replay is found however long the history", viewLongReplay},
	{"View/is of one moment", viewMoment},

	{"Created/is the record that made the job", created},
	{"Created/is not found for a request that made no job", notCreated},
	{"Created/is of exactly the scope, and the zero scope means none", createdScope},
}

// viewStep views every step of a job whose steps all differ.
func viewStep(x trial) {
	specs := []step.Spec{
		timed(script("a", 3), time.Hour),
		{Type: step.FileTransfer, Name: "b", Targets: []string{"x"}, IgnoreErrors: true, Payload: "files"},
		{Type: step.Confirmation, Name: "c", Confirmers: []string{"bob", "alice"}, Timeout: time.Minute, OnTimeout: step.ConfirmOnTimeout},
		{Type: step.Confirmation, Name: "d", Confirmers: []string{}},
		{Type: step.SQL, Name: "e", Targets: []string{"y", "z"}},
		{Type: step.Confirmation, Name: "a timeout and nothing else", Timeout: time.Minute},
		{Type: step.Confirmation, Name: "a decision and nothing else", OnTimeout: step.ConfirmOnTimeout},
		{Type: step.Confirmation, Name: "a payload and nothing else", Payload: "x"},
		{Type: step.Confirmation, Name: "a list and nothing else", Confirmers: []string{"alice"}},
		{Type: step.Confirmation, Name: "nothing else"},
	}
	j := x.started(1, teamA, t0, specs...)
	for id := range step.ID(len(specs)) {
		equal(x, fmt.Sprintf("View of step %d", id+1), x.view(store.Query{Scope: teamA, Job: 1, Step: id + 1}), j.view(id+1))
	}
}

func viewCurrent(x trial) {
	j := x.started(1, teamA, t0, script("a", 1), script("b", 1), confirmation("c"))
	for range 2 {
		equal(x, fmt.Sprintf("View of step 0 while %d is the current one", j.Current), x.view(store.Query{Job: 1}), j.view(j.Current))
		x.do(j, j.report(t0, all(step.TargetSucceeded, 0, 1)))
	}
	equal(x, "View of step 0 while the last is the current one", x.view(store.Query{Job: 1}), j.view(3))
}

func viewNext(x trial) {
	x.create(create(1, teamA, t0, script("a", 1), script("b", 1), script("c", 1)))
	for id, next := range map[step.ID]step.ID{1: 2, 2: 3, 3: 0} {
		equal(x, fmt.Sprintf("View of step %d of 3, Next.ID", id), x.view(store.Query{Job: 1, Step: id}).Next.ID, next)
	}
}

var viewNoJob = noJob("View", func(x trial, id store.JobID) error {
	_, err := x.View(x.Context(), store.Query{Job: id})
	return err
})

func viewNoStep(x trial) {
	x.create(create(1, teamA, t0, script("a", 1), script("b", 1)))
	for _, id := range []step.ID{-1, 3, 1 << 40} {
		_, err := x.View(x.Context(), store.Query{Job: 1, Step: id})
		x.is(err, store.ErrNotFound, "View(step %d) of a job of 2 steps", id)
	}
}

func viewTargets(x trial) {
	j := x.started(1, teamA, t0, script("a", 5), script("b", 5))
	x.do(j, j.report(t0+1, map[int32]step.Status{0: step.TargetSucceeded, 2: step.TargetRunning, 4: step.ScriptTimedOut}))
	for _, asked := range [][]int32{{}, {3}, {0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 2, 0, 2}} {
		same(x, fmt.Sprintf("View of targets %d, Targets", asked), x.view(store.Query{Job: 1, Targets: asked}).Targets, j.view(1, asked...).Targets)
	}
	same(x, "View of targets of the other step", x.view(store.Query{Job: 1, Step: 2, Targets: []int32{4, 0}}).Targets, j.view(2, 4, 0).Targets)
}

func viewNoTargets(x trial) {
	j := x.started(1, teamA, t0, script("a", 3), script("b", 9), confirmation("c"))
	asked := []int32{7, 1, -1, 3, 2, 1 << 30, -1 << 31}
	same(x, fmt.Sprintf("View of targets %d of a step of 3", asked), x.view(store.Query{Job: 1, Targets: asked}).Targets, j.view(1, 1, 2).Targets)
	same(x, "View of targets of a confirmation", x.view(store.Query{Job: 1, Step: 3, Targets: asked}).Targets, nil)
}

func viewReplay(x trial) {
	j := x.started(1, teamA, t0, script("a", 2), script("b", 1))
	x.do(j, j.report(t0+1, all(step.TargetSucceeded, 0, 2)))
	for _, r := range j.records {
		for id := range step.ID(3) {
			v := x.view(store.Query{Job: 1, Step: id, Request: r.Request})
			equal(x, fmt.Sprintf("View(step %d, the request of record %d), Replay", id, r.Seq), v.Replay, &r)
			v.Replay = nil
			equal(x, "the rest of a View with a Replay", v, j.view(id))
		}
	}
}

func viewNoReplay(x trial) {
	j := x.create(create(1, teamA, t0, script("a", 2)))
	x.started(2, teamA, t0, script("a", 2))
	c := then(start(j.view(1), t0), j.with(start(j.view(1), t0)).report(t0, nil))
	c.Records[1].Request = store.RequestID{}
	x.do(j, c)
	for what, request := range map[string]store.RequestID{
		"a request that nobody made": requestOf(1, 99), "a request of another job": requestOf(2, 1), "the zero request": {},
	} {
		if r := x.view(store.Query{Job: 1, Request: request}).Replay; r != nil {
			x.Errorf("View with %s: got Replay %+v, want none", what, *r)
		}
	}
}

func viewLongReplay(x trial) {
	j := x.started(1, teamA, t0, script("a", 1))
	for range 300 {
		x.do(j, j.report(t0, all(step.TargetRunning, 0, 1)))
	}
	for _, seq := range []int{1, 2, 3, 40, 170, 301, 302} {
		want := j.records[seq-1]
		equal(x, fmt.Sprintf("View with the request of record %d of 302, Replay", seq), x.view(store.Query{Job: 1, Request: want.Request}).Replay, &want)
	}
}

// viewMoment reads while another commits: each commit lets one more target
// succeed and notes its version on target 0, so that a view tells whether its
// parts belong together.
func viewMoment(x trial) {
	const commits = 120
	j := x.started(1, teamA, t0, script("a", commits+2), script("b", 1))
	asked := []int32{0, 1, 50, 99}
	x.meanwhile(j, commits, func(j *job, i int32) store.Change {
		return j.report(t0, map[int32]step.Status{0: step.TargetRunning, i + 1: step.TargetSucceeded})
	}, func() func() bool {
		last := store.Seq(2)
		return func() bool {
			v, err := x.View(x.Context(), store.Query{Job: 1, Targets: asked, Request: requestOf(1, 60)})
			at := v.Job.Version
			switch {
			case err != nil || len(v.Targets) != len(asked):
				x.Errorf("View while others commit: got %+v and error %v, want %d targets", v, err, len(asked))
				return false
			case at < last:
				x.Errorf("View while others commit: got version %d after %d", at, last)
			case v.Step.Succeeded != int32(at)-2, at > 2 && v.Targets[0].ExitCode != int32(at), (v.Replay != nil) != (at >= 60):
				x.Errorf("View while others commit: got version %d with a step of %d successes, a target of version %d and Replay %v: parts of different moments",
					at, v.Step.Succeeded, v.Targets[0].ExitCode, v.Replay)
			}
			for _, t := range v.Targets[1:] {
				if t.Status.Success() != (int32(at)-2 >= t.Index) {
					x.Errorf("View while others commit: got version %d with target %d %v: parts of different moments", at, t.Index, t.Status)
				}
			}
			last = at
			return true
		}
	})
}

// meanwhile changes j by several commits while two readers look again and again, from before the
// first one on, each until a look returns false.
func (x trial) meanwhile(j *job, commits int32, change func(j *job, i int32) store.Change, reader func() (look func() bool)) {
	var readers, ready sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		look := reader()
		ready.Add(1)
		readers.Go(func() {
			first := sync.OnceFunc(ready.Done)
			defer first()
			for look() {
				first()
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	ready.Wait()
	for i := range commits {
		c := change(j, i)
		if err := x.Commit(x.Context(), c); err != nil {
			x.Errorf("Commit while others read: got error %v, want none", err)
			break
		}
		j = j.with(c)
	}
	close(done)
	readers.Wait()
}

func created(x trial) {
	x.create(create(1, teamA, t0, script("a", 1)))
	j := x.started(2, teamA, t0, script("b", 1))
	x.do(j, j.report(t0, all(step.TargetSucceeded, 0, 1)))
	got, err := x.Created(x.Context(), teamA, requestOf(2, 1))
	x.ok(err, "Created with the request that made job 2")
	equal(x, "Created with the request that made job 2", got, j.records[0])
}

func notCreated(x trial) {
	x.started(1, teamA, t0, script("a", 1))
	for what, request := range map[string]store.RequestID{"that nobody made": requestOf(9, 9), "that started a job": requestOf(1, 2)} {
		_, err := x.Created(x.Context(), teamA, request)
		x.is(err, store.ErrNotFound, "Created with a request %s", what)
	}
}

func createdScope(x trial) {
	for i, scope := range []store.Scope{teamA, {}} {
		c := create(store.JobID(i+1), scope, t0, script("a", 1))
		x.create(c)
		for _, other := range []store.Scope{teamA, teamB, {}, {Type: scope.Type}, {ID: scope.ID}} {
			got, err := x.Created(x.Context(), other, c.Records[0].Request)
			if other != scope {
				x.is(err, store.ErrNotFound, "Created in scope %+v with the request that made a job in %+v", other, scope)
				continue
			}
			x.ok(err, "Created in scope %+v", scope)
			equal(x, fmt.Sprintf("Created in scope %+v", scope), got, c.Records[0])
		}
	}
}
