package riverfx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// An ending is the end of a River job without success.
type ending struct {
	job     int64
	state   string // discarded or cancelled
	attempt int
	cause   string // may be empty
}

// reason returns the reason for the history.
func (e ending) reason() string {
	text := fmt.Sprintf("river job %d was %s in attempt %d", e.job, e.state, e.attempt)
	if e.cause != "" {
		text += ": " + brief(e.cause)
	}
	return text
}

// brief cuts a text to 500 characters.
func brief(text string) string {
	const most = 500
	if r := []rune(text); len(r) > most {
		return string(r[:most-3]) + "..."
	}
	return text
}

// giveUp ends the attempt of a run or a stop that River has given up, and settles the effect in the
// same transaction. Other effects stay in the store.
func (w *Worker) giveUp(ctx context.Context, d store.Delivery, e ending) error {
	if d.Effect != store.RunTargets && d.Effect != store.StopAttempt {
		return nil
	}
	view, err := w.st.View(ctx, store.Query{Job: d.Job, Step: d.Step})
	if err != nil {
		return err
	}
	if !engine.Obsolete(d, view.Step) {
		report := engine.Report{By: "river", Outcome: step.Broke, Reason: e.reason()}
		ended, err := w.reportWith(ctx, d, report, nothing)
		var refusal *engine.Refusal
		if errors.As(err, &refusal) && refusal.Field == "reason" { // too long for this engine: ends the attempt without a reason
			report.Reason = ""
			ended, err = w.reportWith(ctx, d, report, nothing)
		}
		if err != nil || ended {
			return err
		}
	}
	return w.st.Settle(ctx, d)
}

func nothing(context.Context, pgx.Tx) error { return nil }

// orphansSQL finds the effects that a carrier has taken and that have no pending River job, with
// their last River job if River still has it. An effect with a completed River job belongs to a
// later run of the same job, which gets $4 to end. A question or the end of a job that River has
// given up on is skipped while River still has the job. MATERIALIZED limits the search for last
// jobs to these few effects.
const orphansSQL = `WITH orphan AS MATERIALIZED (
	SELECT e.job, e.seq, e.effect FROM stepgate_effects e
	WHERE e.not_before = $2 AND NOT EXISTS (
		SELECT FROM {river_job} r
		WHERE r.kind = $1 AND r.state IN ('available', 'pending', 'retryable', 'running', 'scheduled')
		AND r.args = jsonb_build_object('job', e.job, 'seq', e.seq)
	)
)
SELECT o.job, o.seq, o.effect, coalesce(last.id, 0), coalesce(last.state, ''), coalesce(last.attempt, 0), coalesce(last.error, '')
FROM orphan o LEFT JOIN LATERAL (
	SELECT r.id, r.state::text, r.attempt, r.finalized_at, r.errors[array_upper(r.errors, 1)] ->> 'error' AS error
	FROM {river_job} r WHERE r.kind = $1 AND r.args @> jsonb_build_object('job', o.job, 'seq', o.seq)
	ORDER BY r.id DESC LIMIT 1
) last ON true
WHERE CASE last.state
	WHEN 'completed' THEN last.finalized_at < now() - $4::interval
	WHEN 'discarded' THEN o.effect = ANY($3::int2[])
	WHEN 'cancelled' THEN o.effect = ANY($3::int2[])
	ELSE true
END
ORDER BY o.job, o.seq`

// An orphan is an effect without a pending River job.
type orphan struct {
	Reference
	effect store.Effect
	last   ending // zero if River has deleted the job
}

// Reconcile repairs the effects on which River and the store differ. It returns the number of
// repaired effects and all errors, joined. Any number of processes may call it at once.
//
//   - A run or a stop whose River job was discarded or cancelled ends its attempt, see [Handler].
//   - An effect whose River job is missing, for example deleted by hand, gets a new one.
//   - An effect that never had a River job gets one: that of a change by a process without the
//     carrier, or from before the carrier was in use. This is the whole migration from
//     Engine.Dispatch, once that has stopped.
//
// The cost depends on the number of unsettled effects, 0.25 s for 50,000, and not on the number of
// settled ones.
func (w *Worker) Reconcile(ctx context.Context) (int, error) {
	if err := w.adopt(ctx); err != nil {
		return 0, err
	}
	orphans, err := w.orphans(ctx)
	if err != nil {
		return 0, fmt.Errorf("riverfx: find effects without a river job: %w", err)
	}
	n := 0
	var failures []error
	for _, o := range orphans {
		switch err := w.mend(ctx, o); {
		case err == nil:
			n++
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrLeaseLost): // another process was faster
		default:
			failures = append(failures, fmt.Errorf("riverfx: job %d, effect %d: %w", o.Job, o.Seq, err))
		}
	}
	return n, errors.Join(failures...)
}

// adopt takes the effects that wait for Engine.Dispatch.
func (w *Worker) adopt(ctx context.Context) error {
	for {
		claimed, err := w.st.Claim(ctx, store.Claim{
			Effects: []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded},
			Now:     step.At(time.Now()), Until: pgstore.Carried, Limit: 1000,
		})
		if err != nil || len(claimed) == 0 {
			return err
		}
	}
}

// orphans returns the effects of orphansSQL.
func (w *Worker) orphans(ctx context.Context) ([]orphan, error) {
	sql := strings.ReplaceAll(orphansSQL, "{river_job}", w.carrier.jobs)
	ends := []int16{int16(store.RunTargets), int16(store.StopAttempt)}
	var all []orphan
	err := w.carrier.link.Read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, sql, Kind, int64(pgstore.Carried), ends, w.carrier.rescue)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o orphan, err error) {
			err = row.Scan(&o.Job, &o.Seq, &o.effect, &o.last.job, &o.last.state, &o.last.attempt, &o.last.cause)
			return o, err
		})
		return err
	})
	return all, err
}

// mend ends the attempt of an effect that River has given up, and inserts a River job for any other
// effect.
func (w *Worker) mend(ctx context.Context, o orphan) error {
	switch rivertype.JobState(o.last.state) {
	case rivertype.JobStateDiscarded, rivertype.JobStateCancelled:
		d, err := w.st.Take(ctx, o.Job, o.Seq)
		if err != nil {
			return err
		}
		return w.giveUp(ctx, d, o.last)
	}
	again := carrying(o.Job, o.Seq, o.effect)
	again.InsertOpts.UniqueOpts = onePerEffect // other processes may do the same
	return w.carrier.link.Write(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			_, err := w.carrier.insert.InsertManyTx(ctx, tx, []river.InsertManyParams{again})
			return err
		})
	})
}

// onePerEffect makes River skip the insertion if a pending job of the same effect was inserted with
// these options.
var onePerEffect = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
	rivertype.JobStateRunning, rivertype.JobStateScheduled,
}}
