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

// An Option sets up an executor.
type Option func(*Executor)

type config struct {
	hosts    map[step.Type]HostFunc
	steps    map[step.Type]StepFunc
	asked    notice // nil: settled unseen, or left to others, see takes
	ended    notice // likewise
	runsOnly bool

	atOnce  int
	perStep int // 0 for no bound, as is the next
	perHost int

	by    string
	lease time.Duration
	drain time.Duration
	told  func(ctx context.Context, err error)
	wrong *engine.Refusal // the first option that cannot be
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

// Hosts has f do the work of steps of type typ, host by host. A type has one function.
func Hosts(typ step.Type, f HostFunc) Option {
	return func(x *Executor) {
		if x.serve("Hosts", typ, f == nil) {
			x.hosts[typ] = f
		}
	}
}

// Steps has f do the work of steps of type typ, as a whole. A type has one function.
func Steps(typ step.Type, f StepFunc) Option {
	return func(x *Executor) {
		if x.serve("Steps", typ, f == nil) {
			x.steps[typ] = f
		}
	}
}

// Asked has f told of every question to confirmers. After an error or a panic f is told again
// later. f has a place of its own, and no step waits for it. Without it an executor that carries out
// steps settles questions unseen, unless it has [RunsOnly]; one that does not, as it has only Ended,
// leaves them to other processes.
func Asked(f func(ctx context.Context, d engine.Delivery) error) Option {
	return func(x *Executor) {
		if f == nil {
			x.refuse("Asked", "nil: leave the option out to be told of no questions")
			return
		}
		x.asked = f
	}
}

// Ended has f told of every end of a job, once nothing of it runs any more. For errors, and for an
// executor without it, see [Asked].
func Ended(f func(ctx context.Context, d engine.Delivery) error) Option {
	return func(x *Executor) {
		if f == nil {
			x.refuse("Ended", "nil: leave the option out to be told of no ends")
			return
		}
		x.ended = f
	}
}

// RunsOnly leaves to other processes the questions and the ends of jobs that have no function here:
// none is settled unseen. Without Ended, an attempt that is over then ends within 2 s here.
func RunsOnly() Option { return func(x *Executor) { x.runsOnly = true } }

// AtOnce bounds the functions at work at once in this process, 1 to 1,048,576; the default is 16.
// Steps share the places: the one with the fewest functions at work gets the next. An executor claims
// as many steps as it has places, and leaves the others to other processes.
func AtOnce(n int) Option {
	return func(x *Executor) { x.atOnce = x.count("AtOnce", n) }
}

// AtOncePerStep bounds the functions at work at once of one step, 1 to 1,048,576; the default is no
// bound. The places that a step may not take are free for others.
func AtOncePerStep(n int) Option {
	return func(x *Executor) { x.perStep = x.count("AtOncePerStep", n) }
}

// AtOncePerHost bounds the functions at work at once, in this process, on hosts of one name, 1 to
// 1,048,576; the default is no bound. A host that waits for its name holds up no other.
func AtOncePerHost(n int) Option {
	return func(x *Executor) { x.perHost = x.count("AtOncePerHost", n) }
}

// By names the executor in the history: at most 256 characters; the default is "executor".
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

// Lease sets the lease without a renewal, 1 s to 1 h; the default is the engine's, 14 s. The work
// of a process that dies goes on elsewhere once its leases have run out. [engine.RenewEvery] says
// when they are renewed.
func Lease(d time.Duration) Option {
	return func(x *Executor) {
		if d < minLease || d > maxLease {
			x.refuse("Lease", "%v: want %v to %v", d, minLease, maxLease)
			return
		}
		x.lease = d
	}
}

// Drain is how long functions at work have to return by themselves once the executor is to end;
// the default is none: their contexts end at once.
func Drain(d time.Duration) Option {
	return func(x *Executor) {
		if d < 0 {
			x.refuse("Drain", "%v: want 0 or more", d)
			return
		}
		x.drain = d
	}
}

// Failed has f told of every call of the source that failed and is tried again, of every panic of a
// function, of every effect that failed, as of an error of [Asked] or of a report that was refused,
// and of every lease that was lost. Calls come one at a time, with a context that does not end. No
// renewal and no function waits for f. While f is at work, 256 failures wait; f is told how many more
// there were. At its end Run tells of failures for 2 s more, and waits for f to return.
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

// refuse keeps the first thing that is wrong.
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

// takes reports whether the executor claims the effects that f is the function of.
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
