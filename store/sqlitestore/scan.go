package sqlitestore

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// values appends the values of a row's columns, in types that the driver takes without a
// conversion.
func values[R any](args []any, columns schema.Table[R], row *R) []any {
	args = slices.Grow(args, len(columns)+1)
	for i := range columns {
		args = append(args, value(&columns[i], row))
	}
	return args
}

func value[R any](c *schema.Column[R], row *R) any {
	switch c.Type {
	case schema.Text, schema.Data:
		return c.Text(row)
	case schema.UUID:
		return idOf(c.UUID(row))
	case schema.List:
		return textOf(c.List(row))
	case schema.Bits:
		set, _ := c.Bits(row)
		return []byte(set)
	}
	return c.Int(row)
}

// idOf returns a request or a token as the database stores it, nil for none.
func idOf(id [16]byte) any {
	if id == ([16]byte{}) {
		return nil
	}
	return id[:]
}

// textOf returns a list as the database stores it, nil for no list.
func textOf(names step.Names) any {
	if !names.IsSet() {
		return nil
	}
	text, err := json.Marshal(names)
	if err != nil { // a list of strings marshals
		panic(err)
	}
	return string(text)
}

// dests appends the destinations of a row's columns.
func dests[R any](into []any, columns schema.Table[R], row *R) []any {
	n := len(into)
	into = columns.Dests(into, row)
	for i, d := range into[n:] {
		switch d := d.(type) {
		case *step.Names:
			into[n+i] = (*listDest)(d)
		case *targetset.Bits:
			into[n+i] = (*[]byte)(d)
		}
	}
	return into
}

// listDest reads a list of names, NULL as no list.
type listDest step.Names

// Scan implements sql.Scanner.
func (d *listDest) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*d = listDest{}
		return nil
	case string:
		return (*step.Names)(d).UnmarshalJSON([]byte(v))
	case []byte:
		return (*step.Names)(d).UnmarshalJSON(v)
	}
	return fmt.Errorf("names are a %T, want a text", v)
}

// scan returns the function that reads a row of columns.
func scan[R any](columns schema.Table[R]) func(scanner, *R) error {
	return func(row scanner, r *R) error { return row.Scan(dests(nil, columns, r)...) }
}

// Each of these reads a row of the queries with the same name.
var (
	scanJob    = scan(schema.Jobs)
	scanStep   = scan(append(stepRow[:len(stepRow):len(stepRow)], shortTexts...))
	scanNames  = scan(schema.TargetNames)
	scanBlock  = scan(schema.TargetSets)
	scanRecord = scan(schema.Records)
	scanBatch  = scan(schema.Batches)

	scanStanding = scan(standing)

	scanDelivery = scan(schema.Effects)
)

func scanFound(row scanner, found *bool) error { return row.Scan(found) }

// batched is the details of a step, and its current batch.
type batched struct {
	store.Details
	batch int32
}

func scanDetails(row scanner, d *batched) error { return row.Scan(&d.Payload, &d.batch) }

func scanType(row scanner, t *step.Type) error { return row.Scan(t) }

func scanCount(row scanner, c *count) error { return row.Scan(&c.state, &c.jobs) }

func scanTarget(row scanner, t *store.Target) error {
	return row.Scan(dests([]any{&t.Index, &t.Name}, result, t)...)
}

func scanResult(row scanner, t *schema.StepTarget) error {
	return row.Scan(dests([]any{(*int64)(&t.Step)}, schema.Results, &t.Target)...)
}

func scanOverdue(row scanner, o *store.Overdue) error {
	return row.Scan(&o.Job, &o.Step, &o.Attempt, &o.Due)
}
