package pgstore

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A line is a row of a table with the keys of its owner before it.
type line[R any] struct {
	keys [maxKeys]int64
	row  *R
}

const maxKeys = 7

// A layout is the form of a table parameter: keys, each with its type, and columns.
type layout[R any] struct {
	keys    []string
	columns schema.Table[R]
}

// The layouts of the rows that a change writes.
var (
	heads    = layout[store.Job]{[]string{"base bigint"}, schema.Jobs.At(schema.Key, schema.Changed)}
	states   = layout[store.Step]{[]string{"job bigint"}, schema.Steps.At(schema.Key, schema.Changed)}
	lines    = layout[store.Record]{[]string{"about int", "about_type int", "about_attempt int", "about_run int", "about_first int", "about_end int", "ended int"}, schema.Records}
	outcomes = layout[store.Target]{[]string{"job bigint", "step int"}, schema.Results}
	sets     = layout[targetset.Block]{[]string{"job bigint", "step int"}, schema.TargetSets}
	batches  = layout[store.Batch]{[]string{"job bigint"}, schema.Batches}

	newJobs  = layout[store.Job]{nil, schema.Jobs}
	newSteps = layout[store.Step]{[]string{"job bigint"}, schema.Steps}
	newNames = layout[schema.NameBlock]{[]string{"job bigint"}, schema.TargetNames}
)

// types has the name of each type of column in PostgreSQL.
var types = [...]string{
	schema.Int64: "bigint", schema.Int32: "int", schema.Int16: "int2", schema.Bool: "bool",
	schema.Text: "text", schema.UUID: "uuid", schema.List: "json", schema.Bits: "varbit", schema.Data: "text",
}

// String returns the names and types of keys and columns.
func (l layout[R]) String() string {
	columns := l.columns.List(func(c schema.Column[R]) string { return c.Name + " " + types[c.Type] })
	return strings.Join(append(slices.Clone(l.keys), columns), ", ")
}

// names returns the names of keys and columns.
func (l layout[R]) names() string { return names(l.String()) }

// changes returns the assignments of the columns that can change, from the row from.
func (l layout[R]) changes(from string) string {
	return l.columns.At(schema.Changed).List(func(c schema.Column[R]) string { return c.Name + " = " + from + "." + c.Name })
}

// arrays returns the parameters for [statement.rows].
func (l layout[R]) arrays(rows []line[R]) []any {
	width := len(l.keys)
	for i := range l.columns {
		if l.columns[i].Type.IsNumber() {
			width++
		}
	}
	numbers := make([]int64, 0, len(rows)*width)
	for i := range rows {
		numbers = append(numbers, rows[i].keys[:len(l.keys)]...)
		for c := range l.columns {
			if l.columns[c].Type.IsNumber() {
				numbers = append(numbers, l.columns[c].Int(rows[i].row))
			}
		}
	}
	args := []any{numbers}
	var texts []any
	for i := range l.columns {
		switch c := &l.columns[i]; c.Type {
		case schema.UUID:
			args = append(args, column(rows, func(r *line[R]) pgtype.UUID { return asUUID(c.UUID(r.row)) }))
		case schema.Text, schema.Data:
			texts = append(texts, column(rows, func(r *line[R]) string { return c.Text(r.row) }))
		case schema.List:
			texts = append(texts, column(rows, func(r *line[R]) *string { return asJSON(c.List(r.row)) }))
		case schema.Bits:
			texts = append(texts, column(rows, func(r *line[R]) pgtype.Bits { return asBits(c.Bits(r.row)) }))
		}
	}
	if len(texts) == 0 {
		texts = []any{int64(len(rows))}
	}
	return append(args, texts...)
}

// scalars appends the parameters for [statement.values]. Each has the Go type of its column: the
// driver then needs no conversion.
func (l layout[R]) scalars(args []any, rows []line[R]) []any {
	for i := range rows {
		for k := range l.keys {
			if key := rows[i].keys[k]; strings.HasSuffix(l.keys[k], " int") {
				args = append(args, int32(key))
			} else {
				args = append(args, key)
			}
		}
		for c := range l.columns {
			args = append(args, scalar(&l.columns[c], rows[i].row))
		}
	}
	return args
}

// scalar returns the value of a column.
func scalar[R any](c *schema.Column[R], row *R) any {
	switch c.Type {
	case schema.Int64:
		return c.Int(row)
	case schema.Int32:
		return int32(c.Int(row))
	case schema.Int16:
		return int16(c.Int(row))
	case schema.Bool:
		return c.Int(row) != 0
	case schema.Text, schema.Data:
		return c.Text(row)
	case schema.UUID:
		return asUUID(c.UUID(row))
	case schema.List:
		return asJSON(c.List(row))
	}
	return asBits(c.Bits(row))
}

// column returns one value of each row.
func column[R, V any](rows []R, of func(r *R) V) []V {
	v := make([]V, len(rows))
	for i := range rows {
		v[i] = of(&rows[i])
	}
	return v
}

// headRows returns the headers of changes, each with the version that the change replaces.
func headRows(group []*store.Change) []line[store.Job] {
	return column(group, func(c **store.Change) line[store.Job] {
		return line[store.Job]{[maxKeys]int64{int64((*c).Base())}, &(*c).Job}
	})
}

