ALTER TABLE stepgate_effects DROP COLUMN token;
ALTER TABLE stepgate_jobs DROP COLUMN updated;
UPDATE stepgate_version SET version = 1;
