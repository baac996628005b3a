-- The time of a job's last record.
ALTER TABLE stepgate_jobs ADD COLUMN updated bigint NOT NULL DEFAULT 0; -- never before that of an earlier record
UPDATE stepgate_jobs j SET updated = coalesce((SELECT max(r.at) FROM stepgate_records r WHERE r.job = j.id), j.created);

ALTER TABLE stepgate_effects ADD COLUMN token uuid; -- of the last claim; NULL for none

-- Whether the job has ended for good.
ALTER TABLE stepgate_jobs ADD COLUMN sealed boolean NOT NULL DEFAULT false;

-- What made a record is one number: an operation on the step is its code, one on the job 128 and its
-- code, an event 64 and its number, the creation 192, and results alone are 193. The table is written
-- anew once, with its indexes, as an UPDATE would leave it twice as large. No request is NULL from now on.
DROP INDEX stepgate_records_by_request;
ALTER TABLE stepgate_records RENAME COLUMN kind TO cause;
ALTER TABLE stepgate_records ALTER COLUMN cause TYPE smallint USING CASE
    WHEN cause = 1 THEN 192
    WHEN cause = 2 THEN code
    WHEN cause = 3 THEN 128 + job_code
    WHEN event = 0 THEN 193
    ELSE 64 + event
END,
    ALTER COLUMN request DROP NOT NULL,
    ALTER COLUMN request TYPE uuid USING nullif(request, '00000000-0000-0000-0000-000000000000');
ALTER TABLE stepgate_records DROP COLUMN code, DROP COLUMN job_code, DROP COLUMN event;
CREATE UNIQUE INDEX stepgate_records_request ON stepgate_records (job, request) WHERE request IS NOT NULL;

-- Columns and indexes have the names that they have in the other SQL store.
ALTER TABLE stepgate_steps RENAME COLUMN timeout TO timeout_ns;
ALTER TABLE stepgate_effects RENAME COLUMN claims TO count; -- how often it was claimed
ALTER INDEX stepgate_jobs_by_state RENAME TO stepgate_jobs_state;
ALTER INDEX stepgate_jobs_by_scope RENAME TO stepgate_jobs_scope;
ALTER INDEX stepgate_steps_by_deadline RENAME TO stepgate_steps_deadline;
ALTER INDEX stepgate_results_by_attempt RENAME TO stepgate_results_attempt;
ALTER INDEX stepgate_effects_by_time RENAME TO stepgate_effects_due;

-- Which targets an attempt covers is the number of the attempt that last covered all: 1 from the creation
-- on. Records of a step that ran all again have the latest such attempt so far.
UPDATE stepgate_steps SET full_attempt = 1 WHERE attempt = 0;
ALTER TABLE stepgate_steps RENAME COLUMN full_attempt TO run_full;
ALTER TABLE stepgate_records ADD COLUMN run_full integer NOT NULL DEFAULT 1;
UPDATE stepgate_records r SET run_full = x.run_full FROM (
    SELECT job, seq, max(CASE WHEN full_run AND entered = 0 THEN attempt ELSE 1 END) OVER (PARTITION BY job, step ORDER BY seq) AS run_full
    FROM stepgate_records
    WHERE (job, step) IN (SELECT job, step FROM stepgate_records WHERE full_run AND entered = 0 AND attempt > 1)
) x WHERE x.job = r.job AND x.seq = r.seq AND x.run_full > 1;
ALTER TABLE stepgate_records ALTER COLUMN run_full DROP DEFAULT, DROP COLUMN full_run;

-- An effect has all that a delivery needs in its own row.
ALTER TABLE stepgate_effects
    ADD COLUMN at         bigint   NOT NULL DEFAULT 0,  -- of its record
    ADD COLUMN step       integer  NOT NULL DEFAULT 0,  -- that runs, stops or asks
    ADD COLUMN type       smallint NOT NULL DEFAULT 0,  -- of the step
    ADD COLUMN attempt    integer  NOT NULL DEFAULT 0,
    ADD COLUMN run_full   integer  NOT NULL DEFAULT 1,
    ADD COLUMN job_to     smallint NOT NULL DEFAULT 0,  -- that the job ended in
    ADD COLUMN scope_type text     NOT NULL DEFAULT '', -- of the job
    ADD COLUMN scope_id   text     NOT NULL DEFAULT '';
UPDATE stepgate_effects e SET at = r.at, step = s.id, type = s.type, scope_type = j.scope_type, scope_id = j.scope_id,
    attempt = CASE WHEN r.entered = 0 THEN r.attempt ELSE 1 END,
    run_full = CASE WHEN r.entered = 0 THEN r.run_full ELSE 1 END,
    job_to = CASE WHEN e.effect = 4 THEN r.job_to ELSE 0 END
FROM stepgate_records r, stepgate_jobs j, stepgate_steps s
WHERE r.job = e.job AND r.seq = e.seq AND j.id = e.job AND s.job = e.job AND s.id = CASE WHEN r.entered = 0 THEN r.step ELSE r.entered END;
ALTER TABLE stepgate_effects ALTER COLUMN at DROP DEFAULT, ALTER COLUMN step DROP DEFAULT, ALTER COLUMN type DROP DEFAULT,
    ALTER COLUMN attempt DROP DEFAULT, ALTER COLUMN run_full DROP DEFAULT, ALTER COLUMN job_to DROP DEFAULT,
    ALTER COLUMN scope_type DROP DEFAULT, ALTER COLUMN scope_id DROP DEFAULT;

-- Programs of this version and later can use the schema. A later migration that they can live with, as
-- it only adds what has a default for instance, leaves it; every other one raises it.
ALTER TABLE stepgate_version ADD COLUMN oldest integer NOT NULL DEFAULT 0;

UPDATE stepgate_version SET version = 2, oldest = 2;
