package engine

import "github.com/stepgate/stepgate/store"

// A Request says who asks for an operation or a creation, why, and on what condition. The zero
// Request is the anonymous actor's, without a condition. A field that does not apply to a call is
// invalid input, and the refusal names it.
type Request struct {
	// By is the name of the person who asks; [step.Spec] says which characters a name can have.
	// The default is the anonymous actor, who is never a confirmer.
	By string `json:"actor,omitempty"`

	// Because is the reason, for the history.
	Because string `json:"reason,omitempty"`

	// ID makes the request safe to repeat: a second request with the same id is answered with
	// the record of the first. If the two differ in step, code, person or reason, the second is
	// refused with operation.RequestReused. Ids are unique per job, those of creations per
	// scope. Refused requests are not remembered. For the zero ID the engine draws one.
	ID store.RequestID `json:"request_id,omitzero"`

	// IfAttempt refuses the request as stale unless the attempt of the step, or of the current
	// one for an operation on the job, is this one. Attempts count from 1; 0 is no condition. It
	// does not apply to a creation.
	IfAttempt int32 `json:"if_attempt,omitzero"`

	// IfVersion refuses the request as stale if a state or an attempt of the job has changed
	// after this version. New results do not matter. Versions count from 1; 0 is no condition.
	// It does not apply to a creation.
	IfVersion store.Seq `json:"if_version,omitzero"`

	// DryRun answers as if the request were carried out, and changes nothing. The record has
	// no Seq and no Request, and that of a creation no Job. If ID has been carried out, the
	// record is that of the first request.
	DryRun bool `json:"dry_run,omitzero"`

	// Executor says that the caller is an executor. If By is set, the caller is a person as
	// well, and the authorizer sees both. If By is empty, every operation and every creation
	// is denied, dry runs included.
	Executor bool `json:"executor,omitzero"`
}

// check refuses fields that are invalid in every call.
func (r *Request) check(limits *Limits) *Refusal {
	switch {
	case r.IfAttempt < 0:
		return invalid("if_attempt", "%d: attempts count from 1", r.IfAttempt)
	case r.IfVersion < 0:
		return invalid("if_version", "%d: versions count from 1", r.IfVersion)
	}
	if err := checkPerson("actor", r.By); err != nil {
		return err
	}
	return checkText("reason", r.Because, limits.Reason)
}

// creates refuses fields that do not apply to a creation.
func (r *Request) creates() *Refusal {
	switch {
	case r.IfAttempt != 0:
		return invalid("if_attempt", "does not apply to a creation")
	case r.IfVersion != 0:
		return invalid("if_version", "does not apply to a creation")
	}
	return nil
}

// explains refuses fields that do not apply to a call that only explains.
func (r *Request) explains() *Refusal {
	switch {
	case r.Because != "":
		return invalid("reason", "does not apply to an explanation")
	case r.ID != store.RequestID{}:
		return invalid("request_id", "does not apply to an explanation")
	case r.DryRun:
		return invalid("dry_run", "does not apply to an explanation")
	}
	return nil
}

// decides refuses fields that do not apply to [Decide], whose caller commits.
func (r *Request) decides() *Refusal {
	switch {
	case r.DryRun:
		return invalid("dry_run", "does not apply to Decide")
	case r.Executor:
		return invalid("executor", "does not apply to Decide")
	}
	return nil
}

// requestOf returns the request of a person's command, or nil.
func requestOf(c Command) *Request {
	switch c := c.(type) {
	case *Operate:
		return &c.Request
	case *OperateEffect:
		return &c.Request
	case *Create:
		return &c.Request
	}
	return nil
}
