-- The time of a job's last record, and who claimed an effect last.
ALTER TABLE stepgate_jobs ADD COLUMN updated INTEGER NOT NULL DEFAULT 0; -- never before that of an earlier record
UPDATE stepgate_jobs SET updated = coalesce((SELECT max(r.at) FROM stepgate_records r WHERE r.job = stepgate_jobs.id), created);

ALTER TABLE stepgate_effects ADD COLUMN token BLOB; -- 16 bytes, of the last claim; NULL for none

-- Programs of this version and later can use the schema. A later migration that they can live with, as
-- it only adds what has a default for instance, leaves it; every other one raises it.
ALTER TABLE stepgate_version ADD COLUMN oldest INTEGER NOT NULL DEFAULT 0;

UPDATE stepgate_version SET version = 2, oldest = 2;
