package repo

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// rules returns the generated parts of docs/rules.md: a diagram for each state machine, and a table
// for each alphabet.
func rules(t *testing.T) map[string]func() string {
	parts := map[string]func() string{
		"legality":   operation.Standard().Markdown,
		"operations": func() string { return operations(t) },
		"states":     func() string { return constants(t, "step/state.go", "State", step.AllStates()) },
		"events": func() string {
			var events []step.Cause
			for _, c := range step.AllCauses() {
				if c.IsEvent() {
					events = append(events, c)
				}
			}
			return constants(t, "step/cause.go", "Cause", events)
		},
		"gates":        func() string { return constants(t, "step/gate.go", "GateReason", step.AllGateReasons()) },
		"codes":        func() string { return constants(t, "operation/code.go", "Code", operation.AllCodes()) },
		"job codes":    func() string { return constants(t, "operation/code.go", "JobCode", operation.AllJobCodes()) },
		"consequences": func() string { return constants(t, "step/do.go", "Do", supported()) },
		"guards":       func() string { return constants(t, "operation/table.go", "Guard", guards()) },
		"reasons":      func() string { return constants(t, "operation/reason.go", "Reason", operation.AllReasons()) },
	}
	drawn := map[string]bool{}
	for _, typ := range operation.Standard().Types() {
		machine := operation.Standard().Mermaid(typ)
		if drawn[machine] {
			continue
		}
		drawn[machine] = true
		parts["machine "+typ.String()] = func() string {
			return fmt.Sprintf("Step types %s:\n\n```mermaid\n%s```\n", strings.Join(like(machine), ", "), machine)
		}
	}
	return parts
}

// like returns the step types that have this machine, with their numbers.
func like(machine string) (types []string) {
	for _, typ := range operation.Standard().Types() {
		if operation.Standard().Mermaid(typ) == machine {
			types = append(types, fmt.Sprintf("%d `%v`", typ, typ))
		}
	}
	return types
}

// operations returns the table of the operations, on a step and on the job: one line for each.
func operations(t *testing.T) string {
	var s strings.Builder
	s.WriteString("| code | legal in | step goes to | meaning |\n|---|---|---|---|\n")
	add := func(code string, typ string, cause step.Cause) {
		var from, to step.States
		for _, row := range operation.StandardTable().Rows {
			if row.Cause == cause {
				from = from.Union(row.From)
			}
			if row.Cause == cause && row.To != 0 {
				to = to.With(row.To)
			}
		}
		fromWords, toWords := from.String(), to.String()
		if from == step.StatesOf(step.AllStates()...) {
			fromWords = "any"
		}
		if to.Empty() {
			toWords = "stays"
		}
		meaning := commentsOf(t, "operation/code.go", typ)[fmt.Sprint(cause.Code())]
		fmt.Fprintf(&s, "| %s%d %v | %s | %s | %s |\n", code, cause.Code(), cause, fromWords, toWords, meaning)
	}
	for _, c := range operation.AllCodes() {
		add("", "Code", c.Cause())
	}
	for _, c := range operation.AllJobCodes() {
		add("job ", "JobCode", c.Cause())
	}
	return s.String()
}

// guards returns every declared guard in ascending order.
func guards() (all []operation.Guard) {
	for g := operation.Free; g.Valid(); g++ {
		all = append(all, g)
	}
	return all
}

// supported returns the consequences that rows may have.
func supported() (all []step.Do) {
	for _, d := range step.AllDos() {
		if err := d.Check(0, step.States{}, 0); err == nil || !strings.Contains(err.Error(), "not supported yet") {
			all = append(all, d)
		}
	}
	return all
}

// constants returns the table of these values of a type, each with the comment at its line's end in
// the file that declares them.
func constants[T interface {
	~uint8
	fmt.Stringer
}](t *testing.T, path, typ string, values []T) string {
	t.Helper()
	comments := commentsOf(t, path, typ)
	var s strings.Builder
	s.WriteString("| number | name | meaning |\n|--:|---|---|\n")
	for _, v := range values {
		comment := comments[fmt.Sprint(uint8(v))]
		if comment == "" {
			t.Errorf("%s: %s %v has no comment at the end of its line", path, typ, v)
		}
		fmt.Fprintf(&s, "| %d | `%v` | %s |\n", uint8(v), v, strings.ReplaceAll(comment, "|", `\|`))
	}
	return s.String()
}

// commentsOf returns the comments of a type's constants, by their values as they are written.
func commentsOf(t *testing.T, path, typ string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		name, ok := spec.Type.(*ast.Ident)
		value, ok2 := spec.Values[0].(*ast.BasicLit)
		if ok && ok2 && name.Name == typ {
			comments[value.Value] = strings.TrimSpace(spec.Comment.Text())
		}
		return true
	})
	return comments
}
