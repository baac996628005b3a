package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// ParseJobFile reads a job file; name is what it is called in errors. An error is a
// [*FileError]. What it returns, the engine accepts.
//
// A job file is an object with "name" and "steps". Each step has a "type" (script,
// file_transfer or confirmation) and a "name", and, where the type has them, "targets",
// "ignore_errors", "confirmers", "timeout" (such as "30s") and "on_timeout" (terminate
// or confirm). A script has its text in "script". A file transfer has "files", each an
// object with "to" and either "from" or "content", and perhaps "mode".
func ParseJobFile(name string, data []byte) (engine.JobSpec, error) {
	d, err := parseDocument(name, data)
	if err != nil {
		return engine.JobSpec{}, err
	}
	var spec engine.JobSpec
	err = d.object(d.root, "", []string{"name", "steps"}, fields{
		"name": d.text(&spec.Name),
		"steps": d.list(func(n *node, at string) error {
			s, err := d.step(n, at)
			spec.Steps = append(spec.Steps, s)
			return err
		}),
	})
	if err != nil {
		return engine.JobSpec{}, err
	}
	// Deciding is pure, so the engine's own checks need no engine.
	_, err = engine.Decide(operation.Standard(), store.View{}, &engine.Create{Job: 1, Spec: spec}, 0)
	if err != nil {
		return engine.JobSpec{}, d.refused(err)
	}
	return spec, nil
}

// refused says where in the file it stands what the engine has refused.
func (d *document) refused(err error) error {
	refusal := (*engine.Refusal)(nil)
	if !errors.As(err, &refusal) {
		return d.errorf("", "%v", err)
	}
	return d.errorf(refusal.Field, "%s", refusal.Detail)
}

// step reads one step.
func (d *document) step(n *node, at string) (step.Spec, error) {
	var (
		s      step.Spec
		script localexec.Script
		files  localexec.Files
		has    = map[string]bool{}
	)
	for _, m := range n.members {
		has[m.key] = true
	}
	err := d.object(n, at, []string{"type", "name"}, fields{
		"type":          d.stepType(&s.Type),
		"name":          d.text(&s.Name),
		"targets":       d.names(&s.Targets, localexec.CheckTarget),
		"script":        d.text(&script.Script),
		"files":         d.list(func(n *node, at string) error { return d.file(n, at, &files.Files) }),
		"ignore_errors": d.yesNo(&s.IgnoreErrors),
		"confirmers":    d.names(&s.Confirmers, nil),
		"timeout":       d.duration(&s.Timeout),
		"on_timeout":    d.decision(&s.OnTimeout),
	})
	if err != nil {
		return s, err
	}
	wants := map[step.Type]string{step.Script: "script", step.FileTransfer: "files"}[s.Type]
	for _, payload := range []string{"script", "files"} {
		switch {
		case payload == wants && !has[payload]:
			return s, d.errorf(within(at, payload), "missing: a %v step has one", s.Type)
		case payload != wants && has[payload]:
			return s, d.errorf(within(at, payload), "a %v step has none", s.Type)
		}
	}
	switch s.Type {
	case step.Script:
		err, s.Payload = script.Check(), script.Payload()
	case step.FileTransfer:
		err, s.Payload = files.Check(), files.Payload()
	}
	if bad := (*localexec.PayloadError)(nil); errors.As(err, &bad) {
		return s, d.errorf(at+"."+bad.Field, "%s", bad.Detail)
	}
	return s, nil
}

func (d *document) file(n *node, at string, files *[]localexec.File) error {
	var f localexec.File
	content := ""
	err := d.object(n, at, []string{"to"}, fields{
		"from":    d.text(&f.From),
		"content": func(n *node, at string) error { f.Content = &content; return d.text(&content)(n, at) },
		"to":      d.text(&f.To),
		"mode":    d.text(&f.Mode),
	})
	*files = append(*files, f)
	return err
}

// A field reads the value of one field.
type field func(n *node, at string) error

// fields are those that an object can have.
type fields map[string]field

// object reads an object that has the required fields and may have the others.
func (d *document) object(n *node, at string, required []string, all fields) error {
	if err := d.want(n, at, isObject, "an object"); err != nil {
		return err
	}
	for _, m := range n.members {
		inner := within(at, m.key)
		read, ok := all[m.key]
		if !ok {
			known := make([]string, 0, len(all))
			for key := range all {
				known = append(known, key)
			}
			slices.Sort(known)
			return d.errorf(inner, "unknown field: want one of %s", strings.Join(known, ", "))
		}
		if err := read(m.value, inner); err != nil {
			return err
		}
	}
	for _, key := range required {
		if !slices.ContainsFunc(n.members, func(m member) bool { return m.key == key }) {
			return d.errorf(within(at, key), "missing")
		}
	}
	return nil
}

func (d *document) want(n *node, at string, kind nodeKind, what string) error {
	if n.kind != kind {
		return d.errorf(at, "want %s, got %v", what, n.kind)
	}
	return nil
}

func (d *document) text(to *string) field {
	return func(n *node, at string) error {
		*to = n.text
		return d.want(n, at, isText, "a string")
	}
}

func (d *document) yesNo(to *bool) field {
	return func(n *node, at string) error {
		*to = n.yes
		return d.want(n, at, isBool, "true or false")
	}
}

// list reads each item of a list.
func (d *document) list(item field) field {
	return func(n *node, at string) error {
		if err := d.want(n, at, isList, "a list"); err != nil {
			return err
		}
		for i, n := range n.items {
			if err := item(n, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return nil
	}
}

// names reads a list of names, each of which passes check. An empty list is not nil.
func (d *document) names(to *[]string, check func(string) error) field {
	*to = nil
	return func(n *node, at string) error {
		*to = []string{}
		return d.list(func(n *node, at string) error {
			*to = append(*to, n.text)
			if err := d.want(n, at, isText, "a string"); err != nil || check == nil {
				return err
			}
			if err := check(n.text); err != nil {
				return d.errorf(at, "%v", err)
			}
			return nil
		})(n, at)
	}
}

func (d *document) duration(to *time.Duration) field {
	return func(n *node, at string) (err error) {
		const what = `a duration such as "30s" or "5m"`
		if err := d.want(n, at, isText, what); err != nil {
			return err
		}
		if *to, err = time.ParseDuration(n.text); err != nil || *to < 0 {
			return d.errorf(at, "want %s, got %q", what, n.text)
		}
		return nil
	}
}

// runnable are the types that this program has an executor for.
var runnable = []step.Type{step.Script, step.FileTransfer, step.Confirmation}

func (d *document) stepType(to *step.Type) field {
	return func(n *node, at string) error {
		return choose(d, n, at, runnable, to)
	}
}

func (d *document) decision(to *step.Decision) field {
	return func(n *node, at string) error {
		return choose(d, n, at, []step.Decision{step.TerminateOnTimeout, step.ConfirmOnTimeout}, to)
	}
}

// choose reads the name of one of some values.
func choose[T fmt.Stringer](d *document, n *node, at string, all []T, to *T) error {
	var known []string
	for _, v := range all {
		if n.kind == isText && v.String() == n.text {
			*to = v
			return nil
		}
		known = append(known, v.String())
	}
	got := n.kind.String()
	if n.kind == isText {
		got = fmt.Sprintf("%q", n.text)
	}
	return d.errorf(at, "want one of %s, got %s", strings.Join(known, ", "), got)
}
