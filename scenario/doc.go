// Package scenario reads and plays scenarios: text files that tell a story about jobs, and check
// the outcome of each action. They run against any rules, any store and any engine. [Parse] reads
// a file, [Play] plays it, [Test] makes subtests of a folder of files, and a [Coverage] counts the
// rows of the rules that they exercise.
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
// A line at the margin is an action: it does something or reads something. The lines indented
// below it are its expected outcome. A line that begins with # is a comment. Blanks separate
// words, commas separate the items of a list. A name or a text that has blanks, commas or quotes,
// begins with # or ends in a colon is quoted as in Go. Operations, types, states, statuses and
// reasons have their stable names, those of embedders included: custom-32. An operation without a
// step is an operation on the job.
//
// # Actions
//
// The clock stands at 2026-07-01 09:00 UTC until the scenario moves it. Jobs have the ids 1, 2
// and so on. The actions after the creation of a job are about that job.
//
//	job NAME [, by PERSON] [, in TYPE/ID] [, because "WHY"] [, request WORD] [, dry_run]
//	         [, start_at TIME] [, timeout DURATION] [, turn KEY LIMIT]
//	  TYPE NAME [, targets NAME ...] [, confirmers NAME ...] [, timeout DURATION]
//	            [, confirm_on_timeout] [, ignore_errors] [, payload "TEXT"]
//	            [, stop_before] [, delay DURATION] [, window NAME] [, total_timeout DURATION]
//	            [, retry N [after DURATION [most DURATION]] [except STATUS ...]]
//	            [, batches SIZE ...] [, between [person] [DURATION]] [, tolerate N or N%]
//	    creates a job of the steps below it, one per line; a TIME is 2026-07-01T10:00:00Z
//	turn to NAME
//	    makes the actions after it be about that job, the latest if several have this name
//
//	PERSON: OPERATION STEP [, OPTION ...]
//	PERSON: start_job [, OPTION ...]         or terminate_job, hold_job, resume_job, seal_job, comment_job
//	PERSON: give_up effect N [, OPTION ...]
//	PERSON: hurry effect N [, OPTION ...]
//	    operates on a step or on the job, or gives up or hurries the effect that record N asked for;
//	    the PERSON nobody is the anonymous actor. An OPTION is one of
//	      because "WHY"
//	      if_attempt N, if_version N
//	      request WORD     the same word stands for the same request id
//	      in TYPE/ID       through an engine that is narrowed to this scope
//	      dry_run
//
//	report STEP.ATTEMPT [by EXECUTOR] [in TYPE/ID]: TARGET STATUS [exit N] [detail "TEXT"], ...
//	report STEP.ATTEMPT [by EXECUTOR] [in TYPE/ID]: ..., stopped | broke "WHY" | dropped "WHY"
//	    reports results, or an outcome of the attempt, or both, as an executor
//
//	wait DURATION             moves the clock; -1h sets it back
//	sweep                     expires overdue attempts, and opens gates whose moment has come
//	deliver                   hands every due effect of all jobs to a handler
//	deliver failing "WHY"     hands every due effect of all jobs to a handler that fails
//	deliver and die           claims the due effects, 1,000 at most, with a lease of 30s, and
//	                          never settles them
//
//	window NAME: HH:MM to HH:MM, ...
//	window NAME: never | past | panic
//	    tells the engines when the window of a name is open: every day between these hours in UTC.
//	    Or the function of windows answers wrongly: with no moment, with an earlier one, or by a
//	    panic. A window without this action answers never
//
//	deny PERSON [, because "WHY"]
//	    makes the authorizer deny everything to the person
//	allow PERSON
//	    ends the effect of deny
//
//	in between, ACTION
//	    runs an operation, a report, a sweep, a delivery, a wait, window, deny, allow or expect while
//	    the next action is decided, before its first commit, as if in another process; several of
//	    them, each on a line of its own, run in their order
//	crash before, crash after
//	    takes the store down before or after its next commit, whose outcome is then unknown. Every
//	    later action that needs the store is a mismatch, until
//	restart
//	    brings the store up again, with new engines on it
//
// # Expectations
//
//	expect job: CLAUSE, ...               the header of the job
//	expect diagnosis: CLAUSE, ...         what the job waits for, as in claim, owed true
//	expect step N: CLAUSE, ...
//	expect target N.NAME: CLAUSE, ...     a target of step N
//	expect batches N: BATCH, ...          the batches of step N that have begun, with their successes
//	                                      and attempts: 1 error_ignored 2 of 3 in 1 to 2
//	expect record N: CLAUSE, ...          a record of the history
//	expect history: CAUSE, ...            the cause of each record: created, start_job, results, some_failed
//	expect effects: EFFECT, ...           the unsettled effects: run 1.1 all, run 1.2 due, stop 1.2,
//	                                      ask 2.1, job_ended failed, run 2.1 all tried 1: WHY;
//	                                      of a step with batches: run 1.3 due of batch 2;
//	                                      a stop that waits for its step: stop 1.2 delivered
//	expect jobs: NAME STATE, ...          all jobs
//	expect PERSON on N: OPERATION, ...    the legal operations of the person on step N, and on the job
//	expect PERSON on N in full: OPERATION, OPERATION is REASON, ...    all operations, with the reason against each
//
// Each can name a scope: expect job in biz/3: refused no_such_job. An expectation can continue on
// the lines below.
//
// # Clauses
//
// Below an action stand clauses KEY VALUE, for the fields that matter: those of [store.Record]
// below a creation, an operation or a request about an effect, those of [engine.ReportReceipt]
// below a report (with the number of rejected results); after expect, those of [store.Job],
// [store.Step] and its failed targets, [store.Target] or [store.Record]. A key is the field's JSON
// name. Blanks separate the items of a list in a value: legal_from failed abnormal terminated. The
// first value after expect needs no key if it is a state, a status, or a record's cause. Below
// sweep stands the number of steps, "1 opened" or "1 expired" or both, below deliver the list of
// delivered effects. A gate reads person then enter, or time until 2026-07-01T09:10:00.000Z then
// run_due; the gate of a job is the reason alone. A list is complete; an empty one reads none. The
// zero value of an operation, a state, a gate, an effect, a scope, a list of confirmers and a
// request id reads none as well; a zero number reads 0, an empty text "" and the zero time never. In
// a list of confirmers the quotes count: ann "b c" has two names.
//
// A refusal or an unknown outcome is a mismatch without its clause:
//
//	refused REASON, KEY VALUE, ...        with fields of engine.Refusal, and says "PART OF ITS TEXT"
//	unknown outcome                       the store failed in mid-commit
//
// An action without clauses must be accepted, with any result. A single ? stands for an outcome
// that the author does not know yet. Golden mode replaces it by the actual outcome, as it does
// with every wrong clause, and leaves the rest of the file as it is.
package scenario
