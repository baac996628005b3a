DROP INDEX stepgate_effects_scope;
DROP INDEX stepgate_effects_due;
CREATE INDEX stepgate_effects_due ON stepgate_effects (effect, not_before, at);
ALTER TABLE stepgate_effects DROP COLUMN cause;
ALTER TABLE stepgate_effects DROP COLUMN actor;
ALTER TABLE stepgate_effects DROP COLUMN reason;
UPDATE stepgate_version SET version = 2, oldest = 2;
