package step

import "github.com/stepgate/stepgate/internal/enum"

// THE ALPHABET OF CAUSES. Each thing that moves a step or a job has one number here, which rows,
// records, refusals and explanations use.

// A Cause is what moves a step or a job. The numbers are stored, and never change:
//
//	  1 to  63  a person's operation on a step: operation.Code; 32 to 63 are for embedders
//	 65 to 127  an event of the lifecycle, without a person
//	129 to 191  a person's operation on the job: 128 and its operation.JobCode; 160 to 191
//	            are for embedders
//	192         the creation of the job
//	193         results of targets that end no attempt
//	194 and 195 a person's request about an effect
type Cause uint8

// The events of a lifecycle. Package engine finds them; they are no operations.
const (
	Entered          Cause = 65 // the step before has passed
	AllSucceeded     Cause = 66 // the last due target finished, and every target has succeeded
	SomeFailed       Cause = 67 // the last due target finished, and some have failed
	FailuresIgnored  Cause = 68 // the same, on a step that is defined to ignore errors
	Stopped          Cause = 69 // the executor has stopped the attempt
	Broke            Cause = 70 // the executor broke: the outcome of the attempt is unknown
	Dropped          Cause = 71 // the executor dropped the step for good
	Expired          Cause = 72 // the deadline has passed
	ExpiredConfirmed Cause = 73 // the deadline has passed, on a step with OnTimeout = ConfirmOnTimeout
	Opened           Cause = 74 // the moment of the gate has come
	FailedAgain      Cause = 75 // the last due target finished, some have failed, and the step's Retry begins another attempt
	JobExpired       Cause = 76 // the deadline of the job has passed
)

// Causes of records that stand in no row.
const (
	Created Cause = 192 // the job was created
	Results Cause = 193 // results of targets alone
	GivenUp Cause = 194 // an effect was given up, and nothing moved; a run that is given up broke
	Hurried Cause = 195 // an effect that waited after a failure was made due at once
)

const (
	eventCauses Cause = 64  // before the first event
	jobCauses   Cause = 128 // the job operation 0
	ownCauses   Cause = 192 // the first cause that is no row's
)

var causeNames = enum.New("cause", []enum.Entry[Cause]{
	{Value: 2, Name: "retry_failed"},
	{Value: 3, Name: "ignore_error"},
	{Value: 6, Name: "confirm"},
	{Value: 8, Name: "retry_all"},
	{Value: 9, Name: "terminate_confirmation"},
	{Value: 10, Name: "restart_confirmation"},
	{Value: 11, Name: "next_step"},
	{Value: 12, Name: "forced_skip"},
	{Value: 13, Name: "continue"},
	{Value: 21, Name: "stop_before"},
	{Value: 22, Name: "clear_stop"},
	{Value: Entered, Name: "entered"},
	{Value: AllSucceeded, Name: "all_succeeded"},
	{Value: SomeFailed, Name: "some_failed"},
	{Value: FailuresIgnored, Name: "failures_ignored"},
	{Value: Stopped, Name: "stopped"},
	{Value: Broke, Name: "broke", Old: "abnormal"},
	{Value: Dropped, Name: "dropped", Old: "abandoned"},
	{Value: Expired, Name: "expired"},
	{Value: ExpiredConfirmed, Name: "expired_confirmed"},
	{Value: Opened, Name: "opened"},
	{Value: FailedAgain, Name: "failed_again"},
	{Value: JobExpired, Name: "job_expired"},
	{Value: jobCauses + 1, Name: "terminate_job"},
	{Value: jobCauses + 2, Name: "start_job"},
	{Value: jobCauses + 20, Name: "hold_job"},
	{Value: jobCauses + 21, Name: "resume_job"},
	{Value: jobCauses + 22, Name: "seal_job"},
	{Value: jobCauses + 23, Name: "comment_job"},
	{Value: Created, Name: "created"},
	{Value: Results, Name: "results"},
	{Value: GivenUp, Name: "given_up"},
	{Value: Hurried, Name: "hurried"},
},
	enum.Custom[Cause](),
	enum.Range[Cause]{Prefix: "custom-job-", First: jobCauses + enum.CustomMin, Last: jobCauses + enum.CustomMax, Base: jobCauses},
)

// AllCauses returns every declared cause in ascending order. The caller owns the result.
func AllCauses() []Cause { return causeNames.All() }

// ParseCause returns the cause with a name or number. An unknown name or number is an error.
func ParseCause(s string) (Cause, error) { return causeNames.Parse(s) }

// Valid reports whether c is declared or belongs to embedders.
func (c Cause) Valid() bool { return causeNames.Known(c) }

// OfStep reports whether c is a person's operation on a step.
func (c Cause) OfStep() bool { return c > 0 && c < eventCauses }

// OfJob reports whether c is a person's operation on a job.
func (c Cause) OfJob() bool { return c > jobCauses && c < ownCauses }

// OfEffect reports whether c is a person's request about an effect. Its record moves nothing.
func (c Cause) OfEffect() bool { return c == GivenUp || c == Hurried }

// IsEvent reports whether c moves a step without a person: it stands in lifecycles.
func (c Cause) IsEvent() bool { return c > eventCauses && c < jobCauses }

// JobCause returns the cause of the job operation with a code, 1 to 63.
func JobCause(code uint8) Cause { return jobCauses + Cause(code) }

// Code returns the number of c among the operations on a step, the operations on a job, or the
// events. For an operation it is the operation's code.
func (c Cause) Code() uint8 { return uint8(c) & 63 }

// Register names a cause that belongs to embedders, a step's or a job's, for this process: once,
// at start-up, before anything is parsed or printed. It panics on a mistake in the program: c does
// not belong to embedders, c has another name, or name belongs to another cause. Numbers, and
// "custom-32" or "custom-job-32", are always read as well, since another process may not have
// registered the name.
func (c Cause) Register(name string) { causeNames.Register(c, name) }

func (c Cause) String() string { return causeNames.String(c) }

// MarshalText returns the stable name of c, or empty text for the zero Cause. An unknown Cause
// marshals as it prints, and does not unmarshal.
func (c Cause) MarshalText() ([]byte, error) { return causeNames.MarshalText(c) }

// UnmarshalText accepts what [ParseCause] accepts, and empty text for the zero Cause.
func (c *Cause) UnmarshalText(text []byte) error { return causeNames.UnmarshalText(c, text) }

// Causes is a set of causes.
type Causes = Set[Cause]

// CausesOf returns the set of the given causes.
func CausesOf(causes ...Cause) Causes { return SetOf(causes...) }
