package pgstore

import (
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// What is read of each table, and where it goes. The order is the same in both.

const jobColumns = `j.id, j.scope_type, j.scope_id, j.name, j.state, j.version, j.moved, j.current,
	j.steps, j.skipped, j.ignored, j.created, j.started, j.finished, j.updated, j.sealed`

func jobFields(j *store.Job) []any {
	return []any{
		(*int64)(&j.ID), &j.Scope.Type, &j.Scope.ID, &j.Name, (*uint8)(&j.State), (*int64)(&j.Version), (*int64)(&j.Moved), (*int64)(&j.Current),
		&j.Steps, &j.Skipped, &j.Ignored, (*int64)(&j.Created), (*int64)(&j.Started), (*int64)(&j.Finished), (*int64)(&j.Updated), &j.Sealed,
	}
}

const stepColumns = `s.id, s.type, s.name, s.ignore_errors, s.on_timeout, s.timeout, s.confirmers, s.payload, s.total,
	s.state, s.attempt, s.full_attempt, s.succeeded, s.unfinished, s.started, s.finished, s.deadline`

// stepRow is a step as it is read.
type stepRow struct {
	store.Step
	confirmers []byte // nil for no list
}

func (s *stepRow) fields() []any {
	return []any{
		(*int64)(&s.ID), (*uint8)(&s.Type), &s.Name, &s.IgnoreErrors, (*uint8)(&s.OnTimeout), (*int64)(&s.Timeout), &s.confirmers, &s.Payload, &s.Total,
		(*uint8)(&s.State), &s.Attempt, &s.Full, &s.Succeeded, &s.Unfinished, (*int64)(&s.Started), (*int64)(&s.Finished), (*int64)(&s.Deadline),
	}
}

// step returns the step that was read.
func (s *stepRow) step() (store.Step, error) {
	s.Confirmers = step.Names{}
	if s.confirmers != nil {
		if err := json.Unmarshal(s.confirmers, &s.Confirmers); err != nil {
			return store.Step{}, fmt.Errorf("confirmers of step %d: %w", s.ID, err)
		}
	}
	return s.Step, nil
}

const resultColumns = `r.idx, r.attempt, r.success, r.status, r.exit_code, r.started, r.finished, r.detail`

func resultFields(t *store.Target) []any {
	return []any{
		&t.Index, &t.Attempt, &t.Success, (*uint16)(&t.Status), &t.ExitCode, (*int64)(&t.Started), (*int64)(&t.Finished), &t.Detail,
	}
}

const recordColumns = `r.job, r.seq, r.at, r.cause, r.request, r.actor, r.reason,
	r.step, r.entered, r.attempt, r.full_run, r.from_state, r.to_state, r.job_from, r.job_to,
	r.succeeded, r.unfinished, r.results, r.targets, r.effect`

func recordFields(r *store.Record) []any {
	return []any{
		(*int64)(&r.Job), (*int64)(&r.Seq), (*int64)(&r.At), (*uint8)(&r.Cause), (*[16]byte)(&r.Request), &r.Actor, &r.Reason,
		(*int64)(&r.Step), (*int64)(&r.Entered), &r.Attempt, &r.All, (*uint8)(&r.From), (*uint8)(&r.To), (*uint8)(&r.JobFrom), (*uint8)(&r.JobTo),
		&r.Succeeded, &r.Unfinished, &r.Results, &r.Targets, (*uint8)(&r.Effect),
	}
}

// deliveryColumns are those of an effect e, of its record r and of the scope of its job j.
const deliveryColumns = `e.not_before, e.claims, e.token, e.failures, e.delivered, e.last_error, j.scope_type, j.scope_id, ` + recordColumns

// scanDelivery reads the deliveryColumns of a row.
func scanDelivery(row pgx.CollectableRow) (store.Delivery, error) {
	var d store.Delivery
	var r store.Record
	fields := []any{(*int64)(&d.NotBefore), &d.Count, (*[16]byte)(&d.Token), &d.Failures, &d.Delivered, &d.LastError, &d.Scope.Type, &d.Scope.ID}
	if err := row.Scan(append(fields, recordFields(&r)...)...); err != nil {
		return d, err
	}
	full, _ := r.Delivery(d.Scope)
	full.NotBefore, full.Count, full.Token, full.Failures, full.Delivered, full.LastError = d.NotBefore, d.Count, d.Token, d.Failures, d.Delivered, d.LastError
	return full, nil
}

func scanJob(row pgx.CollectableRow) (j store.Job, err error) {
	err = row.Scan(jobFields(&j)...)
	return j, err
}

func scanStep(row pgx.CollectableRow) (store.Step, error) {
	var s stepRow
	if err := row.Scan(s.fields()...); err != nil {
		return store.Step{}, err
	}
	return s.step()
}

func scanResult(row pgx.CollectableRow) (t store.Target, err error) {
	err = row.Scan(resultFields(&t)...)
	return t, err
}

func scanRecord(row pgx.CollectableRow) (r store.Record, err error) {
	err = row.Scan(recordFields(&r)...)
	return r, err
}
