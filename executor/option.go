package executor

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// An Option sets up an [Executor].
type Option func(*Executor)

type config struct {
	hosts    map[step.Type]HostFunc
	steps    map[step.Type]StepFunc
	asked    notice // nil: settled without a call, or left to other processes, see takes
	ended    notice // likewise
	runsOnly bool

	atOnce  int
	perStep int // 0 for no bound, as for the next
	perHost int

	by    string
	lease time.Duration
	drain time.Duration
	told  func(ctx context.Context, err error)
	wrong *engine.Refusal // of the first invalid option
}

// A notice is the function of a question or of the end of a job.
type notice func(ctx context.Context, d engine.Delivery) error

const (
	defaultLease = 14 * time.Second
	minLease     = time.Second
	maxLease     = time.Hour
	maxBy        = 256     // characters
	maxAtOnce    = 1 << 20 // functions; also of one step, and of one host
)

func defaults() config {
	return config{
		hosts: map[step.Type]HostFunc{}, steps: map[step.Type]StepFunc{},
		atOnce: 16, by: "executor", lease: defaultLease,
	}
}

// Hosts makes f do the work of steps of type typ, host by host. Each type has one function.
func Hosts(typ step.Type, f HostFunc) Option {
	return func(x *Executor) {
		if x.serve("Hosts", typ, f == nil) {
			x.hosts[typ] = f
		}
	}
}

// Steps makes f do the work of steps of type typ, one call per attempt. Each type has one function.
func Steps(typ step.Type, f StepFunc) Option {
	return func(x *Executor) {
		if x.serve("Steps", typ, f == nil) {
			x.steps[typ] = f
		}
	}
}

// Asked calls f with every question to confirmers. After an error or a panic f is called again
// later. f does not count for [AtOnce], and no step waits for it. Without Asked, an executor that
// carries out steps settles questions and calls no function, unless it has [RunsOnly]; an executor
// with Ended alone leaves questions to other processes.
func Asked(f func(ctx context.Context, d engine.Delivery) error) Option {
	return func(x *Executor) {
		if f == nil {
			x.refuse("Asked", "nil: leave the option out to be told of no questions")
			return
		}
		x.asked = f
	}
}

// Ended calls f with every end of a job, after all work of the job has ended. Errors, and an
// executor without Ended, are as for [Asked].
func Ended(f func(ctx context.Context, d engine.Delivery) error) Option {
	return func(x *Executor) {
		if f == nil {
			x.refuse("Ended", "nil: leave the option out to be told of no ends")
			return
		}
		x.ended = f
	}
}

// RunsOnly leaves questions and ends of jobs without a function here to other processes, instead of
// settling them. Without Ended, the executor then notices within 2 s that an attempt is over.
func RunsOnly() Option { return func(x *Executor) { x.runsOnly = true } }

// AtOnce sets the maximum of functions at once in this process, 1 to 1,048,576; the default is 16.
// Steps share this number: the step with the fewest running functions starts the next one. An
// executor claims at most as many steps, and leaves others to other processes.
func AtOnce(n int) Option {
	return func(x *Executor) { x.atOnce = x.count("AtOnce", n) }
}

// AtOncePerStep sets the maximum of functions at once of one step, 1 to 1,048,576; the default is
// no maximum. Other steps use the rest of [AtOnce].
func AtOncePerStep(n int) Option {
	return func(x *Executor) { x.perStep = x.count("AtOncePerStep", n) }
}

// AtOncePerHost sets the maximum of functions at once in this process on hosts of one name, 1 to
// 1,048,576; the default is no maximum. A host that waits for this delays no other host.
func AtOncePerHost(n int) Option {
	return func(x *Executor) { x.perHost = x.count("AtOncePerHost", n) }
}

