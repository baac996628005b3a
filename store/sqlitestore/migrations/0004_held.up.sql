-- A claim holds an effect until it ends: not_before is then the end of a lease, and otherwise that of a
-- back-off. Before, an effect with as many failures as claims was known to be let go. A program of
-- version 3 would claim without holding.
ALTER TABLE stepgate_effects ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
UPDATE stepgate_effects SET held = 1 WHERE count > failures AND not_before <> 0;

-- Programs of version 2 could use version 3, and left the defaults.
UPDATE stepgate_effects AS e SET cause = r.cause, actor = r.actor, reason = r.reason
FROM stepgate_records r WHERE e.cause = 0 AND r.job = e.job AND r.seq = e.seq;

UPDATE stepgate_version SET version = 4, oldest = 4;
