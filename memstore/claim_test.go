package memstore

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A claim can reach no effect that it does not select, so that its cost does not grow with them: all claims by
// kind, step type and scope among effects of each.
func TestAClaimReachesItsOwn(t *testing.T) {
	scopes := []store.Scope{{}, {Type: "biz", ID: "1"}, {Type: "biz", ID: "2"}, {Type: "set", ID: "1"}}
	types := []step.Type{step.Script, step.Confirmation, 255}
	kinds := []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}
	s, waiting := New(), 0
	for _, scope := range scopes {
		for _, typ := range types {
			for _, kind := range kinds {
				s.outbox.add(&job{}, &effect{Delivery: store.Delivery{Job: store.JobID(waiting + 1), Scope: scope, Effect: kind, Type: typ}})
				waiting++
			}
		}
	}
	for _, scope := range append(scopes, store.Scope{Type: "biz", ID: "3"}) {
		for set := range 1 << len(types) {
			for chosen := range 1 << len(kinds) {
				c := store.Claim{Scope: scope, Effects: members(kinds, chosen), Types: step.TypesOf(members(types, set)...)}
				reached := 0
				for _, by := range s.outbox.wanted(nil, &c) {
					queues := by.waiting
					if scope != (store.Scope{}) {
						queues = slices.DeleteFunc(queueHeap{by.queue(scope)}, func(q *queue) bool { return q == nil })
					}
					for _, q := range queues {
						for _, e := range q.effectHeap {
							if reached++; !c.Selects(&e.Delivery) {
								t.Errorf("claim of %v, types %v, scope %+v reaches %+v", c.Effects, c.Types, scope, e.Delivery)
							}
						}
					}
				}
				if want := selected(s, &c, waiting); reached != want {
					t.Errorf("claim of %v, types %v, scope %+v reaches %d effects, want %d", c.Effects, c.Types, scope, reached, want)
				}
			}
		}
	}
}

// A store keeps a bounded number of queues of scopes whose effects are all settled.
func TestQueuesOfScopesThatHaveNoEffectsGo(t *testing.T) {
	s := New()
	eng := engine.New(s)
	for i := range 3 * keptQueues {
		spec := engine.JobSpec{Name: "job", Scope: store.Scope{Type: "biz", ID: fmt.Sprint(i)}, Steps: []step.Spec{{Type: step.Confirmation, Name: "ask"}}}
		created, err := eng.Create(t.Context(), spec, engine.Request{})
		if err == nil {
			_, err = eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{})
		}
		if err == nil {
			_, err = eng.Deliver(t.Context(), func(context.Context, engine.Delivery) error { return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if kept := len(s.outbox.kinds[store.AskConfirmers][0].scopes); kept > keptQueues {
		t.Errorf("%d queues are kept, and all are empty: want at most %d", kept, keptQueues)
	}
}

// selected counts the effects that c selects, of all.
func selected(s *Store, c *store.Claim, all int) (n int) {
	every := store.Claim{Effects: []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}, Until: 1, Limit: all}
	for _, by := range s.outbox.wanted(nil, &every) {
		for _, q := range by.scopes {
			for _, e := range q.effectHeap {
				if c.Selects(&e.Delivery) {
					n++
				}
			}
		}
	}
	return n
}

// members returns those of all whose bit is set.
func members[T any](all []T, set int) (some []T) {
	for i, v := range all {
		if set>>i&1 != 0 {
			some = append(some, v)
		}
	}
	return some
}
