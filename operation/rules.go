package operation

import (
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/internal/strictjson"
	"github.com/stepgate/stepgate/step"
)

// A Table is a rule set as data: the step types with their lifecycles, and the legality rows. Its
// owner may change it; [Table.Compile] makes [Rules] of it.
type Table struct {
	Kinds []step.Kind `json:"kinds"` // the declared types, each once
	Rows  []Row       `json:"rows"`  // of the legality table
}

// StandardTable returns the documented rules as data. The caller owns the result.
func StandardTable() Table {
	return Table{Kinds: step.Kinds(), Rows: slices.Clone(rows)}
}

// ParseTable reads a table from the JSON that it marshals to. Unknown fields and names, keys
// in another case or given twice, and trailing data are errors. ParseTable does not check the
// rules; [Table.Compile] does.
func ParseTable(data []byte) (Table, error) {
	var t Table
	if err := strictjson.Unmarshal(data, &t); err != nil {
		return Table{}, fmt.Errorf("rules: %w", err)
	}
	return t, nil
}

// Like extends every row for steps of type model to steps of type typ. It adds no Kind.
func (t *Table) Like(typ, model step.Type) {
	for i := range t.Rows {
		if t.Rows[i].On.Has(model) {
			t.Rows[i].On = t.Rows[i].On.With(typ)
		}
	}
}

// With returns a copy of t with step type typ, which has the lifecycle and the rows of type model. Its
// title is its name, so register that before.
func (t Table) With(typ, model step.Type) Table {
	t = t.clone()
	kind := step.Kind{Type: typ, Title: typ.String()}
	if i := slices.IndexFunc(t.Kinds, func(k step.Kind) bool { return k.Type == model }); i >= 0 {
		kind.Lifecycle = slices.Clone(t.Kinds[i].Lifecycle)
	}
	t.Kinds = append(t.Kinds, kind)
	t.Like(typ, model)
	return t
}

// Rules is a compiled table: one finite state machine per step type, and
// legality decided by index. It is immutable and safe for concurrent use.
type Rules struct {
	table  Table
	causes step.Causes // that have a row
	notes  step.Causes // that have a row which adds a comment
	kinds  [64]*kind
	whole  [step.MaxStates]cell   // by the job's state: the rows for the whole job
	from   [rowCauses]step.States // by cause: where a row for the whole job leads anywhere
	states step.States            // those of jobs that have a row for the whole job
}

// kind has the rules of one step type.
type kind struct {
	step.Kind
	enters  step.State
	former  bool // of version 0.1: its rules have no operation out of gated
	machine *step.Machine
	cells   [step.MaxStates]cell   // by state
	from    [rowCauses]step.States // by cause: where it leads anywhere
	stays   step.Causes            // that move no state
}

// rowCauses bounds the causes that stand in rows.
const rowCauses = 192

// guards bounds the guards.
const guards = Unfinal + 1

// cell has the rules of one state.
type cell struct {
	moves   [256]Move           // by cause, any, so that none need be checked; the zero Move is illegal
	legal   step.Causes         // the operations among them
	guarded [guards]step.Causes // by guard: those that have it
}

func (c *cell) add(row Row) {
	c.moves[row.Cause] = Move{To: row.To, Do: row.Do, Guard: row.Guard}
	c.legal = c.legal.With(row.Cause)
	c.guarded[row.Guard] = c.guarded[row.Guard].With(row.Cause)
}

// A Move is what a cause does where it is legal. The zero Move means that it leads nowhere.
type Move struct {
	To    step.State // the step's next state; 0 if no state moves
	Do    step.Do    // the consequence
	Guard Guard      // the condition beyond type and state
}

var standard = StandardTable().MustCompile()

// Standard returns the documented rules. All callers share one value.
func Standard() *Rules { return standard }

// Compile checks t and compiles it. [step.Kind.Check] and [step.Do.Check] have the conditions on
// kinds and rows. The error names the kind or the row, and what is wrong with it. t can be changed
// afterwards. Kinds of version 0.1, which has no gates, are completed, see [step.Kind.Completed].
func (t Table) Compile() (*Rules, error) {
	r := &Rules{table: t.clone()}
	for i, k := range r.table.Kinds {
		former := len(k.Lifecycle)
		k = k.Completed()
		r.table.Kinds[i] = k
		if err := k.Check(); err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
		if r.kinds[k.Type] != nil {
			return nil, fmt.Errorf("rules: step type %v is declared twice", k.Type)
		}
		r.kinds[k.Type] = &kind{Kind: k, enters: k.Enters(), former: former < len(k.Lifecycle)}
	}
	for i, row := range r.table.Rows {
		if err := r.addRow(row); err != nil {
			return nil, fmt.Errorf("rules: row %d, %v: %w", i+1, row.Cause, err)
		}
		r.causes = r.causes.With(row.Cause)
	}
	for _, k := range r.table.Kinds {
		if err := r.kinds[k.Type].compile(r.table); err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
	}
	return r, nil
}

