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

// A Spec defines one step of a new job. Which fields apply depends on what the
// type's lifecycle does on entry: a step that runs (script, file transfer, SQL)
// has targets, a step that asks (confirmation) has none.
//
// A name, of a step, target or confirmer here and of a job, person or scope
// elsewhere, is 1 to 256 characters of UTF-8. It holds no control character, no
// line separator (U+2028, U+2029) and no direction character (Unicode's
// Bidi_Control), and neither begins nor ends with white space. Names are compared
// byte for byte, without case folding or Unicode normalization: a program that
// takes names from people normalizes them first.
type Spec struct {
	Type Type   `json:"type"`
	Name string `json:"name"` // what people call the step

	// Targets are the names of the hosts that the step runs on: at least one,
	// no name twice. From then on a target is known by its index here, from 0.
	// Only on a step that runs.
	Targets []string `json:"targets,omitzero"`

	// IgnoreErrors lets the job go on when targets have failed. Only on a step
	// that runs.
	IgnoreErrors bool `json:"ignore_errors,omitempty"`

	// Confirmers are the people who may confirm or refuse, no name twice. Without
	// a list (nil) the authorizer alone decides; an empty list is invalid. Only on
	// a step that asks.
	Confirmers []string `json:"confirmers,omitzero"`

	// Timeout bounds each attempt, or each round of asking, from its start; 0
	// means no deadline. Deadlines have a resolution of one millisecond and
	// are rounded up.
	Timeout time.Duration `json:"timeout_ns,omitempty"` // nanoseconds in JSON

	// OnTimeout is the decision at the deadline. Only on a step that asks and has a
	// Timeout.
	OnTimeout Decision `json:"on_timeout,omitempty"`

	// Payload is for the executor: a script, a list of files. It is UTF-8 without
	// NUL, 1 MiB at most if the engine sets no other limit, and is kept and handed
	// on as it is.
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

// ParseDecision reads a decision's name or number.
func ParseDecision(s string) (Decision, error) { return decisionNames.Parse(s) }

// Valid reports whether d is declared.
func (d Decision) Valid() bool { return decisionNames.Known(d) }

func (d Decision) String() string { return decisionNames.String(d) }

// MarshalText returns the stable name of d, or empty text for the zero Decision. An unknown
// Decision marshals as it prints, and does not unmarshal.
func (d Decision) MarshalText() ([]byte, error) { return decisionNames.MarshalText(d) }

// UnmarshalText accepts what [ParseDecision] accepts, and empty text for the zero Decision.
func (d *Decision) UnmarshalText(text []byte) error { return decisionNames.UnmarshalText(d, text) }

// Names is an immutable list of names, safe to share. The zero Names is no list,
// which differs from an empty one.
type Names struct{ list *[]string }

// NamesOf returns a copy of list as Names; nil gives no list.
func NamesOf(list []string) Names {
	if list == nil {
		return Names{}
	}
	own := slices.Clone(list)
	return Names{&own}
}

// IsSet reports whether there is a list at all.
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

// UnmarshalJSON reads what MarshalJSON writes.
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
