package main

import "fmt"

// sharing is how many callers report on one job, where they share it.
const sharing = 4

// errands are the calls of a service all day, besides operations without a request id.
var errands = []struct {
	what, unit string
	work       work
}{
	{"operation without a request id", "an operation without a request id, on jobs of the caller's own", operations},
	{"operation with a request id", "the same with a request id, as every client of the HTTP API sends: the request is looked for before it is carried out", requests},
	{"report, a job each", "a report of one target's result, on a job of the caller's own, from Report until its receipt", reports(1)},
	{fmt.Sprintf("report, %d callers to a job", sharing), "the same, on a job that the callers share", reports(sharing)},
	{"claim and settlement", fmt.Sprintf("an effect that is due, claimed %d at a time and settled one by one, through the engine, as an executor in another process does", inClaim), claims},
}

// errand returns the name of the row of an errand on one of Stepgate's stores.
func errand(i int, store string) string { return store + ": " + errands[i].what }

// services measures the errands.
var services = trial{
	name: "service", title: "Reports, repeatable requests and claims",
	words:    fmt.Sprintf("What a service does all day: executors report, several callers to a job, clients send request ids, and effects are claimed. Each caller makes one call after another, and each call is stored. *Of an operation* is the row's rate divided by that of operations on the same store, measured in the same rounds. A report is of one new result and ends nothing; a job is replaced by another outside the timed part when a caller has reported %d results, and so are effects that were settled.", reportsOfJob),
	against:  []string{"of an operation"},
	entrants: serving(),
}

func serving() []entrant {
	var all []entrant
	for i, e := range errands {
		for _, store := range []string{memoryName, sqliteName, postgresName} {
			unit := ""
			if store == memoryName { // said once
				unit = e.unit
			}
			all = append(all, entrant{errand(i, store), []string{errand(0, store)}, "", store == postgresName, onStepgate(store, e.work, unit)})
		}
	}
	return append(all,
		entrant{"DBOS, SQLite: workflow with an id, flushed", nil, errand(1, sqliteName), false, onDBOSFile("FULL", (*durable).identified)},
		entrant{"DBOS, PostgreSQL: workflow with an id", nil, errand(1, postgresName), true, onDBOS((*durable).identified)},
		entrant{"River, PostgreSQL: insert of a unique job", nil, errand(1, postgresName), true, onRiver((*queue).unique)},
		entrant{"DBOS, SQLite: step of a workflow, flushed", nil, errand(2, sqliteName), false, onDBOSFile("FULL", (*durable).steps)},
		entrant{"DBOS, PostgreSQL: step of a workflow", nil, errand(2, postgresName), true, onDBOS((*durable).steps)},
		entrant{"River, PostgreSQL: job fetched and completed", nil, errand(4, postgresName), true, onRiver((*queue).fetches)},
	)
}
