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
ALTER TABLE stepgate_records RENAME COLUMN full_run TO all_targets;
ALTER INDEX stepgate_jobs_by_state RENAME TO stepgate_jobs_state;
ALTER INDEX stepgate_jobs_by_scope RENAME TO stepgate_jobs_scope;
ALTER INDEX stepgate_steps_by_deadline RENAME TO stepgate_steps_deadline;
ALTER INDEX stepgate_results_by_attempt RENAME TO stepgate_results_attempt;
ALTER INDEX stepgate_effects_by_time RENAME TO stepgate_effects_due;

-- Programs of this version and later can use the schema. A later migration that they can live with, as
-- it only adds what has a default for instance, leaves it; every other one raises it.
ALTER TABLE stepgate_version ADD COLUMN oldest integer NOT NULL DEFAULT 0;

UPDATE stepgate_version SET version = 2, oldest = 2;
