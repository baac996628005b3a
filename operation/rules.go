package operation

import (
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/internal/strictjson"
	"github.com/stepgate/stepgate/step"
)

// A Table is a rule set as data: the step types with their lifecycles, and the
// legality rows. It is an ordinary value that its holder may change;
// [Table.Compile] turns it into [Rules].
type Table struct {
	Kinds []step.Kind `json:"kinds"`
	Rows  []Row       `json:"rows"`
}

// StandardTable returns the documented rules as data. The caller owns the result.
func StandardTable() Table {
	return Table{Kinds: step.Kinds(), Rows: slices.Clone(rows)}
}

// ParseTable reads a table from the JSON that it marshals to. Unknown fields and names, keys
// in another case or given twice, and trailing data are errors. The table is not compiled
// yet.
func ParseTable(data []byte) (Table, error) {
	var t Table
	if err := strictjson.Unmarshal(data, &t); err != nil {
		return Table{}, fmt.Errorf("rules: %w", err)
	}
	return t, nil
}

// Like makes every row that applies to steps of type model apply to steps of type typ as
// well.
func (t *Table) Like(typ, model step.Type) {
	for i := range t.Rows {
		if t.Rows[i].On.Has(model) {
			t.Rows[i].On = t.Rows[i].On.With(typ)
		}
	}
}

// Rules is a compiled table: one finite state machine per step type, and
// legality decided by index. It is immutable and safe for concurrent use.
type Rules struct {
	table  Table
	causes step.Causes // that have a row
	kinds  [64]*kind
	whole  [step.MaxStates]cell   // by the job's state: the rows for the whole job
	from   [rowCauses]step.States // by cause: where a row for the whole job leads anywhere
	states step.States            // those of jobs that have a row for the whole job
}

// kind is what the rules say of one step type.
type kind struct {
	step.Kind
	enters  step.State
	machine *step.Machine
	cells   [step.MaxStates]cell   // by state
	from    [rowCauses]step.States // by cause: where it leads anywhere
}

// rowCauses bounds the causes that stand in rows.
const rowCauses = 192

// guards bounds the guards.
const guards = Approver + 1

// cell is what the rules say of one state.
type cell struct {
	moves   [rowCauses]Move     // by cause; the zero Move is illegal
	legal   step.Causes         // the operations among them
	guarded [guards]step.Causes // by guard: those that have it
}

func (c *cell) add(row Row) {
	c.moves[row.Cause] = Move{To: row.To, Do: row.Do, Guard: row.Guard}
	c.legal = c.legal.With(row.Cause)
	c.guarded[row.Guard] = c.guarded[row.Guard].With(row.Cause)
}

// A Move is what a cause does where it is legal: where the step goes, what follows, and what
// it asks for before. The zero Move is none.
type Move struct {
	To    step.State
	Do    step.Do
	Guard Guard
}

var standard = mustCompile(StandardTable())

func mustCompile(t Table) *Rules {
	r, err := t.Compile()
	if err != nil {
		panic(err)
	}
	return r
}

// Standard returns the documented rules.
func Standard() *Rules { return standard }

