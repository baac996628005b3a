// Package operation holds the operations of people on a step or a job: their codes, the legality
// table, and the reasons of a refusal. The table is a value: an embedder can take a copy, add or
// narrow rows, and compile the copy into [Rules].
package operation
