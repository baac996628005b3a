package sshexec

import (
	"context"
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A fault is why the work of a target was not done.
type fault uint8

const (
	noAddress     fault = iota + 1 // the target's name leads to no host
	unknownHost                    // known_hosts has no key of the host
	noUser                         // no account is named
	unreachable                    // no TCP connection, or no end of the handshake, within its bound
	noCredentials                  // known_hosts or the keys cannot be read here
	wrongKey                       // the host shows another key than known_hosts has
	refused                        // the host accepts none of the keys and passwords
	serverFailed                   // the host's SSH server answered with an error
	lost                           // the connection died; the outcome is unknown
	stopped                        // the attempt was stopped before the work began
	late                           // the step's deadline passed before the work began
)

// statuses are what a fault is as the result of a target.
var statuses = [...]struct{ script, files step.Status }{
	noAddress:     {step.InvalidTarget, step.InvalidTarget},
	unknownHost:   {step.InvalidTarget, step.InvalidTarget},
	noUser:        {step.NoSuchUser, step.NoSuchUser},
	unreachable:   {step.NotDelivered, step.NotDelivered},
	noCredentials: {step.NotDelivered, step.NotDelivered},
	wrongKey:      {step.AgentError, step.FileAgentError},
	refused:       {step.BadPassword, step.BadPassword},
	serverFailed:  {step.AgentError, step.FileAgentError},
	lost:          {step.AgentError, step.TransferError},
	stopped:       {step.TargetTerminated, step.TargetTerminated},
	late:          {step.ScriptTimedOut, step.FileTimedOut},
}

// A failure is a fault with its reason.
type failure struct {
	fault fault
	err   error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

func failed(f fault, format string, args ...any) *failure {
	return &failure{f, fmt.Errorf(format, args...)}
}

// ended returns the failure of work whose context has ended before it began.
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
