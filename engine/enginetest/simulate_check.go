package enginetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// watched is a job with its state after the last command.
type watched struct {
	id   store.JobID
	spec engine.JobSpec
	last Snapshot
}

// check reads everything from the store without faults, and checks safety.
func (s *simulation) check() {
	s.Helper()
	s.findJobs()
	for _, j := range s.jobs {
		now := s.load(j)
		s.attribute(j, now.History[j.last.Job.Version:])
		if err := s.checker.Check(&now); err != nil {
			s.Fatalf("job %d, version %d: %v", j.id, now.Job.Version, err)
		}
		if err := now.CheckDelivered(func(seq store.Seq) bool { return s.handed[effect{j.id, seq}] }); err != nil {
			s.Fatalf("job %d, version %d: %v", j.id, now.Job.Version, err)
		}
		for i, rows := range j.last.Targets {
			for k, t := range rows {
				if is := now.Targets[i][k]; is.Success < t.Success && (is.Attempt <= t.Success || !is.Status.Finished()) { // it has not failed since
					s.Fatalf("promise 5: job %d, step %d, target %d succeeded in attempt %d, and is said to have last in %d", j.id, i+1, k, t.Success, is.Success)
				}
			}
		}
		j.last = now
	}
	for _, w := range s.wishes {
		if w.granted && w.records != 1 {
			s.Fatalf("promise 1: %v was accepted, and the history has %d records of it", w, w.records)
		}
	}
	for _, m := range s.sent {
		if m.counted && m.records != 1 {
			s.Fatalf("promise 1: report %+v was counted, and the history has %d records of it", m.Report, m.records)
		}
	}
}

// findJobs finds the new jobs in the store, whatever the answers to their creations were.
func (s *simulation) findJobs() {
	all, err := s.good.Jobs(context.Background(), store.JobFilter{Page: store.Page[store.JobID]{Limit: 1000}})
	if err != nil {
		s.Fatalf("Jobs: %v", err)
	}
	for _, job := range all {
		if slices.ContainsFunc(s.jobs, func(j *watched) bool { return j.id == job.ID }) {
			continue
		}
		history, err := s.good.History(context.Background(), store.Scope{}, job.ID, store.Page[store.Seq]{Limit: 1})
		if err != nil || len(history) == 0 {
			s.Fatalf("job %d: its history is %+v (%v), want at least a record", job.ID, history, err)
		}
		w := s.wished[history[0].Request]
		if w == nil || w.Spec == nil {
			s.Fatalf("promise 1: no request asked for job %d: %+v", job.ID, history[0])
		}
		s.jobs = append(s.jobs, &watched{id: job.ID, spec: *w.Spec})
		s.seen["job"]++
	}
}

// attribute finds the origin of new records: each is of a request or a report that was made and that
// no answer called refused, and of no other; or of a deadline.
func (s *simulation) attribute(j *watched, news []store.Record) {
	for i := range news {
		r := &news[i]
		s.seen["record"]++
		if r.Attempt > 2 {
			s.seen["record: of attempt 3 or later"]++
		}
		switch {
		case byTime(r): // that its time had come is an invariant
			s.seen["record: "+r.Cause.String()]++
		case byReport(r) && s.wished[r.Request] == nil:
			m := s.sent[r.Actor]
			switch {
			case m == nil || !m.isOf(r):
				s.Fatalf("promise 4: record %+v is of no report that was sent; the nearest is %+v", *r, m)
			case !m.counted && !m.open:
				s.Fatalf("promise 1: report %+v was refused or brought nothing, and yet there is record %+v", m.Report, *r)
			}
			if m.records++; m.records > 1 {
				s.Fatalf("promise 1: report %+v was counted twice, as record %+v too", m.Report, *r)
			}
			s.seen["record: reported: "+r.Cause.String()]++
		default:
			w := s.wished[r.Request]
			switch {
			case w == nil || !w.Made(r):
				s.Fatalf("promise 1: record %+v is of no request that was made; the nearest is %v", *r, w)
			case !w.granted && !w.open:
				s.Fatalf("promise 1: %v was refused, and yet there is record %+v", w, *r)
			}
			if w.records++; w.records > 1 {
				s.Fatalf("promise 1: %v was carried out twice, as record %+v too", w, *r)
			}
			if w.Cause == step.GivenUp {
				s.handed[effect{j.id, w.Effect}] = true // given up: the person takes care of it
				s.seen["record: of what was given up"]++
			}
			s.conditions(j, w, r)
			s.seen["record: "+r.Cause.String()]++
		}
	}
}