// MustCompile is Compile for a table that is part of the program: it panics on an error.
func (t Table) MustCompile() *Rules {
	r, err := t.Compile()
	if err != nil {
		panic(err)
	}
	return r
}

func (t Table) clone() Table {
	own := Table{Kinds: slices.Clone(t.Kinds), Rows: slices.Clone(t.Rows)}
	for i := range own.Kinds {
		own.Kinds[i].Lifecycle = slices.Clone(own.Kinds[i].Lifecycle)
	}
	return own
}

// addRow checks row and enters it into the look-ups of its types, or of the whole job.
func (r *Rules) addRow(row Row) error {
	switch {
	case !row.Cause.Valid() || !row.Cause.OfStep() && !row.Cause.OfJob():
		return fmt.Errorf("%v is not an operation; 32 to 63 are for embedders", row.Cause)
	case !row.Guard.Valid():
		return fmt.Errorf("unknown guard %d", row.Guard)
	case row.On.Empty():
		return r.addWhole(row)
	}
	for t := range row.On.All() {
		k := r.kind(t)
		if k == nil {
			return fmt.Errorf("step type %v is not declared", t)
		}
		if err := k.check(row); err != nil {
			return err
		}
		for from := range row.From.All() {
			k.cells[from].add(row)
		}
		k.from[row.Cause] = k.from[row.Cause].Union(row.From)
		if row.Do.Stays() {
			k.stays = k.stays.With(row.Cause)
		}
	}
	return nil
}

// addWhole enters a row for the whole job.
func (r *Rules) addWhole(row Row) error {
	switch {
	case !row.Do.Whole() && row.Do.Valid():
		return fmt.Errorf("it applies to no step type, and %v is not for the whole job", row.Do)
	case !row.Cause.OfJob():
		return fmt.Errorf("it is for the whole job, and the cause of a step moves a step")
	case row.Guard != Free && row.Guard != Held && row.Guard != Unheld && row.Guard != Unfinal:
		return fmt.Errorf("guard %v is for steps, and the row is for the whole job", row.Guard)
	case row.Do == step.Hold && row.Guard != Unheld, row.Do == step.Release && row.Guard != Held:
		return fmt.Errorf("%v without a guard would change nothing where the job is, or is not, on hold", row.Do)
	}
	if err := row.Do.Check(0, row.From, row.To); err != nil {
		return err
	}
	if row.Do == step.Note {
		r.notes = r.notes.With(row.Cause)
	}
	for from := range row.From.All() {
		if was := r.whole[from].moves[row.Cause]; was != (Move{}) {
			return fmt.Errorf("two rows for the whole job in %v", from)
		}
		r.whole[from].add(row)
	}
	r.from[row.Cause] = r.from[row.Cause].Union(row.From)
	r.states = r.states.Union(row.From)
	return nil
}

