package storetest

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var fieldPromises = []promise{
	{"Commit/keeps every field of header, step, target and record", commitFields},
}

// A filler gives fields values, each another one.
type filler struct{ n int64 }

// fill gives every field of a struct a value of its own, but for the named ones.
func (f *filler) fill(row any, but ...string) {
	v := reflect.ValueOf(row).Elem()
	for i := range v.NumField() {
		field := v.Field(i)
		if slices.Contains(but, v.Type().Field(i).Name) {
			continue
		}
		f.n++
		switch field.Interface().(type) {
		case step.Names:
			field.Set(reflect.ValueOf(step.NamesOf([]string{fmt.Sprint("name ", f.n), ""})))
			continue
		case uuid.UUID:
			field.Set(reflect.ValueOf(uuid.UUID{7, 15: byte(f.n)}))
			continue
		}
		switch field.Kind() {
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Int32, reflect.Int64:
			field.SetInt(1000 + f.n)
		case reflect.Uint8, reflect.Uint16:
			field.SetUint(uint64(f.n % 100))
		case reflect.String:
			field.SetString(fmt.Sprint("text ", f.n))
		case reflect.Struct:
			f.fill(field.Addr().Interface(), but...)
		default:
			panic(fmt.Sprintf("storetest: no value for field %s of %T", v.Type().Field(i).Name, row))
		}
	}
}

// filled returns a change that creates job 7 of two steps, or that changes it then, in which every
// field has a value of its own but for those that others, or what is declared, leave no choice.
func (f *filler) filled(version store.Seq) store.Change {
	const targets = 4
	r := store.Record{Job: 7, Seq: version, Cause: step.Results, From: step.Failed, To: step.Abnormal, JobFrom: step.Waiting, JobTo: step.Skipped, Effect: store.RunTargets}
	r.Step, r.Entered = 3, step.ID(version)%2*4 // the effect of one is about the step that was entered
	f.fill(&r, "Job", "Seq", "Cause", "From", "To", "JobFrom", "JobTo", "Effect", "Step", "Entered")
	j := store.Job{ID: 7, State: r.JobTo, Version: version, Moved: version - 1, Current: 2, Steps: 9, Skipped: 3, Ignored: 4, Updated: r.At}
	f.fill(&j, "ID", "State", "Version", "Moved", "Current", "Steps", "Skipped", "Ignored", "Updated")
	c := store.Change{Job: j, Records: []store.Record{r}}
	for id := range step.ID(j.Steps) {
		s := store.Step{ID: id + 1, State: step.Terminated, Total: targets}
		f.fill(&s, "ID", "State", "Total", "Run")
		s.Run.Full = s.Attempt - 1
		c.Steps = append(c.Steps, s)
	}
	s := &c.Steps[0]
	for i := range int32(targets) {
		t := store.Target{Index: i, Attempt: s.Attempt - i, Success: s.Attempt - i - 1}
		f.fill(&t, "Index", "Name", "Attempt", "Success")
		c.Targets = append(c.Targets, t)
	}
	return c
}

// commitFields keeps every field twice: as the job is created, and as all of it changes.
func commitFields(x trial) {
	var f filler
	c := f.filled(1)
	c.Records[0].Cause, c.Job.Moved, c.Targets = step.Created, 1, nil
	for _, s := range c.Steps {
		spec := step.Spec{
			Type: s.Type, Name: s.Name, IgnoreErrors: s.IgnoreErrors, OnTimeout: s.OnTimeout, Timeout: s.Timeout,
			Confirmers: slices.Collect(s.Confirmers.All()), Payload: s.Payload,
		}
		for i := range s.Total {
			spec.Targets = append(spec.Targets, fmt.Sprintf("host %d of step %d", i, s.ID))
		}
		c.Specs = append(c.Specs, spec)
	}
	j := x.create(c)
	x.holds(j)

	again := f.filled(2)
	for i := range again.Steps { // how they are defined never changes
		was := c.Steps[i]
		s := &again.Steps[i]
		s.Type, s.Name, s.IgnoreErrors, s.OnTimeout, s.Timeout, s.Confirmers, s.Payload = was.Type, was.Name, was.IgnoreErrors, was.OnTimeout, was.Timeout, was.Confirmers, ""
	}
	again.Job.Scope, again.Job.Name, again.Job.Created = c.Job.Scope, c.Job.Name, c.Job.Created
	x.do(j, again)
	x.holds(j)
	same(x, "Effects", x.effects(j.Scope, j.ID, everySeq), j.effects())
	d := byJob(x.claim(store.Claim{Now: never, Until: never + 1, Token: store.Token{9}}))
	d[0].Failures, d[0].Delivered, d[0].LastError = 5, true, "busy"
	d[0] = x.deferTo(d[0], never+2)
	d[0].Token, d[1].Token = store.Token{}, store.Token{}
	same(x, "Effects after Defer", withoutTokens(x.effects(j.Scope, j.ID, everySeq)), d)
}

func withoutTokens(ds []store.Delivery) []store.Delivery {
	ds = slices.Clone(ds)
	for i := range ds {
		ds[i].Token = store.Token{}
	}
	return ds
}

// forgetting is a breakage: a store that keeps all of a change but for what forget takes from it.
func forgetting(name, why string, forget func(c *store.Change)) Breakage {
	return Breakage{name, why, []string{"Commit/keeps every field of header, step, target and record"}, changing(forget)}
}

var brokenFields = []Breakage{
	forgetting("no timeout", "it forgets the timeout of a step", func(c *store.Change) {
		for i := range c.Specs {
			c.Specs[i].Timeout, c.Steps[i].Timeout = 0, 0
		}
	}),
	forgetting("no start", "it forgets when a step started", func(c *store.Change) {
		for i := range c.Steps {
			c.Steps[i].Started = 0
		}
	}),
	forgetting("no exit code", "it forgets exit codes", func(c *store.Change) {
		for i := range c.Targets {
			c.Targets[i].ExitCode = 0
		}
	}),
	forgetting("one for another", "it takes how many targets run for how many results came", func(c *store.Change) {
		for i := range c.Records {
			c.Records[i].Targets = c.Records[i].Results
		}
	}),
	forgetting("seconds", "it keeps times of jobs to the second", func(c *store.Change) {
		c.Job.Finished = c.Job.Finished - c.Job.Finished%1000
	}),
}
