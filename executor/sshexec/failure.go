package sshexec

import (
	"context"
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A fault is a reason why the work of a target was not done.
type fault uint8

const (
	noAddress fault = iota
	unknownHost
	noUser
	unreachable
	noCredentials
	wrongKey
	refused
	serverFailed
	lost
	stopped
	late
)

// statuses has the text of each fault and its status as the result of a target. The package
// documentation has the same table.
var statuses = [...]struct {
	what          string
	script, files step.Status
}{
	noAddress:     {"the target's name has no address", step.InvalidTarget, step.InvalidTarget},
	unknownHost:   {"known_hosts does not have the host", step.InvalidTarget, step.InvalidTarget},
	noUser:        {"no account is given", step.NoSuchUser, step.NoSuchUser},
	unreachable:   {"no connection or handshake in time", step.NotDelivered, step.NotDelivered},
	noCredentials: {"keys or known_hosts cannot be read here", step.NotDelivered, step.NotDelivered},
	wrongKey:      {"the host's key differs, or is revoked", step.AgentError, step.FileAgentError},
	refused:       {"the host refuses the log-in", step.BadPassword, step.BadPassword},
	serverFailed:  {"the host's server fails, or has no sftp", step.AgentError, step.FileAgentError},
	lost:          {"the connection died during the work", step.AgentError, step.TransferError},
	stopped:       {"stopped before it began", step.TargetTerminated, step.TargetTerminated},
	late:          {"the deadline passed before it began", step.ScriptTimedOut, step.FileTimedOut},
}

// A failure is a fault with its error.
type failure struct {
	fault fault
	err   error
}

func failed(f fault, format string, args ...any) *failure {
	return &failure{f, fmt.Errorf(format, args...)}
}

// ended returns the failure of work whose context ended before the work began.
func ended(ctx context.Context) *failure {
	if isLate(ctx) {
		return failed(late, "the step's deadline passed before the work began")
	}
	return failed(stopped, "stopped before the work began")
}

// isLate reports whether ctx has ended at the step's deadline.
func isLate(ctx context.Context) bool { return errors.Is(context.Cause(ctx), context.DeadlineExceeded) }

// script returns f as the result of a script's target.
func (f *failure) script() store.Result {
	return store.Result{Status: statuses[f.fault].script, Detail: f.err.Error()}
}

// files returns f as the result of a file transfer's target.
func (f *failure) files() store.Result {
	return store.Result{Status: statuses[f.fault].files, Detail: f.err.Error()}
}
