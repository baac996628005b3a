// Package player draws requests of people and reports of executors, for the random proofs. Each
// proof has dice, habits and words of its own, and its own checks.
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

// Rand are the dice of a seed. They ignore the names of choices.
type Rand struct{ *rand.Rand }

// Below implements [Dice].
func (r Rand) Below(n int, _ string) int { return r.IntN(n) }

// OneIn draws true once in n times, and never if n is 0.
func OneIn(d Dice, n int, what string) bool { return n > 0 && d.Below(n, what) == n-1 }

// Of draws one of the given values; a likelier value is in the list more than once.
func Of[T any](d Dice, what string, of []T) T { return of[d.Below(len(of), what)] }

// ID draws a request id.
func ID(d Dice) (id store.RequestID) {
	for i := range id {
		id[i] = byte(d.Below(256, "request id"))
	}
	return id
}
