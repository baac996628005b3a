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
	{"Commit/keeps every field of header, step, target, batch and record", commitFields},
}

// A filler gives fields values, each another one.
type filler struct{ n int64 }

// fill gives every field of a struct a value of its own, except for the named ones.
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
		case []step.Status:
			field.Set(reflect.ValueOf([]step.Status{step.Status(f.n % 100), 0}))
			continue
		case step.GateReason:
			field.Set(reflect.ValueOf([]step.GateReason{step.PersonGate, step.TimeGate, step.HoldGate, step.WindowGate}[f.n%4]))
			continue
		case step.Do:
			field.Set(reflect.ValueOf([]step.Do{step.Enter, step.RunDue, step.RunAll, step.RunNext, step.Ask}[f.n%5]))
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
		case reflect.Pointer:
			field.Set(reflect.New(field.Type().Elem()))
			f.fill(field.Interface(), but...)
		default:
			panic(fmt.Sprintf("storetest: no value for field %s of %T", v.Type().Field(i).Name, row))
		}
	}
}

// filled returns a change that creates job 7 with nine steps, or a later change of it. Every field
// has a value of its own, except for those that follow from others or must be declared values.
func (f *filler) filled(version store.Seq) store.Change {
	const targets, batch, results = 60, 20, 4 // the steps are in their second batch
	r := store.Record{Job: 7, Seq: version, Cause: step.Results, From: step.Failed, To: step.Gated, JobFrom: step.Waiting, JobTo: step.Skipped, Effect: store.RunTargets}
	r.Step, r.Entered = 3, step.ID(version)%2*4 // the effect of one is about the step that was entered
	f.fill(&r, "Job", "Seq", "Cause", "From", "To", "JobFrom", "JobTo", "Effect", "Step", "Entered")
	j := store.Job{ID: 7, State: r.JobTo, Version: version, Moved: version - 1, Current: 2, Steps: 9, Skipped: 3, Ignored: 4, Tolerated: 2, Updated: r.At}
	f.fill(&j, "ID", "State", "Version", "Moved", "Current", "Steps", "Skipped", "Ignored", "Tolerated", "Updated")
	c := store.Change{Job: j, Records: []store.Record{r}}
	for id := range step.ID(j.Steps) {
		s := store.Step{ID: id + 1, State: step.Gated, Total: targets, Batch: 2, Before: batch - int32(id) - 1, Attempt: targets + 10*int32(version) + int32(id)}
		f.fill(&s, "ID", "State", "Total", "Run", "Batch", "Before", "Attempt", "Due", "Batches") // few attempts: each is read
		s.Policy.Rolling.Batches = fmt.Sprint(batch)
		s.Run = store.Run{Full: s.Attempt - 1, First: batch, End: 2 * batch}
		if s.ID == j.Current {
			s.Due, c.Job.Gate = s.Deadline+1, s.Gate.Reason
		}
		c.Steps = append(c.Steps, s)
		for n := range s.Batch {
			b := store.Batch{Step: s.ID, Number: n + 1, First: n * batch, End: (n + 1) * batch, Full: s.Run.Full, Attempt: s.Attempt - n, State: step.Abnormal}
			f.fill(&b, "Step", "Number", "First", "End", "Full", "Attempt", "State")
			c.Batches = append(c.Batches, b)
		}
	}
	s := &c.Steps[0]
	for i := range int32(results) {
		t := store.Target{Index: batch + i, Attempt: s.Attempt - i, Success: s.Attempt - i - 1}
		f.fill(&t, "Index", "Batch", "Name", "Attempt", "Success")
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
			Confirmers: slices.Collect(s.Confirmers.All()), Payload: s.Payload, StopBefore: s.StopBefore,
			Delay: s.Policy.Delay, Window: s.Policy.Window, TotalTimeout: s.Policy.TotalTimeout,
			Retry: s.Policy.Retry, Rolling: s.Policy.Rolling, Tolerate: s.Policy.Tolerate,
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
		s.Policy = was.Policy
	}
	again.Job.Scope, again.Job.Name, again.Job.Created = c.Job.Scope, c.Job.Name, c.Job.Created
	again.Job.Origin, again.Job.Policy = c.Job.Origin, c.Job.Policy
	again.Turn = store.TakeTurn
	x.do(j, again)
	x.holds(j)
	same(x, "Effects", x.effects(j.Scope, j.ID, everySeq), j.effects())
	d := byJob(x.claim(store.Claim{Now: never, Until: never + 1, Token: store.Token{9}}))
	d[0].Held, d[0].Failures, d[0].Delivered, d[0].LastError = false, 5, true, "busy"
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

// forgetting is a breakage: a store that does not keep the part of a change that forget removes.
func forgetting(name, why string, forget func(c *store.Change)) Breakage {
	return Breakage{name, why, []string{"Commit/keeps every field of header, step, target, batch and record"}, changing(forget)}
}

var brokenFields = []Breakage{
	forgetting("no timeout", "it forgets the timeout of a step", func(c *store.Change) {
		for i := range c.Specs {
			c.Specs[i].Timeout, c.Steps[i].Timeout = 0, 0
		}
	}),
	forgetting("no stop", "it forgets the stop before a step", func(c *store.Change) {
		for i := range c.Steps {
			c.Steps[i].StopBefore = false
		}
	}),
	forgetting("no back-off", "it forgets the longest wait of a retry", func(c *store.Change) {
		for i := range c.Specs {
			c.Specs[i].Retry.Most = 0
			if policy := c.Steps[i].Policy.Clone(); policy != nil {
				policy.Retry.Most, c.Steps[i].Policy = 0, policy
			}
		}
	}),
	forgetting("no limit of turns", "it forgets the limit of a turn", func(c *store.Change) {
		if policy := c.Job.Policy.Clone(); policy != nil {
			policy.Turn.Limit, c.Job.Policy = 0, policy
		}
	}),
	forgetting("no hold", "it forgets that a job is on hold", func(c *store.Change) { c.Job.Held = false }),
	forgetting("no gate in the history", "it forgets the moment of the gate of a record", func(c *store.Change) {
		for i := range c.Records {
			c.Records[i].Gate.Until = 0
		}
	}),
	forgetting("no budget", "it forgets how many attempts began by themselves", func(c *store.Change) {
		for i := range c.Steps {
			c.Steps[i].Automatic = 0
		}
	}),
	forgetting("no end of a batch", "it forgets when a batch finished", func(c *store.Change) {
		for i := range c.Batches {
			c.Batches[i].Finished = 0
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
