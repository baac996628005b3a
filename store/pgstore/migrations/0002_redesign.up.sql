-- The time of a job's last record, and who claimed an effect last.
ALTER TABLE stepgate_jobs ADD COLUMN updated bigint NOT NULL DEFAULT 0; -- never before that of an earlier record
UPDATE stepgate_jobs j SET updated = coalesce((SELECT max(r.at) FROM stepgate_records r WHERE r.job = j.id), j.created);

-- Of the last claim, zero before the first.
ALTER TABLE stepgate_effects ADD COLUMN token uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';

UPDATE stepgate_version SET version = 2;