// Compile checks t and compiles it: the table of consequences (see [step.Do]) says what each
// row must be like. The error names the row and what is wrong with it. t is left alone and
// may be changed afterwards.
func (t Table) Compile() (*Rules, error) {
	r := &Rules{table: t.clone()}
	for _, k := range r.table.Kinds {
		if err := k.Check(); err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
		if r.kinds[k.Type] != nil {
			return nil, fmt.Errorf("rules: step type %v is declared twice", k.Type)
		}
		r.kinds[k.Type] = &kind{Kind: k, enters: k.Enters()}
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
	case row.Guard != Free:
		return fmt.Errorf("guard %v is for steps, and the row is for the whole job", row.Guard)
	}
	if err := row.Do.Check(0, row.From, row.To); err != nil {
		return err
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
	case row.From.Has(step.Pending) && !row.Cause.OfJob():
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
		if row.On.Has(k.Type) {
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
	case k.enters == step.Waiting && k.cells[step.Waiting].legal.Empty():
		return fmt.Errorf("step type %v: no row leads out of waiting, so that only a deadline could decide", k.Type)
	}
	return nil
}

func (r *Rules) kind(t step.Type) *kind {
	if t >= 64 {
		return nil
	}
	return r.kinds[t]
}

// Table returns the rules as data. The caller owns the result.
func (r *Rules) Table() Table { return r.table.clone() }

// Move returns what cause does to a step of type t in state s: an operation, guards aside, or
// an event of the lifecycle. It is the zero Move if the rules have no row for it. Rows for the
// whole job are not asked.
func (r *Rules) Move(t step.Type, s step.State, cause step.Cause) (Move, bool) {
	k := r.kind(t)
	if k == nil || s >= step.MaxStates || cause >= rowCauses {
		return Move{}, false
	}
	m := k.cells[s].moves[cause]
	return m, m.Do != 0
}

// A Standing is where an operation meets a job: what its legality depends on, guards aside.
type Standing struct {
	Type   step.Type  // of the step that it is about; of the current one for an operation on the job
	State  step.State // of that step
	Job    step.State // of the job
	Behind bool       // the step is not the job's current one
	Sealed bool       // the job is
}

// Judge answers whether an operation is legal, guards aside: with what it does, or with the
// first [Reason] in the order of precedence why it is not: Sealed, WrongType, NotCurrent or
// WrongState.
func (r *Rules) Judge(at Standing, cause step.Cause) (Move, Reason) {
	move, ok := r.Move(at.Type, at.State, cause)
	if !ok && cause.OfJob() && r.states.Has(at.Job) {
		move = r.whole[at.Job].moves[cause]
		ok = move.Do != 0
	}
	switch {
	case at.Sealed:
		return Move{}, Sealed
	case !ok && !cause.OfJob() && r.From(at.Type, cause).Empty():
		return Move{}, WrongType
	case at.Behind && !cause.OfJob():
		return Move{}, NotCurrent
	case !ok:
		return Move{}, WrongState
	}
	return move, 0
}

// Legal returns the operations that are legal, guards aside: on the step only if it is the
// job's current one, and on the job.
func (r *Rules) Legal(at Standing) (legal step.Causes) {
	on, whole := r.cells(at)
	if on != nil {
		legal = on.legal
	}
	if whole != nil {
		legal = legal.Union(whole.legal)
	}
	return legal
}

// Guarded returns those of the legal operations that have guard g.
func (r *Rules) Guarded(at Standing, g Guard) (guarded step.Causes) {
	if g >= guards {
		return guarded
	}
	on, whole := r.cells(at)
	if on != nil {
		guarded = on.guarded[g]
	}
	if whole != nil {
		guarded = guarded.Union(whole.guarded[g])
	}
	return guarded
}

// cells returns the cells that apply, of the step and of the whole job, or nil.
func (r *Rules) cells(at Standing) (on, whole *cell) {
	if at.Sealed || at.Behind {
		return nil, nil
	}
	if k := r.kind(at.Type); k != nil && at.State < step.MaxStates {
		on = &k.cells[at.State]
	}
	if r.states.Has(at.Job) {
		whole = &r.whole[at.Job]
	}
	return on, whole
}

// From returns the states in which cause leads anywhere on a step of type t: none if it does
// not apply to t at all. For the cause of a job that is the current step's type, and states
// of the job in which a row for the whole job is legal count as well.
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

// Kind returns the declaration of step type t, and whether there is one. Its
// lifecycle must be left alone.
func (r *Rules) Kind(t step.Type) (step.Kind, bool) {
	k := r.kind(t)
	if k == nil {
		return step.Kind{}, false
	}
	return k.Kind, true
}

// Types returns the declared step types in ascending order.
func (r *Rules) Types() []step.Type {
	var types []step.Type
	for t, k := range r.kinds {
		if k != nil {
			types = append(types, step.Type(t))
		}
	}
	return types
}

// Causes returns every operation that has a row: what is not among them is unknown.
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
