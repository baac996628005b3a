package schema

import (
	"math"

	"github.com/stepgate/stepgate/store"
)

// Listings is how many statements for pages of jobs a store has. Three are for all jobs, for those
// of some states and for those of a scope; three more have the newest first; the other six look for
// a name.
const Listings = 12

// Listing returns which of them a filter takes, and the id that its page begins behind.
func Listing(f store.JobFilter) (statement int, after int64) {
	after = int64(f.Page.After)
	switch {
	case f.Scope != store.Scope{}:
		statement = 2
	case !f.States.Empty():
		statement = 1
	}
	if f.Newest {
		statement += 3
		if after == 0 {
			after = math.MaxInt64
		}
	}
	if f.Name != "" {
		statement += 6
	}
	return statement, after
}
