package step

import (
	"slices"
	"time"
)

// A Policy is the part of a definition that says when attempts of a step begin by themselves, and
// how many failures the step bears. [Spec] describes the fields.
type Policy struct {
	Delay        time.Duration `json:"delay_ns,omitzero"`         // before the first attempt
	Window       string        `json:"window,omitempty"`          // name of the window of every attempt
	TotalTimeout time.Duration `json:"total_timeout_ns,omitzero"` // of all attempts
	Retry        Retry         `json:"retry,omitzero"`            // further attempts after failures
	Rolling      Rolling       `json:"rolling,omitzero"`          // the batches
	Tolerate     Tolerance     `json:"tolerate,omitzero"`         // failures that the step bears
}

// Policy returns the policy of s, which shares no memory with s, or nil if s has none.
func (s *Spec) Policy() *Policy {
	p := Policy{
		Delay: s.Delay, Window: s.Window, TotalTimeout: s.TotalTimeout,
		Retry: s.Retry.clone(), Rolling: s.Rolling, Tolerate: s.Tolerate,
	}
	if p.IsZero() {
		return nil
	}
	return &p
}

// IsZero reports whether p is the policy of a step without one.
func (p *Policy) IsZero() bool {
	return p.Delay == 0 && p.Window == "" && p.TotalTimeout == 0 && p.Retry.IsZero() && p.Rolling == Rolling{} && p.Tolerate == Tolerance{}
}

// Clone returns a copy of p that shares no memory with it; nil for nil.
func (p *Policy) Clone() *Policy {
	if p == nil {
		return nil
	}
	own := *p
	own.Retry = own.Retry.clone()
	return &own
}

// Equal reports whether p and q say the same; nil is a policy that says nothing.
func (p *Policy) Equal(q *Policy) bool {
	if p == nil || q == nil {
		return p == q
	}
	return p.Delay == q.Delay && p.Window == q.Window && p.TotalTimeout == q.TotalTimeout &&
		p.Retry.equal(q.Retry) && p.Rolling == q.Rolling && p.Tolerate == q.Tolerate
}

// A Retry begins further attempts of a step by itself after failures, on the targets that have not
// succeeded, as RetryFailed does. The zero Retry begins none. Only failed targets lead to a retry:
// an attempt that broke, was stopped or met its deadline waits for a person.
type Retry struct {
	// Attempts is the maximum of further attempts: 1 to 1,000. Each batch has as many, and so has
	// a step after a person's retry.
	Attempts int32 `json:"attempts"`

	// After is the time between a failure and the first further attempt. It doubles with each
	// further attempt, up to Most, less a random part of up to a quarter; 0 retries at once. Most
	// is not less than After; 0 means After.
	After time.Duration `json:"after_ns,omitzero"`
	Most  time.Duration `json:"most_ns,omitzero"`

	// Except are statuses of failure that no further attempt would mend. The attempt is not
	// repeated if every failure in it has one of them; otherwise all failed targets run again.
	Except []Status `json:"except,omitzero"`
}

// IsZero reports whether r begins no attempt.
func (r *Retry) IsZero() bool {
	return r.Attempts == 0 && r.After == 0 && r.Most == 0 && r.Except == nil
}

func (r Retry) clone() Retry {
	r.Except = slices.Clone(r.Except)
	return r
}

func (r Retry) equal(q Retry) bool {
	return r.Attempts == q.Attempts && r.After == q.After && r.Most == q.Most && slices.Equal(r.Except, q.Except)
}

// Wait returns the time before the further attempt number n, counted from 1, given a random number.
// It saturates at Most.
func (r *Retry) Wait(n int32, random uint64) time.Duration {
	n = max(n, 1)
	most := max(r.Most, r.After)
	wait := most
	if doubled := r.After << min(n-1, 62); n <= 62 && doubled>>(n-1) == r.After && doubled > 0 {
		wait = min(doubled, most)
	}
	if part := uint64(wait / 4); part > 0 {
		wait -= time.Duration(random % part)
	}
	return wait
}

// Excepts reports whether a failure with a status leads to no further attempt.
func (r *Retry) Excepts(status Status) bool { return slices.Contains(r.Except, status) }

// A Rolling runs the targets of a step in batches, one after the other. The zero Rolling is one
// batch of all targets.
type Rolling struct {
	Batches string  `json:"batches"`          // see [Batches]
	Between Between `json:"between,omitzero"` // what each batch but the first waits for
}

// Between says what a batch waits for after the one before it: a person's Continue, a time, or, if
// both are zero, nothing. A person comes first, and the time after that.
type Between struct {
	Delay  time.Duration `json:"delay_ns,omitzero"` // after the end of the batch before, or after the person
	Person bool          `json:"person,omitzero"`   // a Continue, for each batch but the first
}

// A Tolerance is the number of failures that a step bears: with more, it fails. Failures that a
// person has accepted by IgnoreError do not count. A step that ends within its tolerance, but with
// failures, ends error_ignored. The zero Tolerance bears none.
type Tolerance struct {
	Count   int32 `json:"count,omitzero"`   // of targets
	Percent int32 `json:"percent,omitzero"` // of all targets of the step, 1 to 100; at most one of the two is set
}

// Bears reports whether failed targets of total are within t.
func (t Tolerance) Bears(failed, total int32) bool {
	if t.Percent > 0 {
		return int64(failed)*100 <= int64(t.Percent)*int64(total)
	}
	return failed <= t.Count
}
