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

// An ending is how a River job ended without success.
type ending struct {
	job     int64
	state   string // discarded or cancelled
	attempt int
	cause   string // may be empty
}

// reason says in the history why an attempt ended.
func (e ending) reason() string {
	text := fmt.Sprintf("river job %d was %s in attempt %d", e.job, e.state, e.attempt)
	if e.cause != "" {
		text += ": " + brief(e.cause)
	}
	return text
}

// brief cuts a text to what is kept of an error.
func brief(text string) string {
	const most = 500
	if r := []rune(text); len(r) > most {
		return string(r[:most-3]) + "..."
	}
	return text
}

// giveUp ends the attempt of a run or a stop that River does not carry out any more, and
// settles the effect with that. Any other effect waits in the store.
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
		if errors.As(err, &refusal) && refusal.Field == "reason" { // longer than this engine takes: better none than no end
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

// orphansSQL finds the effects that a carrier has taken and that no River job is on its way
// for, with the last one that was, if River still knows it. One that is completed has left its
// effect to a later run of the same job, which gets $4 to end; a question or the end of a job
// that River has given up on is left alone for as long as River remembers. The shape keeps the
// search for last jobs to the few effects that have none on its way.
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

// An orphan is an effect that no River job is on its way for.
type orphan struct {
	Reference
	effect store.Effect
	last   ending // zero if River does not know it any more
}

// Reconcile mends what River and the store do not agree on, and returns how many effects that
// were, with every error that there was. Any number of processes may do it at once.
//
//   - A run or a stop whose River job was discarded or cancelled ends its attempt, as
//     [Handler] says.
//   - An effect that has lost its River job, as somebody deleted it for instance, gets another.
//   - So does one that never had any: of a change by a process without the carrier, or from
//     before there was one. Outgrowing Engine.Dispatch takes no more than that, once it has
//     stopped.
//
// What it costs depends on how many effects are under way, a quarter of a second at 50,000, and
// not on how many there were.
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
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrLeaseLost): // others were faster
		default:
			failures = append(failures, fmt.Errorf("riverfx: job %d, effect %d: %w", o.Job, o.Seq, err))
		}
	}
	return n, errors.Join(failures...)
}

// adopt takes the effects that wait for a dispatcher.
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

// mend ends what River has ended, and has River carry everything else again.
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
	again.InsertOpts.UniqueOpts = onePerEffect // others may do the same
	return w.carrier.link.Write(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			_, err := w.carrier.insert.InsertManyTx(ctx, tx, []river.InsertManyParams{again})
			return err
		})
	})
}

// onePerEffect keeps a River job from being made beside another one of its effect, if that is
// on its way and was made so too.
var onePerEffect = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
	rivertype.JobStateRunning, rivertype.JobStateScheduled,
}}
