package sqlitestore

import (
	"github.com/stepgate/stepgate/store"
)

// turnOf returns the parameters that name the turn of a job in a query: scope, key, job and limit; or
// nil for a job without a key.
func turnOf(j *store.Job) []any {
	if j.Policy == nil || j.Policy.Turn.Key == "" {
		return nil
	}
	return []any{j.Scope.Type, j.Scope.ID, j.Policy.Turn.Key, int64(j.ID), int64(j.Policy.Turn.Limit)}
}

// turnFree reports whether a turn is free for a job.
func (c *conn) turnFree(turn []any) (bool, error) {
	free, err := list(c, scanFound, selectTurn, turn...)
	return err == nil && free[0], err
}

// checkTurn returns store.ErrConflict if the condition of c's move of a turn does not hold.
func (c commit) checkTurn(w *conn) error {
	if c.Turn != store.TakeTurn && c.Turn != store.WaitTurn {
		return nil
	}
	free, err := w.turnFree(turnOf(&c.Job))
	if err == nil && free != (c.Turn == store.TakeTurn) {
		err = store.ErrConflict
	}
	return err
}

// moveTurn moves the turn of the job, and makes the first job that waits due if a turn is free for it.
func (c commit) moveTurn(w *conn) error {
	if c.Turn == store.NoTurn {
		return nil
	}
	turn := turnOf(&c.Job)
	err := w.do(deleteTurn, turn[:4]...)
	switch {
	case err != nil:
	case c.Turn == store.TakeTurn:
		err = w.do(takeTurn, turn...)
	case c.Turn == store.WaitTurn:
		err = w.do(waitForTurn, turn...)
	}
	if err != nil {
		return err
	}
	return w.do(setTurnDue, append(turn[:3:3], int64(c.Job.Updated))...)
}
