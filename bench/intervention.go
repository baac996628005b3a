package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

const (
	memoryName     = "Stepgate, memory"
	sqliteName     = "Stepgate, SQLite"
	postgresName   = "Stepgate, PostgreSQL"
	dbosFullName   = "DBOS, SQLite, one-step workflow, flushed"
	dbosNormalName = "DBOS, SQLite, one-step workflow, not flushed"
	dbosName       = "DBOS, PostgreSQL, one-step workflow"
	sendName       = "DBOS, PostgreSQL, send to receive"
	insertName     = "River, PostgreSQL, insert only"
	workedName     = "River, PostgreSQL, insert to worked"
	completedName  = "River, PostgreSQL, insert to worked, completed by the worker"
	diskName       = "the limit: write and fsync, 8 KiB"
	pgbenchName    = "the limit: pgbench, the ideal statement"
)

// An entrant of the second part: what it is compared with, and how it is made. Those with no
// Stepgate beside them are Stepgate, or a limit.
type entrant struct {
	name     string
	limit    string
	stepgate string // what a peer is compared with
	postgres bool   // whether it needs one
	open     func(ctx context.Context, r *run, name string, callers int) (subject, error)
}

var entrants = []entrant{
	{memoryName, diskName, "", false, func(ctx context.Context, _ *run, name string, callers int) (subject, error) {
		return onMemory(ctx, name, callers)
	}},
	{sqliteName, diskName, "", false, func(ctx context.Context, r *run, name string, callers int) (subject, error) {
		return r.onSQLite(ctx, name, callers)
	}},
	{dbosFullName, diskName, sqliteName, false, func(_ context.Context, r *run, name string, _ int) (subject, error) {
		d, err := r.dbosOnSQLite("FULL")
		return d.workflows(name, workflowUnit+"; with synchronous=FULL, as Stepgate's file has it: each is flushed", nil), err
	}},
	{dbosNormalName, diskName, sqliteName, false, func(_ context.Context, r *run, name string, _ int) (subject, error) {
		d, err := r.dbosOnSQLite("NORMAL")
		return d.workflows(name, "the same with synchronous=NORMAL, as DBOS opens a file by itself: when the power goes, what was acknowledged may be lost", nil), err
	}},
	{diskName, diskName, "", false, func(_ context.Context, r *run, name string, _ int) (subject, error) {
		return diskLimit(name, r.disk)
	}},
	{postgresName, pgbenchName, "", true, func(ctx context.Context, r *run, name string, callers int) (subject, error) {
		return r.onPostgres(ctx, name, callers)
	}},
	{dbosName, pgbenchName, postgresName, true, func(ctx context.Context, r *run, name string, _ int) (subject, error) {
		d, drop, err := r.dbosOnPostgres(ctx)
		return d.workflows(name, "the same, each in a transaction", drop), err
	}},
	{sendName, pgbenchName, postgresName, true, func(ctx context.Context, r *run, name string, callers int) (subject, error) {
		d, drop, err := r.dbosOnPostgres(ctx)
		return d.messages(name, callers, drop), err
	}},
	{insertName, pgbenchName, postgresName, true, func(ctx context.Context, r *run, name string, _ int) (subject, error) {
		q, drop, err := r.newQueue(ctx)
		return q.inserts(name, drop), err
	}},
	{workedName, pgbenchName, postgresName, true, func(ctx context.Context, r *run, name string, _ int) (subject, error) {
		q, drop, err := r.newQueue(ctx)
		return q.worked(name, drop), err
	}},
	{completedName, pgbenchName, postgresName, true, func(ctx context.Context, r *run, name string, _ int) (subject, error) {
		q, drop, err := r.newQueue(ctx)
		return q.completed(name, drop), err
	}},
	{pgbenchName, pgbenchName, "", true, func(ctx context.Context, r *run, name string, _ int) (subject, error) {
		return r.pgbenchLimit(ctx, name)
	}},
}

