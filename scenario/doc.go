// Package scenario reads and plays scenarios: files that tell a story about jobs, read like a
// play, and check at each turn that the outcome is what they say. They run against any
// rules, any store and any engine made of them. [Parse] reads a file, [Play] plays it, [Test]
// makes subtests of a folder of files, and a [Coverage] says which rows of the rules they have
// shown.
//
// # An example
//
//	# Bob retries what failed, and Ann learns that she is late.
//
//	job release
//	  script copy, targets web-1 web-2
//	  confirmation approve, confirmers ann
//
//	ann: start_job
//	report 1.1: web-1 succeeded, web-2 non_zero_exit
//	  state failed
//	bob: retry_failed 1, because "web-2 is back"
//	  to running, attempt 2, targets 1
//	ann: retry_failed 1
//	  refused wrong_state, legal terminate_job
//	expect step 1: running, attempt 2
//
// # Lines
//
// A line at the margin is an action: it does something or looks at something. The lines
// indented below it say what must have come of it. A line that begins with # is a comment.
// Words are apart by blanks, and whatever is listed by commas. A name or a text that has
// blanks, commas or quotes, begins with # or ends in a colon stands between quotes, as in Go.
// Operations, types, states, statuses and reasons have their stable names, those of embedders
// included: custom-32. An operation without a step is one on the job.
//
// # What happens
//
// The clock stands at 2026-07-01 09:00 UTC until the scenario moves it. Jobs have the ids 1, 2
// and so on. The actions after the creation of a job are about it.
//
//	job NAME [, by PERSON] [, in TYPE/ID] [, because "WHY"] [, request WORD] [, dry_run]
//	  TYPE NAME [, targets NAME ...] [, confirmers NAME ...] [, timeout DURATION]
//	            [, confirm_on_timeout] [, ignore_errors] [, payload "TEXT"]
//	    creates a job of the steps below it, one a line
//	turn to NAME
//	    the actions after it are about that job, the latest if there are several of this name
//
//	PERSON: OPERATION STEP [, OPTION ...]
//	PERSON: start_job [, OPTION ...]
//	PERSON: terminate_job [, OPTION ...]
//	PERSON: give_up effect N [, OPTION ...]
//	PERSON: hurry effect N [, OPTION ...]
//	    operates on a step or on the job, or gives up or hurries the effect that record N asked for;
//	    "nobody" gives no name. An OPTION is one of
//	      because "WHY"
//	      if_attempt N, if_version N
//	      request WORD     the same word stands for the same request id
//	      in TYPE/ID       through an engine that is narrowed to this scope
//	      dry_run
//
//	report STEP.ATTEMPT [by EXECUTOR] [in TYPE/ID]: TARGET STATUS [exit N] [detail "TEXT"], ...
//	report STEP.ATTEMPT [by EXECUTOR] [in TYPE/ID]: ..., stopped | broke "WHY" | dropped "WHY"
//	    an executor reports results, or how the attempt has ended, or both
//
//	wait DURATION             moves the clock
//	sweep                     expires what is overdue
//	deliver                   hands every effect that is due, of any job, to a handler
//	deliver failing "WHY"     likewise, to one that fails
//	deliver and die           takes what is due, 1,000 effects at most, with a lease of 30s, and
//	                          is never heard of again
//
//	deny PERSON [, because "WHY"]
//	    from now on the authorizer denies everything to the person
//	allow PERSON
//	    takes that back
//
//	in between, ACTION
//	    has an operation, a report, a sweep, a delivery, a wait, deny, allow or expect happen while
//	    the next action is decided, before its commit, as if in another process; several of
//	    them, each on a line of its own, happen in their order
//	crash before, crash after
//	    the store goes down as it is told to commit, before or after it has done so. That is an
//	    unknown outcome. Whatever needs the store afterwards is a mismatch, as no clause says
//	    that it is down, until
//	restart
//	    the store is up again, with new engines on it
//
// # What is looked at
//
//	expect job: CLAUSE, ...               its header
//	expect step N: CLAUSE, ...
//	expect target N.NAME: CLAUSE, ...     a target of step N
//	expect record N: CLAUSE, ...          a record of the history
//	expect history: WHAT, ...             what each record tells of: created, start_job, results, some_failed
//	expect effects: EFFECT, ...           what waits for delivery: run 1.1 all, run 1.2 due, stop 1.2,
//	                                      ask 2.1, job_ended failed, run 2.1 all tried 1: WHY;
//	                                      a stop that waits for its step: stop 1.2 delivered
//	expect jobs: NAME STATE, ...          all jobs
//	expect PERSON on N: OPERATION, ...    what is legal for the person on step N, and on the job
//	expect PERSON on N in full: OPERATION, OPERATION is REASON, ...    every one, and why not
//
// A scope can be added to each: expect job in biz/3: refused no_such_job. An
// expectation may go on below the line.
//
// # Expected outcomes
//
// Below an action stand clauses KEY VALUE, as many or few as matter: the fields of
// [store.Record] below a creation, an operation or a request about an effect, and of [engine.ReportReceipt] below a report (of
// its rejected ones, how many); after expect, those of [store.Job], [store.Step] with failed,
// [store.Target] or [store.Record]. A key is the field's JSON name. A list
// of things has blanks instead of commas: legal_from failed abnormal terminated. The first value
// after expect needs no key if it is a state, a status, or what the record tells of. Below
// sweep stands "1 expired", below deliver what was delivered; a list is given whole, or as none.
// What there is none of reads none, too: an operation, a state, an effect, a scope, a list of
// confirmers, the id of a request. But a number reads 0, a text "" and a time never. In a list
// of confirmers the quotes count: ann "b c" are two.
//
// What is refused or unknown must be said to be:
//
//	refused REASON, KEY VALUE, ...        the fields of engine.Refusal, and says "PART OF ITS TEXT",
//	                                      of which "" is a part, whatever the text
//	unknown outcome                       the store failed in mid-commit
//
// With nothing below it, an action must be accepted, whatever comes of it. A single ? stands for
// what the author does not know yet: golden mode replaces it by what comes, as it does with
// every clause that turns out wrong, and leaves the rest of the file as it is.
package scenario
