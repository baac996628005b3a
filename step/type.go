package step

import "github.com/stepgate/stepgate/internal/enum"

// A Type says what a step does, and so determines its lifecycle and its operations. The numbers
// are the wire values and never change. 32 to 63 belong to embedders: a [Kind] in a rule set
// declares one, and it prints as "custom-32" unless [Type.Register] names it.
type Type uint8

const (
	Script       Type = 1 // runs a script on every target
	FileTransfer Type = 2 // copies files to every target
	Confirmation Type = 3 // waits for a person's decision, has no targets
	SQL          Type = 4 // runs SQL on every target, with the lifecycle of a script
)

var typeNames = enum.New("step type", []enum.Entry[Type]{
	{Value: Script, Name: "script"},
	{Value: FileTransfer, Name: "file_transfer"},
	{Value: Confirmation, Name: "confirmation"},
	{Value: SQL, Name: "sql"},
}, enum.Custom[Type]())

// Register names a type that belongs to embedders, for this process: once, at start-up, before
// anything is parsed or printed. It panics on a mistake in the program: t does not belong to
// embedders, t has another name, or name belongs to another type. Numbers, and "custom-32", are
// always read as well, since another process may not have registered the name.
func (t Type) Register(name string) { typeNames.Register(t, name) }

// ParseType returns the type with a name or number. An unknown name or number is an error.
func ParseType(s string) (Type, error) { return typeNames.Parse(s) }

// Valid reports whether t is declared here or belongs to embedders.
func (t Type) Valid() bool { return typeNames.Known(t) }

func (t Type) String() string { return typeNames.String(t) }

// MarshalText returns the stable name of t, or empty text for the zero Type. An unknown Type
// marshals as it prints, and does not unmarshal.
func (t Type) MarshalText() ([]byte, error) { return typeNames.MarshalText(t) }

// UnmarshalText accepts what [ParseType] accepts, and empty text for the zero Type.
func (t *Type) UnmarshalText(text []byte) error { return typeNames.UnmarshalText(t, text) }

// Types is a set of step types.
type Types = Set[Type]

// TypesOf returns the set of the given types.
func TypesOf(types ...Type) Types { return SetOf(types...) }
