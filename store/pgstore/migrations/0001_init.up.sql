-- Tables of a Stepgate store, in the current schema. Times are Unix milliseconds, 0 for never;
-- numbers of states, codes, types and statuses are the wire values.
--
-- There are no foreign keys: all rows of a job are written by the commits of changes to it, under
-- the lock of its row, and no job is ever deleted. A key would be checked for each row of each commit.

CREATE TABLE stepgate_version (
    version integer NOT NULL
);
INSERT INTO stepgate_version VALUES (1);

-- A row is a job's header; version is the sequence number of its last record.
CREATE TABLE stepgate_jobs (
    id         bigint   PRIMARY KEY,
    version    bigint   NOT NULL,
    moved      bigint   NOT NULL,
    created    bigint   NOT NULL,
    started    bigint   NOT NULL,
    finished   bigint   NOT NULL,
    current    integer  NOT NULL,
    steps      integer  NOT NULL,
    skipped    integer  NOT NULL,
    ignored    integer  NOT NULL,
    state      smallint NOT NULL,
    scope_type text     NOT NULL,
    scope_id   text     NOT NULL,
    name       text     NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX stepgate_jobs_by_state ON stepgate_jobs (state, id);
CREATE INDEX stepgate_jobs_by_scope ON stepgate_jobs (scope_type, scope_id, state, id);

-- Which request has created which job: a request creates one job in its scope.
CREATE TABLE stepgate_creations (
    scope_type text   NOT NULL,
    scope_id   text   NOT NULL,
    request    uuid   NOT NULL,
    job        bigint NOT NULL,
    PRIMARY KEY (scope_type, scope_id, request)
);

-- A row is a step: how it was defined, and where it stands.
CREATE TABLE stepgate_steps (
    job           bigint   NOT NULL,
    started       bigint   NOT NULL,
    finished      bigint   NOT NULL,
    deadline      bigint   NOT NULL,
    timeout       bigint   NOT NULL, -- nanoseconds, 0 for none
    id            integer  NOT NULL, -- from 1
    total         integer  NOT NULL, -- targets
    attempt       integer  NOT NULL,
    full_attempt  integer  NOT NULL, -- the attempt that last covered all targets
    succeeded     integer  NOT NULL,
    unfinished    integer  NOT NULL,
    type          smallint NOT NULL,
    state         smallint NOT NULL,
    on_timeout    smallint NOT NULL,
    ignore_errors boolean  NOT NULL,
    name          text     NOT NULL,
    payload       text     NOT NULL,
    confirmers    json,              -- an array of names; NULL for no list
    PRIMARY KEY (job, id)
) WITH (fillfactor = 80);
CREATE INDEX stepgate_steps_by_deadline ON stepgate_steps (deadline) WHERE deadline <> 0;

-- The names of a step's targets, 256 to a row.
CREATE TABLE stepgate_target_names (
    job   bigint  NOT NULL,
    step  integer NOT NULL,
    block integer NOT NULL, -- targets 256*block and those that follow it
    names json    NOT NULL,
    PRIMARY KEY (job, step, block)
);

-- A row is what a target came to in an attempt that it really ran in. Its latest result is
-- the one of the greatest attempt.
CREATE TABLE stepgate_results (
    job       bigint   NOT NULL,
    started   bigint   NOT NULL,
    finished  bigint   NOT NULL,
    step      integer  NOT NULL,
    idx       integer  NOT NULL, -- of the target in its step, from 0
    attempt   integer  NOT NULL,
    success   integer  NOT NULL, -- the attempt of the target's latest success as of this one
    exit_code integer  NOT NULL,
    status    smallint NOT NULL,
    detail    text     NOT NULL,
    PRIMARY KEY (job, step, idx, attempt)
);
CREATE INDEX stepgate_results_by_attempt ON stepgate_results (job, step, attempt, idx);

-- Which targets have succeeded since attempt era, and which have a finished result of attempt:
-- one bit for each of 4096 targets. For a step in another attempt, a set counts as empty.
CREATE TABLE stepgate_target_sets (
    job       bigint     NOT NULL,
    step      integer    NOT NULL,
    block     integer    NOT NULL, -- targets 4096*block and those that follow it
    era       integer    NOT NULL,
    attempt   integer    NOT NULL,
    succeeded bit varying NOT NULL,
    finished  bit varying NOT NULL,
    PRIMARY KEY (job, step, block)
);

-- A row is a line of a job's history. It is never changed.
CREATE TABLE stepgate_records (
    job        bigint   NOT NULL,
    seq        bigint   NOT NULL,
    at         bigint   NOT NULL,
    request    uuid     NOT NULL, -- of the call that made the change; zero for none
    step       integer  NOT NULL,
    entered    integer  NOT NULL,
    attempt    integer  NOT NULL,
    succeeded  integer  NOT NULL,
    unfinished integer  NOT NULL,
    results    integer  NOT NULL,
    targets    integer  NOT NULL,
    kind       smallint NOT NULL,
    code       smallint NOT NULL,
    job_code   smallint NOT NULL,
    event      smallint NOT NULL,
    from_state smallint NOT NULL,
    to_state   smallint NOT NULL,
    job_from   smallint NOT NULL,
    job_to     smallint NOT NULL,
    effect     smallint NOT NULL,
    full_run   boolean  NOT NULL,
    actor      text     NOT NULL,
    reason     text     NOT NULL,
    PRIMARY KEY (job, seq)
);
-- No request is carried out twice, whoever sends it to whichever process.
CREATE UNIQUE INDEX stepgate_records_by_request ON stepgate_records (job, request)
    WHERE request <> '00000000-0000-0000-0000-000000000000';

-- A row is an effect that waits for delivery. What is to be done stands in its record.
CREATE TABLE stepgate_effects (
    job        bigint   NOT NULL,
    seq        bigint   NOT NULL,
    not_before bigint   NOT NULL, -- it is left alone until then
    claims     integer  NOT NULL DEFAULT 0, -- how often it was claimed
    failures   integer  NOT NULL DEFAULT 0, -- in a row
    effect     smallint NOT NULL,
    delivered  boolean  NOT NULL DEFAULT false,
    last_error text     NOT NULL DEFAULT '',
    PRIMARY KEY (job, seq)
) WITH (fillfactor = 80);
CREATE INDEX stepgate_effects_by_time ON stepgate_effects (effect, not_before);
