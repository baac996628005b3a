package pgstore

import (
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A table is the rows of a change or of a group, as parameters of a statement: column by
// column, in the order in which the columns are named.
type table []columnar

// columnar is one column of a table.
type columnar interface {
	len() int
	array() any   // all of it
	at(i int) any // its value in one row

	isNumber() bool                     // as the function isNumber has it of its type
	put(into []int64, place, width int) // its numbers into every width-th place
}

type values[V any] []V

func (v values[V]) len() int     { return len(v) }
func (v values[V]) array() any   { return []V(v) }
func (v values[V]) at(i int) any { return v[i] }

func (v values[V]) isNumber() bool {
	switch any(v).(type) {
	case values[int64], values[int32], values[int16], values[bool]:
		return true
	}
	return false
}

func (v values[V]) put(into []int64, place, width int) {
	switch v := any(v).(type) {
	case values[int64]:
		spread(v, into, place, width)
	case values[int32]:
		spread(v, into, place, width)
	case values[int16]:
		spread(v, into, place, width)
	case values[bool]:
		for i, yes := range v {
			if yes {
				into[i*width+place] = 1
			}
		}
	}
}

func spread[N int64 | int32 | int16](v []N, into []int64, place, width int) {
	for i, n := range v {
		into[i*width+place] = int64(n)
	}
}

// arrays returns the parameters for [statement.rows].
func (t table) arrays() []any {
	width := 0
	for _, c := range t {
		if c.isNumber() {
			width++
		}
	}
	rows := t[0].len()
	numbers, place := make([]int64, rows*width), 0
	args, texts := []any{numbers}, []any(nil)
	for _, c := range t {
		switch array := c.array().(type) {
		case []pgtype.UUID:
			args = append(args, array)
		default:
			if c.isNumber() {
				c.put(numbers, place, width)
				place++
			} else {
				texts = append(texts, array)
			}
		}
	}
	if len(texts) == 0 {
		texts = []any{int64(rows)}
	}
	return append(args, texts...)
}

// scalars returns the parameters for [statement.values], of so many rows.
func (t table) scalars(rows int) []any {
	args := make([]any, 0, rows*len(t))
	for i := range rows {
		for _, c := range t {
			args = append(args, c.at(i))
		}
	}
	return args
}

// column returns one column of rows.
func column[R, V any](rows []R, of func(r *R) V) values[V] {
	v := make(values[V], len(rows))
	for i := range rows {
		v[i] = of(&rows[i])
	}
	return v
}

// ofJob is a row together with the job that it belongs to.
type ofJob[R any] struct {
	job int64
	row R
}

// rowsOf returns the rows of all changes.
func rowsOf[R any](group []*store.Change, of func(c *store.Change) []R) []ofJob[*R] {
	var all []ofJob[*R]
	for _, c := range group {
		rows := of(c)
		for i := range rows {
			all = append(all, ofJob[*R]{int64(c.Job.ID), &rows[i]})
		}
	}
	return all
}

// headTable returns headColumns of changes to existing jobs.
func headTable(group []*store.Change) table {
	return table{
		column(group, func(c **store.Change) int64 { return int64((*c).Job.ID) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Base()) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.Version) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.Moved) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.Started) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.Finished) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.Updated) }),
		column(group, func(c **store.Change) int32 { return int32((*c).Job.Current) }),
		column(group, func(c **store.Change) int32 { return (*c).Job.Skipped }),
		column(group, func(c **store.Change) int32 { return (*c).Job.Ignored }),
		column(group, func(c **store.Change) int16 { return int16((*c).Job.State) }),
		column(group, func(c **store.Change) bool { return (*c).Job.Sealed }),
	}
}

// stateTable returns stateColumns.
func stateTable(group []*store.Change) table {
	steps := rowsOf(group, func(c *store.Change) []store.Step { return c.Steps })
	type row = ofJob[*store.Step]
	return table{
		column(steps, func(r *row) int64 { return r.job }),
		column(steps, func(r *row) int64 { return int64(r.row.Started) }),
		column(steps, func(r *row) int64 { return int64(r.row.Finished) }),
		column(steps, func(r *row) int64 { return int64(r.row.Deadline) }),
		column(steps, func(r *row) int32 { return int32(r.row.ID) }),
		column(steps, func(r *row) int32 { return r.row.Attempt }),
		column(steps, func(r *row) int32 { return r.row.Full }),
		column(steps, func(r *row) int32 { return r.row.Succeeded }),
		column(steps, func(r *row) int32 { return r.row.Unfinished }),
		column(steps, func(r *row) int16 { return int16(r.row.State) }),
	}
}