// stepRows returns the steps of changes.
func stepRows(group []*store.Change) (all []line[store.Step]) {
	for _, c := range group {
		for i := range c.Steps {
			all = append(all, line[store.Step]{[maxKeys]int64{int64(c.Job.ID)}, &c.Steps[i]})
		}
	}
	return all
}

// recordRows returns the records of changes, each with the step, type, attempt, run and final state
// of its effect.
func recordRows(group []*store.Change) (all []line[store.Record]) {
	for _, c := range group {
		for i := range c.Records {
			d, _ := c.Delivery(&c.Records[i])
			all = append(all, line[store.Record]{
				[maxKeys]int64{int64(d.Step), int64(d.Type), int64(d.Attempt), int64(d.Run.Full), int64(d.Run.First), int64(d.Run.End), int64(d.JobTo)}, &c.Records[i],
			})
		}
	}
	return all
}

// resultRows returns the results of changes.
func resultRows(group []*store.Change) (all []line[store.Target]) {
	for _, c := range group {
		for i := range c.Targets {
			all = append(all, line[store.Target]{[maxKeys]int64{int64(c.Job.ID), int64(c.Steps[0].ID)}, &c.Targets[i]})
		}
	}
	return all
}

// setRows returns the additions of the results of changes to the sets of targets.
func setRows(group []*store.Change) (all []line[targetset.Block]) {
	for _, c := range group {
		if len(c.Targets) == 0 {
			continue
		}
		s := &c.Steps[0]
		blocks := targetset.Changed(s, c.BatchesOf(s.ID), c.Targets)
		for i := range blocks {
			all = append(all, line[targetset.Block]{[maxKeys]int64{int64(c.Job.ID), int64(s.ID)}, &blocks[i]})
		}
	}
	return all
}

// batchRows returns the batches of changes.
func batchRows(group []*store.Change) (all []line[store.Batch]) {
	for _, c := range group {
		for i := range c.Batches {
			all = append(all, line[store.Batch]{[maxKeys]int64{int64(c.Job.ID)}, &c.Batches[i]})
		}
	}
	return all
}

// nameRows returns the names of the targets of changes that create jobs.
func nameRows(group []*store.Change) (all []line[schema.NameBlock]) {
	for _, c := range group {
		for i := range c.Specs {
			blocks := schema.BlocksOf(step.ID(i+1), c.Specs[i].Targets)
			for b := range blocks {
				all = append(all, line[schema.NameBlock]{[maxKeys]int64{int64(c.Job.ID)}, &blocks[b]})
			}
		}
	}
	return all
}

// creations are the columns of stepgate_creations, the requests that created jobs.
const creations = `scope_type text, scope_id text, request uuid, job bigint`

// creationArrays returns the parameters for [statement.rows] of creations.
func creationArrays(group []*store.Change) []any {
	group = slices.DeleteFunc(slices.Clone(group), func(c *store.Change) bool { return c.Records[0].Request == (store.RequestID{}) })
	return []any{
		column(group, func(c **store.Change) int64 { return int64((*c).Job.ID) }),
		column(group, func(c **store.Change) pgtype.UUID { return asUUID((*c).Records[0].Request) }),
		column(group, func(c **store.Change) string { return (*c).Job.Scope.Type }),
		column(group, func(c **store.Change) string { return (*c).Job.Scope.ID }),
	}
}

// asBits returns a set of size targets as a bit string.
func asBits(set targetset.Bits, size int32) pgtype.Bits {
	return pgtype.Bits{Bytes: set, Len: size, Valid: true}
}

// asJSON returns a list of names as JSON, or nil for no list.
func asJSON(names step.Names) *string {
	if !names.IsSet() {
		return nil
	}
	text, err := json.Marshal(names)
	if err != nil { // a list of strings marshals
		panic(err)
	}
	list := string(text)
	return &list
}

// asUUID returns a request or a token, NULL for none, in a type that the driver encodes without
// asking the server for the type of the parameter.
func asUUID(id uuid.UUID) pgtype.UUID {
	return pgtype.UUID{Bytes: id, Valid: id != uuid.UUID{}}
}

// dests appends the destinations of a row's columns, in their order.
func dests[R any](into []any, columns schema.Table[R], row *R) []any {
	n := len(into)
	into = columns.Dests(into, row)
	for i, d := range into[n:] {
		switch d := d.(type) {
		case *uuid.UUID:
			into[n+i] = (*uuidDest)(d)
		case *step.Names:
			into[n+i] = (*listDest)(d)
		case *targetset.Bits:
			into[n+i] = (*bitsDest)(d)
		}
	}
	return into
}

// uuidDest reads a UUID, NULL as the zero one.
type uuidDest uuid.UUID

// ScanUUID implements pgtype.UUIDScanner.
func (d *uuidDest) ScanUUID(v pgtype.UUID) error {
	*d = v.Bytes // v is zero for NULL
	return nil
}

// listDest reads a list of names, NULL as no list.
type listDest step.Names

// ScanBytes implements pgtype.BytesScanner.
func (d *listDest) ScanBytes(text []byte) error {
	if text == nil {
		*d = listDest{}
		return nil
	}
	if err := (*step.Names)(d).UnmarshalJSON(text); err != nil {
		return fmt.Errorf("names: %w", err)
	}
	return nil
}

// bitsDest reads a set of targets.
type bitsDest targetset.Bits

// ScanBits implements pgtype.BitsScanner.
func (d *bitsDest) ScanBits(v pgtype.Bits) error {
	*d = v.Bytes
	return nil
}
