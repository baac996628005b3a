package executor_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// isInvalid checks that err is a refusal that names a field.
func isInvalid(t *testing.T, err error, field string) {
	t.Helper()
	refusal := (*engine.Refusal)(nil)
	if !errors.As(err, &refusal) || refusal.Reason != operation.InvalidInput || refusal.Field != field || refusal.Detail == "" {
		t.Errorf("Run = %v, want a refusal of %s", err, field)
	}
}

// Run returns an error for the first malformed option, with its name.
func TestSetUp(t *testing.T) {
	eng := engine.New(memstore.New())
	host := func(context.Context, *executor.Task, executor.Host) store.Result { return success }
	whole := func(context.Context, *executor.Task) store.Result { return success }
	notice := func(context.Context, engine.Delivery) error { return nil }
	ok := executor.Hosts(step.Script, host)
	for name, c := range map[string]struct {
		src   executor.Source
		opts  []executor.Option
		field string
	}{
		"nil source":             {nil, []executor.Option{ok}, "Source"},
		"nil engine":             {(*engine.Engine)(nil), []executor.Option{ok}, "Source"},
		"nil function":           {eng, []executor.Option{executor.Hosts(step.Script, nil)}, "Hosts"},
		"nil function of steps":  {eng, []executor.Option{executor.Steps(step.Script, nil)}, "Steps"},
		"no type":                {eng, []executor.Option{executor.Hosts(0, host)}, "Hosts"},
		"unknown type":           {eng, []executor.Option{executor.Steps(31, whole)}, "Steps"},
		"a type without targets": {eng, []executor.Option{executor.Hosts(step.Confirmation, host)}, "Hosts"},
		"no such type":           {eng, []executor.Option{executor.Steps(32, whole)}, "Steps"},
		"two functions":          {eng, []executor.Option{ok, executor.Hosts(step.Script, host)}, "Hosts"},
		"two kinds of functions": {eng, []executor.Option{ok, executor.Steps(step.Script, whole)}, "Steps"},
		"none at all":            {eng, nil, "Options"},
		"nothing to do":          {eng, []executor.Option{executor.RunsOnly(), nil}, "Options"},
		"nil notice":             {eng, []executor.Option{ok, executor.Asked(nil)}, "Asked"},
		"nil end":                {eng, []executor.Option{ok, executor.Ended(nil)}, "Ended"},
		"no place":               {eng, []executor.Option{ok, executor.AtOnce(0)}, "AtOnce"},
		"places without end":     {eng, []executor.Option{ok, executor.AtOnce(math.MaxInt)}, "AtOnce"},
		"too many places":        {eng, []executor.Option{ok, executor.AtOnce(1<<20 + 1)}, "AtOnce"},
		"too many of a step":     {eng, []executor.Option{ok, executor.AtOncePerStep(1<<20 + 1)}, "AtOncePerStep"},
		"too many of a host":     {eng, []executor.Option{ok, executor.AtOncePerHost(1<<20 + 1)}, "AtOncePerHost"},
		"no place for a step":    {eng, []executor.Option{ok, executor.AtOncePerStep(-1)}, "AtOncePerStep"},
		"no place for a host":    {eng, []executor.Option{ok, executor.AtOncePerHost(0)}, "AtOncePerHost"},
		"short lease":            {eng, []executor.Option{ok, executor.Lease(time.Second - 1)}, "Lease"},
		"long lease":             {eng, []executor.Option{ok, executor.Lease(time.Hour + 1)}, "Lease"},
		"negative drain":         {eng, []executor.Option{ok, executor.Drain(-1)}, "Drain"},
		"long name":              {eng, []executor.Option{ok, executor.By(strings.Repeat("ä", 257))}, "By"},
		"name with a line break": {eng, []executor.Option{ok, executor.By("a\nb")}, "By"},
		"name with a blank":      {eng, []executor.Option{ok, executor.By("a ")}, "By"},
		"name in Latin-1":        {eng, []executor.Option{ok, executor.By("\xe4")}, "By"},
		"first of two":           {eng, []executor.Option{executor.Drain(-1), executor.AtOnce(0)}, "Drain"},
	} {
		t.Run(name, func(t *testing.T) {
			isInvalid(t, executor.New(c.src, c.opts...).Run(t.Context()), c.field)
		})
	}
	t.Run("nil context", func(t *testing.T) {
		var none context.Context
		isInvalid(t, executor.New(eng, ok).Run(none), "Context")
	})
	t.Run("all right", func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, opts := range [][]executor.Option{
			{ok}, {executor.Steps(step.Script, whole)}, {executor.Asked(notice)}, {executor.Ended(notice)}, {executor.RunsOnly(), ok},
			{executor.RunsOnly(), ok, executor.Asked(notice)}, {executor.RunsOnly(), ok, executor.Ended(notice)},
			{ok, executor.AtOnce(1), executor.AtOncePerStep(1), executor.AtOncePerHost(1), executor.Lease(time.Second), executor.Drain(0), executor.By("")},
			{executor.Hosts(step.SQL, host), executor.Steps(step.Script, whole), executor.Lease(time.Hour), executor.Failed(nil)},
		} {
			if err := executor.New(eng, opts...).Run(ended); err != nil {
				t.Errorf("Run = %v", err)
			}
		}
	})
}