// By sets the executor's name in the history: at most 256 characters; the default is "executor".
func By(name string) Option {
	return func(x *Executor) {
		plain := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
		if utf8.RuneCountInString(name) > maxBy || !utf8.ValidString(name) || !plain || strings.TrimSpace(name) != name {
			x.refuse("By", "%q: want at most %d printable characters, without white space at an end", name, maxBy)
			return
		}
		x.by = name
	}
}

// Lease sets the lease duration without a renewal, 1 s to 1 h; the default is the engine's, 14 s.
// The work of a process that dies goes on in another one once its leases have run out. Leases are
// renewed every [engine.RenewEvery].
func Lease(d time.Duration) Option {
	return func(x *Executor) {
		if d < minLease || d > maxLease {
			x.refuse("Lease", "%v: want %v to %v", d, minLease, maxLease)
			return
		}
		x.lease = d
	}
}

// Drain sets the time from the end of Run's ctx to the end of the functions' contexts; the default
// is 0: they end at once.
func Drain(d time.Duration) Option {
	return func(x *Executor) {
		if d < 0 {
			x.refuse("Drain", "%v: want 0 or more", d)
			return
		}
		x.drain = d
	}
}

// Failed calls f with every failed call of the source that is tried again, every panic of a
// function, every failed effect (as after an error of [Asked] or a refused report), and every lost
// lease. Calls of f come one at a time, with a context that does not end. No renewal and no function
// waits for f. While f is at work, up to 256 failures wait; f is told the number of further ones.
// At its end Run calls f with the waiting failures for up to 2 s, and waits for f to return.
func Failed(f func(ctx context.Context, err error)) Option {
	return func(x *Executor) { x.told = f }
}

// serve reports whether typ can have the function of an option.
func (x *Executor) serve(field string, typ step.Type, none bool) bool {
	switch {
	case !typ.Valid():
		x.refuse(field, "unknown step type %d", typ)
	case none:
		x.refuse(field, "the function for %v steps is nil", typ)
	case x.hosts[typ] != nil || x.steps[typ] != nil:
		x.refuse(field, "%v steps have a function already", typ)
	default:
		return true
	}
	return false
}

func (x *Executor) count(field string, n int) int {
	if n < 1 || n > maxAtOnce {
		x.refuse(field, "%d: want 1 to %d", n, maxAtOnce)
	}
	return n
}

// refuse keeps the refusal of the first invalid option.
func (x *Executor) refuse(field, format string, args ...any) {
	if x.wrong == nil {
		x.wrong = invalid(field, format, args...)
	}
}

func (x *Executor) check(ctx context.Context) error {
	switch {
	case x.wrong != nil:
		return x.wrong
	case ctx == nil:
		return invalid("Context", "nil")
	case !x.runs() && x.asked == nil && x.ended == nil:
		return invalid("Options", "no function: want Hosts, Steps, Asked or Ended")
	}
	ruled, ok := x.src.(interface{ Rules() *operation.Rules })
	if !ok {
		return nil
	}
	for typ := range x.types().All() {
		if rules := ruled.Rules(); rules.Enters(typ) != step.Running {
			field := "Hosts"
			if x.steps[typ] != nil {
				field = "Steps"
			}
			return invalid(field, "by the rules of the engine, %v (%d) steps have no targets to run", typ, typ)
		}
	}
	return nil
}

// runs reports whether the executor carries out steps.
func (c *config) runs() bool { return len(c.hosts)+len(c.steps) > 0 }

// takes reports whether the executor claims the effects of the notice f.
func (c *config) takes(f notice) bool { return f != nil || c.runs() && !c.runsOnly }

// types returns the step types that have a function.
func (c *config) types() (types step.Types) {
	for typ := range c.hosts {
		types = types.With(typ)
	}
	for typ := range c.steps {
		types = types.With(typ)
	}
	return types
}

func invalid(field, format string, args ...any) *engine.Refusal {
	return &engine.Refusal{Reason: operation.InvalidInput, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// isNil reports whether src is nil, or a nil pointer.
func isNil(src Source) bool {
	v := reflect.ValueOf(src)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}
