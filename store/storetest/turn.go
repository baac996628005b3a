package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var turnPromises = []promise{
	{"Turn/is free while fewer than the limit have one", turnLimit},
	{"Turn/of many that take the last ones at once as many pass", turnRace},
	{"Turn/is not free for a job that comes while others wait", turnNotOvertaken},
	{"Turn/a job begins to wait only if none is free", turnWait},
	{"Turn/comes to jobs in the order in which they began to wait", turnOrder},
	{"Turn/a job can always leave, with or without a turn", turnLeave},
	{"Turn/that became free is due for the first that waits, from the time of the commit", turnDue},
	{"Turn/a job that leaves the queue makes way for the next", turnWay},
	{"Turn/more room than one job needs is due for the next", turnRoom},
	{"Turn/each job has a limit of its own, and holds up those behind it", turnNarrow},
	{"Turn/keys and scopes are apart", turnApart},
	{"Turn/is kept, and so is a place, by a change that does not move it", turnKept},
	{"Turn/a move counts whatever the job had before", turnAnew},
	{"Turn/any course of moves leads where the rules say", turnCourse},
	{"Turn/moves of many jobs at once go through", turnCrowd},
}

// keyed returns c, of a job that takes turns.
func keyed(c store.Change, key string, limit int32) store.Change {
	c.Job.Policy = &store.JobPolicy{Turn: store.Turn{Key: key, Limit: limit}}
	return c
}

// turn returns a change that does something about the turn of v's job, and moves the current step, which
// is v's, as it must.
func turn(v store.View, at step.Time, m store.TurnMove) store.Change {
	has, gate, to := v.Job.HasTurn, v.Step.Gate, v.Step.State
	switch m {
	case store.TakeTurn:
		has, gate, to = true, store.Gate{}, entered(v.Step)
	case store.WaitTurn:
		has, gate, to = false, store.Gate{Reason: step.TurnGate, Then: step.RunAll}, step.Gated
	case store.LeaveTurn:
		has, gate, to = false, store.Gate{}, step.Terminated
	}
	c := move(v, at, store.Record{Cause: step.JobCause(40), Gate: gate}, to)
	c.Job.HasTurn, c.Job.Gate, c.Turn = has, gate.Reason, m
	c.Steps[0].Gate = gate
	return c
}

// A queue is a dumb model of the turns of all jobs, whatever their keys, and follows the store.
type queue struct {
	trial
	jobs    []*job // by id, from 1
	waiting []store.JobID
	due     map[store.JobID]step.Time
	now     step.Time
}

// queue creates jobs of the key "deploy" in teamA with these limits.
func (x trial) queue(limits ...int32) *queue {
	x.Helper()
	q := &queue{trial: x, due: map[store.JobID]step.Time{}, now: t0}
	for _, limit := range limits {
		q.add(teamA, "deploy", limit)
	}
	return q
}

func (q *queue) add(scope store.Scope, key string, limit int32) {
	q.Helper()
	id := store.JobID(len(q.jobs) + 1)
	q.jobs = append(q.jobs, q.create(keyed(create(id, scope, q.now, script("a", 1), script("b", 1)), key, limit)))
}

func (q *queue) job(id store.JobID) *job { return q.jobs[id-1] }

// rivals returns the jobs of the key of job id: the number of others that have a turn, and those that
// wait, in order.
func (q *queue) rivals(id store.JobID) (holders int32, waiting []store.JobID) {
	meets := func(other *job) bool {
		j := q.job(id)
		return other.Scope == j.Scope && other.Policy.Turn.Key == j.Policy.Turn.Key
	}
	for _, other := range q.jobs {
		if meets(other) && other.HasTurn && other.ID != id {
			holders++
		}
	}
	for _, other := range q.waiting {
		if meets(q.job(other)) {
			waiting = append(waiting, other)
		}
	}
	return holders, waiting
}

// free reports whether a turn is free for a job.
func (q *queue) free(id store.JobID) bool {
	holders, waiting := q.rivals(id)
	return holders < q.job(id).Policy.Turn.Limit && (len(waiting) == 0 || waiting[0] == id)
}

// follow makes the change that a job has made to the store.
func (q *queue) follow(id store.JobID, c store.Change) {
	q.jobs[id-1] = q.job(id).with(c)
	if c.Turn != store.NoTurn {
		q.waiting = slices.DeleteFunc(q.waiting, func(other store.JobID) bool { return other == id })
		delete(q.due, id)
	}
	if c.Turn == store.WaitTurn {
		q.waiting = append(q.waiting, id)
	}
	for _, first := range q.waiting {
		if _, woken := q.due[first]; !woken && q.free(first) {
			q.due[first] = c.Job.Updated
		}
	}
}

