ALTER TABLE stepgate_effects DROP COLUMN held;
UPDATE stepgate_version SET version = 3, oldest = 2;
