ALTER TABLE stepgate_effects DROP COLUMN token;
ALTER TABLE stepgate_jobs DROP COLUMN updated;
ALTER TABLE stepgate_version DROP COLUMN oldest;
UPDATE stepgate_version SET version = 1;
