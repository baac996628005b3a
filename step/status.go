package step

import "github.com/stepgate/stepgate/internal/enum"

// A Status is the status of one target of a step. The numbers are the wire values
// and never change. The zero Status is that of a target of a step that was
// never entered.
type Status uint16

const (
	AgentError        Status = 1   // the agent on the target answered with an error
	InvalidTarget     Status = 2   // the host does not exist
	SucceededEarlier  Status = 3   // succeeded in an earlier attempt and was not run again
	TargetWaiting     Status = 5   // due in the current attempt, not started
	TargetRunning     Status = 7   // started, not finished
	TargetSucceeded   Status = 9   // finished with success
	TargetFailed      Status = 11  // failed, for a reason without a status of its own
	NotDelivered      Status = 12  // the work did not reach the target
	TargetTimedOut    Status = 13  // took too long
	LogError          Status = 15  // its log could not be read
	ScriptLogTimeout  Status = 16  // its script log took too long
	FileLogTimeout    Status = 17  // its file log took too long
	AgentNotInstalled Status = 18  // the target has no agent
	ScriptFailed      Status = 101 // the script could not be run
	ScriptTimedOut    Status = 102 // the script took too long
	ScriptTerminated  Status = 103 // the script was stopped
	NonZeroExit       Status = 104 // the script ended with an exit code other than 0
	CopyFailed        Status = 202 // a file could not be written
	SourceMissing     Status = 203 // a file to copy does not exist
	FileError         Status = 301 // any other failure of a file transfer
	FileTimedOut      Status = 303 // the file transfer took too long
	FileAgentError    Status = 310 // the agent failed during a file transfer
	NoSuchUser        Status = 311 // the account to run as does not exist
	BadPassword       Status = 312 // the account's password was refused
	FetchFailed       Status = 320 // the source could not be fetched
	TooLarge          Status = 321 // the file is over its limit
	TransferError     Status = 329 // the transfer broke
	TaskError         Status = 399 // the transfer task failed as a whole
	TargetTerminated  Status = 403 // stopped before it finished
	TerminateFailed   Status = 404 // could not be stopped
	UnknownStatus     Status = 500 // its attempt is over and no result was reported
)

var statusNames = enum.New("target status", []enum.Entry[Status]{
	{Value: AgentError, Name: "agent_error"},
	{Value: InvalidTarget, Name: "invalid_target"},
	{Value: SucceededEarlier, Name: "succeeded_earlier"},
	{Value: TargetWaiting, Name: "waiting"},
	{Value: TargetRunning, Name: "running"},
	{Value: TargetSucceeded, Name: "succeeded"},
	{Value: TargetFailed, Name: "failed"},
	{Value: NotDelivered, Name: "not_delivered"},
	{Value: TargetTimedOut, Name: "timed_out"},
	{Value: LogError, Name: "log_error"},
	{Value: ScriptLogTimeout, Name: "script_log_timeout"},
	{Value: FileLogTimeout, Name: "file_log_timeout"},
	{Value: AgentNotInstalled, Name: "agent_not_installed"},
	{Value: ScriptFailed, Name: "script_failed"},
	{Value: ScriptTimedOut, Name: "script_timed_out"},
	{Value: ScriptTerminated, Name: "script_terminated"},
	{Value: NonZeroExit, Name: "non_zero_exit"},
	{Value: CopyFailed, Name: "copy_failed"},
	{Value: SourceMissing, Name: "source_missing"},
	{Value: FileError, Name: "file_error"},
	{Value: FileTimedOut, Name: "file_timed_out"},
	{Value: FileAgentError, Name: "file_agent_error"},
	{Value: NoSuchUser, Name: "no_such_user"},
	{Value: BadPassword, Name: "bad_password"},
	{Value: FetchFailed, Name: "fetch_failed"},
	{Value: TooLarge, Name: "too_large"},
	{Value: TransferError, Name: "transfer_error"},
	{Value: TaskError, Name: "task_error"},
	{Value: TargetTerminated, Name: "terminated"},
	{Value: TerminateFailed, Name: "terminate_failed"},
	{Value: UnknownStatus, Name: "unknown"},
})

// AllStatuses returns every declared status in ascending order. The caller owns the result.
func AllStatuses() []Status { return statusNames.All() }

// ParseStatus returns the status with a name or number. An unknown name or number is an error.
func ParseStatus(s string) (Status, error) { return statusNames.Parse(s) }

// Valid reports whether s is declared; the zero Status is not.
func (s Status) Valid() bool { return statusNames.Known(s) }

// Success reports whether the target has succeeded, in this attempt or an earlier one.
func (s Status) Success() bool { return s == TargetSucceeded || s == SucceededEarlier }

// Finished reports whether s is final in its attempt: neither waiting nor running.
func (s Status) Finished() bool { return s.Valid() && s != TargetWaiting && s != TargetRunning }

func (s Status) String() string {
	if s == 0 {
		return "none"
	}
	return statusNames.String(s)
}

// MarshalText returns the stable name of s, or empty text for the zero Status. An unknown Status
// marshals as it prints, and does not unmarshal.
func (s Status) MarshalText() ([]byte, error) { return statusNames.MarshalText(s) }

// UnmarshalText accepts what [ParseStatus] accepts, and empty text or "none" for the zero Status.
func (s *Status) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		text = nil
	}
	return statusNames.UnmarshalText(s, text)
}