// lineTable returns lineColumns.
func lineTable(group []*store.Change) table {
	records := rowsOf(group, func(c *store.Change) []store.Record { return c.Records })
	type row = ofJob[*store.Record]
	return table{
		column(records, func(r *row) int64 { return r.job }),
		column(records, func(r *row) int64 { return int64(r.row.Seq) }),
		column(records, func(r *row) int64 { return int64(r.row.At) }),
		column(records, func(r *row) pgtype.UUID { return uuid(r.row.Request) }),
		column(records, func(r *row) int32 { return int32(r.row.Step) }),
		column(records, func(r *row) int32 { return int32(r.row.Entered) }),
		column(records, func(r *row) int32 { return r.row.Attempt }),
		column(records, func(r *row) int32 { return r.row.Succeeded }),
		column(records, func(r *row) int32 { return r.row.Unfinished }),
		column(records, func(r *row) int32 { return r.row.Results }),
		column(records, func(r *row) int32 { return r.row.Targets }),
		column(records, func(r *row) int16 { return int16(r.row.Cause) }),
		column(records, func(r *row) int16 { return int16(r.row.From) }),
		column(records, func(r *row) int16 { return int16(r.row.To) }),
		column(records, func(r *row) int16 { return int16(r.row.JobFrom) }),
		column(records, func(r *row) int16 { return int16(r.row.JobTo) }),
		column(records, func(r *row) int16 { return int16(r.row.Effect) }),
		column(records, func(r *row) bool { return r.row.All }),
		column(records, func(r *row) string { return r.row.Actor }),
		column(records, func(r *row) string { return r.row.Reason }),
	}
}

// outcomeTable returns outcomeColumns.
func outcomeTable(group []*store.Change) table {
	type result struct {
		step step.ID
		*store.Target
	}
	var results []ofJob[result]
	for _, c := range group {
		for i := range c.Targets {
			results = append(results, ofJob[result]{int64(c.Job.ID), result{c.Steps[0].ID, &c.Targets[i]}})
		}
	}
	type row = ofJob[result]
	return table{
		column(results, func(r *row) int64 { return r.job }),
		column(results, func(r *row) int64 { return int64(r.row.Started) }),
		column(results, func(r *row) int64 { return int64(r.row.Finished) }),
		column(results, func(r *row) int32 { return int32(r.row.step) }),
		column(results, func(r *row) int32 { return r.row.Index }),
		column(results, func(r *row) int32 { return r.row.Attempt }),
		column(results, func(r *row) int32 { return r.row.Success }),
		column(results, func(r *row) int32 { return r.row.ExitCode }),
		column(results, func(r *row) int16 { return int16(r.row.Status) }),
		column(results, func(r *row) string { return r.row.Detail }),
	}
}

// setTable returns setColumns.
func setTable(group []*store.Change) table {
	type set struct {
		step step.ID
		size int32
		targetset.Block
	}
	var sets []ofJob[set]
	for _, c := range group {
		if len(c.Targets) == 0 {
			continue
		}
		s := &c.Steps[0]
		for _, b := range targetset.Changed(s, c.Targets) {
			sets = append(sets, ofJob[set]{int64(c.Job.ID), set{s.ID, targetset.Size(b.Number, s.Total), b}})
		}
	}
	type block = ofJob[set]
	return table{
		column(sets, func(b *block) int64 { return b.job }),
		column(sets, func(b *block) int32 { return int32(b.row.step) }),
		column(sets, func(b *block) int32 { return b.row.Number }),
		column(sets, func(b *block) int32 { return b.row.Era }),
		column(sets, func(b *block) int32 { return b.row.Attempt }),
		column(sets, func(b *block) pgtype.Bits { return bits(b.row.Succeeded, b.row.size) }),
		column(sets, func(b *block) pgtype.Bits { return bits(b.row.Finished, b.row.size) }),
	}
}

func bits(b targetset.Bits, size int32) pgtype.Bits {
	return pgtype.Bits{Bytes: b, Len: size, Valid: true}
}

// namesPerRow is how many names of targets are kept in one row.
const namesPerRow = 256

