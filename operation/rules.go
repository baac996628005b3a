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
	Job   []JobRow    `json:"job"`
}

// StandardTable returns the documented rules as data. The caller owns the result.
func StandardTable() Table {
	return Table{Kinds: step.Kinds(), Rows: slices.Clone(rows), Job: slices.Clone(jobRows)}
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
	for i := range t.Job {
		if t.Job[i].On.Has(model) {
			t.Job[i].On = t.Job[i].On.With(typ)
		}
	}
}

// Rules is a compiled table: one finite state machine per step type, and
// legality decided by index. It is immutable and safe for concurrent use.
type Rules struct {
	table Table
	codes Codes // that have a row
	kinds [64]*kind
}

// kind is what the rules say of one step type.
type kind struct {
	step.Kind
	machine *step.Machine
	moves   [64][16]Move    // by code and state; the zero Move is illegal
	from    [64]step.States // by code: where it is legal
	codes   [16]Codes       // by state: what is legal
	guarded [3][16]Codes    // by guard and state: what of it has that guard
	job     [16]JobCodes    // by state of the current step: what is legal on the job
}

// A Move is what a legal operation does: where the step goes, and what it asks
// for before that.
type Move struct {
	To    step.State
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

// Compile checks t and compiles it. The error names the row and what is wrong
// with it. t is left alone and may be changed afterwards.
func (t Table) Compile() (*Rules, error) {
	r := &Rules{table: t.clone()}
	for _, k := range r.table.Kinds {
		if err := k.Check(); err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
		if r.kinds[k.Type] != nil {
			return nil, fmt.Errorf("rules: step type %v is declared twice", k.Type)
		}
		r.kinds[k.Type] = &kind{Kind: k}
	}
	for i, row := range r.table.Rows {
		if err := r.addRow(row); err != nil {
			return nil, fmt.Errorf("rules: row %d, %v: %w", i+1, row.Code, err)
		}
		r.codes = r.codes.With(row.Code)
	}
	for i, row := range r.table.Job {
		if err := r.checkJobRow(row); err != nil {
			return nil, fmt.Errorf("rules: job row %d, %v: %w", i+1, row.Code, err)
		}
	}
	for _, k := range r.table.Kinds {
		if err := r.kinds[k.Type].compile(r.table); err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
	}
	return r, nil
}

func (t Table) clone() Table {
	own := Table{Kinds: slices.Clone(t.Kinds), Rows: slices.Clone(t.Rows), Job: slices.Clone(t.Job)}
	for i := range own.Kinds {
		own.Kinds[i].Lifecycle = slices.Clone(own.Kinds[i].Lifecycle)
	}
	return own
}

// addRow checks what a machine does not know of, codes and guards and what a
// type can do, and enters row into the look-ups of its types.
func (r *Rules) addRow(row Row) error {
	switch {
	case !row.Code.Valid():
		return fmt.Errorf("unknown code %d; 32 to 63 are for embedders", row.Code)
	case !row.Guard.Valid():
		return fmt.Errorf("unknown guard %d", row.Guard)
	case row.Guard == DueOnly && row.To != step.Running:
		return fmt.Errorf("guard %v is for rows that lead to running, not to %v", row.Guard, row.To)
	case row.From.Has(step.Pending):
		return fmt.Errorf("it starts in pending, and only the start of a job leads out of pending")
	}
	return r.each(row.On, row.From, row.To, func(k *kind) error {
		if row.Guard == ConfirmerOnly && k.Enters() != step.Waiting {
			return fmt.Errorf("guard %v is for steps that wait for a person, and %v does not", row.Guard, k.Type)
		}
		for from := range row.From.All() {
			if from.Valid() {
				k.moves[row.Code][from] = Move{To: row.To, Guard: row.Guard}
				k.codes[from] = k.codes[from].With(row.Code)
				k.guarded[row.Guard][from] = k.guarded[row.Guard][from].With(row.Code)
			}
		}
		k.from[row.Code] = k.from[row.Code].Union(row.From)
		return nil
	})
}

func (r *Rules) checkJobRow(row JobRow) error {
	if !row.Code.Valid() {
		return fmt.Errorf("unknown job code %d", row.Code)
	}
	return r.each(row.On, row.From, row.To, func(k *kind) error {
		switch starts := row.Code == StartJob; {
		case starts && (row.From != step.StatesOf(step.Pending) || row.To != k.Enters()):
			return fmt.Errorf("a %v step must start from pending to %v", k.Type, k.Enters())
		case !starts && row.From.Has(step.Pending):
			return fmt.Errorf("it starts in pending, and only the start of a job leads out of pending")
		case row.Code == TerminateJob && (row.To.Passed() || !row.To.Finished() && row.To != step.Terminating):
			return fmt.Errorf("it leads to %v, and a job that was told to terminate would go on", row.To)
		}
		return nil
	})
}

// each checks the types and states of a row and calls f with each of its kinds.
func (r *Rules) each(on step.Types, from step.States, to step.State, f func(*kind) error) error {
	if on.Empty() {
		return fmt.Errorf("it applies to no step type")
	}
	for s := range from.All() {
		if s.Passed() {
			return fmt.Errorf("it starts in %v, but a step that has passed lies behind its job", s)
		}
	}
	switch {
	case to == step.Pending:
		return fmt.Errorf("it leads to pending, and only the creation of a job does")
	case to == step.Terminating && from != step.StatesOf(step.Running):
		return fmt.Errorf("it leads from %v to terminating, but only what runs can be stopped", from)
	case from.Has(to) && to != step.Running && to != step.Waiting:
		return fmt.Errorf("it leads from %v to itself, and nothing would follow", to)
	}
	for t := range on.All() {
		k := r.kind(t)
		if k == nil {
			return fmt.Errorf("step type %v is not declared", t)
		}
		if other := (to == step.Running || to == step.Waiting) && to != k.Enters(); other {
			return fmt.Errorf("it leads to %v, but a %v step is active in %v", to, t, k.Enters())
		}
		if err := f(k); err != nil {
			return err
		}
	}
	return nil
}

// compile builds k's machine of the lifecycle and all rows that apply to it.
func (k *kind) compile(t Table) error {
	transitions := k.Transitions()
	for _, row := range t.Rows {
		if row.On.Has(k.Type) {
			transitions = append(transitions, transition(row.Code, row.From, row.To))
		}
	}
	starts := false
	for _, row := range t.Job {
		if row.On.Has(k.Type) {
			transitions = append(transitions, transition(row.Code, row.From, row.To))
			starts = starts || row.Code == StartJob
		}
	}
	if !starts {
		return fmt.Errorf("step type %v: no row starts a job whose first step it is", k.Type)
	}
	var err error
	if k.machine, err = step.NewMachine(k.Type.String(), transitions); err != nil {
		return err
	}
	for _, code := range AllJobCodes() {
		for s := range k.machine.From(code.Label()).All() {
			k.job[s] = k.job[s].With(code)
		}
	}
	if k.Enters() == step.Waiting && k.codes[step.Waiting].Empty() && k.job[step.Waiting].Empty() {
		return fmt.Errorf("step type %v: no row leads out of waiting, so that only a deadline could decide", k.Type)
	}
	return nil
}

// transition returns a row of either table as a row of a machine.
func transition(code interface {
	Label() step.Label
	String() string
}, from step.States, to step.State) step.Transition {
	return step.Transition{Label: code.Label(), Name: code.String(), From: from, To: to}
}

func (r *Rules) kind(t step.Type) *kind {
	if t >= 64 {
		return nil
	}
	return r.kinds[t]
}

// Table returns the rules as data. The caller owns the result.
func (r *Rules) Table() Table { return r.table.clone() }

// Legal returns what code does to a step of type t in state s, and whether it is
// legal there, guards aside.
func (r *Rules) Legal(t step.Type, s step.State, code Code) (Move, bool) {
	k := r.kinds[t&63]
	if k == nil || s >= 16 || code >= 64 || t >= 64 {
		return Move{}, false
	}
	m := k.moves[code][s]
	return m, m.To != 0
}

// LegalJob returns where code takes the current step, of type t and in state s,
// and whether it is legal there.
func (r *Rules) LegalJob(t step.Type, s step.State, code JobCode) (step.State, bool) {
	k := r.kind(t)
	if k == nil || !code.Valid() {
		return 0, false
	}
	return k.machine.Next(s, code.Label())
}

// On returns where a lifecycle event takes a step of type t in state s, and
// whether it takes it anywhere.
func (r *Rules) On(t step.Type, s step.State, e step.Event) (step.State, bool) {
	k := r.kind(t)
	if k == nil || !e.Valid() {
		return 0, false
	}
	return k.machine.Next(s, e.Label())
}

// Codes returns the codes that are legal on a step of type t in state s, guards
// aside.
func (r *Rules) Codes(t step.Type, s step.State) Codes {
	k := r.kind(t)
	if k == nil || s >= 16 {
		return Codes{}
	}
	return k.codes[s]
}

// Guarded returns those of the codes that are legal on a step of type t in state s that
// have guard g.
func (r *Rules) Guarded(t step.Type, s step.State, g Guard) Codes {
	k := r.kind(t)
	if k == nil || s >= 16 || !g.Valid() {
		return Codes{}
	}
	return k.guarded[g][s]
}

// States returns the states in which code is legal on a step of type t: none if
// code does not apply to t at all.
func (r *Rules) States(t step.Type, code Code) step.States {
	k := r.kind(t)
	if k == nil || code >= 64 {
		return step.States{}
	}
	return k.from[code]
}

// JobCodes returns the job codes that are legal while the current step is of type
// t and in state s.
func (r *Rules) JobCodes(t step.Type, s step.State) JobCodes {
	k := r.kind(t)
	if k == nil || s >= 16 {
		return JobCodes{}
	}
	return k.job[s]
}

// JobStates returns the states in which code is legal on a job whose current step
// is of type t.
func (r *Rules) JobStates(t step.Type, code JobCode) step.States {
	k := r.kind(t)
	if k == nil || !code.Valid() {
		return step.States{}
	}
	return k.machine.From(code.Label())
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

// AllCodes returns every code that has a row: what is not among them is unknown.
func (r *Rules) AllCodes() Codes { return r.codes }

// Enters returns the state that a step of type t takes on entry: Running,
// Waiting, or 0 if t is not declared.
func (r *Rules) Enters(t step.Type) step.State {
	k := r.kind(t)
	if k == nil {
		return 0
	}
	return k.Enters()
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
