package pgstore

import (
	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/internal/schema"
)

// shownSteps are the columns read of steps: all except the payload, which Details reads.
var shownSteps = schema.Steps.Without("payload")

// The columns read of each table: of a job j, a step s, a result r, a record r and an effect e.
var (
	jobColumns    = schema.Jobs.Names("j.")
	stepColumns   = shownSteps.Names("s.")
	resultColumns = schema.Results.Names("r.")
	recordColumns = schema.Records.Names("r.")
	effectColumns = schema.Effects.Names("e.")
)

// scan returns the function that reads the columns of a table.
func scan[R any](columns schema.Table[R]) pgx.RowToFunc[R] {
	return func(row pgx.CollectableRow) (r R, err error) {
		err = row.Scan(dests(nil, columns, &r)...)
		return r, err
	}
}

var (
	scanJob    = scan(schema.Jobs)
	scanStep   = scan(shownSteps)
	scanResult = scan(schema.Results)
	scanRecord = scan(schema.Records)
	scanBatch  = scan(schema.Batches)
	scanEffect = scan(schema.Effects)
)

func scanStepTarget(row pgx.CollectableRow) (t schema.StepTarget, err error) {
	err = row.Scan(dests([]any{(*int64)(&t.Step)}, schema.Results, &t.Target)...)
	return t, err
}
