package pgstore

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// own fills the table of effects with ten runs and ten questions that can be claimed, in a scope.
const own = `INSERT INTO stepgate_effects (job, seq, not_before, effect, at, step, type, attempt, run_full, job_to, scope_type, scope_id)
	SELECT n, effect, 0, effect, 0, 1, effect, 1, 1, 0, 'biz', 'own' FROM generate_series(1, 10) n, unnest('{1, 3}'::int2[]) effect;`

// foreign adds 10,000 effects that have been due for longer, as if of jobs of their own.
func foreign(effect, typ int, scope string) string {
	return fmt.Sprintf(`INSERT INTO stepgate_effects (job, seq, not_before, effect, at, step, type, attempt, run_full, job_to, scope_type, scope_id)
	SELECT n, %d, -1, %[1]d, 0, 1, %d, 1, 1, 0, 'biz', '%s' FROM generate_series(1001, 11000) n;`, effect, typ, scope)
}

// A claim of four effects reads some more of its own, and no more beside 10,000 that it does not select.
func TestAClaimReadsItsOwn(t *testing.T) {
	const run, stop, ask, most = 1, 2, 3, 30
	pool := filled(t, own+`SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off`) // as newGroup has it
	every, scoped := `'', ''`, `'biz', 'own'`
	typed, questions := `'{1}', 100, 200, 4, NULL, '{}', '{1}'`, `'{}', 100, 200, 4, NULL, '{3}', '{}'`
	all := `'{}', 100, 200, 4, NULL, '{1,2,3,4}', '{}'`
	claims := map[string]struct{ sql, args, foreign string }{
		"runs of a type beside another type":         {claimEverySQL, every + `, ` + typed, foreign(run, 2, "own")},
		"runs of a type beside stops of it":          {claimEverySQL, every + `, ` + typed, foreign(stop, 1, "own")},
		"questions beside runs":                      {claimEverySQL, every + `, ` + questions, foreign(run, 2, "own")},
		"runs of a type of a scope beside its own":   {claimScopeSQL, scoped + `, ` + typed, foreign(run, 2, "own")},
		"runs of a type of a scope beside the next":  {claimScopeSQL, scoped + `, ` + typed, foreign(run, 1, "other")},
		"questions of a scope beside the next":       {claimScopeSQL, scoped + `, ` + questions, foreign(ask, 3, "other")},
		"all of a scope beside the next":             {claimScopeSQL, scoped + `, ` + all, foreign(run, 1, "other")},
		"all of a scope beside the next one's types": {claimScopeSQL, scoped + `, ` + all, foreign(run, 9, "other")},
	}
	for name, c := range claims {
		alone := rowsRead(t, pool, c.sql, c.args)
		execute(t, pool, c.foreign)
		if beside := rowsRead(t, pool, c.sql, c.args); max(alone, beside) > most || min(alone, beside) < 4 {
			t.Errorf("a claim of %s reads %d effects beside 10,000 others, and %d without them, want 4 to %d", name, beside, alone, most)
		}
		execute(t, pool, `DELETE FROM stepgate_effects WHERE job > 1000`)
		execute(t, pool, `VACUUM stepgate_effects`)
	}
}

// A claim is planned by the index of its kind, whatever the server knows of the effects that there are.
func TestClaimsArePlannedByTheirIndex(t *testing.T) {
	others, settled := foreign(1, 1, "other"), `DELETE FROM stepgate_effects WHERE job > 1000`
	for stored, statements := range map[string][]string{
		"nothing":                    nil,
		"a few":                      {own},
		"many of another scope":      {own, others},
		"many that it knows of":      {own, others, `ANALYZE stepgate_effects`},
		"many where there were few":  {own, others, settled, `VACUUM stepgate_effects`, others},
		"many where it knew of none": {own, others, settled, `VACUUM ANALYZE stepgate_effects`, others},
		"many jobs":                  {many},
	} {
		pool := filled(t, `SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off`)
		for _, sql := range statements {
			execute(t, pool, sql)
		}
		for sql, index := range map[string]string{claimEverySQL: "stepgate_effects_due", claimScopeSQL: "stepgate_effects_scope"} {
			plan := generic(t, pool, sql)
			for _, found := range regexp.MustCompile(`using (stepgate_effects_(?:due|scope))`).FindAllStringSubmatch(plan, -1) {
				if found[1] != index {
					t.Errorf("with %s stored, %s, want %s alone\n%s", stored, found[0], index, plan)
				}
			}
			if n := strings.Count(plan, "using "+index); n != 3 {
				t.Errorf("with %s stored, %s is used %d times, want 3\n%s", stored, index, n, plan)
			}
		}
	}
}

// rowsRead returns how many rows of effects a statement reads, those included that it passes over. It is
// undone.
func rowsRead(t *testing.T, pool *pgxpool.Pool, sql, args string) (n int) {
	t.Helper()
	execute(t, pool, `PREPARE asked AS `+sql)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan := planned(t, tx, `EXPLAIN (ANALYZE, TIMING OFF) EXECUTE asked(`+args+`)`, pgx.QueryExecModeSimpleProtocol)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	execute(t, pool, `DEALLOCATE asked`)
	scan := regexp.MustCompile(`on stepgate_effects e.*actual rows=(\d+) loops=(\d+)|Rows Removed by Filter: (\d+)`)
	for _, found := range scan.FindAllStringSubmatch(plan, -1) {
		rows, _ := strconv.Atoi(found[1] + found[3])
		loops, _ := strconv.Atoi(found[2])
		n += rows * max(loops, 1)
	}
	if t.Failed() || n == 0 {
		t.Log(plan)
	}
	return n
}
