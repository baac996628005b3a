// Package operation holds what a person may do to a step or a job: the codes,
// the legality table directly under them, and the reasons for which an operation
// is refused. The table is a value: an embedder can take a copy, add or narrow
// rows, and compile it into rules of its own.
package operation
