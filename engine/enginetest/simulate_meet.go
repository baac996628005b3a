package enginetest

import (
	"context"
	"errors"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/store"
)

// The troubles of a change that reports share. All of them take effect: after a commit without effect
// the reports are decided anew in any order, and a seed would not replay the story.
const (
	noTrouble = "none"
	lostRace  = "lost a race"
	inDoubt   = "fail after"
)

// meet reports each result by itself, and the first one again, in reports that wait in line at the
// same moment: all but the first are one change. No other fault happens meanwhile.
func (x *executor) meet(e *engine.Engine, r *run, results []engine.TargetResult) {
	if len(results) < 2 || x.nested || x.crashed {
		return
	}
	x.faults.Clear()
	x.muddled = false
	trouble := player.Of(x, "shared", []string{noTrouble, lostRace, inDoubt})
	results = append(results, results[0])
	sent, receipts, errs := make([]*message, len(results)), make([]engine.ReportReceipt, len(results)), make([]error, len(results))
	var calls []func(context.Context)
	for i := range results {
		sent[i] = x.message(r, results[i:i+1], 0)
		calls = append(calls, func(ctx context.Context) { receipts[i], errs[i] = e.Report(ctx, sent[i].Report) })
	}
	shared := 0
	x.store.Shared = func(ctx context.Context, c store.Change) error {
		if shared++; shared == 1 && trouble == lostRace {
			return store.ErrConflict
		}
		err := x.faults.Commit(ctx, c)
		if shared == 1 && trouble == inDoubt {
			return errors.Join(err, errLost)
		}
		return err
	}
	seen := x.simulation.seen
	seen["report: met others"] += crowd.Meeting{First: calls[0], Others: calls[1:]}.Hold(context.Background())
	x.store.Shared = x.faults.Commit
	if shared > 0 {
		seen["reports that met: trouble: "+trouble]++
	}
	for i, m := range sent {
		if x.answered(r, m, receipts[i], errs[i]) && i < len(sent)-1 {
			x.finished(r, results[i:i+1])
		}
	}
}
