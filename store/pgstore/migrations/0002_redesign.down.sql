ALTER INDEX stepgate_effects_due RENAME TO stepgate_effects_by_time;
ALTER INDEX stepgate_results_attempt RENAME TO stepgate_results_by_attempt;
ALTER INDEX stepgate_steps_deadline RENAME TO stepgate_steps_by_deadline;
ALTER INDEX stepgate_jobs_scope RENAME TO stepgate_jobs_by_scope;
ALTER INDEX stepgate_jobs_state RENAME TO stepgate_jobs_by_state;
ALTER TABLE stepgate_effects RENAME COLUMN count TO claims;
ALTER TABLE stepgate_steps RENAME COLUMN timeout_ns TO timeout;
ALTER TABLE stepgate_effects DROP COLUMN at, DROP COLUMN step, DROP COLUMN type, DROP COLUMN attempt, DROP COLUMN run_full,
    DROP COLUMN job_to, DROP COLUMN scope_type, DROP COLUMN scope_id;
ALTER TABLE stepgate_steps RENAME COLUMN run_full TO full_attempt;
UPDATE stepgate_steps SET full_attempt = 0 WHERE attempt = 0;
DROP INDEX stepgate_records_request;

-- Seals are forgotten, and the columns come back as the last ones.
ALTER TABLE stepgate_records RENAME COLUMN cause TO kind;
ALTER TABLE stepgate_records
    ADD COLUMN full_run boolean NOT NULL DEFAULT false, ADD COLUMN code smallint NOT NULL DEFAULT 0, ADD COLUMN job_code smallint NOT NULL DEFAULT 0, ADD COLUMN event smallint NOT NULL DEFAULT 0;
ALTER TABLE stepgate_records ALTER COLUMN full_run DROP DEFAULT, ALTER COLUMN code DROP DEFAULT, ALTER COLUMN job_code DROP DEFAULT, ALTER COLUMN event DROP DEFAULT;
ALTER TABLE stepgate_records
    ALTER COLUMN full_run TYPE boolean USING effect IN (1, 3) AND (entered <> 0 OR run_full = attempt),
    ALTER COLUMN code TYPE smallint USING CASE WHEN kind < 64 THEN kind ELSE 0 END,
    ALTER COLUMN job_code TYPE smallint USING CASE WHEN kind BETWEEN 129 AND 191 THEN kind - 128 ELSE 0 END,
    ALTER COLUMN event TYPE smallint USING CASE WHEN kind BETWEEN 65 AND 127 THEN kind - 64 ELSE 0 END,
    ALTER COLUMN kind TYPE smallint USING CASE
        WHEN kind = 192 THEN 1
        WHEN kind < 64 THEN 2
        WHEN kind BETWEEN 129 AND 191 THEN 3
        WHEN kind IN (72, 73) THEN 5
        ELSE 4
    END,
    ALTER COLUMN request TYPE uuid USING coalesce(request, '00000000-0000-0000-0000-000000000000'),
    ALTER COLUMN request SET NOT NULL;
ALTER TABLE stepgate_records DROP COLUMN run_full;
CREATE UNIQUE INDEX stepgate_records_by_request ON stepgate_records (job, request)
    WHERE request <> '00000000-0000-0000-0000-000000000000';
ALTER TABLE stepgate_jobs DROP COLUMN sealed;
ALTER TABLE stepgate_effects DROP COLUMN token;
ALTER TABLE stepgate_jobs DROP COLUMN updated;
ALTER TABLE stepgate_version DROP COLUMN oldest;
UPDATE stepgate_version SET version = 1;