// do commits a move of each of some jobs, one after the other. Each must pass, or be a conflict that
// changes nothing, as the rules say.
func (q *queue) do(m store.TurnMove, ids ...store.JobID) {
	q.Helper()
	for _, id := range ids {
		q.now++
		q.try(id, turn(q.job(id).view(0), q.now, m))
	}
}

func (q *queue) try(id store.JobID, c store.Change) {
	q.Helper()
	err := q.Commit(q.Context(), c)
	if free := q.free(id); c.Turn == store.TakeTurn && !free || c.Turn == store.WaitTurn && free {
		q.is(err, store.ErrConflict, "Commit of turn move %d of job %d, with a turn free for it: %t", c.Turn, id, free)
	} else {
		q.ok(err, "Commit of turn move %d of job %d, with a turn free for it: %t", c.Turn, id, free)
		q.follow(id, c)
	}
	q.stands(fmt.Sprintf("after turn move %d of job %d", c.Turn, id))
}

// stands compares what the store shows of turns with the model.
func (q *queue) stands(when string) {
	q.Helper()
	var due []store.Overdue
	for _, j := range q.jobs {
		v := j.view(0)
		v.Turn = q.free(j.ID)
		equal(q.trial, fmt.Sprintf("View of job %d, %s", j.ID, when), q.view(store.Query{Job: j.ID}), v)
		if at, woken := q.due[j.ID]; woken {
			due = append(due, store.Overdue{Job: j.ID, Step: j.Current, Attempt: j.steps[j.Current-1].Attempt, Due: at})
		}
	}
	slices.SortStableFunc(due, func(a, b store.Overdue) int { return int(a.Due - b.Due) })
	same(q.trial, "Overdue at the end, "+when, q.overdue(store.Scope{}, never, most), due)
}

// are ends the trial unless the model says that exactly these jobs have turns, and that those wait.
func (q *queue) are(holding, waiting []store.JobID) {
	q.Helper()
	var holders []store.JobID
	for _, j := range q.jobs {
		if j.HasTurn {
			holders = append(holders, j.ID)
		}
	}
	if !slices.Equal(holders, holding) || !slices.Equal(q.waiting, waiting) {
		q.Fatalf("jobs %d have turns and %d wait, want %d and %d", holders, q.waiting, holding, waiting)
	}
}

func ids(ids ...store.JobID) []store.JobID { return ids }

func turnLimit(x trial) {
	q := x.queue()
	for limit := range int32(3) {
		for range 4 {
			q.add(teamA, fmt.Sprint("limit ", limit+1), limit+1)
		}
	}
	for _, j := range q.jobs {
		q.do(store.TakeTurn, j.ID)
	}
	q.are(ids(1, 5, 6, 9, 10, 11), nil)
}

func turnRace(x trial) {
	for _, limit := range []int32{1, 3} {
		var racing sync.WaitGroup
		var passed atomic.Int32
		var takes []store.Change
		for i := range 12 {
			j := x.create(keyed(create(store.JobID(limit)*100+store.JobID(i), teamA, t0, script("a", 1)), fmt.Sprint("limit ", limit), limit))
			takes = append(takes, turn(j.view(0), t0, store.TakeTurn))
		}
		for _, take := range takes { // all jobs are there: nothing but the takes is under way
			racing.Go(func() {
				switch err := x.Commit(x.Context(), take); {
				case err == nil:
					passed.Add(1)
				default:
					x.is(err, store.ErrConflict, "Commit of one of 12 jobs that take a turn at once")
				}
			})
		}
		racing.Wait()
		equal(x, fmt.Sprintf("of 12 jobs that take one of %d turns at once, those that pass", limit), passed.Load(), limit)
	}
}

func turnNotOvertaken(x trial) {
	q := x.queue(1, 1, 1)
	q.do(store.TakeTurn, 1)
	q.do(store.WaitTurn, 2)
	q.do(store.LeaveTurn, 1)
	q.do(store.TakeTurn, 3, 1) // a turn is free, and job 2 waits
	q.do(store.WaitTurn, 3, 1)
	q.are(nil, ids(2, 3, 1))
}

