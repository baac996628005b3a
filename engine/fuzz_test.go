package engine_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Under any rules that compile, on any view, consistent or not, any command is decided: with
// a change that continues the job or a refusal that has a reason, and twice in the same way.
func FuzzDecide(f *testing.F) {
	var rules []*operation.Rules
	for seed := range 100 {
		rules = append(rules, enginetest.Rules().Example(seed))
	}
	rules[0] = operation.Standard()
	f.Add([]byte{0, 4, 1, 1, 3, 1, 0, 1, 0, 2, 2, 0, 0})
	f.Add([]byte{0, 2, 1, 1, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 3, 1, 0, 9, 1, 9})
	f.Add([]byte{7, 255, 200, 100, 50, 25, 12, 6, 3, 1})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		d := dice(bytes)
		r, v, c, now := rules[d.n(len(rules))], d.view(), d.command(), step.Time(d.n(256))
		before := v
		got, err := engine.Decide(r, v, c, now)
		if !reflect.DeepEqual(v, before) {
			t.Fatalf("Decide changed its view from\n%+v to\n%+v", before, v)
		}
		again, againErr := engine.Decide(r, v, c, now)
		if !reflect.DeepEqual(got, again) || !reflect.DeepEqual(err, againErr) {
			t.Fatalf("Decide(%+v, %+v) gives\n%+v, %v and then\n%+v, %v", v, c, got, err, again, againErr)
		}
		var refusal *engine.Refusal
		switch {
		case err != nil && (!errors.As(err, &refusal) || refusal.Reason < operation.InvalidInput || refusal.Reason > operation.NotConfirmer || err.Error() == ""):
			t.Fatalf("Decide(%+v, %+v) is refused without a reason: %#v", v, c, err)
		case err != nil || !got.Changes():
			return
		}
		rec := got.Change.Records[0]
		if _, creates := c.(*engine.Create); creates {
			v.Job, v.Step = store.Job{}, store.Step{}
		}
		if rec.Seq != v.Job.Version+1 || rec.From != v.Step.State || rec.JobFrom != v.Job.State || got.Change.Base() != v.Job.Version {
			t.Fatalf("Decide(%+v, %+v) makes a record that does not continue the job:\n%+v", v, c, rec)
		}
	})
}

// dice are bytes that draw. When there are none left, they draw 0.
type dice []byte

// n draws a number below most, which is at most 256.
func (d *dice) n(most int) int {
	if len(*d) == 0 {
		return 0
	}
	b := (*d)[0]
	*d = (*d)[1:]
	return int(b) % most
}

func (d *dice) view() store.View {
	v := store.View{
		Step: d.step(), Next: d.step(),
		Job: store.Job{ID: store.JobID(d.n(3)), State: step.State(d.n(256)), Version: store.Seq(d.n(256)), Moved: store.Seq(d.n(256)), Current: step.ID(d.n(4)), Steps: int32(d.n(4))},
	}
	for range d.n(4) {
		v.Targets = append(v.Targets, store.Target{Index: int32(d.n(4)), Attempt: int32(d.n(4)), Success: int32(d.n(4)), Result: d.result()})
	}
	if d.n(8) == 7 {
		v.Replay = &store.Record{Seq: store.Seq(d.n(4)), Cause: step.Cause(d.n(256)), Step: step.ID(d.n(4))}
	}
	return v
}

func (d *dice) step() store.Step {
	s := store.Step{
		State: step.State(d.n(256)), ID: step.ID(d.n(4)), Type: step.Type(d.n(256)), Total: int32(d.n(4)), Attempt: int32(d.n(4)), Run: store.Run{Full: int32(d.n(4))},
		Succeeded: int32(d.n(4)), Unfinished: int32(d.n(4)), IgnoreErrors: d.n(2) == 1, OnTimeout: step.Decision(d.n(4)), Deadline: step.Time(d.n(256)),
		Timeout: time.Duration(d.n(256)) << d.n(64),
	}
	if d.n(2) == 1 {
		s.Confirmers = step.NamesOf([]string{"ann"})
	}
	return s
}

