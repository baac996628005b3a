-- A claim holds an effect until it ends: not_before is then the end of a lease, and otherwise that of a
-- back-off. Before, an effect with as many failures as claims was known to be let go. A program of
-- version 3 would claim without holding.
SET LOCAL lock_timeout = '10s'; -- else all calls would wait behind a migration that waits
ALTER TABLE stepgate_effects ADD COLUMN held boolean NOT NULL DEFAULT false;
UPDATE stepgate_effects SET held = true WHERE count > failures AND not_before <> 0;

-- Programs of version 2 could use version 3, and left the defaults.
UPDATE stepgate_effects e SET cause = r.cause, actor = r.actor, reason = r.reason
FROM stepgate_records r WHERE e.cause = 0 AND r.job = e.job AND r.seq = e.seq;

UPDATE stepgate_version SET version = 4, oldest = 4;