func turnWait(x trial) {
	q := x.queue(1, 2, 2)
	q.do(store.WaitTurn, 1, 2)
	q.are(nil, nil)
	q.do(store.TakeTurn, 1)
	q.do(store.WaitTurn, 2)
	q.are(ids(1), nil)
	q.do(store.TakeTurn, 2)
	q.do(store.WaitTurn, 3)
	q.are(ids(1, 2), ids(3))
}

func turnOrder(x trial) {
	q := x.queue(2, 2, 2, 2, 2, 2, 2)
	q.do(store.TakeTurn, 4, 2)
	q.do(store.WaitTurn, 7, 1, 6, 3, 5)
	for _, next := range ids(4, 2, 7, 1, 6) {
		q.do(store.LeaveTurn, next)
		q.do(store.TakeTurn, 5, 3, 6, 1, 7) // the first that waits is refused to no one else
	}
	q.are(ids(3, 5), nil)
}

func turnLeave(x trial) {
	q := x.queue(1, 1, 1, 1)
	q.do(store.LeaveTurn, 4) // it never had one
	q.do(store.TakeTurn, 1)
	q.do(store.WaitTurn, 2, 3)
	q.do(store.LeaveTurn, 3, 1, 2, 1, 3)
	q.are(nil, nil)
	q.do(store.TakeTurn, 3)
	q.are(ids(3), nil)
}

func turnDue(x trial) {
	q := x.queue(2, 2, 2, 2)
	q.do(store.TakeTurn, 1, 2)
	q.do(store.WaitTurn, 3, 4)
	q.now += 1000
	q.do(store.LeaveTurn, 1)
	due := []store.Overdue{{Job: 3, Step: 1, Due: q.now}}
	same(x, "Overdue 1 ms before the turn became free", x.overdue(teamA, q.now-1, 9), nil)
	same(x, "Overdue when the turn became free", x.overdue(teamA, q.now, 9), due)
	same(x, "Overdue again", x.overdue(teamA, never, 9), due)
	same(x, "Overdue of another scope", x.overdue(teamB, never, 9), nil)
	q.do(store.TakeTurn, 3)
	same(x, "Overdue once the turn is taken", x.overdue(teamA, never, 9), nil)
}

func turnWay(x trial) {
	q := x.queue(1, 1, 1, 1)
	q.do(store.TakeTurn, 1)
	q.do(store.WaitTurn, 2, 3, 4)
	q.do(store.LeaveTurn, 3, 1, 2)
	same(x, "Overdue once the one that was due has left", x.overdue(teamA, never, 9), []store.Overdue{{Job: 4, Step: 1, Due: q.now}})
	q.do(store.TakeTurn, 4)
	q.are(ids(4), nil)
}

func turnRoom(x trial) {
	q := x.queue(3, 3, 3, 3, 3, 3)
	q.do(store.TakeTurn, 1, 2, 3)
	q.do(store.WaitTurn, 4, 5, 6)
	q.do(store.LeaveTurn, 1, 2, 3)
	q.do(store.TakeTurn, 6, 4, 6, 5, 6)
	q.are(ids(4, 5, 6), nil)
}

func turnNarrow(x trial) {
	q := x.queue(3, 3, 1, 3, 2)
	q.do(store.TakeTurn, 1, 2)
	q.do(store.WaitTurn, 3, 4, 5) // job 3 needs an empty road, and job 4 behind it does not overtake it
	q.do(store.LeaveTurn, 1)
	q.do(store.TakeTurn, 3, 4, 5)
	q.are(ids(2), ids(3, 4, 5))
	q.do(store.LeaveTurn, 3) // and without it there is room for both
	q.do(store.TakeTurn, 5, 4, 5)
	q.are(ids(2, 4), ids(5))
	q.do(store.LeaveTurn, 2)
	q.do(store.TakeTurn, 5)
	q.are(ids(4, 5), nil)
}

func turnApart(x trial) {
	q := x.queue(1, 1)
	q.add(teamB, "deploy", 1)
	q.add(teamB, "deploy", 1)
	q.add(store.Scope{}, "deploy", 1)
	q.add(teamA, "Deploy", 1)
	q.add(teamA, "deploy ", 1)
	x.started(99, teamA, t0, script("a", 1)) // and a job without a key
	q.do(store.TakeTurn, 1, 3, 5, 6, 7, 2, 4)
	q.do(store.WaitTurn, 2, 4)
	q.do(store.LeaveTurn, 3)
	q.do(store.TakeTurn, 2, 4)
	q.are(ids(1, 4, 5, 6, 7), ids(2))
}

