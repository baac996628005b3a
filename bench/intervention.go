package main

import (
	"context"
	"fmt"
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
	honestName     = "the limit: pgbench, all that is written"
	groupedName    = "the limit: pgbench, all that is written, of many jobs in one statement"
)

// onPostgreSQL are the limits of what is kept there.
var onPostgreSQL = []string{pgbenchName, honestName, groupedName}

// interventions is an operator's intervention, persisted.
var interventions = trial{
	name: "intervention", title: "An operator's intervention, persisted", file: "intervention.svg",
	words:   fmt.Sprintf("Each caller makes one call after another, and each call is stored. Each subject has a schema or a file of its own and at most %d connections to PostgreSQL, the default of DBOS. River and DBOS are started before each of their turns and stopped after it, so that no poller of one runs in another's. Allocations are those of this process per operation, without the server's. On PostgreSQL there are three limits, none of which loads, decides or checks anything: *the limit* is a narrow statement on narrow tables; *all that is written* writes what an operation of Stepgate leaves behind, in Stepgate's own tables; *grouped*, one connection does that for half as many jobs in one statement as there are callers: while a group of them is under way the next one gathers.", conns),
	against: []string{"of the limit", "of all that is written", "of that, grouped"},
	entrants: []entrant{
		{memoryName, []string{diskName}, "", false, onStepgate(memoryName, operations,
			"an operation that is accepted, on jobs of the caller's own, from Operate until its receipt: load, decide, commit, with a record and an effect, which stays unclaimed")},
		{sqliteName, []string{diskName}, "", false, onStepgate(sqliteName, operations,
			"the same: a read and a commit, which is flushed; concurrent calls share a commit")},
		{dbosFullName, []string{diskName}, sqliteName, false, onDBOSFile("FULL", workflows(workflowUnit+"; with synchronous=FULL, as Stepgate's file has it: each is flushed"))},
		{dbosNormalName, []string{diskName}, sqliteName, false, onDBOSFile("NORMAL", workflows("the same with synchronous=NORMAL, as DBOS opens a file by itself: when the power goes, what was acknowledged may be lost"))},
		{diskName, []string{diskName}, "", false, func(_ context.Context, r *run, name string, _ int) (subject, error) {
			return diskLimit(name, r.disk)
		}},
		{postgresName, onPostgreSQL, "", true, onStepgate(postgresName, operations,
			"the same: two round trips, of which the second commits; concurrent calls share both")},
		{dbosName, onPostgreSQL, postgresName, true, onDBOS(workflows("the same, each in a transaction"))},
		{sendName, onPostgreSQL, postgresName, true, onDBOS((*durable).messages)},
		{insertName, onPostgreSQL, postgresName, true, onRiver((*queue).inserts)},
		{workedName, onPostgreSQL, postgresName, true, onRiver((*queue).worked)},
		{completedName, onPostgreSQL, postgresName, true, onRiver((*queue).completed)},
		{pgbenchName, onPostgreSQL, "", true, func(ctx context.Context, r *run, name string, callers int) (subject, error) {
			return r.idealLimit(ctx, name, callers)
		}},
		{honestName, onPostgreSQL, "", true, func(ctx context.Context, r *run, name string, callers int) (subject, error) {
			return r.honestLimit(ctx, name, min(callers, mostClients), 1)
		}},
		{groupedName, onPostgreSQL, "", true, func(ctx context.Context, r *run, name string, callers int) (subject, error) {
			return r.honestLimit(ctx, name, 1, max(callers/2, 1))
		}},
	},
}
