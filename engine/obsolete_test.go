package engine_test

import (
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A run and a question are obsolete once their attempt is over, told to stop included, and
// not before it has begun. A stop is once it was delivered, even if it failed since, and its
// attempt has stopped. The end of a job never is.
func TestObsolete(t *testing.T) {
	for _, effect := range []store.Effect{store.RunTargets, store.AskConfirmers, store.StopAttempt, store.JobEnded} {
		wanted := map[store.Effect]step.State{store.RunTargets: step.Running, store.AskConfirmers: step.Waiting}[effect]
		for _, state := range step.AllStates() {
			for attempt := range int32(4) {
				s := store.Step{ID: 1, State: state, Attempt: attempt}
				d := store.Delivery{Effect: effect, Step: 1, Attempt: 2, Count: 3, Failures: 1, LastError: "no connection"}
				want := wanted != 0 && (attempt > 2 || attempt == 2 && state != wanted)
				if got := engine.Obsolete(d, s); got != want {
					t.Errorf("%v of attempt 2 of a step that is %v in attempt %d: obsolete is %v, want %v", effect, state, attempt, got, want)
				}
				if d.Delivered = effect == store.StopAttempt; d.Delivered {
					want = attempt > 2 || attempt == 2 && !state.Attempting()
				}
				if got := engine.Obsolete(d, s); got != want {
					t.Errorf("%v of attempt 2, delivered: %v, of a step that is %v in attempt %d: obsolete is %v, want %v", effect, d.Delivered, state, attempt, got, want)
				}
			}
		}
	}
}