// jobTable returns jobRowColumns of changes that create jobs.
func jobTable(group []*store.Change) table {
	return table{
		column(group, func(c **store.Change) int64 { return int64((*c).Job.ID) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.Version) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.Moved) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.Created) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.Started) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.Finished) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.Updated) }),
		column(group, func(c **store.Change) int32 { return int32((*c).Job.Current) }),
		column(group, func(c **store.Change) int32 { return (*c).Job.Steps }),
		column(group, func(c **store.Change) int32 { return (*c).Job.Skipped }),
		column(group, func(c **store.Change) int32 { return (*c).Job.Ignored }),
		column(group, func(c **store.Change) int16 { return int16((*c).Job.State) }),
		column(group, func(c **store.Change) bool { return (*c).Job.Sealed }),
		column(group, func(c **store.Change) string { return (*c).Job.Scope.Type }),
		column(group, func(c **store.Change) string { return (*c).Job.Scope.ID }),
		column(group, func(c **store.Change) string { return (*c).Job.Name }),
	}
}

// requestTable returns creationColumns.
func requestTable(group []*store.Change) table {
	group = slices.DeleteFunc(slices.Clone(group), func(c *store.Change) bool { return c.Records[0].Request == (store.RequestID{}) })
	return table{
		column(group, func(c **store.Change) string { return (*c).Job.Scope.Type }),
		column(group, func(c **store.Change) string { return (*c).Job.Scope.ID }),
		column(group, func(c **store.Change) pgtype.UUID { return uuid((*c).Records[0].Request) }),
		column(group, func(c **store.Change) int64 { return int64((*c).Job.ID) }),
	}
}

// stepTable returns stepRowColumns.
func stepTable(group []*store.Change) table {
	steps := rowsOf(group, func(c *store.Change) []store.Step { return c.Steps })
	type row = ofJob[*store.Step]
	return table{
		column(steps, func(r *row) int64 { return r.job }),
		column(steps, func(r *row) int64 { return int64(r.row.Started) }),
		column(steps, func(r *row) int64 { return int64(r.row.Finished) }),
		column(steps, func(r *row) int64 { return int64(r.row.Deadline) }),
		column(steps, func(r *row) int64 { return int64(r.row.Timeout) }),
		column(steps, func(r *row) int32 { return int32(r.row.ID) }),
		column(steps, func(r *row) int32 { return r.row.Total }),
		column(steps, func(r *row) int32 { return r.row.Attempt }),
		column(steps, func(r *row) int32 { return r.row.Full }),
		column(steps, func(r *row) int32 { return r.row.Succeeded }),
		column(steps, func(r *row) int32 { return r.row.Unfinished }),
		column(steps, func(r *row) int16 { return int16(r.row.Type) }),
		column(steps, func(r *row) int16 { return int16(r.row.State) }),
		column(steps, func(r *row) int16 { return int16(r.row.OnTimeout) }),
		column(steps, func(r *row) bool { return r.row.IgnoreErrors }),
		column(steps, func(r *row) string { return r.row.Name }),
		column(steps, func(r *row) string { return r.row.Payload }),
		column(steps, func(r *row) *string { return confirmers(r.row) }),
	}
}

// nameTable returns namesColumns.
func nameTable(group []*store.Change) table {
	type names struct {
		step  step.ID
		block int
		names []string
	}
	var lists []ofJob[names]
	for _, c := range group {
		for i := range c.Specs {
			block := 0
			for some := range slices.Chunk(c.Specs[i].Targets, namesPerRow) {
				lists = append(lists, ofJob[names]{int64(c.Job.ID), names{step.ID(i + 1), block, some}})
				block++
			}
		}
	}
	type list = ofJob[names]
	return table{
		column(lists, func(r *list) int64 { return r.job }),
		column(lists, func(r *list) int32 { return int32(r.row.step) }),
		column(lists, func(r *list) int32 { return int32(r.row.block) }),
		column(lists, func(r *list) string { return asJSON(r.row.names) }),
	}
}

// confirmers returns the list of a step as JSON, or nil for no list.
func confirmers(s *store.Step) *string {
	if !s.Confirmers.IsSet() {
		return nil
	}
	text := asJSON(s.Confirmers)
	return &text
}

// asJSON returns a list of names as JSON.
func asJSON(names any) string {
	text, err := json.Marshal(names)
	if err != nil { // of strings, there is none
		panic(err)
	}
	return string(text)
}

// uuid returns a request or a token as a parameter of a type that the driver knows without
// asking the server what it expects.
func uuid(r store.RequestID) pgtype.UUID { return pgtype.UUID{Bytes: r, Valid: true} }
