package sqlitestore

import (
	"database/sql"
	"encoding/json"

	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/store"
)

// Each of these reads a row of the queries that are named like it.

func scanJob(row scanner, j *store.Job) error {
	return row.Scan(&j.ID, &j.Scope.Type, &j.Scope.ID, &j.Name, &j.State, &j.Version, &j.Moved, &j.Current,
		&j.Steps, &j.Skipped, &j.Ignored, &j.Created, &j.Started, &j.Finished, &j.Updated, &j.Sealed)
}

func scanFound(row scanner, found *bool) error { return row.Scan(found) }

func scanCount(row scanner, c *count) error { return row.Scan(&c.state, &c.jobs) }

func scanStep(row scanner, s *store.Step) error {
	var confirmers, payload sql.NullString
	err := row.Scan(&s.ID, &s.Type, &s.Name, &s.IgnoreErrors, &s.OnTimeout, &s.Timeout, &confirmers, &payload, &s.Total,
		&s.State, &s.Attempt, &s.Full, &s.Succeeded, &s.Unfinished, &s.Started, &s.Finished, &s.Deadline)
	if err != nil {
		return err
	}
	s.Payload = payload.String
	if confirmers.Valid {
		return json.Unmarshal([]byte(confirmers.String), &s.Confirmers)
	}
	return nil
}

func scanStanding(row scanner, s *store.Step) error { return row.Scan(&s.Total, &s.Attempt, &s.Full) }

func scanTarget(row scanner, t *store.Target) error {
	var detail sql.NullString
	err := row.Scan(&t.Index, &t.Name, &t.Attempt, &t.Success, &t.Status, &t.ExitCode, &t.Started, &t.Finished, &detail)
	t.Detail = detail.String
	return err
}

func scanNames(row scanner, n *nameBlock) error { return row.Scan(&n.step, &n.block, &n.list) }

func scanResult(row scanner, r *result) error {
	t := &r.Target
	return row.Scan(&r.step, &t.Index, &t.Attempt, &t.Success, &t.Status, &t.ExitCode, &t.Started, &t.Finished, &t.Detail)
}

func scanBlock(row scanner, b *targetset.Block) error {
	return row.Scan(&b.Number, &b.Era, (*[]byte)(&b.Succeeded), &b.Attempt, (*[]byte)(&b.Finished))
}

func scanRecord(row scanner, r *store.Record) error {
	return row.Scan(&r.Job, &r.Seq, &r.At, &r.Cause, &r.Request, &r.Actor, &r.Reason,
		&r.Step, &r.Entered, &r.Attempt, &r.All, &r.From, &r.To, &r.JobFrom, &r.JobTo, &r.Succeeded, &r.Unfinished, &r.Results, &r.Targets, &r.Effect)
}

func scanDelivery(row scanner, d *store.Delivery) error {
	var w store.Delivery // what the effect's own row says
	var scope store.Scope
	var r store.Record
	err := row.Scan(&w.NotBefore, &w.Count, &w.Token, &w.Failures, &w.Delivered, &w.LastError, &scope.Type, &scope.ID,
		&r.Job, &r.Seq, &r.At, &r.Step, &r.Entered, &r.Attempt, &r.All, &r.JobTo, &r.Effect)
	*d, _ = r.Delivery(scope)
	d.NotBefore, d.Count, d.Token, d.Failures, d.Delivered, d.LastError = w.NotBefore, w.Count, w.Token, w.Failures, w.Delivered, w.LastError
	return err
}

func scanOverdue(row scanner, o *store.Overdue) error {
	return row.Scan(&o.Job, &o.Step, &o.Attempt, &o.Deadline)
}