// conditions checks that a request was carried out on a state that meets its conditions.
func (s *simulation) conditions(j *watched, w *wish, r *store.Record) {
	if w.IfVersion == 0 && w.IfAttempt == 0 {
		return
	}
	moved, attempt := store.Seq(0), int32(0)
	for _, before := range s.load(j).History[:r.Seq-1] {
		if before.Moves() {
			moved = before.Seq
		}
		switch r.Step {
		case before.Step:
			attempt = before.Attempt
		case before.Entered:
			attempt = 1
		}
	}
	if w.IfVersion != 0 && (moved > w.IfVersion || w.IfVersion >= r.Seq) || w.IfAttempt != 0 && attempt != w.IfAttempt {
		s.Fatalf("promise 1: %v was carried out on a job that had last moved in version %d, on attempt %d: %+v", w, moved, attempt, *r)
	}
	s.seen["request: on a condition that held"]++
}

func (s *simulation) load(j *watched) Snapshot {
	now, err := Load(context.Background(), s.good, s.Rules, j.id, j.spec)
	if err != nil {
		s.Fatalf("%v", err)
	}
	return now
}

func (s *simulation) jobOf(id store.JobID) *watched {
	for _, j := range s.jobs {
		if j.id == id {
			return j
		}
	}
	s.findJobs() // the present command created it
	for _, j := range s.jobs {
		if j.id == id {
			return j
		}
	}
	s.Fatalf("there is no job %d", id)
	return nil
}

// rest checks liveness: the faults have ended, and people and executors keep their contracts until no
// work is left.
func (s *simulation) rest() {
	s.faults.Clear()
	s.seen["calls that arrived late"] += s.faults.Land()
	s.calm = true
	s.check()
	for _, w := range s.wishes {
		if w.open {
			s.again(s.engines[0], w)
			s.check()
		}
		if w.open {
			s.Fatalf("promise 1: the faults have stopped, and the outcome of %v is still unknown", w)
		}
	}
	const most = 60 // rounds: a step takes no more than a lease or a back-off, a run and a stop
	for round := 1; ; round++ {
		s.now = s.now.Add(4 * time.Second)
		s.round()
		unrest := s.unrest()
		if unrest == "" {
			s.seen["rounds until rest"] += round
			break
		}
		if round == most {
			s.Fatalf("liveness: %d rounds after the faults have stopped, still %s", most, unrest)
		}
	}
	s.settled()
}

// round lets executors, sweepers and the clock act once.
func (s *simulation) round() {
	for i, x := range s.executors {
		x.receive(s.engines[i], s.drawMoods())
		x.honest(s.engines[i])
	}
	s.sweep(s.engines[0])
	s.check()
}

// unrest describes the first job that still waits for something else than a person, or is "".
func (s *simulation) unrest() string {
	for _, j := range s.jobs {
		switch job := &j.last.Job; {
		case job.State == step.Running || job.State == step.Terminating || job.State == step.Gated && !job.Gate.OfPerson():
			return fmt.Sprintf("job %d is %v; its current step is %+v, its effects are %+v", j.id, job.State, *j.last.current(), j.last.Effects)
		case len(j.last.Effects) > 0:
			return fmt.Sprintf("job %d is %v and has effects that wait: %+v", j.id, job.State, j.last.Effects)
		}
	}
	return ""
}

// settled tallies the states in which the jobs have come to rest.
func (s *simulation) settled() {
	for _, j := range s.jobs {
		s.seen["rest: "+j.last.Job.State.String()]++
	}
}
