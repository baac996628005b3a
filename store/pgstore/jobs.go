package pgstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// jobsSQL and its variants read a page of jobs, of all states or of some. An index has the jobs of
// each state in order: a page costs at most one page per state. BETWEEN instead of an equation
// makes the planner use that index. With an equation it may use the primary key, and read the jobs
// of all other states.
var (
	jobsSQL = `SELECT ` + jobColumns + ` FROM stepgate_jobs j
WHERE j.id > $1 ORDER BY j.id LIMIT $2`

	jobsByStateSQL = `SELECT ` + jobColumns + ` FROM unnest($3::int2[]) AS wanted(state), LATERAL (
	SELECT * FROM stepgate_jobs j WHERE j.state BETWEEN wanted.state AND wanted.state AND j.id > $1
	ORDER BY j.state, j.id LIMIT $2
) j ORDER BY j.id LIMIT $2`

	jobsByScopeSQL = `SELECT ` + jobColumns + ` FROM unnest($3::int2[]) AS wanted(state), LATERAL (
	SELECT * FROM stepgate_jobs j WHERE j.scope_type = $4 AND j.scope_id = $5 AND j.state BETWEEN wanted.state AND wanted.state AND j.id > $1
	ORDER BY j.state, j.id LIMIT $2
) j ORDER BY j.id LIMIT $2`
)

// The same statements, newest job first.
var newestJobsSQL, newestByStateSQL, newestByScopeSQL = newest(jobsSQL), newest(jobsByStateSQL), newest(jobsByScopeSQL)

func newest(sql string) string {
	return strings.NewReplacer("j.id > $1", "j.id < $1", "BY j.id LIMIT", "BY j.id DESC LIMIT", "BY j.state, j.id LIMIT", "BY j.state DESC, j.id DESC LIMIT").Replace(sql)
}

// The same statements for jobs by name.
var (
	namedJobsSQL, namedByStateSQL, namedByScopeSQL                   = named(jobsSQL, 3), named(jobsByStateSQL, 4), named(jobsByScopeSQL, 6)
	newestNamedJobsSQL, newestNamedByStateSQL, newestNamedByScopeSQL = newest(namedJobsSQL), newest(namedByStateSQL), newest(namedByScopeSQL)
)

// listings are these statements, in the order of schema.Listing.
var listings = [schema.Listings]string{
	jobsSQL, jobsByStateSQL, jobsByScopeSQL,
	newestJobsSQL, newestByStateSQL, newestByScopeSQL,
	namedJobsSQL, namedByStateSQL, namedByScopeSQL,
	newestNamedJobsSQL, newestNamedByStateSQL, newestNamedByScopeSQL,
}

// named returns the statement for a page of the newest jobs of sql whose name contains parameter
// next. The parameter after that is the number of jobs that the search covers. In the collation
// "C", lower changes ASCII letters only.
func named(sql string, next int) string {
	window := strings.NewReplacer("j.id < $1", "true", "LIMIT $2", fmt.Sprint("LIMIT $", next+1)).Replace(newest(sql))
	return fmt.Sprintf(`SELECT * FROM (%s) j
WHERE strpos(lower(j.name COLLATE "C"), lower($%d::text COLLATE "C")) > 0 AND j.id > $1 ORDER BY j.id LIMIT $2`, window, next)
}

// Jobs implements store.Store. A search by name reads the whole window.
func (s *Store) Jobs(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
	statement, after := schema.Listing(f)
	args := []any{after, int64(f.Page.Limit)}
	switch {
	case f.Scope != store.Scope{}:
		args = append(args, statesOf(f), f.Scope.Type, f.Scope.ID)
	case !f.States.Empty():
		args = append(args, statesOf(f))
	}
	if f.Name != "" {
		args = append(args, f.Name, int64(f.Window))
	}
	return query(ctx, s, "jobs", scanJob, listings[statement], args...)
}

// statesOf returns the states that f selects.
func statesOf(f store.JobFilter) []int16 {
	var states []int16
	for state := range int16(64) { // all states that a set can hold
		if f.States.Empty() || f.States.Has(step.State(state)) {
			states = append(states, state)
		}
	}
	return states
}

// countsSQL counts the jobs of each state, up to a maximum, in an index with the jobs of a state
// next to each other.
const (
	countsSQL = `SELECT wanted.state, (SELECT count(*) FROM (
	SELECT FROM stepgate_jobs j WHERE j.state BETWEEN wanted.state AND wanted.state ORDER BY j.state, j.id LIMIT $2
) counted) FROM unnest($1::int2[]) AS wanted(state)`

	countsOfScopeSQL = `SELECT wanted.state, (SELECT count(*) FROM (
	SELECT FROM stepgate_jobs j WHERE j.scope_type = $3 AND j.scope_id = $4 AND j.state BETWEEN wanted.state AND wanted.state
	ORDER BY j.state, j.id LIMIT $2
) counted) FROM unnest($1::int2[]) AS wanted(state)`
)

// Counts implements store.Store. It reads at most most entries of an index per state.
func (s *Store) Counts(ctx context.Context, scope store.Scope, most int) (map[step.State]int, error) {
	counts := map[step.State]int{}
	sql, args := countsSQL, []any{statesOf(store.JobFilter{}), int64(most)}
	if scope != (store.Scope{}) {
		sql, args = countsOfScopeSQL, append(args, scope.Type, scope.ID)
	}
	_, err := query(ctx, s, "counts", func(row pgx.CollectableRow) (state step.State, err error) {
		var jobs int
		if err = row.Scan((*uint8)(&state), &jobs); jobs > 0 {
			counts[state] = jobs
		}
		return state, err
	}, sql, args...)
	if err != nil {
		return nil, err
	}
	return counts, nil
}
