-- An attempt that covers a batch ends when that has finished; a program of version 4 would take the rest
-- of the step for failed: a batch that is under way must end first.
CREATE TEMP TABLE stepgate_batch_under_way (job INTEGER, CONSTRAINT terminate_its_job_or_wait_for_its_end CHECK (job IS NULL));
INSERT INTO stepgate_batch_under_way SELECT job FROM stepgate_steps WHERE batch <> 0 AND state IN (2, 10);
DROP TABLE stepgate_batch_under_way;

-- Nothing waits any more, and no history tells of it: a gated step is terminated, or its question is.
-- What has ended in the middle of its batches stays so for good.
UPDATE stepgate_jobs AS j SET sealed = 1 FROM stepgate_steps AS s
WHERE s.job = j.id AND s.id = j.current AND s.batch <> 0 AND s.state NOT IN (3, 5, 6);
UPDATE stepgate_jobs AS j SET state = CASE s.type WHEN 3 THEN 13 ELSE 11 END, finished = j.updated FROM stepgate_steps AS s
WHERE s.job = j.id AND s.id = j.current AND j.state = 15;
UPDATE stepgate_records AS r SET job_from = coalesce((SELECT CASE s.type WHEN 3 THEN 13 ELSE 11 END
        FROM stepgate_records g JOIN stepgate_steps s ON s.job = g.job AND s.id = CASE g.entered WHEN 0 THEN g.step ELSE g.entered END
        WHERE g.job = r.job AND g.seq < r.seq AND g.gate <> 0 ORDER BY g.seq DESC LIMIT 1), 11) WHERE job_from = 15;
UPDATE stepgate_records AS r SET job_to = coalesce((SELECT CASE s.type WHEN 3 THEN 13 ELSE 11 END
        FROM stepgate_records g JOIN stepgate_steps s ON s.job = g.job AND s.id = CASE g.entered WHEN 0 THEN g.step ELSE g.entered END
        WHERE g.job = r.job AND g.seq <= r.seq AND g.gate <> 0 ORDER BY g.seq DESC LIMIT 1), 11) WHERE job_to = 15;
UPDATE stepgate_records AS r SET
    from_state = CASE from_state WHEN 15 THEN CASE s.type WHEN 3 THEN 13 ELSE 11 END ELSE from_state END,
    to_state = CASE to_state WHEN 15 THEN CASE s.type WHEN 3 THEN 13 ELSE 11 END ELSE to_state END
FROM stepgate_steps AS s WHERE s.job = r.job AND s.id = r.step AND 15 IN (from_state, to_state);
UPDATE stepgate_steps SET state = CASE type WHEN 3 THEN 13 ELSE 11 END WHERE state = 15;

DROP TABLE stepgate_turns;
DROP TABLE stepgate_batches;
ALTER TABLE stepgate_effects DROP COLUMN run_first;
ALTER TABLE stepgate_effects DROP COLUMN run_end;
ALTER TABLE stepgate_records DROP COLUMN gate_until;
ALTER TABLE stepgate_records DROP COLUMN run_first;
ALTER TABLE stepgate_records DROP COLUMN run_end;
ALTER TABLE stepgate_records DROP COLUMN succeeded_before;
ALTER TABLE stepgate_records DROP COLUMN gate;
ALTER TABLE stepgate_records DROP COLUMN gate_then;
ALTER TABLE stepgate_records DROP COLUMN mendable;
DROP INDEX stepgate_steps_due;
ALTER TABLE stepgate_steps DROP COLUMN due;
ALTER TABLE stepgate_steps DROP COLUMN expires;
ALTER TABLE stepgate_steps DROP COLUMN gate_until;
ALTER TABLE stepgate_steps DROP COLUMN run_first;
ALTER TABLE stepgate_steps DROP COLUMN run_end;
ALTER TABLE stepgate_steps DROP COLUMN batch;
ALTER TABLE stepgate_steps DROP COLUMN succeeded_before;
ALTER TABLE stepgate_steps DROP COLUMN accepted;
ALTER TABLE stepgate_steps DROP COLUMN automatic;
ALTER TABLE stepgate_steps DROP COLUMN gate;
ALTER TABLE stepgate_steps DROP COLUMN gate_then;
ALTER TABLE stepgate_steps DROP COLUMN stop_before;
ALTER TABLE stepgate_steps DROP COLUMN mendable;
ALTER TABLE stepgate_steps DROP COLUMN policy;
CREATE INDEX stepgate_steps_deadline ON stepgate_steps (deadline) WHERE deadline <> 0;
ALTER TABLE stepgate_jobs DROP COLUMN deadline;
ALTER TABLE stepgate_jobs DROP COLUMN origin;
ALTER TABLE stepgate_jobs DROP COLUMN tolerated;
ALTER TABLE stepgate_jobs DROP COLUMN gate;
ALTER TABLE stepgate_jobs DROP COLUMN held;
ALTER TABLE stepgate_jobs DROP COLUMN has_turn;
ALTER TABLE stepgate_jobs DROP COLUMN policy;
UPDATE stepgate_version SET version = 4, oldest = 4;
