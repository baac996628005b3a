package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A claim with a bound on bytes adds no effect once it has reached the bound, and leaves the others
// due at once. Without large payloads the bound changes nothing.
func TestClaimWithinBytes(t *testing.T) {
	eng := engine.New(memstore.New())
	create := func(payload int) {
		created, err := eng.Create(t.Context(), engine.JobSpec{Name: "j", Steps: []step.Spec{
			{Type: step.Script, Name: "s", Targets: []string{"a"}, Payload: strings.Repeat("x", payload)},
		}}, engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	for range 7 {
		create(1000)
	}
	claim := func(limit, bytes int) (n int) {
		t.Helper()
		claimed, err := eng.Claim(t.Context(), engine.ClaimQuery{Limit: limit, Bytes: bytes})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range claimed {
			if err := eng.Settle(t.Context(), d.Claimed()); err != nil {
				t.Error(err)
			}
		}
		return len(claimed)
	}
	for i, want := range []int{1, 2, 4, 0} {
		if got := claim(100, []int{1, 1001, 1 << 20, 1}[i]); got != want {
			t.Errorf("claim %d: %d effects, want %d", i, got, want)
		}
	}
	for range 20 {
		create(10)
	}
	if got := claim(15, 1<<20); got != 15 {
		t.Errorf("of 20 small ones, 15 wanted: %d", got)
	}
	if _, err := eng.Claim(t.Context(), engine.ClaimQuery{Bytes: -1}); !errors.Is(err, operation.InvalidInput) {
		t.Errorf("-1 bytes: %v", err)
	}
}

// A claim takes a turn for each read, ends it when the read finds nothing, and has none while it
// waits. The caller gets the effects together with the turn. The error of a turn is that of the
// claim.
func TestClaimTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := engine.New(memstore.New())
		turns, open := 0, 0
		q := engine.ClaimQuery{Wait: time.Second, Effects: []store.Effect{store.RunTargets}, Turn: func(context.Context) (func(), error) {
			turns++
			open++
			return func() { open-- }, nil
		}}
		if claimed, err := eng.Claim(t.Context(), q); err != nil || len(claimed) != 0 || turns < 2 || open != 0 {
			t.Errorf("claimed %v, %v; %d turns, of which %d are open", claimed, err, turns, open)
		}
		refused := errors.New("no turn")
		q.Turn = func(context.Context) (func(), error) { return nil, refused }
		if _, err := eng.Claim(t.Context(), q); !errors.Is(err, refused) {
			t.Errorf("without a turn: %v", err)
		}
	})
}
