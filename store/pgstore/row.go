package pgstore

import (
	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// What is read of each table: the columns of a job j, a step s, a result r, a record r and an
// effect e.
var (
	jobColumns    = schema.Jobs.Names("j.")
	stepColumns   = schema.Steps.Names("s.")
	resultColumns = schema.Results.Names("r.")
	recordColumns = schema.Records.Names("r.")

	// deliveryColumns are those of an effect, of its record and of the scope of its job.
	deliveryColumns = waiting.Names("e.") + ", j.scope_type, j.scope_id, " + recordColumns
)

// waiting is what an effect's own row says of its delivery.
var waiting = schema.Effects.At(schema.Changed)

// scanDelivery reads the deliveryColumns of a row.
func scanDelivery(row pgx.CollectableRow) (store.Delivery, error) {
	var d store.Delivery
	var r store.Record
	into := append(dests(nil, waiting, &d), &d.Scope.Type, &d.Scope.ID)
	if err := row.Scan(dests(into, schema.Records, &r)...); err != nil {
		return d, err
	}
	full, _ := r.Delivery(d.Scope)
	full.NotBefore, full.Count, full.Token, full.Failures, full.Delivered, full.LastError = d.NotBefore, d.Count, d.Token, d.Failures, d.Delivered, d.LastError
	return full, nil
}

// scan returns what reads the columns of a table.
func scan[R any](columns schema.Table[R]) pgx.RowToFunc[R] {
	return func(row pgx.CollectableRow) (r R, err error) {
		err = row.Scan(dests(nil, columns, &r)...)
		return r, err
	}
}

var (
	scanJob    = scan(schema.Jobs)
	scanStep   = scan(schema.Steps)
	scanResult = scan(schema.Results)
	scanRecord = scan(schema.Records)
)

// ofStep is a row of a step.
type ofStep[R any] struct {
	step step.ID
	row  R
}

// scanOfStep returns what reads the number of a step and the columns of a table.
func scanOfStep[R any](columns schema.Table[R]) pgx.RowToFunc[ofStep[R]] {
	return func(row pgx.CollectableRow) (r ofStep[R], err error) {
		err = row.Scan(dests([]any{(*int64)(&r.step)}, columns, &r.row)...)
		return r, err
	}
}
