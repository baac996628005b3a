// Package player draws what people ask of a job and what executors report: the random proofs play
// by it, each with dice, habits and words of its own. What they check is theirs.
package player

import (
	"math/rand/v2"

	"github.com/stepgate/stepgate/store"
)

// Dice make the choices.
type Dice interface {
	// Below returns a number from 0 to n-1, which is at least 0. what names the choice.
	Below(n int, what string) int
}

// Rand are the dice of a seed, for which choices have no names.
type Rand struct{ *rand.Rand }

// Below implements [Dice].
func (r Rand) Below(n int, _ string) int { return r.IntN(n) }

// OneIn draws what happens once in n times, and never if n is 0.
func OneIn(d Dice, n int, what string) bool { return n > 0 && d.Below(n, what) == n-1 }

// Of draws one of some things, of which likelier ones stand there more than once.
func Of[T any](d Dice, what string, of []T) T { return of[d.Below(len(of), what)] }

// ID draws a request id.
func ID(d Dice) (id store.RequestID) {
	for i := range id {
		id[i] = byte(d.Below(256, "request id"))
	}
	return id
}
