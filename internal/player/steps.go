package player

import (
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Shapes say what steps are like.
type Shapes struct {
	Rules      *operation.Rules
	Targets    []string        // of which a step that runs has the first, or more
	Timeouts   []time.Duration // 0 for none
	Confirmers []string        // of which a step that asks has the first few, or none
}

// Steps draws definitions of n steps of any type.
func (s Shapes) Steps(d Dice, n int) []step.Spec {
	specs := make([]step.Spec, n)
	for i := range specs {
		spec := step.Spec{Name: "step", Type: Of(d, "type", s.Rules.Types()), Timeout: Of(d, "timeout", s.Timeouts)}
		if s.Rules.Enters(spec.Type) == step.Running {
			spec.Targets = s.Targets[:1+d.Below(len(s.Targets), "targets")]
			spec.IgnoreErrors = OneIn(d, 4, "ignore errors")
		} else {
			if spec.Timeout > 0 {
				spec.OnTimeout = Of(d, "on timeout", []step.Decision{step.TerminateOnTimeout, step.ConfirmOnTimeout})
			}
			if n := d.Below(len(s.Confirmers)+1, "confirmers"); n > 0 {
				spec.Confirmers = s.Confirmers[:n]
			}
		}
		specs[i] = spec
	}
	return specs
}
