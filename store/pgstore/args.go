package pgstore

import (
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The parameters of a group's statement: one array for each column, in the order in which the
// columns are named.

// column returns one column of rows.
func column[R, V any](rows []R, of func(r *R) V) []V {
	values := make([]V, len(rows))
	for i := range rows {
		values[i] = of(&rows[i])
	}
	return values
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

// updateArgs returns the columns headColumns, stateColumns and lineColumns of changes to
// existing jobs.
func updateArgs(group []*store.Change) []any {
	steps := rowsOf(group, func(c *store.Change) []store.Step { return c.Steps })
	type change = *store.Change
	type row = ofJob[*store.Step]
	return append([]any{
		column(group, func(c *change) int64 { return int64((*c).Job.ID) }),
		column(group, func(c *change) int64 { return int64((*c).Base()) }),
		column(group, func(c *change) int64 { return int64((*c).Job.Version) }),
		column(group, func(c *change) int64 { return int64((*c).Job.Moved) }),
		column(group, func(c *change) int64 { return int64((*c).Job.Started) }),
		column(group, func(c *change) int64 { return int64((*c).Job.Finished) }),
		column(group, func(c *change) int32 { return int32((*c).Job.Current) }),
		column(group, func(c *change) int32 { return (*c).Job.Skipped }),
		column(group, func(c *change) int32 { return (*c).Job.Ignored }),
		column(group, func(c *change) int16 { return int16((*c).Job.State) }),

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
	}, lineArgs(group)...)
}

// lineArgs returns the columns lineColumns.
func lineArgs(group []*store.Change) []any {
	records := rowsOf(group, func(c *store.Change) []store.Record { return c.Records })
	type row = ofJob[*store.Record]
	return []any{
		column(records, func(r *row) int64 { return r.job }),
		column(records, func(r *row) int64 { return int64(r.row.Seq) }),
		column(records, func(r *row) int64 { return int64(r.row.At) }),
		column(records, func(r *row) [16]byte { return r.row.Request }),
		column(records, func(r *row) int32 { return int32(r.row.Step) }),
		column(records, func(r *row) int32 { return int32(r.row.Entered) }),
		column(records, func(r *row) int32 { return r.row.Attempt }),
		column(records, func(r *row) int32 { return r.row.Succeeded }),
		column(records, func(r *row) int32 { return r.row.Unfinished }),
		column(records, func(r *row) int32 { return r.row.Results }),
		column(records, func(r *row) int32 { return r.row.Targets }),
		column(records, func(r *row) int16 { return int16(r.row.Kind) }),
		column(records, func(r *row) int16 { return int16(r.row.Code) }),
		column(records, func(r *row) int16 { return int16(r.row.JobCode) }),
		column(records, func(r *row) int16 { return int16(r.row.Event) }),
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

// targetArgs returns the columns outcomeColumns and setColumns.
func targetArgs(group []*store.Change) []any {
	type result struct {
		step step.ID
		*store.Target
	}
	type set struct {
		step step.ID
		size int32
		targetset.Block
	}
	var results []ofJob[result]
	var sets []ofJob[set]
	for _, c := range group {
		if len(c.Targets) == 0 {
			continue
		}
		job, s := int64(c.Job.ID), &c.Steps[0]
		for i := range c.Targets {
			results = append(results, ofJob[result]{job, result{s.ID, &c.Targets[i]}})
		}
		for _, b := range targetset.Changed(s, c.Targets) {
			sets = append(sets, ofJob[set]{job, set{s.ID, targetset.Size(b.Number, s.Total), b}})
		}
	}
	type row = ofJob[result]
	type block = ofJob[set]
	return []any{
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

// creationArgs returns the columns jobRowColumns, creationColumns, stepRowColumns,
// namesColumns and lineColumns of changes that create jobs.
func creationArgs(group []*store.Change) []any {
	type request struct {
		store.Scope
		id store.Request
	}
	type names struct {
		step  step.ID
		block int
		names []string
	}
	var requests []ofJob[request]
	var lists []ofJob[names]
	for _, c := range group {
		job := int64(c.Job.ID)
		if id := c.Records[0].Request; id != (store.Request{}) {
			requests = append(requests, ofJob[request]{job, request{c.Job.Scope, id}})
		}
		for i := range c.Specs {
			block := 0
			for some := range slices.Chunk(c.Specs[i].Targets, namesPerRow) {
				lists = append(lists, ofJob[names]{job, names{step.ID(i + 1), block, some}})
				block++
			}
		}
	}
	steps := rowsOf(group, func(c *store.Change) []store.Step { return c.Steps })
	type change = *store.Change
	type req = ofJob[request]
	type row = ofJob[*store.Step]
	type list = ofJob[names]
	return append([]any{
		column(group, func(c *change) int64 { return int64((*c).Job.ID) }),
		column(group, func(c *change) int64 { return int64((*c).Job.Version) }),
		column(group, func(c *change) int64 { return int64((*c).Job.Moved) }),
		column(group, func(c *change) int64 { return int64((*c).Job.Created) }),
		column(group, func(c *change) int64 { return int64((*c).Job.Started) }),
		column(group, func(c *change) int64 { return int64((*c).Job.Finished) }),
		column(group, func(c *change) int32 { return int32((*c).Job.Current) }),
		column(group, func(c *change) int32 { return (*c).Job.Steps }),
		column(group, func(c *change) int32 { return (*c).Job.Skipped }),
		column(group, func(c *change) int32 { return (*c).Job.Ignored }),
		column(group, func(c *change) int16 { return int16((*c).Job.State) }),
		column(group, func(c *change) string { return (*c).Job.Scope.Type }),
		column(group, func(c *change) string { return (*c).Job.Scope.ID }),
		column(group, func(c *change) string { return (*c).Job.Name }),

		column(requests, func(r *req) string { return r.row.Type }),
		column(requests, func(r *req) string { return r.row.ID }),
		column(requests, func(r *req) [16]byte { return r.row.id }),
		column(requests, func(r *req) int64 { return r.job }),

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

		column(lists, func(r *list) int64 { return r.job }),
		column(lists, func(r *list) int32 { return int32(r.row.step) }),
		column(lists, func(r *list) int32 { return int32(r.row.block) }),
		column(lists, func(r *list) string { return asJSON(r.row.names) }),
	}, lineArgs(group)...)
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
