package enginetest

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// CheckTurns returns nil if the turns of some jobs are as they should be: a job has a turn while it is
// under way, from its first attempt on, and no longer; no turn is taken beyond the limits; and a turn
// that is free is due for exactly one job, if one waits. The jobs must be all those of their keys, and
// nothing may move meanwhile. It is a statement about many jobs, and so no [Invariant].
func CheckTurns(ctx context.Context, s store.Store, jobs ...store.JobID) error {
	roads := map[store.Turn]*turns{} // Limit 0; jobs of equal keys in different scopes are apart by the key's text
	var order []*turns
	for _, id := range jobs {
		v, err := s.View(ctx, store.Query{Job: id})
		if err != nil {
			return fmt.Errorf("job %d: %w", id, err)
		}
		if err := checkTurn(&v); err != nil {
			return fmt.Errorf("job %d is %v: %w", id, v.Job.State, err)
		}
		if v.Job.Policy == nil || v.Job.Policy.Turn.Key == "" {
			continue
		}
		key := store.Turn{Key: fmt.Sprintf("%+v %s", v.Job.Scope, v.Job.Policy.Turn.Key)}
		if roads[key] == nil {
			roads[key] = &turns{}
			order = append(order, roads[key])
		}
		roads[key].add(v)
	}
	overdue, err := s.Overdue(ctx, store.Scope{}, math.MaxInt64, math.MaxInt32)
	if err != nil {
		return err
	}
	for _, t := range order {
		if err := t.check(overdue); err != nil {
			return fmt.Errorf("key %q: %w", t.jobs[0].Job.Policy.Turn.Key, err)
		}
	}
	return nil
}

// checkTurn checks what the header of one job says of turns.
func checkTurn(v *store.View) error {
	j := &v.Job
	keyed := j.Policy != nil && j.Policy.Turn.Key != ""
	waits := j.Gate == step.TurnGate
	switch {
	case !keyed && (j.HasTurn || waits || v.Turn):
		return fmt.Errorf("it has no key, and has a turn: %t, waits for one: %t, could have one: %t", j.HasTurn, waits, v.Turn)
	case !keyed:
		return nil
	case j.HasTurn && !j.State.Active():
		return fmt.Errorf("it has a turn")
	case !j.HasTurn && j.State.Attempting():
		return fmt.Errorf("it has no turn")
	case waits && (j.HasTurn || j.State != step.Gated || v.Step.Gate.Reason != step.TurnGate):
		return fmt.Errorf("it waits for a turn, has one: %t, and its step waits for %v", j.HasTurn, v.Step.Gate.Reason)
	}
	return nil
}

// turns are the jobs of one key.
type turns struct {
	jobs    []store.View
	holders int32
	waiting int
	most    int32 // limit of those that have a turn
}

func (t *turns) add(v store.View) {
	t.jobs = append(t.jobs, v)
	switch {
	case v.Job.HasTurn:
		t.holders++
		t.most = max(t.most, v.Job.Policy.Turn.Limit)
	case v.Job.Gate == step.TurnGate:
		t.waiting++
	}
}

// check checks the jobs of one key together.
func (t *turns) check(overdue []store.Overdue) error {
	if t.holders > t.most {
		return fmt.Errorf("%d jobs have turns, and their limit is %d", t.holders, t.most)
	}
	free, room := 0, true // a first one that fits into the room that is left
	for i := range t.jobs {
		v := &t.jobs[i]
		limit, others, waits := v.Job.Policy.Turn.Limit, t.holders, v.Job.Gate == step.TurnGate
		if v.Job.HasTurn {
			others--
		}
		due := slices.ContainsFunc(overdue, func(o store.Overdue) bool {
			return o.Job == v.Job.ID && o.Step == v.Step.ID && o.Attempt == v.Step.Attempt && (v.Step.Due == 0 || o.Due != v.Step.Due)
		})
		switch {
		case v.Turn && others >= limit:
			return fmt.Errorf("job %d could have one of %d turns, and %d others are taken", v.Job.ID, limit, others)
		case !waits && v.Turn != (others < limit && t.waiting == 0):
			return fmt.Errorf("job %d, which does not wait, could have a turn: %t; %d of %d are taken by others, and %d jobs wait", v.Job.ID, v.Turn, others, limit, t.waiting)
		case due != (waits && v.Turn):
			return fmt.Errorf("job %d waits: %t, could have a turn: %t, and is due: %t", v.Job.ID, waits, v.Turn, due)
		case waits:
			room = room && t.holders < limit
			if v.Turn {
				free++
			}
		}
	}
	if free > 1 || t.waiting > 0 && free == 0 && room {
		return fmt.Errorf("a turn is free for %d of %d jobs that wait, and %d are taken", free, t.waiting, t.holders)
	}
	return nil
}
