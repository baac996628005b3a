-- The tables of Stepgate. Times are in Unix milliseconds, and 0 is never; numbers stand for
-- what the Go packages step, operation and store say they do. Deleting a job deletes all of it.

-- The version of this schema: one row. Each migration leaves its own number here.
CREATE TABLE stepgate_version (
    version INTEGER NOT NULL
) STRICT;
INSERT INTO stepgate_version (version) VALUES (1);

-- The header of each job, and the request that created it. A request makes one job in a scope.
CREATE TABLE stepgate_jobs (
    id         INTEGER PRIMARY KEY,
    scope_type TEXT    NOT NULL,
    scope_id   TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    request    BLOB,             -- 16 bytes; NULL for none
    state      INTEGER NOT NULL,
    version    INTEGER NOT NULL, -- the sequence number of the last record
    moved      INTEGER NOT NULL, -- that of the last record that changed a state or an attempt
    current    INTEGER NOT NULL, -- a step's id
    steps      INTEGER NOT NULL, -- how many there are
    skipped    INTEGER NOT NULL,
    ignored    INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    started    INTEGER NOT NULL,
    finished   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX stepgate_jobs_request ON stepgate_jobs (scope_type, scope_id, request) WHERE request IS NOT NULL;
CREATE INDEX stepgate_jobs_scope ON stepgate_jobs (scope_type, scope_id, state); -- and id, as in any index
CREATE INDEX stepgate_jobs_state ON stepgate_jobs (state);

-- The steps of each job: how they are defined and where they stand.
CREATE TABLE stepgate_steps (
    job           INTEGER NOT NULL REFERENCES stepgate_jobs ON DELETE CASCADE,
    id            INTEGER NOT NULL, -- the place in the job, from 1
    type          INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    ignore_errors INTEGER NOT NULL,
    on_timeout    INTEGER NOT NULL,
    timeout_ns    INTEGER NOT NULL,
    total         INTEGER NOT NULL, -- targets
    state         INTEGER NOT NULL,
    attempt       INTEGER NOT NULL, -- the current or last one; 0 before the first
    full_attempt  INTEGER NOT NULL, -- the one that last covered all targets
    succeeded     INTEGER NOT NULL,
    unfinished    INTEGER NOT NULL,
    started       INTEGER NOT NULL,
    finished      INTEGER NOT NULL,
    deadline      INTEGER NOT NULL,
    PRIMARY KEY (job, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX stepgate_steps_deadline ON stepgate_steps (deadline) WHERE deadline <> 0;

-- What may be long in the definition of a step, and never changes: a change of a step
-- rewrites its whole row. A step that has neither has no row here.
CREATE TABLE stepgate_step_texts (
    job        INTEGER NOT NULL,
    step       INTEGER NOT NULL,
    confirmers TEXT,          -- a JSON array; NULL for no list
    payload    TEXT NOT NULL,
    PRIMARY KEY (job, step),
    FOREIGN KEY (job, step) REFERENCES stepgate_steps ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The names of targets, 256 a row.
CREATE TABLE stepgate_target_names (
    job   INTEGER NOT NULL,
    step  INTEGER NOT NULL,
    block INTEGER NOT NULL, -- of targets 256*block and those that follow
    names TEXT    NOT NULL, -- a JSON array
    PRIMARY KEY (job, step, block),
    FOREIGN KEY (job, step) REFERENCES stepgate_steps ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- One row per target and attempt that really ran it. The row of the greatest attempt is the
-- target's latest result; a target without a row has not reported yet.
CREATE TABLE stepgate_results (
    job       INTEGER NOT NULL,
    step      INTEGER NOT NULL,
    idx       INTEGER NOT NULL, -- of the target, from 0
    attempt   INTEGER NOT NULL,
    success   INTEGER NOT NULL, -- the attempt of the latest success, as of this row; 0 for none
    status    INTEGER NOT NULL,
    exit_code INTEGER NOT NULL,
    started   INTEGER NOT NULL,
    finished  INTEGER NOT NULL,
    detail    TEXT    NOT NULL,
    PRIMARY KEY (job, step, idx, attempt),
    FOREIGN KEY (job, step) REFERENCES stepgate_steps ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX stepgate_results_attempt ON stepgate_results (job, step, attempt, idx);

-- Which targets belong to a class, 4,096 a row: two sets of bits, the first target at the top
-- of the first byte. A set is of one attempt, and counts as empty in any other, so that a new
-- attempt writes nothing here.
CREATE TABLE stepgate_target_sets (
    job       INTEGER NOT NULL,
    step      INTEGER NOT NULL,
    block     INTEGER NOT NULL, -- of targets 4096*block and those that follow
    era       INTEGER NOT NULL, -- the full_attempt that succeeded is of
    succeeded BLOB    NOT NULL, -- who has succeeded since then
    attempt   INTEGER NOT NULL, -- the attempt that finished is of
    finished  BLOB    NOT NULL, -- who has a finished result of it
    PRIMARY KEY (job, step, block),
    FOREIGN KEY (job, step) REFERENCES stepgate_steps ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The history of each job. A request changes a job once.
CREATE TABLE stepgate_records (
    job         INTEGER NOT NULL REFERENCES stepgate_jobs ON DELETE CASCADE,
    seq         INTEGER NOT NULL, -- from 1 and without gaps
    at          INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    request     BLOB,             -- 16 bytes, on the first record of a change only
    actor       TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    code        INTEGER NOT NULL,
    job_code    INTEGER NOT NULL,
    event       INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    entered     INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    all_targets INTEGER NOT NULL,
    from_state  INTEGER NOT NULL,
    to_state    INTEGER NOT NULL,
    job_from    INTEGER NOT NULL,
    job_to      INTEGER NOT NULL,
    succeeded   INTEGER NOT NULL,
    unfinished  INTEGER NOT NULL,
    results     INTEGER NOT NULL,
    targets     INTEGER NOT NULL,
    effect      INTEGER NOT NULL,
    PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;
-- Requests are mostly made in the order of time, UUIDs of version 7: they meet at one end of
-- this index, so that changes of many jobs write few pages of it.
CREATE UNIQUE INDEX stepgate_records_request ON stepgate_records (request, job) WHERE request IS NOT NULL;

-- The effects that are not settled yet, each of its record.
CREATE TABLE stepgate_effects (
    job        INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    at         INTEGER NOT NULL, -- of the record
    effect     INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    count      INTEGER NOT NULL, -- how often it was claimed
    failures   INTEGER NOT NULL, -- deliveries in a row that failed
    delivered  INTEGER NOT NULL, -- 1 if it was carried out and waits for its step to stop
    last_error TEXT    NOT NULL,
    PRIMARY KEY (job, seq),
    FOREIGN KEY (job, seq) REFERENCES stepgate_records ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX stepgate_effects_due ON stepgate_effects (effect, not_before, at);