// check returns what is wrong with a row on steps of k's type, or nil.
func (k *kind) check(row Row) error {
	for s := range row.From.All() {
		switch {
		case s.Passed():
			return fmt.Errorf("it starts in %v, but a step that has passed lies behind its job", s)
		case !s.Valid():
			return fmt.Errorf("it starts in unknown state %d", s)
		}
	}
	if err := row.Do.Check(k.enters, row.From, row.To); err != nil {
		return err
	}
	start := row.Cause == StartJob.Cause()
	switch {
	case start != (row.Do == step.Enter):
		return fmt.Errorf("enter is for the start of a job, and the start of a job enters its first step")
	case row.Do.Stays() && !row.Cause.OfStep():
		return fmt.Errorf("%v is for the step that an operation names", row.Do)
	case row.Do == step.Mark && row.Guard != Unmarked, row.Do == step.Unmark && row.Guard != Marked:
		return fmt.Errorf("%v without a guard would change nothing where a stop is, or is not, set", row.Do)
	case row.Do == step.Open && row.Guard != Waivable && row.Guard != GatedByHold:
		return fmt.Errorf("%v needs guard %v or %v, as no person opens a gate of a turn", row.Do, Waivable, GatedByHold)
	case row.Guard == Unfinal:
		return fmt.Errorf("guard %v is for the whole job, and the row is for steps", row.Guard)
	case row.Guard == GatedByHold && !row.Cause.OfJob():
		return fmt.Errorf("guard %v is for an operation on the job, which ends the hold", row.Guard)
	case row.Do == step.RunNext && row.Guard != BatchLeft:
		return fmt.Errorf("%v needs guard %v, as an attempt on nothing would never end", row.Do, BatchLeft)
	case row.From.Has(step.Pending) && !row.Cause.OfJob() && !row.Do.Stays():
		return fmt.Errorf("it starts in pending, and only an operation on the job leads out of pending")
	case row.Cause == TerminateJob.Cause() && (row.To.Passed() || row.To == k.enters):
		return fmt.Errorf("it leads to %v, and a job that was told to terminate would go on", row.To)
	case row.Do == step.RunDue && row.Guard != SomeDue:
		return fmt.Errorf("%v needs guard %v, as an attempt on nothing would never end", row.Do, SomeDue)
	case row.Guard == SomeDue && k.enters != step.Running:
		return fmt.Errorf("guard %v is for steps that run, and %v does not", row.Guard, k.Type)
	case row.Guard == Approver && k.enters != step.Waiting:
		return fmt.Errorf("guard %v is for steps that ask, and %v does not", row.Guard, k.Type)
	}
	return nil
}

// compile builds k's machine of the lifecycle and all rows that apply to it.
func (k *kind) compile(t Table) error {
	transitions := slices.Clone(k.Lifecycle)
	for _, row := range t.Rows {
		if row.On.Has(k.Type) && !row.Do.Stays() {
			transitions = append(transitions, step.Transition{Cause: row.Cause, From: row.From, To: row.To, Do: row.Do})
		}
	}
	var err error
	if k.machine, err = step.NewMachine(k.Type.String(), transitions); err != nil {
		return err
	}
	for _, row := range k.Lifecycle {
		for from := range row.From.All() {
			k.cells[from].moves[row.Cause] = Move{To: row.To, Do: row.Do}
		}
		k.from[row.Cause] = k.from[row.Cause].Union(row.From)
	}
	switch {
	case k.from[StartJob.Cause()].Empty():
		return fmt.Errorf("step type %v: no row starts a job whose first step it is", k.Type)
	case !k.resumes(t.Rows):
		return fmt.Errorf("step type %v: an operation that ends the hold in gated has no row that opens its gate", k.Type)
	case !k.former && k.stuck(Waivable):
		return fmt.Errorf("step type %v: no row leads out of gated on hold, so that a held step could stay for ever", k.Type)
	case !k.former && k.stuck(GatedByHold):
		return fmt.Errorf("step type %v: no row leads out of gated where a person is waited for, so that a step could stay for ever", k.Type)
	case k.enters == step.Waiting && k.cells[step.Waiting].legal.Empty():
		return fmt.Errorf("step type %v: no row leads out of waiting, so that only a deadline could decide", k.Type)
	}
	return nil
}

// resumes reports whether each operation that ends a hold of a gated job opens the gate of hold as well.
func (k *kind) resumes(rows []Row) bool {
	for _, row := range rows {
		if m := k.cells[step.Gated].moves[row.Cause]; row.Do == step.Release && row.From.Has(step.Gated) && (m.Do != step.Open || m.Guard != GatedByHold) {
			return false
		}
	}
	return true
}

// stuck reports whether no operation leads out of gated where a guard refuses.
func (k *kind) stuck(unmet Guard) bool {
	return k.cells[step.Gated].admitted([]Guard{unmet}).Empty()
}

func (r *Rules) kind(t step.Type) *kind {
	if t >= 64 {
		return nil
	}
	return r.kinds[t]
}

// Table returns the rules as data. The caller owns the result.
func (r *Rules) Table() Table { return r.table.clone() }

// Move returns the move of cause on a step of type t in state s, whatever its guard, and whether
// the rules have a row for it: an operation's or an event's. Rows for the whole job do not count.
func (r *Rules) Move(t step.Type, s step.State, cause step.Cause) (Move, bool) {
	k := r.kinds[t&63] // masked, so that no bound is checked twice
	if k == nil || t >= 64 || s >= step.MaxStates {
		return Move{}, false
	}
	m := k.cells[s].moves[cause]
	return m, m.Do != 0
}

