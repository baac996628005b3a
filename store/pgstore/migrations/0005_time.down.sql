SET LOCAL lock_timeout = '10s'; -- else all calls would wait behind a migration that waits

-- An attempt that covers a batch ends when that has finished; a program of version 4 would take the rest
-- of the step for failed.
DO $$ BEGIN
    IF EXISTS (SELECT FROM stepgate_steps WHERE batch <> 0 AND state IN (2, 10)) THEN
        RAISE EXCEPTION 'a batch is under way: terminate its job, or wait for its end';
    END IF;
END $$;

-- Nothing waits any more, and no history tells of it: a gated step is terminated, or its question is.
-- What has ended in the middle of its batches stays so for good.
UPDATE stepgate_jobs j SET sealed = true FROM stepgate_steps s
WHERE s.job = j.id AND s.id = j.current AND s.batch <> 0 AND s.state NOT IN (3, 5, 6);
UPDATE stepgate_jobs j SET state = CASE s.type WHEN 3 THEN 13 ELSE 11 END, finished = j.updated FROM stepgate_steps s
WHERE s.job = j.id AND s.id = j.current AND j.state = 15;
UPDATE stepgate_records r SET job_from = coalesce((SELECT CASE s.type WHEN 3 THEN 13 ELSE 11 END
        FROM stepgate_records g JOIN stepgate_steps s ON s.job = g.job AND s.id = CASE g.entered WHEN 0 THEN g.step ELSE g.entered END
        WHERE g.job = r.job AND g.seq < r.seq AND g.gate <> 0 ORDER BY g.seq DESC LIMIT 1), 11) WHERE job_from = 15;
UPDATE stepgate_records r SET job_to = coalesce((SELECT CASE s.type WHEN 3 THEN 13 ELSE 11 END
        FROM stepgate_records g JOIN stepgate_steps s ON s.job = g.job AND s.id = CASE g.entered WHEN 0 THEN g.step ELSE g.entered END
        WHERE g.job = r.job AND g.seq <= r.seq AND g.gate <> 0 ORDER BY g.seq DESC LIMIT 1), 11) WHERE job_to = 15;
UPDATE stepgate_records r SET
    from_state = CASE from_state WHEN 15 THEN CASE s.type WHEN 3 THEN 13 ELSE 11 END ELSE from_state END,
    to_state = CASE to_state WHEN 15 THEN CASE s.type WHEN 3 THEN 13 ELSE 11 END ELSE to_state END
FROM stepgate_steps s WHERE s.job = r.job AND s.id = r.step AND 15 IN (from_state, to_state);
UPDATE stepgate_steps SET state = CASE type WHEN 3 THEN 13 ELSE 11 END WHERE state = 15;

DROP TABLE stepgate_turns;
DROP TABLE stepgate_batches;
ALTER TABLE stepgate_effects DROP COLUMN run_first, DROP COLUMN run_end;
ALTER TABLE stepgate_records DROP COLUMN gate_until, DROP COLUMN run_first, DROP COLUMN run_end, DROP COLUMN succeeded_before,
    DROP COLUMN gate, DROP COLUMN gate_then, DROP COLUMN mendable;
DROP INDEX stepgate_steps_due;
ALTER TABLE stepgate_steps DROP COLUMN due, DROP COLUMN expires, DROP COLUMN gate_until, DROP COLUMN run_first, DROP COLUMN run_end,
    DROP COLUMN batch, DROP COLUMN succeeded_before, DROP COLUMN accepted, DROP COLUMN automatic, DROP COLUMN gate,
    DROP COLUMN gate_then, DROP COLUMN stop_before, DROP COLUMN mendable, DROP COLUMN policy;
CREATE INDEX stepgate_steps_deadline ON stepgate_steps (deadline) WHERE deadline <> 0;
ALTER TABLE stepgate_jobs DROP COLUMN deadline, DROP COLUMN origin, DROP COLUMN tolerated, DROP COLUMN gate, DROP COLUMN held, DROP COLUMN has_turn, DROP COLUMN policy;
UPDATE stepgate_version SET version = 4, oldest = 4;
