package step

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stepgate/stepgate/internal/enum"
)

// An ID is a step's position in its job, from 1.
type ID int64

// A Spec defines one step of a new job. The type's lifecycle decides which fields apply: a step
// that runs (script, file transfer, SQL) has targets, a step that asks (confirmation) has none.
//
// A name, of a step, target or confirmer here and of a job, person or scope
// elsewhere, is 1 to 256 characters of UTF-8. It holds no control character, no
// line separator (U+2028, U+2029) and no direction character (Unicode's
// Bidi_Control), and neither begins nor ends with white space. Names are compared
// byte for byte, without case folding or Unicode normalization: a program that
// takes names from people normalizes them first.
type Spec struct {
	Type Type   `json:"type"` // declared by the engine's rules
	Name string `json:"name"` // shown to people

	// Targets are the names of the hosts that the step runs on: at least one, no name twice.
	// Reports and reads name a target by its index here, from 0. Only on a step that runs.
	Targets []string `json:"targets,omitzero"`

	// IgnoreErrors lets the job go on when targets have failed. Only on a step
	// that runs.
	IgnoreErrors bool `json:"ignore_errors,omitempty"`

	// Confirmers are the people who may confirm or refuse, no name twice. Without
	// a list (nil) the authorizer alone decides; an empty list is invalid. Only on
	// a step that asks.
	Confirmers []string `json:"confirmers,omitzero"`

	// Timeout is the maximum duration of each attempt, or each round of asking, from its start;
	// 0 means no deadline. Deadlines have a resolution of one millisecond and are rounded up.
	Timeout time.Duration `json:"timeout_ns,omitempty"` // nanoseconds in JSON

	// OnTimeout is the decision at the deadline. Only on a step that asks and has a Timeout or a
	// TotalTimeout.
	OnTimeout Decision `json:"on_timeout,omitempty"`

	// TotalTimeout is the maximum duration of all attempts together, waits between them included,
	// from the start of the first one; 0 means none. At its end the step becomes abnormal, or takes
	// OnTimeout if it asks, and no attempt follows by itself. A person's operation on an ended
	// step begins it anew.
	TotalTimeout time.Duration `json:"total_timeout_ns,omitempty"` // nanoseconds in JSON

	// StopBefore, Delay and Window gate the step: it waits in the state gated. StopBefore waits for a
	// person's Continue before the first attempt; operations set and clear it while the step is
	// pending. Delay is the time between the end of the step before, or the start of the job, and
	// the first attempt. It counts from the Continue that ends a stop before the step, and from a
	// retry after a terminate at the gate; each gate may need its own Continue. Window is the name of
	// a window, which the engine's function of windows knows: every attempt begins within it.
	StopBefore bool          `json:"stop_before,omitempty"`
	Delay      time.Duration `json:"delay_ns,omitempty"` // nanoseconds in JSON
	Window     string        `json:"window,omitempty"`

	// Retry begins further attempts after failures, Rolling runs the targets in batches, and
	// Tolerate is the number of failures that the step bears. Only on a step that runs.
	// IgnoreErrors tolerates all failures, and excludes Tolerate.
	Retry    Retry     `json:"retry,omitzero"`
	Rolling  Rolling   `json:"rolling,omitzero"`
	Tolerate Tolerance `json:"tolerate,omitzero"`

	// Payload is for the executor: a script, a list of files. It is UTF-8 without NUL, and
	// reaches the executor unchanged. The maximum is 1 MiB unless the engine sets another one.
	Payload string `json:"payload,omitempty"`
}

// A Decision is the outcome of a confirmation at its deadline.
type Decision uint8

const (
	TerminateOnTimeout Decision = 0 // the confirmation is terminated, and the job ends
	ConfirmOnTimeout   Decision = 1 // the step is confirmed, and the job goes on
)

var decisionNames = enum.New("timeout decision", []enum.Entry[Decision]{
	{Value: TerminateOnTimeout, Name: "terminate"},
	{Value: ConfirmOnTimeout, Name: "confirm"},
})

// ParseDecision returns the decision with a name or number. An unknown name or number is an error.
func ParseDecision(s string) (Decision, error) { return decisionNames.Parse(s) }

// Valid reports whether d is declared.
func (d Decision) Valid() bool { return decisionNames.Known(d) }

func (d Decision) String() string { return decisionNames.String(d) }

// MarshalText returns the stable name of d, or empty text for the zero Decision. An unknown
// Decision marshals as it prints, and does not unmarshal.
func (d Decision) MarshalText() ([]byte, error) { return decisionNames.MarshalText(d) }

// UnmarshalText accepts what [ParseDecision] accepts, and empty text for the zero Decision.
func (d *Decision) UnmarshalText(text []byte) error { return decisionNames.UnmarshalText(d, text) }

// Names is an immutable list of names, safe to share between goroutines. The zero Names is no
// list, which differs from an empty list.
type Names struct{ list *[]string }

// NamesOf returns a copy of list as Names; nil returns the zero Names.
func NamesOf(list []string) Names {
	if list == nil {
		return Names{}
	}
	own := slices.Clone(list)
	return Names{&own}
}

// IsSet reports whether n is a list, perhaps an empty one.
func (n Names) IsSet() bool { return n.list != nil }

// Len returns the number of names.
func (n Names) Len() int {
	if n.list == nil {
		return 0
	}
	return len(*n.list)
}

// Has reports whether name is on the list.
func (n Names) Has(name string) bool { return n.list != nil && slices.Contains(*n.list, name) }

// All returns the names in their order.
func (n Names) All() iter.Seq[string] { return slices.Values(n.slice()) }

func (n Names) slice() []string {
	if n.list == nil {
		return nil
	}
	return *n.list
}

// Equal reports whether both are no list, or lists of the same names in the
// same order.
func (n Names) Equal(m Names) bool {
	return n.IsSet() == m.IsSet() && slices.Equal(n.slice(), m.slice())
}

// String returns the names as fmt prints a []string.
func (n Names) String() string { return fmt.Sprint(n.slice()) }

// MarshalJSON writes an array, or null for no list.
func (n Names) MarshalJSON() ([]byte, error) { return json.Marshal(n.slice()) }

// UnmarshalJSON reads the output of MarshalJSON.
func (n *Names) UnmarshalJSON(data []byte) error {
	if list, ok := plainList(string(data)); ok {
		*n = Names{&list}
		return nil
	}
	var list []string
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	if list == nil {
		*n = Names{}
	} else {
		*n = Names{&list}
	}
	return nil
}

// plainList reads an array of strings without escapes, and reports whether text is one. The names
// share the memory of text: a list of 300,000 is two allocations.
func plainList(text string) ([]string, bool) {
	if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == '\\' || c == utf8.RuneError }) {
		return nil, false
	}
	rest, ok := strings.CutPrefix(text, "[")
	list := make([]string, 0, strings.Count(text, `"`)/2)
	for ok {
		var name string
		if rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " "), `"`); !ok {
			break
		}
		if name, rest, ok = strings.Cut(rest, `"`); !ok {
			break
		}
		list = append(list, name)
		switch rest = strings.TrimLeft(rest, " "); {
		case rest == "]":
			return list, true
		default:
			rest, ok = strings.CutPrefix(rest, ",")
		}
	}
	return nil, false
}
