-- The time of a job's last record, and who claimed an effect last.
ALTER TABLE stepgate_jobs ADD COLUMN updated INTEGER NOT NULL DEFAULT 0; -- never before that of an earlier record
UPDATE stepgate_jobs SET updated = coalesce((SELECT max(r.at) FROM stepgate_records r WHERE r.job = stepgate_jobs.id), created);

ALTER TABLE stepgate_effects ADD COLUMN token BLOB; -- 16 bytes, of the last claim; NULL for none

ALTER TABLE stepgate_jobs ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0; -- 1 if the job has ended for good

-- What made a record is one number: an operation on the step is its code, one on the job 128 and its
-- code, an event 64 and its number, the creation 192, and results alone are 193.
ALTER TABLE stepgate_records RENAME COLUMN kind TO cause;
UPDATE stepgate_records SET cause = CASE
    WHEN cause = 1 THEN 192
    WHEN cause = 2 THEN code
    WHEN cause = 3 THEN 128 + job_code
    WHEN event = 0 THEN 193
    ELSE 64 + event
END;
ALTER TABLE stepgate_records DROP COLUMN code;
ALTER TABLE stepgate_records DROP COLUMN job_code;
ALTER TABLE stepgate_records DROP COLUMN event;

-- Programs of this version and later can use the schema. A later migration that they can live with, as
-- it only adds what has a default for instance, leaves it; every other one raises it.
ALTER TABLE stepgate_version ADD COLUMN oldest INTEGER NOT NULL DEFAULT 0;

UPDATE stepgate_version SET version = 2, oldest = 2;