// Whole returns the move of an operation on the whole job in state s, whatever its guard, and
// whether the rules have a row for it.
func (r *Rules) Whole(s step.State, cause step.Cause) (Move, bool) {
	if !cause.OfJob() || !r.states.Has(s) {
		return Move{}, false
	}
	m := r.whole[s].moves[cause]
	return m, m.Do != 0
}

// A Standing is the state in which an operation meets a job: all that its legality depends on,
// except for guards.
type Standing struct {
	Type   step.Type  // of the step; for an operation on the job, of the current step
	State  step.State // of that step
	Job    step.State // of the job
	Behind bool       // the step is not the job's current one
	Sealed bool       // the job is sealed
}

// Judge returns the move of an operation and 0 if the operation is legal, guards aside. If not, it
// returns the zero Move and the reason: Sealed, WrongType, NotCurrent or WrongState, in this order
// of precedence. If an operation on the job has a row for its step, whose guard refuses it, the row
// for the whole job may still apply: see [Rules.Whole].
func (r *Rules) Judge(at Standing, cause step.Cause) (Move, Reason) {
	move, ok := r.Move(at.Type, at.State, cause)
	if !ok {
		move, ok = r.Whole(at.Job, cause)
	}
	switch {
	case at.Sealed && move.Do != step.Note:
		return Move{}, Sealed
	case !ok && !cause.OfJob() && r.From(at.Type, cause).Empty():
		return Move{}, WrongType
	case at.Behind && !cause.OfJob() && !r.kind(at.Type).stays.Has(cause):
		return Move{}, NotCurrent
	case !ok:
		return Move{}, WrongState
	}
	return move, 0
}

// Legal returns the operations that are legal, without those whose guard is among unmet: those on the
// step, and those on the job. On a step that is not the job's current one they are those that move no
// state.
func (r *Rules) Legal(at Standing, unmet ...Guard) (legal step.Causes) {
	if at.Sealed {
		for cause := range r.notes.All() {
			if move, _ := r.Whole(at.Job, cause); move.Do == step.Note && !at.Behind {
				legal = legal.With(cause)
			}
		}
		return legal
	}
	if k := r.kind(at.Type); k != nil && at.State < step.MaxStates {
		legal = k.cells[at.State].admitted(unmet)
		if at.Behind {
			return legal.Intersect(k.stays)
		}
	}
	if r.states.Has(at.Job) && !at.Behind {
		legal = legal.Union(r.whole[at.Job].admitted(unmet))
	}
	return legal
}

// admitted returns the operations of c without those of some guards.
func (c *cell) admitted(unmet []Guard) step.Causes {
	legal := c.legal
	for _, g := range unmet {
		if g < guards {
			legal = legal.Minus(c.guarded[g])
		}
	}
	return legal
}

// From returns the states from which cause leads anywhere on a step of type t; none if it never
// applies to t. For an operation on the job, t is the current step's type, and the states of the
// job with a row for the whole job count as well.
func (r *Rules) From(t step.Type, cause step.Cause) step.States {
	var from step.States
	if cause >= rowCauses {
		return from
	}
	if k := r.kind(t); k != nil {
		from = k.from[cause]
	}
	return from.Union(r.from[cause])
}

// Kind returns the declaration of step type t, and whether there is one. The caller must not
// change its lifecycle, which the rules share.
func (r *Rules) Kind(t step.Type) (step.Kind, bool) {
	k := r.kind(t)
	if k == nil {
		return step.Kind{}, false
	}
	return k.Kind, true
}

// Types returns the declared step types in ascending order. The caller owns the result.
func (r *Rules) Types() []step.Type {
	var types []step.Type
	for t, k := range r.kinds {
		if k != nil {
			types = append(types, step.Type(t))
		}
	}
	return types
}

// Comments reports whether an operation on the job adds a comment, in any state.
func (r *Rules) Comments(cause step.Cause) bool { return r.notes.Has(cause) }

// Causes returns every operation with a row. An engine refuses all others as unknown.
func (r *Rules) Causes() step.Causes { return r.causes }

// Enters returns the state that a step of type t takes on entry: Running,
// Waiting, or 0 if t is not declared.
func (r *Rules) Enters(t step.Type) step.State {
	k := r.kind(t)
	if k == nil {
		return 0
	}
	return k.enters
}

// Machine returns the finite state machine of step type t, or nil if t is not
// declared.
func (r *Rules) Machine(t step.Type) *step.Machine {
	k := r.kind(t)
	if k == nil {
		return nil
	}
	return k.machine
}