func (d *dice) result() store.Result {
	statuses := step.AllStatuses()
	return store.Result{Status: statuses[d.n(len(statuses))], ExitCode: int32(d.n(3))}
}

func (d *dice) command() engine.Command {
	actor := []string{"", "ann", "bob"}[d.n(3)]
	ifAttempt, ifVersion := int32(d.n(4)), store.Seq(d.n(4))
	switch d.n(5) {
	case 0:
		return &engine.Operate{Cause: step.Cause(d.n(256)), Request: engine.Request{By: actor, IfAttempt: ifAttempt, IfVersion: ifVersion}}
	case 1:
		return &engine.Operate{Cause: step.JobCause(uint8(d.n(64))), Request: engine.Request{By: actor, IfAttempt: ifAttempt, IfVersion: ifVersion}}
	case 2:
		r := &engine.Report{Job: store.JobID(d.n(3)), Step: step.ID(d.n(4)), Attempt: int32(d.n(4)), By: actor, Outcome: step.Cause(d.n(256))}
		for range d.n(4) {
			r.Results = append(r.Results, engine.TargetResult{Target: int32(d.n(4)), Result: d.result()})
		}
		return r
	case 3:
		return &engine.Expire{Job: store.JobID(d.n(3)), Step: step.ID(d.n(4)), Attempt: int32(d.n(4))}
	default:
		c := &engine.Create{Job: store.JobID(d.n(3)), Spec: engine.JobSpec{Name: actor}, Request: engine.Request{By: actor}}
		for range d.n(3) {
			s := step.Spec{Name: "step", Type: step.Type(d.n(256)), Timeout: time.Duration(d.n(3)), OnTimeout: step.Decision(d.n(4)), IgnoreErrors: d.n(2) == 1}
			for range d.n(3) {
				s.Targets = append(s.Targets, string(rune('a'+d.n(3))))
			}
			for range d.n(2) {
				s.Confirmers = append(s.Confirmers, "ann")
			}
			c.Spec.Steps = append(c.Spec.Steps, s)
		}
		return c
	}
}

// A value that is read from JSON is written as JSON that reads the same: requests of frontends, and
// their answers.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"name":"release","scope":{"type":"biz","id":"2"},"steps":[{"type":"script","name":"copy","targets":["a","b"],"timeout_ns":9000000000},{"type":"confirmation","name":"ask","confirmers":["ann"],"timeout_ns":1,"on_timeout":"confirm"}]}`,
		`{"name":"release","steps":[{"type":"confirmation","name":"ask","confirmers":[]}]}`,
		`{"request":"0198c0de-0000-7000-8000-000000000001","job":1,"seq":2,"at":6,"cause":"retry_failed","step":1,"from":"failed","to":"running","attempt":2,"entered":0,"targets":1,"effect":"run"}`,
		`{"seq":3,"state":"failed","job_state":"failed","accepted":1,"repeated":0,"rejected":[{"target":1,"stands":"succeeded","rejected":"failed"}]}`,
		`{"reason":"wrong_state","cause":"confirm","job":1,"step":1,"state":"running","legal":["forced_skip","terminate_job"],"legal_from":["waiting"]}`,
		`{"job":{"id":1,"state":"running"},"step":{"id":1,"type":"sql","state":"running"},"causes":[{"cause":"confirm","legal":false,"refusal":{"reason":"wrong_type"}},{"cause":"start_job","legal":true}]}`,
		`{"effect":"ask","seq":2,"job":{},"step":{},"count":1}`, `{"steps":[{"type":"64"}]}`, `{"reason":12}`, `{"legal":"AQ=="}`, `{}`, `nul`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		testkit.RoundTrip[engine.JobSpec](t, data)
		testkit.RoundTrip[store.Record](t, data)
		testkit.RoundTrip[engine.ReportReceipt](t, data)
		testkit.RoundTrip[engine.Refusal](t, data)
		testkit.RoundTrip[engine.Explanation](t, data)
		testkit.RoundTrip[engine.Delivery](t, data)
		testkit.RoundTrip[engine.Access](t, data)
	})
}