// interventions measures an operator's intervention, persisted, with more and more callers.
func interventions(ctx context.Context, r *run) (section, error) {
	s := section{title: "An operator's intervention, persisted"}
	callers := []int{1, 8, 32, 128}
	if r.quick {
		callers = []int{1, 4}
	}
	rates := map[string][]point{}
	s.brief = table{title: s.title, head: []string{"operations a second, by callers"}}
	for _, e := range entrants {
		s.brief.rows = append(s.brief.rows, []string{e.name})
	}
	var said []result // for their units
	for _, n := range callers {
		results, err := r.intervene(ctx, n)
		if err != nil {
			return s, err
		}
		said = results
		s.tables = append(s.tables, interventionTable(n, results))
		s.brief.head = append(s.brief.head, whole(n))
		for i, e := range entrants {
			s.brief.rows[i] = append(s.brief.rows[i], count(named(results, e.name).perSecond()))
		}
		for _, got := range results {
			rates[got.name] = append(rates[got.name], point{float64(n), got.perSecond()})
		}
	}
	s.words = []string{
		fmt.Sprintf("Each caller makes one call after another, and each call is stored. Each subject has a schema or a file of its own and at most %d connections to PostgreSQL, the default of DBOS. River and DBOS are started before each of their turns and stopped after it, so that no poller of one runs in another's. Allocations are those of this process per operation, without the server's.", conns),
		units(said),
	}
	file := "intervention.svg"
	drawn, err := plotLines(filepath.Join(r.out, file), "An operator's intervention, persisted", "callers", "operations a second", lines(rates))
	if drawn {
		s.plots = append(s.plots, file)
	}
	return s, err
}

// lines returns a series for each entrant that was measured.
func lines(rates map[string][]point) []series {
	var all []series
	for _, e := range entrants {
		if points := rates[e.name]; points != nil {
			all = append(all, series{e.name, points})
		}
	}
	return all
}

// intervene measures the entrants with so many callers. One that cannot be had has a result that
// says why.
func (r *run) intervene(ctx context.Context, callers int) ([]result, error) {
	c := contest{callers: callers, rounds: 6, warm: 60 * time.Millisecond, each: 400 * time.Millisecond}
	if r.quick {
		c.rounds, c.warm, c.each = 1, 10*time.Millisecond, 50*time.Millisecond
	}
	var missing []result
	for _, e := range entrants {
		if e.postgres && r.dsn == "" {
			missing = append(missing, result{name: e.name, failed: errors.New("no PostgreSQL")})
			continue
		}
		s, err := e.open(ctx, r, e.name, callers)
		if err != nil {
			missing = append(missing, result{name: e.name, failed: err})
			continue
		}
		c.subjects = append(c.subjects, s)
	}
	results, err := c.run(ctx)
	results = append(results, missing...)
	order := func(r result) int {
		return slices.IndexFunc(entrants, func(e entrant) bool { return e.name == r.name })
	}
	slices.SortFunc(results, func(a, b result) int { return order(a) - order(b) })
	r.log("intervention: %d callers are done", callers)
	return results, err
}

// interventionTable shows what so many callers got done.
func interventionTable(callers int, results []result) table {
	t := table{
		title: fmt.Sprintf("%d callers", callers),
		head:  []string{"", "operations/s", "p50", "p99", "allocations", "of the limit", "times as many as Stepgate, same database"},
	}
	if callers == 1 {
		t.title = "1 caller"
	}
	var duels []duel
	for _, e := range entrants {
		got := named(results, e.name)
		if got.failed != nil {
			t.rows = append(t.rows, []string{got.name, got.failed.Error()})
			continue
		}
		row := []string{got.name, count(got.perSecond()), duration(got.p50()), duration(got.p99()), count(got.allocs()),
			factor(ratio(got, named(results, e.limit))), ""}
		if e.stepgate != "" {
			d := duel{peer: e.name, stepgate: e.stepgate, times: ratio(got, named(results, e.stepgate))}
			duels = append(duels, d)
			row[6] = d.String()
		}
		t.rows = append(t.rows, row)
	}
	t.note = ahead(duels)
	return t
}
