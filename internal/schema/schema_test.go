package schema

import (
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// elsewhere are the fields without a column in their table, and why.
var elsewhere = map[string]string{
	"Target.Name":  "it is in TargetNames, 256 to a row",
	"Target.Batch": "only reads of an engine set it",

	"Block.Size": "it follows from the step's total",
}

// Every field of a header, step, target, record, effect and batch is in exactly one column, and reading
// the column sets that field.
func TestEveryFieldIsInAColumn(t *testing.T) {
	inColumns(t, Jobs)
	inColumns(t, Steps)
	inColumns(t, Results)
	inColumns(t, Records)
	inColumns(t, Effects)
	inColumns(t, TargetNames)
	inColumns(t, TargetSets)
	inColumns(t, Batches)
}

func inColumns[R any](t *testing.T, table Table[R]) {
	t.Helper()
	used := map[string]string{} // column -> field
	for _, f := range fields(reflect.TypeFor[R]()) {
		name := reflect.TypeFor[R]().Name() + "." + f.name
		var row, empty R
		set(reflect.ValueOf(&row).Elem().FieldByIndex(f.index))
		var found []string
		for i := range table {
			c := &table[i]
			if value(c, &row) == value(c, &empty) {
				continue
			}
			found = append(found, c.Name)
			read := *new(R)
			if to, scans := c.Dest(&read).(sql.Scanner); scans && c.Type == Data {
				if err := to.Scan(c.Text(&row)); err != nil {
					t.Errorf("column %s: %v", c.Name, err)
				}
			} else {
				reflect.ValueOf(c.Dest(&read)).Elem().Set(reflect.ValueOf(c.Dest(&row)).Elem())
			}
			if !reflect.DeepEqual(read, row) {
				t.Errorf("column %s is read into %+v, want %+v", c.Name, read, row)
			}
		}
		switch why, apart := elsewhere[name]; {
		case apart && why != "" && len(found) > 0:
			t.Errorf("field %s is in column %q, and it was said that %s", name, found, why)
		case apart && why != "":
		case len(found) == 0:
			t.Errorf("field %s is in no column: declare one, or say in elsewhere why not", name)
		case len(found) > 1 || used[found[0]] != "":
			t.Errorf("field %s is in columns %q, which hold %q, want one column of its own", name, found, used[found[0]])
		default:
			used[found[0]] = name
		}
	}
	for _, c := range table {
		if used[c.Name] == "" {
			t.Errorf("column %s holds no field of %T", c.Name, *new(R))
		}
		if c.Name == "" || c.When == 0 {
			t.Errorf("column %+v has no name, or is never written", c)
		}
	}
}

// A field is a field of a row without fields of its own.
type field struct {
	name  string
	index []int
}

// fields returns the fields of a struct, with those of the structs in it.
func fields(of reflect.Type) []field {
	var all []field
	for i := range of.NumField() {
		f := of.Field(i)
		if f.Type.Kind() != reflect.Struct || f.Type == reflect.TypeFor[step.Names]() {
			all = append(all, field{f.Name, f.Index})
			continue
		}
		for _, inner := range fields(f.Type) {
			if f.Type == reflect.TypeFor[store.Scope]() && of == reflect.TypeFor[store.Delivery]() {
				inner.name = f.Name
			}
			all = append(all, field{inner.name, slices.Concat(f.Index, inner.index)})
		}
	}
	return all
}

// set gives a field a value that is not its zero.
func set(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *step.Names:
		*x = step.NamesOf([]string{"ann"})
	case *uuid.UUID:
		*x = uuid.UUID{1}
	case *targetset.Bits:
		*x = targetset.Bits{1}
	default:
		switch v.Kind() {
		case reflect.Bool:
			v.SetBool(true)
		case reflect.String:
			v.SetString("text")
		case reflect.Uint8, reflect.Uint16:
			v.SetUint(7)
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			set(v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				set(v.Field(i))
			}
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			set(v.Index(0))
		default:
			v.SetInt(7)
		}
	}
}

// value returns the value of a column as a text.
func value[R any](c *Column[R], row *R) string {
	switch c.Type {
	case Text, Data:
		return c.Text(row)
	case UUID:
		return c.UUID(row).String()
	case List:
		return fmt.Sprint(c.List(row).IsSet(), c.List(row))
	case Bits:
		set, _ := c.Bits(row)
		return fmt.Sprintf("%x", []byte(set))
	}
	return fmt.Sprint(c.Int(row))
}

// Reading the values of a row costs no memory, and a block of names is cut as its number says.
func TestValuesCostNothing(t *testing.T) {
	s := store.Step{ID: 1 << 20, Attempt: 1 << 20, Name: "a", Confirmers: step.NamesOf([]string{"ann"})}
	sum := int64(0)
	allocs := testing.AllocsPerRun(10, func() {
		for i := range Steps {
			switch c := &Steps[i]; c.Type {
			case Text, Data:
				sum += int64(len(c.Text(&s)))
			case List:
				sum += int64(c.List(&s).Len())
			default:
				sum += c.Int(&s)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("the values of a step cost %v allocations, want none", allocs)
	}
	blocks := BlocksOf(3, make([]string, 2*NamesPerBlock+1))
	if len(blocks) != 3 || blocks[2].Block != 2 || blocks[2].Step != 3 || blocks[2].Names.Len() != 1 || blocks[1].Names.Len() != NamesPerBlock {
		t.Errorf("BlocksOf %d names: got %+v", 2*NamesPerBlock+1, blocks)
	}
	if got, want := Steps.At(Key).Names("s."), "s.id"; got != want {
		t.Errorf("the key of a step: got %q, want %q", got, want)
	}
	if got := TargetSets.List(func(c Column[targetset.Block]) string { return c.Name[:1] }); got != "b, e, a, s, f" {
		t.Errorf("List of first letters: got %q", got)
	}
	if all := slices.Concat(Steps.Long(true), Steps.Long(false)); len(all) != len(Steps) || len(Steps.Without("id", "name")) != len(Steps)-2 || len(Steps.Only("id", "name")) != 2 {
		t.Errorf("parts of %d columns: %d long and short, %d without two, %d of two", len(Steps), len(all), len(Steps.Without("id", "name")), len(Steps.Only("id", "name")))
	}
}

// A row without a policy is read at no cost, and one that had a policy before loses it. What is no policy is
// an error.
func TestAPolicyIsReadIfThereIsOne(t *testing.T) {
	j, s := store.Job{Policy: &store.JobPolicy{StartAt: 5}}, store.Step{Policy: &step.Policy{Window: "nights"}}
	for _, to := range []sql.Scanner{Jobs.Only("policy")[0].Dest(&j).(sql.Scanner), Steps.Only("policy")[0].Dest(&s).(sql.Scanner)} {
		for _, none := range []any{"", []byte{}} {
			var err error
			if allocs := testing.AllocsPerRun(10, func() { err = to.Scan(none) }); allocs != 0 || err != nil {
				t.Errorf("Scan of %T(%[1]q) into %T: %v allocations and error %v, want none", none, to, allocs, err)
			}
		}
		for _, wrong := range []any{nil, int64(1), "{", `{"timeout_ns": "soon", "delay_ns": "soon"}`} {
			if err := to.Scan(wrong); err == nil {
				t.Errorf("Scan of %v into %T: no error", wrong, to)
			}
		}
	}
	if j.Policy != nil || s.Policy != nil {
		t.Errorf("Scan of an empty text leaves %+v and %+v, want nil", j.Policy, s.Policy)
	}
}
