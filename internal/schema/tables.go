package schema

import (
	"slices"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Jobs is stepgate_jobs: the header of each job.
var Jobs = Table[store.Job]{
	number("id", Int64, Key, func(j *store.Job) *int64 { return (*int64)(&j.ID) }),
	number("version", Int64, Changed, func(j *store.Job) *int64 { return (*int64)(&j.Version) }),
	number("moved", Int64, Changed, func(j *store.Job) *int64 { return (*int64)(&j.Moved) }),
	number("created", Int64, Created, func(j *store.Job) *int64 { return (*int64)(&j.Created) }),
	number("started", Int64, Changed, func(j *store.Job) *int64 { return (*int64)(&j.Started) }),
	number("finished", Int64, Changed, func(j *store.Job) *int64 { return (*int64)(&j.Finished) }),
	number("updated", Int64, Changed, func(j *store.Job) *int64 { return (*int64)(&j.Updated) }),
	number("current", Int32, Changed, func(j *store.Job) *int64 { return (*int64)(&j.Current) }),
	number("steps", Int32, Created, func(j *store.Job) *int32 { return &j.Steps }),
	number("skipped", Int32, Changed, func(j *store.Job) *int32 { return &j.Skipped }),
	number("ignored", Int32, Changed, func(j *store.Job) *int32 { return &j.Ignored }),
	number("tolerated", Int32, Changed, func(j *store.Job) *int32 { return &j.Tolerated }),
	number("origin", Int64, Created, func(j *store.Job) *int64 { return (*int64)(&j.Origin) }),
	number("state", Int16, Changed, func(j *store.Job) *uint8 { return (*uint8)(&j.State) }),
	truth("sealed", Changed, func(j *store.Job) *bool { return &j.Sealed }),
	number("deadline", Int64, Changed, func(j *store.Job) *int64 { return (*int64)(&j.Deadline) }),
	number("gate", Int16, Changed, func(j *store.Job) *uint8 { return (*uint8)(&j.Gate) }),
	truth("held", Changed, func(j *store.Job) *bool { return &j.Held }),
	truth("has_turn", Changed, func(j *store.Job) *bool { return &j.HasTurn }),
	text("scope_type", Created, func(j *store.Job) *string { return &j.Scope.Type }),
	text("scope_id", Created, func(j *store.Job) *string { return &j.Scope.ID }),
	text("name", Created, func(j *store.Job) *string { return &j.Name }),
	data("policy", Created, func(j *store.Job) *store.JobPolicy { return j.Policy }, func(j *store.Job) any { return (*jobPolicy)(j) }),
}

// Steps is stepgate_steps, without the column of the job.
var Steps = Table[store.Step]{
	number("id", Int32, Key, func(s *store.Step) *int64 { return (*int64)(&s.ID) }),
	number("started", Int64, Changed, func(s *store.Step) *int64 { return (*int64)(&s.Started) }),
	number("finished", Int64, Changed, func(s *store.Step) *int64 { return (*int64)(&s.Finished) }),
	number("deadline", Int64, Changed, func(s *store.Step) *int64 { return (*int64)(&s.Deadline) }),
	number("expires", Int64, Changed, func(s *store.Step) *int64 { return (*int64)(&s.Expires) }),
	number("due", Int64, Changed, func(s *store.Step) *int64 { return (*int64)(&s.Due) }),
	number("gate_until", Int64, Changed, func(s *store.Step) *int64 { return (*int64)(&s.Gate.Until) }),
	number("timeout_ns", Int64, Created, func(s *store.Step) *int64 { return (*int64)(&s.Timeout) }),
	number("total", Int32, Created, func(s *store.Step) *int32 { return &s.Total }),
	number("attempt", Int32, Changed, func(s *store.Step) *int32 { return &s.Attempt }),
	number("run_full", Int32, Changed, func(s *store.Step) *int32 { return &s.Run.Full }),
	number("run_first", Int32, Changed, func(s *store.Step) *int32 { return &s.Run.First }),
	number("run_end", Int32, Changed, func(s *store.Step) *int32 { return &s.Run.End }),
	number("batch", Int32, Changed, func(s *store.Step) *int32 { return &s.Batch }),
	number("succeeded_before", Int32, Changed, func(s *store.Step) *int32 { return &s.Before }),
	number("accepted", Int32, Changed, func(s *store.Step) *int32 { return &s.Accepted }),
	number("automatic", Int32, Changed, func(s *store.Step) *int32 { return &s.Automatic }),
	number("succeeded", Int32, Changed, func(s *store.Step) *int32 { return &s.Succeeded }),
	number("unfinished", Int32, Changed, func(s *store.Step) *int32 { return &s.Unfinished }),
	number("type", Int16, Created, func(s *store.Step) *uint8 { return (*uint8)(&s.Type) }),
	number("state", Int16, Changed, func(s *store.Step) *uint8 { return (*uint8)(&s.State) }),
	number("on_timeout", Int16, Created, func(s *store.Step) *uint8 { return (*uint8)(&s.OnTimeout) }),
	number("gate", Int16, Changed, func(s *store.Step) *uint8 { return (*uint8)(&s.Gate.Reason) }),
	number("gate_then", Int16, Changed, func(s *store.Step) *uint8 { return (*uint8)(&s.Gate.Then) }),
	truth("stop_before", Changed, func(s *store.Step) *bool { return &s.StopBefore }),
	truth("mendable", Changed, func(s *store.Step) *bool { return &s.Mendable }),
	truth("ignore_errors", Created, func(s *store.Step) *bool { return &s.IgnoreErrors }),
	text("name", Created, func(s *store.Step) *string { return &s.Name }),
	data("policy", Created, func(s *store.Step) *storedPolicy { return stored(s.Policy) }, func(s *store.Step) any { return (*stepPolicy)(s) }),
	long(list("confirmers", Created, func(s *store.Step) *step.Names { return &s.Confirmers })),
	long(text("payload", Created, func(s *store.Step) *string { return &s.Payload })),
}

// Results is stepgate_results, without the columns of the job and the step: the result of a target
// in an attempt. Its name is in [TargetNames].
var Results = Table[store.Target]{
	number("idx", Int32, Key, func(t *store.Target) *int32 { return &t.Index }),
	number("attempt", Int32, Key, func(t *store.Target) *int32 { return &t.Attempt }),
	number("started", Int64, Changed, func(t *store.Target) *int64 { return (*int64)(&t.Started) }),
	number("finished", Int64, Changed, func(t *store.Target) *int64 { return (*int64)(&t.Finished) }),
	number("success", Int32, Changed, func(t *store.Target) *int32 { return &t.Success }),
	number("exit_code", Int32, Changed, func(t *store.Target) *int32 { return &t.ExitCode }),
	number("status", Int16, Changed, func(t *store.Target) *uint16 { return (*uint16)(&t.Status) }),
	text("detail", Changed, func(t *store.Target) *string { return &t.Detail }),
}

// NamesPerBlock is the number of names in a [NameBlock]; the last block of a step may have fewer.
const NamesPerBlock = 256

// A NameBlock is the names of some targets of a step.
type NameBlock struct {
	Step  step.ID
	Block int32 // number of the block, whose first target is NamesPerBlock*Block
	Names step.Names
}

// BlocksOf returns the names of all targets of a step.
func BlocksOf(id step.ID, targets []string) []NameBlock {
	blocks := make([]NameBlock, 0, (len(targets)+NamesPerBlock-1)/NamesPerBlock)
	for names := range slices.Chunk(targets, NamesPerBlock) {
		blocks = append(blocks, NameBlock{id, int32(len(blocks)), step.NamesOf(names)})
	}
	return blocks
}

// TargetNames is stepgate_target_names, without the column of the job.
var TargetNames = Table[NameBlock]{
	number("step", Int32, Key, func(n *NameBlock) *int64 { return (*int64)(&n.Step) }),
	number("block", Int32, Key, func(n *NameBlock) *int32 { return &n.Block }),
	list("names", Created, func(n *NameBlock) *step.Names { return &n.Names }),
}

// TargetSets is stepgate_target_sets, without the columns of the job and the step.
var TargetSets = Table[targetset.Block]{
	number("block", Int32, Key, func(b *targetset.Block) *int32 { return &b.Number }),
	number("era", Int32, Changed, func(b *targetset.Block) *int32 { return &b.Era }),
	number("attempt", Int32, Changed, func(b *targetset.Block) *int32 { return &b.Attempt }),
	bits("succeeded", Changed, func(b *targetset.Block) *targetset.Bits { return &b.Succeeded }, sizeOf),
	bits("finished", Changed, func(b *targetset.Block) *targetset.Bits { return &b.Finished }, sizeOf),
}

// Batches is stepgate_batches, without the column of the job: the batches of steps that have begun.
var Batches = Table[store.Batch]{
	number("step", Int32, Key, func(b *store.Batch) *int64 { return (*int64)(&b.Step) }),
	number("number", Int32, Key, func(b *store.Batch) *int32 { return &b.Number }),
	number("run_first", Int32, Changed, func(b *store.Batch) *int32 { return &b.First }),
	number("run_end", Int32, Changed, func(b *store.Batch) *int32 { return &b.End }),
	number("run_full", Int32, Changed, func(b *store.Batch) *int32 { return &b.Full }),
	number("since", Int32, Created, func(b *store.Batch) *int32 { return &b.Since }),
	number("attempt", Int32, Changed, func(b *store.Batch) *int32 { return &b.Attempt }),
	number("succeeded", Int32, Changed, func(b *store.Batch) *int32 { return &b.Succeeded }),
	number("unfinished", Int32, Changed, func(b *store.Batch) *int32 { return &b.Unfinished }),
	number("started", Int64, Created, func(b *store.Batch) *int64 { return (*int64)(&b.Started) }),
	number("finished", Int64, Changed, func(b *store.Batch) *int64 { return (*int64)(&b.Finished) }),
	number("state", Int16, Changed, func(b *store.Batch) *uint8 { return (*uint8)(&b.State) }),
}

func sizeOf(b *targetset.Block) int32 { return b.Size }

// Records is stepgate_records: the history of each job. A row is never changed.
var Records = Table[store.Record]{
	number("job", Int64, Key, func(r *store.Record) *int64 { return (*int64)(&r.Job) }),
	number("seq", Int64, Key, func(r *store.Record) *int64 { return (*int64)(&r.Seq) }),
	number("at", Int64, Created, func(r *store.Record) *int64 { return (*int64)(&r.At) }),
	id("request", Created, func(r *store.Record) *uuid.UUID { return &r.Request }),
	number("step", Int32, Created, func(r *store.Record) *int64 { return (*int64)(&r.Step) }),
	number("entered", Int32, Created, func(r *store.Record) *int64 { return (*int64)(&r.Entered) }),
	number("attempt", Int32, Created, func(r *store.Record) *int32 { return &r.Attempt }),
	number("run_full", Int32, Created, func(r *store.Record) *int32 { return &r.Run.Full }),
	number("run_first", Int32, Created, func(r *store.Record) *int32 { return &r.Run.First }),
	number("run_end", Int32, Created, func(r *store.Record) *int32 { return &r.Run.End }),
	number("succeeded_before", Int32, Created, func(r *store.Record) *int32 { return &r.Before }),
	number("gate_until", Int64, Created, func(r *store.Record) *int64 { return (*int64)(&r.Gate.Until) }),
	number("gate", Int16, Created, func(r *store.Record) *uint8 { return (*uint8)(&r.Gate.Reason) }),
	number("gate_then", Int16, Created, func(r *store.Record) *uint8 { return (*uint8)(&r.Gate.Then) }),
	truth("mendable", Created, func(r *store.Record) *bool { return &r.Mendable }),
	number("succeeded", Int32, Created, func(r *store.Record) *int32 { return &r.Succeeded }),
	number("unfinished", Int32, Created, func(r *store.Record) *int32 { return &r.Unfinished }),
	number("results", Int32, Created, func(r *store.Record) *int32 { return &r.Results }),
	number("targets", Int32, Created, func(r *store.Record) *int32 { return &r.Targets }),
	number("cause", Int16, Created, func(r *store.Record) *uint8 { return (*uint8)(&r.Cause) }),
	number("from_state", Int16, Created, func(r *store.Record) *uint8 { return (*uint8)(&r.From) }),
	number("to_state", Int16, Created, func(r *store.Record) *uint8 { return (*uint8)(&r.To) }),
	number("job_from", Int16, Created, func(r *store.Record) *uint8 { return (*uint8)(&r.JobFrom) }),
	number("job_to", Int16, Created, func(r *store.Record) *uint8 { return (*uint8)(&r.JobTo) }),
	number("effect", Int16, Created, func(r *store.Record) *uint8 { return (*uint8)(&r.Effect) }),
	text("actor", Created, func(r *store.Record) *string { return &r.Actor }),
	text("reason", Created, func(r *store.Record) *string { return &r.Reason }),
}

// Effects is stepgate_effects: the effects that are not settled. A row has all that a delivery
// needs.
var Effects = Table[store.Delivery]{
	number("job", Int64, Key, func(d *store.Delivery) *int64 { return (*int64)(&d.Job) }),
	number("seq", Int64, Key, func(d *store.Delivery) *int64 { return (*int64)(&d.Seq) }),
	number("at", Int64, Created, func(d *store.Delivery) *int64 { return (*int64)(&d.At) }),
	number("effect", Int16, Created, func(d *store.Delivery) *uint8 { return (*uint8)(&d.Effect) }),
	number("step", Int32, Created, func(d *store.Delivery) *int64 { return (*int64)(&d.Step) }),
	number("type", Int16, Created, func(d *store.Delivery) *uint8 { return (*uint8)(&d.Type) }),
	number("attempt", Int32, Created, func(d *store.Delivery) *int32 { return &d.Attempt }),
	number("run_full", Int32, Created, func(d *store.Delivery) *int32 { return &d.Run.Full }),
	number("run_first", Int32, Created, func(d *store.Delivery) *int32 { return &d.Run.First }),
	number("run_end", Int32, Created, func(d *store.Delivery) *int32 { return &d.Run.End }),
	number("job_to", Int16, Created, func(d *store.Delivery) *uint8 { return (*uint8)(&d.JobTo) }),
	text("scope_type", Created, func(d *store.Delivery) *string { return &d.Scope.Type }),
	text("scope_id", Created, func(d *store.Delivery) *string { return &d.Scope.ID }),
	number("cause", Int16, Created, func(d *store.Delivery) *uint8 { return (*uint8)(&d.Cause) }),
	text("actor", Created, func(d *store.Delivery) *string { return &d.Actor }),
	text("reason", Created, func(d *store.Delivery) *string { return &d.Reason }),
	number("not_before", Int64, Changed, func(d *store.Delivery) *int64 { return (*int64)(&d.NotBefore) }),
	truth("held", Changed, func(d *store.Delivery) *bool { return &d.Held }),
	number("count", Int32, Changed, func(d *store.Delivery) *int32 { return &d.Count }),
	number("failures", Int32, Changed, func(d *store.Delivery) *int32 { return &d.Failures }),
	id("token", Changed, func(d *store.Delivery) *uuid.UUID { return &d.Token }),
	truth("delivered", Changed, func(d *store.Delivery) *bool { return &d.Delivered }),
	text("last_error", Changed, func(d *store.Delivery) *string { return &d.LastError }),
}
