-- Starts wait: for a moment, a person, the end of a hold, a window or a turn. Steps run in batches, and
-- repeat attempts by themselves. A program of version 4 does not know state 15, gated, and would sweep
-- by deadlines alone.
ALTER TABLE stepgate_jobs ADD COLUMN deadline INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_jobs ADD COLUMN origin INTEGER NOT NULL DEFAULT 0; -- the job that this one repeats
ALTER TABLE stepgate_jobs ADD COLUMN tolerated INTEGER NOT NULL DEFAULT 0; -- ignored steps of which no person has accepted a failure
ALTER TABLE stepgate_jobs ADD COLUMN gate INTEGER NOT NULL DEFAULT 0; -- what the current step waits for, if it is gated
ALTER TABLE stepgate_jobs ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_jobs ADD COLUMN has_turn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_jobs ADD COLUMN policy TEXT NOT NULL DEFAULT ''; -- a JSON object; empty for none

-- The targets that an attempt can cover are those from run_first on and before run_end, or all for 0.
ALTER TABLE stepgate_steps ADD COLUMN due INTEGER NOT NULL DEFAULT 0; -- the first moment that moves the step while it is under way
ALTER TABLE stepgate_steps ADD COLUMN expires INTEGER NOT NULL DEFAULT 0; -- the end of the time of all attempts
ALTER TABLE stepgate_steps ADD COLUMN gate_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_steps ADD COLUMN run_first INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_steps ADD COLUMN run_end INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_steps ADD COLUMN batch INTEGER NOT NULL DEFAULT 0; -- the current or last one, from 1
ALTER TABLE stepgate_steps ADD COLUMN succeeded_before INTEGER NOT NULL DEFAULT 0; -- targets of earlier batches
ALTER TABLE stepgate_steps ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0; -- failures, by a person
ALTER TABLE stepgate_steps ADD COLUMN automatic INTEGER NOT NULL DEFAULT 0; -- attempts without a person
ALTER TABLE stepgate_steps ADD COLUMN gate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_steps ADD COLUMN gate_then INTEGER NOT NULL DEFAULT 0; -- what its opening does
ALTER TABLE stepgate_steps ADD COLUMN stop_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_steps ADD COLUMN mendable INTEGER NOT NULL DEFAULT 0; -- a further attempt may help
ALTER TABLE stepgate_steps ADD COLUMN policy TEXT NOT NULL DEFAULT ''; -- a JSON object; empty for none

-- Who went on without the failures of a step, to state 6, has accepted them.
UPDATE stepgate_steps SET accepted = total - succeeded WHERE state = 6 AND EXISTS (
    SELECT 1 FROM stepgate_records r WHERE r.job = stepgate_steps.job AND r.step = stepgate_steps.id AND r.to_state = 6 AND r.cause < 64);
UPDATE stepgate_jobs SET tolerated = (SELECT count(*) FROM stepgate_records r WHERE r.job = stepgate_jobs.id AND r.to_state = 6 AND r.cause > 64)
WHERE ignored > 0;

-- A sweep reads the steps whose moment has come, and no other. States 2, 7 and 10 are under way.
DROP INDEX stepgate_steps_deadline;
UPDATE stepgate_steps SET due = deadline WHERE deadline <> 0 AND state IN (2, 7, 10);
CREATE INDEX stepgate_steps_due ON stepgate_steps (due) WHERE due <> 0;

ALTER TABLE stepgate_records ADD COLUMN gate_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_records ADD COLUMN run_first INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_records ADD COLUMN run_end INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_records ADD COLUMN succeeded_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_records ADD COLUMN gate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_records ADD COLUMN gate_then INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_records ADD COLUMN mendable INTEGER NOT NULL DEFAULT 0;

ALTER TABLE stepgate_effects ADD COLUMN run_first INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_effects ADD COLUMN run_end INTEGER NOT NULL DEFAULT 0;

-- The batches of steps that have begun.
CREATE TABLE stepgate_batches (
    job        INTEGER NOT NULL,
    step       INTEGER NOT NULL,
    number     INTEGER NOT NULL, -- from 1
    run_first  INTEGER NOT NULL,
    run_end    INTEGER NOT NULL,
    run_full   INTEGER NOT NULL, -- the attempt that last covered all its targets
    since      INTEGER NOT NULL, -- its first attempt
    attempt    INTEGER NOT NULL,
    succeeded  INTEGER NOT NULL,
    unfinished INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    started    INTEGER NOT NULL,
    finished   INTEGER NOT NULL,
    PRIMARY KEY (job, step, number),
    FOREIGN KEY (job, step) REFERENCES stepgate_steps ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The jobs that have a turn, and those that wait for one.
CREATE TABLE stepgate_turns (
    scope_type TEXT    NOT NULL,
    scope_id   TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    job        INTEGER NOT NULL REFERENCES stepgate_jobs ON DELETE CASCADE,
    ticket     INTEGER NOT NULL, -- 0 for a job that has a turn; those that wait have ascending ones
    due        INTEGER NOT NULL DEFAULT 0, -- the moment at which a turn became free for the first that waits
    most       INTEGER NOT NULL, -- turns that are taken at once
    PRIMARY KEY (scope_type, scope_id, key, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX stepgate_turns_ticket ON stepgate_turns (scope_type, scope_id, key, ticket);
CREATE INDEX stepgate_turns_job ON stepgate_turns (job);
CREATE INDEX stepgate_turns_due ON stepgate_turns (due) WHERE due <> 0;

UPDATE stepgate_version SET version = 5, oldest = 5;
