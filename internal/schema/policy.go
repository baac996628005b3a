package schema

import (
	"encoding/json"
	"fmt"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// data declares a column of objects. A row without one costs no allocation: dest returns the row
// itself, as a type that scans.
func data[R, D any](name string, when When, field func(*R) *D, dest func(*R) any) Column[R] {
	return Column[R]{
		Name: name, Type: Data, When: when,
		Text: func(r *R) string {
			d := field(r)
			if d == nil {
				return ""
			}
			text, err := json.Marshal(d)
			if err != nil { // numbers and strings marshal
				panic(err)
			}
			return string(text)
		},
		Dest: dest,
	}
}

// jobPolicy is a job whose policy is scanned.
type jobPolicy store.Job

// Scan implements sql.Scanner.
func (j *jobPolicy) Scan(v any) (err error) {
	j.Policy, err = object[store.JobPolicy](v)
	return err
}

// stepPolicy is a step whose policy is scanned.
type stepPolicy store.Step

// Scan implements sql.Scanner.
func (s *stepPolicy) Scan(v any) error {
	stored, err := object[storedPolicy](v)
	s.Policy = stored.policy()
	return err
}

// storedPolicy is a policy of a step whose statuses are numbers, as in other columns: a program
// reads those that it has no names for.
type storedPolicy struct {
	step.Policy
	Retry storedRetry `json:"retry,omitzero"` // in place of Policy.Retry
}

type storedRetry struct {
	step.Retry
	Except []uint16 `json:"except,omitzero"` // in place of Retry.Except
}

// stored returns p as it is stored, or nil for nil.
func stored(p *step.Policy) *storedPolicy {
	if p == nil {
		return nil
	}
	s := &storedPolicy{Policy: *p, Retry: storedRetry{Retry: p.Retry}}
	if p.Retry.Except != nil {
		s.Retry.Except = make([]uint16, len(p.Retry.Except))
		for i, status := range p.Retry.Except {
			s.Retry.Except[i] = uint16(status)
		}
	}
	return s
}

// policy returns the policy that s stores, or nil for nil.
func (s *storedPolicy) policy() *step.Policy {
	if s == nil {
		return nil
	}
	p := s.Policy
	p.Retry = s.Retry.Retry
	if s.Retry.Except != nil {
		p.Retry.Except = make([]step.Status, len(s.Retry.Except))
		for i, status := range s.Retry.Except {
			p.Retry.Except[i] = step.Status(status)
		}
	}
	return &p
}

// object reads an object from a text, or nil from an empty one.
func object[D any](v any) (*D, error) {
	var text []byte
	switch v := v.(type) {
	case string:
		if v == "" {
			return nil, nil
		}
		text = []byte(v)
	case []byte:
		if text = v; len(v) == 0 {
			return nil, nil
		}
	default:
		return nil, fmt.Errorf("a policy is a %T, want a text", v)
	}
	d := new(D)
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("a policy: %w", err)
	}
	return d, nil
}
