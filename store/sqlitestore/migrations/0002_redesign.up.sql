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

-- Which targets an attempt covers is the number of the attempt that last covered all: 1 from the creation
-- on. Records of a step that ran all again have the latest such attempt so far.
UPDATE stepgate_steps SET full_attempt = 1 WHERE attempt = 0;
ALTER TABLE stepgate_steps RENAME COLUMN full_attempt TO run_full;
ALTER TABLE stepgate_records ADD COLUMN run_full INTEGER NOT NULL DEFAULT 1;
UPDATE stepgate_records AS r SET run_full = x.run_full FROM (
    SELECT job, seq, max(CASE WHEN all_targets AND entered = 0 THEN attempt ELSE 1 END) OVER (PARTITION BY job, step ORDER BY seq) AS run_full
    FROM stepgate_records
    WHERE (job, step) IN (SELECT job, step FROM stepgate_records WHERE all_targets AND entered = 0 AND attempt > 1)
) AS x WHERE x.job = r.job AND x.seq = r.seq AND x.run_full > 1;
ALTER TABLE stepgate_records DROP COLUMN all_targets;

-- An effect has all that a delivery needs in its own row.
ALTER TABLE stepgate_effects ADD COLUMN step INTEGER NOT NULL DEFAULT 0; -- that runs, stops or asks
ALTER TABLE stepgate_effects ADD COLUMN type INTEGER NOT NULL DEFAULT 0; -- of the step
ALTER TABLE stepgate_effects ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_effects ADD COLUMN run_full INTEGER NOT NULL DEFAULT 1;
ALTER TABLE stepgate_effects ADD COLUMN job_to INTEGER NOT NULL DEFAULT 0; -- that the job ended in
ALTER TABLE stepgate_effects ADD COLUMN scope_type TEXT NOT NULL DEFAULT ''; -- of the job
ALTER TABLE stepgate_effects ADD COLUMN scope_id TEXT NOT NULL DEFAULT '';
UPDATE stepgate_effects AS e SET step = s.id, type = s.type, scope_type = j.scope_type, scope_id = j.scope_id,
    attempt = CASE WHEN r.entered = 0 THEN r.attempt ELSE 1 END,
    run_full = CASE WHEN r.entered = 0 THEN r.run_full ELSE 1 END,
    job_to = CASE WHEN e.effect = 4 THEN r.job_to ELSE 0 END
FROM stepgate_records AS r, stepgate_jobs AS j, stepgate_steps AS s
WHERE r.job = e.job AND r.seq = e.seq AND j.id = e.job AND s.job = e.job AND s.id = CASE WHEN r.entered = 0 THEN r.step ELSE r.entered END;

-- Programs of this version and later can use the schema. A later migration that they can live with, as
-- it only adds what has a default for instance, leaves it; every other one raises it.
ALTER TABLE stepgate_version ADD COLUMN oldest INTEGER NOT NULL DEFAULT 0;

-- The texts of steps get a row number: SQLite reads a whole row of a table without one, however long,
-- when it looks for another.
ALTER TABLE stepgate_step_texts RENAME TO stepgate_texts_without_number;
CREATE TABLE stepgate_step_texts (
    job        INTEGER NOT NULL,
    step       INTEGER NOT NULL,
    confirmers TEXT,          -- a JSON array; NULL for no list
    payload    TEXT NOT NULL, -- the last column, so that others are read without it
    PRIMARY KEY (job, step),
    FOREIGN KEY (job, step) REFERENCES stepgate_steps ON DELETE CASCADE
) STRICT;
INSERT INTO stepgate_step_texts (job, step, confirmers, payload)
SELECT job, step, confirmers, payload FROM stepgate_texts_without_number;
DROP TABLE stepgate_texts_without_number;

UPDATE stepgate_version SET version = 2, oldest = 2;