func turnKept(x trial) {
	q := x.queue(1, 1, 1)
	q.do(store.TakeTurn, 1)
	q.do(store.WaitTurn, 2, 3)
	q.do(store.NoTurn, 1, 2, 3)
	q.are(ids(1), ids(2, 3))
	onward := func(id store.JobID) { // its second step waits instead of the first
		q.now++
		j := q.job(id)
		c := turn(j.view(1), q.now, store.NoTurn)
		next := j.steps[1]
		c.Steps[0].State, c.Steps[0].Gate, next.State, next.Gate = step.Skipped, store.Gate{}, step.Gated, c.Steps[0].Gate
		c.Steps, c.Job.Current, c.Records[0].Entered = append(c.Steps, next), 2, 2
		q.try(id, c)
	}
	onward(2)
	q.do(store.LeaveTurn, 1)
	same(x, "Overdue of a job whose second step waits", x.overdue(teamA, never, 9), []store.Overdue{{Job: 2, Step: 2, Due: q.now}})
	q.do(store.LeaveTurn, 2)
	freed := q.now
	onward(3)
	same(x, "Overdue of a job whose second step waits, and a turn was free before", x.overdue(teamA, never, 9), []store.Overdue{{Job: 3, Step: 2, Due: freed}})
}

func turnAnew(x trial) {
	q := x.queue(1, 1, 2, 1)
	q.do(store.TakeTurn, 1, 1)
	q.do(store.WaitTurn, 1) // its own turn is free for it
	q.do(store.WaitTurn, 2, 4)
	q.do(store.WaitTurn, 1) // behind both, and its turn is given back
	q.are(nil, ids(2, 4, 1))
	q.do(store.WaitTurn, 2) // it is first, and a turn is free
	q.do(store.WaitTurn, 4) // it is not, and goes to the end
	q.are(nil, ids(2, 1, 4))
	q.do(store.TakeTurn, 2, 2)
	q.are(ids(2), ids(1, 4))
}

func turnCourse(x trial) {
	q := x.queue(1, 2, 3, 2)
	q.add(teamA, "other", 1)
	q.add(teamA, "other", 2)
	q.add(teamB, "deploy", 1)
	draw := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		m := store.TurnMove(draw.IntN(4))
		q.do(m, store.JobID(draw.IntN(len(q.jobs))+1))
	}
}

// turnCrowd lets jobs of a few keys take, wait and leave at once, as the views say, and looks at the
// end whether as many have a turn as have taken one and not left.
func turnCrowd(x trial) {
	const jobs, keys, limit = 12, 3, 2
	var crowd sync.WaitGroup
	ends := make([]*job, jobs)
	for i := range jobs {
		ends[i] = x.create(keyed(create(store.JobID(i+1), teamA, t0, script("a", 1)), fmt.Sprint("key ", i%keys), limit))
		crowd.Go(func() {
			for range 12 {
				v, err := x.View(x.Context(), store.Query{Job: ends[i].ID})
				m := store.LeaveTurn
				switch {
				case err != nil:
				case !v.Job.HasTurn && v.Turn:
					m = store.TakeTurn
				case !v.Job.HasTurn && v.Job.Gate != step.TurnGate:
					m = store.WaitTurn
				}
				c := turn(ends[i].view(0), t0, m)
				if err == nil {
					err = x.Commit(x.Context(), c)
				}
				switch {
				case err == nil:
					ends[i] = ends[i].with(c)
				case !errors.Is(err, store.ErrConflict):
					x.Errorf("job %d among many that move turns at once: got error %v, want none", ends[i].ID, err)
					return
				}
			}
		})
	}
	crowd.Wait()
	for key := range keys {
		holders, waiting, due := 0, 0, 0
		for i := key; i < jobs; i += keys {
			v := x.view(store.Query{Job: ends[i].ID})
			equal(x, "View.Job after many jobs have moved turns at once", v.Job, ends[i].Job)
			if v.Job.HasTurn {
				holders++
			} else if v.Job.Gate == step.TurnGate {
				waiting++
				if v.Turn {
					due++
				}
			}
		}
		want := 0
		if waiting > 0 && holders < limit {
			want = 1
		}
		if holders > limit || due != want {
			x.Errorf("key %d: %d jobs have turns, %d wait, and a turn is free for %d: want at most %d, and %d", key, holders, waiting, due, limit, want)
		}
	}
}
