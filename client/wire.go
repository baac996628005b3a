package client

import (
	"math"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// THE WIRE: durations are milliseconds there.

// A wireJob is a header as it is sent.
type wireJob struct {
	store.Job
	Policy *wireJobPolicy `json:"policy"`
}

// A wireJobPolicy is a job's policy as it is sent.
type wireJobPolicy struct {
	StartAt   step.Time  `json:"start_at"`
	TimeoutMS int64      `json:"timeout_ms"`
	Turn      store.Turn `json:"turn"`
}

func (j *wireJob) stored() store.Job {
	if p := j.Policy; p != nil {
		j.Job.Policy = &store.JobPolicy{StartAt: p.StartAt, Timeout: duration(p.TimeoutMS), Turn: p.Turn}
	}
	return j.Job
}

// A wireStep is a step as it is sent.
type wireStep struct {
	store.Step
	TimeoutMS int64       `json:"timeout_ms"`
	Policy    *wirePolicy `json:"policy"`
}

func (s *wireStep) stored() store.Step {
	s.Step.Timeout = duration(s.TimeoutMS)
	if s.Policy != nil {
		s.Step.Policy = s.Policy.stored()
	}
	return s.Step
}

// A wirePolicy is a step's policy as it is sent.
type wirePolicy struct {
	TotalTimeoutMS int64          `json:"total_timeout_ms,omitzero"`
	DelayMS        int64          `json:"delay_ms,omitzero"`
	Window         string         `json:"window,omitempty"`
	Retry          wireRetry      `json:"retry,omitzero"`
	Rolling        wireRolling    `json:"rolling,omitzero"`
	Tolerate       step.Tolerance `json:"tolerate,omitzero"`
}

type wireRetry struct {
	Attempts int32         `json:"attempts"`
	AfterMS  int64         `json:"after_ms,omitzero"`
	MostMS   int64         `json:"most_ms,omitzero"`
	Except   []step.Status `json:"except,omitempty"`
}

// IsZero reports whether r is none.
func (r wireRetry) IsZero() bool {
	return r.Attempts == 0 && r.AfterMS == 0 && r.MostMS == 0 && r.Except == nil
}

type wireRolling struct {
	Batches string      `json:"batches"`
	Between wireBetween `json:"between,omitzero"`
}

type wireBetween struct {
	DelayMS int64 `json:"delay_ms,omitzero"`
	Person  bool  `json:"person,omitzero"`
}

func policyOf(p *step.Policy) wirePolicy {
	return wirePolicy{
		TotalTimeoutMS: milliseconds(p.TotalTimeout), DelayMS: milliseconds(p.Delay), Window: p.Window, Tolerate: p.Tolerate,
		Retry: wireRetry{
			Attempts: p.Retry.Attempts, AfterMS: milliseconds(p.Retry.After), MostMS: milliseconds(p.Retry.Most), Except: p.Retry.Except,
		},
		Rolling: wireRolling{p.Rolling.Batches, wireBetween{milliseconds(p.Rolling.Between.Delay), p.Rolling.Between.Person}},
	}
}

func (p *wirePolicy) stored() *step.Policy {
	return &step.Policy{
		TotalTimeout: duration(p.TotalTimeoutMS), Delay: duration(p.DelayMS), Window: p.Window, Tolerate: p.Tolerate,
		Retry: step.Retry{
			Attempts: p.Retry.Attempts, After: duration(p.Retry.AfterMS), Most: duration(p.Retry.MostMS), Except: p.Retry.Except,
		},
		Rolling: step.Rolling{
			Batches: p.Rolling.Batches, Between: step.Between{Delay: duration(p.Rolling.Between.DelayMS), Person: p.Rolling.Between.Person},
		},
	}
}

// duration returns ms milliseconds, or the longest duration if they are more: milliseconds rounds up.
func duration(ms int64) time.Duration {
	if ms > math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(ms) * time.Millisecond
}

// milliseconds returns d in whole milliseconds, away from 0.
func milliseconds(d time.Duration) int64 {
	ms := d.Milliseconds()
	switch rest := d % time.Millisecond; {
	case rest > 0:
		ms++
	case rest < 0:
		ms--
	}
	return ms
}
