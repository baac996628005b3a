package storetest

import "github.com/stepgate/stepgate/store"

// BookOfTurns is the store whose broken rules make stores that are broken in their turns, with good
// rules.
func BookOfTurns(s store.Store) store.Store { return keepingTurns(turnRules{})(s) }
