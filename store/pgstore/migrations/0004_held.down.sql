SET LOCAL lock_timeout = '10s'; -- else all calls would wait behind a migration that waits
ALTER TABLE stepgate_effects DROP COLUMN held;
UPDATE stepgate_version SET version = 3, oldest = 2;
