-- Seals are forgotten, and the columns come back as the last ones.
ALTER TABLE stepgate_step_texts RENAME TO stepgate_texts_with_number;
CREATE TABLE stepgate_step_texts (
    job        INTEGER NOT NULL,
    step       INTEGER NOT NULL,
    confirmers TEXT,          -- a JSON array; NULL for no list
    payload    TEXT NOT NULL,
    PRIMARY KEY (job, step),
    FOREIGN KEY (job, step) REFERENCES stepgate_steps ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
INSERT INTO stepgate_step_texts (job, step, confirmers, payload)
SELECT job, step, confirmers, payload FROM stepgate_texts_with_number;
DROP TABLE stepgate_texts_with_number;
ALTER TABLE stepgate_records RENAME COLUMN cause TO kind;
ALTER TABLE stepgate_records ADD COLUMN all_targets INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_records ADD COLUMN code INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_records ADD COLUMN job_code INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stepgate_records ADD COLUMN event INTEGER NOT NULL DEFAULT 0;
UPDATE stepgate_records SET
    all_targets = effect IN (1, 3) AND (entered <> 0 OR run_full = attempt),
    code = CASE WHEN kind < 64 THEN kind ELSE 0 END,
    job_code = CASE WHEN kind BETWEEN 129 AND 191 THEN kind - 128 ELSE 0 END,
    event = CASE WHEN kind BETWEEN 65 AND 127 THEN kind - 64 ELSE 0 END,
    kind = CASE
        WHEN kind = 192 THEN 1
        WHEN kind < 64 THEN 2
        WHEN kind BETWEEN 129 AND 191 THEN 3
        WHEN kind IN (72, 73) THEN 5
        ELSE 4
    END;
ALTER TABLE stepgate_records DROP COLUMN run_full;
ALTER TABLE stepgate_effects DROP COLUMN step;
ALTER TABLE stepgate_effects DROP COLUMN type;
ALTER TABLE stepgate_effects DROP COLUMN attempt;
ALTER TABLE stepgate_effects DROP COLUMN run_full;
ALTER TABLE stepgate_effects DROP COLUMN job_to;
ALTER TABLE stepgate_effects DROP COLUMN scope_type;
ALTER TABLE stepgate_effects DROP COLUMN scope_id;
ALTER TABLE stepgate_steps RENAME COLUMN run_full TO full_attempt;
UPDATE stepgate_steps SET full_attempt = 0 WHERE attempt = 0;
ALTER TABLE stepgate_jobs DROP COLUMN sealed;
ALTER TABLE stepgate_effects DROP COLUMN token;
ALTER TABLE stepgate_jobs DROP COLUMN updated;
ALTER TABLE stepgate_version DROP COLUMN oldest;
UPDATE stepgate_version SET version = 1;
