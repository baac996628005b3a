package operation

import (
	"fmt"

	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/step"
)

// A Code is an operation on a step. The numbers are the wire values and never change;
// 32 to 63 belong to embedders and print as "custom-32", unless [step.Cause.Register] names them.
type Code uint8

const (
	RetryFailed           Code = 2  // run the targets that have not succeeded again
	IgnoreError           Code = 3  // go on although targets failed
	Confirm               Code = 6  // let the job go on
	RetryAll              Code = 8  // run every target again
	TerminateConfirmation Code = 9  // refuse: the job ends
	RestartConfirmation   Code = 10 // ask the confirmers again
	NextStep              Code = 11 // go on to the next step after a stop
	ForcedSkip            Code = 12 // go on without waiting for the stop or the gate
	Continue              Code = 13 // open the gate, or begin the next batch after a stop
	StopBefore            Code = 21 // set a stop before a pending step, where it waits for Continue
	ClearStop             Code = 22 // clear the stop before a pending step
)

// A JobCode is an operation on a job. Job code 2 differs from step code 2, so JobCode is a type of
// its own, and a call that mixes up the two does not compile. 32 to 63 belong to embedders and
// print as "custom-job-32", unless [step.Cause.Register] names them.
type JobCode uint8

const (
	TerminateJob JobCode = 1  // stop the current step, or cancel a job that has not started; the job ends
	StartJob     JobCode = 2  // enter the first step
	HoldJob      JobCode = 20 // let nothing start until ResumeJob: what runs goes on
	ResumeJob    JobCode = 21 // end the hold: what it has kept from starting starts
	SealJob      JobCode = 22 // close an ended job for good: nothing but a comment is legal any more
	CommentJob   JobCode = 23 // add a comment, the reason of the request, to the history
)

// An operation is a Code or a JobCode.
type operation interface {
	~uint8
	Cause() step.Cause
}

// CausesOf returns the set of the causes of the given operations.
func CausesOf[C operation](codes ...C) step.Causes {
	var s step.Causes
	for _, code := range codes {
		s = s.With(code.Cause())
	}
	return s
}

// AllCodes returns every documented code in ascending order. The caller owns the result.
func AllCodes() []Code { return declared[Code](step.Cause.OfStep) }

// AllJobCodes returns every documented job code in ascending order. The caller owns the result.
func AllJobCodes() []JobCode { return declared[JobCode](step.Cause.OfJob) }

func declared[C operation](ofKind func(step.Cause) bool) []C {
	var codes []C
	for _, cause := range step.AllCauses() {
		if ofKind(cause) {
			codes = append(codes, C(cause.Code()))
		}
	}
	return codes
}

// ParseCode returns the code with a name or number. An unknown name or number is an error.
func ParseCode(s string) (Code, error) { return parse[Code]("operation code", s) }

// ParseJobCode returns the job code with a name or number. An unknown name or number is an error.
func ParseJobCode(s string) (JobCode, error) { return parse[JobCode]("job operation code", s) }

// parse reads an operation's number, which differs from that of its cause, or its name, which is
// the same.
func parse[C operation](noun, s string) (C, error) {
	for n := range C(64) {
		cause := n.Cause()
		if cause.Valid() && (fmt.Sprint(uint8(n)) == s || cause.String() == s) {
			return n, nil
		}
	}
	if cause, err := step.ParseCause(s); err == nil && cause.String() != s {
		if n := C(cause.Code()); n.Cause() == cause && fmt.Sprint(uint8(cause)) != s { // as "custom-32", though it has a name
			return n, nil
		}
	}
	var want []string
	for n := range C(64) {
		if n.Cause().Valid() && n < enum.CustomMin {
			want = append(want, fmt.Sprintf("%v (%d)", n.Cause(), uint8(n)))
		}
	}
	return 0, enum.Unknown(noun, s, append(want, "32 to 63 for embedders")...)
}

// Cause returns the cause of c, or 0 if c is above 63.
func (c Code) Cause() step.Cause {
	if c >= 64 {
		return 0
	}
	return step.Cause(c)
}

// Valid reports whether c is documented or belongs to embedders. [Rules.Causes] tells whether a
// rule set has a row for it.
func (c Code) Valid() bool { return c.Cause().Valid() }

func (c Code) String() string { return text(c, "operation code") }

// MarshalText returns the stable name of c, or empty text for the zero Code. An unknown Code
// marshals as it prints, and does not unmarshal.
func (c Code) MarshalText() ([]byte, error) { return marshal(c) }

// UnmarshalText accepts what [ParseCode] accepts, and empty text for the zero Code.
func (c *Code) UnmarshalText(text []byte) error { return unmarshal(c, text, ParseCode) }

// Cause returns the cause of c, or 0 if c is above 63.
func (c JobCode) Cause() step.Cause {
	if c == 0 || c >= 64 {
		return 0
	}
	return step.JobCause(uint8(c))
}

// Valid reports whether c is documented or belongs to embedders.
func (c JobCode) Valid() bool { return c.Cause().Valid() }

func (c JobCode) String() string { return text(c, "job operation code") }

// MarshalText returns the stable name of c, or empty text for the zero JobCode. An unknown JobCode
// marshals as it prints, and does not unmarshal.
func (c JobCode) MarshalText() ([]byte, error) { return marshal(c) }

// UnmarshalText accepts what [ParseJobCode] accepts, and empty text for the zero JobCode.
func (c *JobCode) UnmarshalText(text []byte) error { return unmarshal(c, text, ParseJobCode) }

func text[C operation](c C, noun string) string {
	if cause := c.Cause(); cause.Valid() {
		return cause.String()
	}
	return fmt.Sprintf("%s(%d)", noun, uint8(c))
}

func marshal[C interface {
	operation
	fmt.Stringer
}](c C) ([]byte, error) {
	if c == 0 {
		return []byte{}, nil
	}
	return []byte(c.String()), nil
}

func unmarshal[C operation](c *C, text []byte, parse func(string) (C, error)) (err error) {
	if *c = 0; len(text) > 0 {
		*c, err = parse(string(text))
	}
	return err
}
