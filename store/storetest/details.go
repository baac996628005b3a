package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var detailPromises = []promise{
	{"Details/has the payload that the step was defined with", details},
	{"Details/of a job that does not exist is not found", detailsNoJob},
	{"Details/of a step that does not exist is not found", detailsNoStep},
	{"Details/no other read has a payload", noPayloads},
}

// detailed has steps with different payloads.
var detailed = []step.Spec{
	{Type: step.Script, Name: "short", Targets: []string{"a"}, Payload: "true"},
	{Type: step.Script, Name: "none", Targets: []string{"a"}},
	{Type: step.Confirmation, Name: "asks", Confirmers: []string{"alice"}, Payload: "Is it up?"},
	{Type: step.SQL, Name: "long", Targets: []string{"a"}, Payload: strings.Repeat("a payload of 1 MiB, ", 1<<20/20)},
	{Type: step.Confirmation, Name: "none, asks"},
	{Type: step.Script, Name: "odd", Targets: []string{"a"}, Payload: " \"<&>\\\n\t\u00e9\U0001f600 "},
}

// details reads them while the job goes on: a change of a step has no payload.
func details(x trial) {
	j := x.create(create(1, teamA, t0, detailed...))
	for _, next := range []func() store.Change{
		func() store.Change { return start(j.view(1), t0) },
		func() store.Change { return j.report(t0, all(step.TargetFailed, 0, 1)) },
		func() store.Change { return skip(j.view(1), t0) },
	} {
		x.holds(j)
		x.do(j, next())
	}
	x.holds(j)
}

var detailsNoJob = noJob("Details", func(x trial, id store.JobID) error {
	_, err := x.Details(x.Context(), store.DetailQuery{Job: id, Step: 1})
	return err
})

func detailsNoStep(x trial) {
	x.create(create(1, teamA, t0, script("a", 1), script("b", 1)))
	for _, id := range []step.ID{-1, 0, 3, 1 << 20, 1 << 40} {
		_, err := x.Details(x.Context(), store.DetailQuery{Scope: teamA, Job: 1, Step: id})
		x.is(err, store.ErrNotFound, "Details of step %d of 2", id)
	}
}

func noPayloads(x trial) {
	j := x.started(1, teamA, t0, detailed...)
	none := func(call string, steps ...store.Step) {
		x.Helper()
		for _, s := range steps {
			equal(x, fmt.Sprintf("%s, the payload of step %d", call, s.ID), s.Payload, "")
		}
	}
	for id := range step.ID(len(detailed)) {
		v := x.view(store.Query{Job: 1, Step: id + 1})
		none("View", v.Step, v.Next)
		v = x.view(store.Query{Job: 1, Step: id + 1, Targets: []int32{0}, Request: requestOf(1, 2)})
		none("View with a target and a request", v.Step, v.Next)
	}
	none("Steps", x.steps(teamA, 1, everyStep)...)
	none("Snapshot", x.snapshot(store.SnapshotQuery{Job: 1, Targets: most}).Steps...)
	x.holds(j)
}

// withPayload adds its payload to a step.
func withPayload(ctx context.Context, st store.Store, job store.JobID, s *store.Step) {
	if d, err := st.Details(ctx, store.DetailQuery{Job: job, Step: s.ID}); err == nil {
		s.Payload = d.Payload
	}
}

// detailing breaks Details.
func detailing(details func(ctx context.Context, s store.Store, q store.DetailQuery) (store.Details, error)) func(store.Store) store.Store {
	return replacing(func(s store.Store, p *patch) {
		p.details = func(ctx context.Context, q store.DetailQuery) (store.Details, error) { return details(ctx, s, q) }
	})
}

var brokenDetails = []Breakage{
	{"payload of the first", "it returns the payload of the first step for that of each", []string{
		"Details/has the payload that the step was defined with",
	}, detailing(func(ctx context.Context, s store.Store, q store.DetailQuery) (store.Details, error) {
		first := q
		first.Step = min(q.Step, 1)
		d, err := s.Details(ctx, q)
		if err == nil {
			d, err = s.Details(ctx, first)
		}
		return d, err
	})},

	{"payload overwritten", "it takes the payload of a step from its last change", []string{
		"Details/has the payload that the step was defined with",
	}, replacing(func(s store.Store, p *patch) {
		changed := map[store.DetailQuery]bool{}
		p.commit = func(ctx context.Context, c store.Change) error {
			err := s.Commit(ctx, c)
			for _, row := range c.Steps {
				if err == nil && c.Specs == nil {
					changed[store.DetailQuery{Job: c.Job.ID, Step: row.ID}] = true
				}
			}
			return err
		}
		p.details = func(ctx context.Context, q store.DetailQuery) (store.Details, error) {
			d, err := s.Details(ctx, q)
			if changed[store.DetailQuery{Job: q.Job, Step: q.Step}] {
				d = store.Details{}
			}
			return d, err
		}
	})},

	{"short payloads", "it cuts payloads at 64 KiB", []string{
		"Details/has the payload that the step was defined with",
	}, detailing(func(ctx context.Context, s store.Store, q store.DetailQuery) (store.Details, error) {
		d, err := s.Details(ctx, q)
		d.Payload = d.Payload[:min(len(d.Payload), 64<<10)]
		return d, err
	})},

	{"no details, no job", "it returns no details of a job that does not exist, and no error", []string{
		"Details/of a job that does not exist is not found",
	}, detailing(func(ctx context.Context, s store.Store, q store.DetailQuery) (store.Details, error) {
		d, err := s.Details(ctx, q)
		if _, no := s.View(ctx, store.Query{Scope: q.Scope, Job: q.Job}); errors.Is(no, store.ErrNotFound) {
			err = nil
		}
		return d, err
	})},

	{"no details, no step", "it returns no details of a step that does not exist, and no error", []string{
		"Details/of a step that does not exist is not found",
	}, detailing(func(ctx context.Context, s store.Store, q store.DetailQuery) (store.Details, error) {
		d, err := s.Details(ctx, q)
		if _, no := s.View(ctx, store.Query{Scope: q.Scope, Job: q.Job}); no == nil && errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return d, err
	})},

	{"views with payloads", "it shows the payload of the step in question", []string{
		"Details/no other read has a payload",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		v, err := s.View(ctx, q)
		withPayload(ctx, s, q.Job, &v.Step)
		return v, err
	})},

	{"next with its payload", "it shows the payload of the next step", []string{
		"Details/no other read has a payload",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		v, err := s.View(ctx, q)
		withPayload(ctx, s, q.Job, &v.Next)
		return v, err
	})},

	{"wide views with payloads", "it shows payloads where it looks for targets", []string{
		"Details/no other read has a payload",
	}, viewing(func(ctx context.Context, s store.Store, q store.Query) (store.View, error) {
		v, err := s.View(ctx, q)
		if len(q.Targets) > 0 {
			withPayload(ctx, s, q.Job, &v.Step)
		}
		return v, err
	})},

	{"lists with payloads", "it shows payloads in lists of steps", []string{
		"Details/no other read has a payload",
	}, replacing(func(s store.Store, p *patch) {
		p.steps = func(ctx context.Context, scope store.Scope, id store.JobID, page store.Page[step.ID]) ([]store.Step, error) {
			steps, err := s.Steps(ctx, scope, id, page)
			steps = slices.Clone(steps)
			for i := range steps {
				withPayload(ctx, s, id, &steps[i])
			}
			return steps, err
		}
	})},
}
