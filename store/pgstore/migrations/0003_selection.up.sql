-- An effect says who asked for it, why, and by what: its record does, and so a program of version 2 can go
-- on, which leaves the defaults.
ALTER TABLE stepgate_effects ADD COLUMN cause smallint NOT NULL DEFAULT 0;
ALTER TABLE stepgate_effects ADD COLUMN actor text NOT NULL DEFAULT '';
ALTER TABLE stepgate_effects ADD COLUMN reason text NOT NULL DEFAULT '';
UPDATE stepgate_effects e SET cause = r.cause, actor = r.actor, reason = r.reason
FROM stepgate_records r WHERE r.job = e.job AND r.seq = e.seq;

-- A claim finds the effects of a kind and step type in the order in which they fall due, and so does a
-- claim of a scope. A job without a scope, which that never looks for, costs no entry in the second index.
-- The condition of the first holds for every effect: claims of a scope leave it out, so that no plan of
-- theirs passes over effects of other scopes.
DROP INDEX stepgate_effects_due;
CREATE INDEX stepgate_effects_due ON stepgate_effects (effect, type, not_before) WHERE effect > 0;
CREATE INDEX stepgate_effects_scope ON stepgate_effects (scope_type, scope_id, effect, type, not_before)
    WHERE scope_type <> '' OR scope_id <> '';

UPDATE stepgate_version SET version = 3, oldest = 2;
