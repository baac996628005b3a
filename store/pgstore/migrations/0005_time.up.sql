-- Starts wait: for a moment, a person, the end of a hold, a window or a turn. Steps run in batches, and
-- repeat attempts by themselves. A program of version 4 does not know state 15, gated, and would sweep
-- by deadlines alone.
SET LOCAL lock_timeout = '10s'; -- else all calls would wait behind a migration that waits

-- Wide columns come first, so that a row has no gaps between them.
ALTER TABLE stepgate_jobs
    ADD COLUMN deadline  bigint   NOT NULL DEFAULT 0,
    ADD COLUMN origin    bigint   NOT NULL DEFAULT 0, -- the job that this one repeats
    ADD COLUMN tolerated integer  NOT NULL DEFAULT 0, -- ignored steps of which no person has accepted a failure
    ADD COLUMN gate      smallint NOT NULL DEFAULT 0, -- what the current step waits for, if it is gated
    ADD COLUMN held      boolean  NOT NULL DEFAULT false,
    ADD COLUMN has_turn  boolean  NOT NULL DEFAULT false,
    ADD COLUMN policy    text     NOT NULL DEFAULT ''; -- a JSON object; empty for none

-- The targets that an attempt can cover are those from run_first on and before run_end, or all for 0.
ALTER TABLE stepgate_steps
    ADD COLUMN due              bigint   NOT NULL DEFAULT 0, -- the first moment that moves the step while it is under way
    ADD COLUMN expires          bigint   NOT NULL DEFAULT 0, -- the end of the time of all attempts
    ADD COLUMN gate_until       bigint   NOT NULL DEFAULT 0,
    ADD COLUMN run_first        integer  NOT NULL DEFAULT 0,
    ADD COLUMN run_end          integer  NOT NULL DEFAULT 0,
    ADD COLUMN batch            integer  NOT NULL DEFAULT 0, -- the current or last one, from 1
    ADD COLUMN succeeded_before integer  NOT NULL DEFAULT 0, -- targets of earlier batches
    ADD COLUMN accepted         integer  NOT NULL DEFAULT 0, -- failures, by a person
    ADD COLUMN automatic        integer  NOT NULL DEFAULT 0, -- attempts without a person
    ADD COLUMN gate             smallint NOT NULL DEFAULT 0,
    ADD COLUMN gate_then        smallint NOT NULL DEFAULT 0, -- what its opening does
    ADD COLUMN stop_before      boolean  NOT NULL DEFAULT false,
    ADD COLUMN mendable         boolean  NOT NULL DEFAULT false, -- a further attempt may help
    ADD COLUMN policy           text     NOT NULL DEFAULT '';    -- a JSON object; empty for none

-- Who went on without the failures of a step, to state 6, has accepted them.
UPDATE stepgate_steps SET accepted = total - succeeded WHERE state = 6 AND EXISTS (
    SELECT FROM stepgate_records r WHERE r.job = stepgate_steps.job AND r.step = stepgate_steps.id AND r.to_state = 6 AND r.cause < 64);
UPDATE stepgate_jobs SET tolerated = (SELECT count(*) FROM stepgate_records r WHERE r.job = stepgate_jobs.id AND r.to_state = 6 AND r.cause > 64)
WHERE ignored > 0;

-- A sweep reads the steps whose moment has come, and no other. States 2, 7 and 10 are under way.
DROP INDEX stepgate_steps_deadline;
UPDATE stepgate_steps SET due = deadline WHERE deadline <> 0 AND state IN (2, 7, 10);
CREATE INDEX stepgate_steps_due ON stepgate_steps (due) WHERE due <> 0;

ALTER TABLE stepgate_records
    ADD COLUMN gate_until       bigint   NOT NULL DEFAULT 0,
    ADD COLUMN run_first        integer  NOT NULL DEFAULT 0,
    ADD COLUMN run_end          integer  NOT NULL DEFAULT 0,
    ADD COLUMN succeeded_before integer  NOT NULL DEFAULT 0,
    ADD COLUMN gate             smallint NOT NULL DEFAULT 0,
    ADD COLUMN gate_then        smallint NOT NULL DEFAULT 0,
    ADD COLUMN mendable         boolean  NOT NULL DEFAULT false;

ALTER TABLE stepgate_effects
    ADD COLUMN run_first integer NOT NULL DEFAULT 0,
    ADD COLUMN run_end   integer NOT NULL DEFAULT 0;

-- A row is a batch of a step that has begun.
CREATE TABLE stepgate_batches (
    job        bigint   NOT NULL,
    started    bigint   NOT NULL,
    finished   bigint   NOT NULL,
    step       integer  NOT NULL,
    number     integer  NOT NULL, -- from 1
    run_first  integer  NOT NULL,
    run_end    integer  NOT NULL,
    run_full   integer  NOT NULL, -- the attempt that last covered all its targets
    since      integer  NOT NULL, -- its first attempt
    attempt    integer  NOT NULL,
    succeeded  integer  NOT NULL,
    unfinished integer  NOT NULL,
    state      smallint NOT NULL,
    PRIMARY KEY (job, step, number)
) WITH (fillfactor = 80);

-- A row is a job that has a turn, or waits for one. The row of job 0 is locked by who moves a turn of its key.
CREATE TABLE stepgate_turns (
    job        bigint  NOT NULL,
    ticket     bigint  NOT NULL, -- 0 for a job that has a turn; those that wait have ascending ones; -1 for job 0
    due        bigint  NOT NULL DEFAULT 0, -- the moment at which a turn became free for the first that waits
    most       integer NOT NULL, -- turns that are taken at once
    scope_type text    NOT NULL,
    scope_id   text    NOT NULL,
    key        text    NOT NULL,
    PRIMARY KEY (scope_type, scope_id, key, job)
) WITH (fillfactor = 80);
CREATE INDEX stepgate_turns_ticket ON stepgate_turns (scope_type, scope_id, key, ticket);
CREATE INDEX stepgate_turns_due ON stepgate_turns (due) WHERE due <> 0;

UPDATE stepgate_version SET version = 5, oldest = 5;
