package schema

import (
	"math"

	"github.com/stepgate/stepgate/store"
)

// Listings is the number of statements for pages of jobs. Three are for all jobs, for those of some
// states and for those of a scope; three more have the newest first; the other six search for a name.
const Listings = 12

// Listing returns the statement for a filter, and the id after which its page begins.
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
