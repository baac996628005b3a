-- Tables of the first version of the schema, with what the program of that time wrote.

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

INSERT INTO stepgate_creations VALUES ('biz', '1', '019a0000-0000-7000-8000-000000000001', 1);
INSERT INTO stepgate_creations VALUES ('biz', '2', '019a0000-0000-7000-8000-000000000002', 2);
INSERT INTO stepgate_creations VALUES ('biz', '3', '019a0000-0000-7000-8000-000000000004', 3);
INSERT INTO stepgate_creations VALUES ('biz', '4', '019a0000-0000-7000-8000-000000000007', 4);
INSERT INTO stepgate_creations VALUES ('biz', '5', '019a0000-0000-7000-8000-00000000000a', 5);
INSERT INTO stepgate_creations VALUES ('biz', '6', '019a0000-0000-7000-8000-00000000000c', 6);
INSERT INTO stepgate_creations VALUES ('biz', '7', '019a0000-0000-7000-8000-00000000000f', 7);
INSERT INTO stepgate_creations VALUES ('biz', '8', '019a0000-0000-7000-8000-000000000011', 8);
INSERT INTO stepgate_creations VALUES ('biz', '9', '019a0000-0000-7000-8000-000000000013', 9);
INSERT INTO stepgate_creations VALUES ('biz', '10', '019a0000-0000-7000-8000-000000000017', 10);
INSERT INTO stepgate_creations VALUES ('biz', '11', '019a0000-0000-7000-8000-00000000001a', 11);
INSERT INTO stepgate_creations VALUES ('biz', '12', '019a0000-0000-7000-8000-000000000020', 12);
INSERT INTO stepgate_creations VALUES ('biz', '13', '019a0000-0000-7000-8000-000000000023', 13);
INSERT INTO stepgate_creations VALUES ('biz', '14', '019a0000-0000-7000-8000-000000000026', 14);
INSERT INTO stepgate_creations VALUES ('biz', '15', '019a0000-0000-7000-8000-00000000002c', 15);
INSERT INTO stepgate_creations VALUES ('biz', '16', '019a0000-0000-7000-8000-00000000002f', 16);
INSERT INTO stepgate_creations VALUES ('biz', '17', '019a0000-0000-7000-8000-000000000032', 17);
INSERT INTO stepgate_creations VALUES ('biz', '18', '019a0000-0000-7000-8000-000000000034', 18);
INSERT INTO stepgate_creations VALUES ('biz', '19', '019a0000-0000-7000-8000-000000000036', 19);
INSERT INTO stepgate_creations VALUES ('biz', '20', '019a0000-0000-7000-8000-00000000003a', 20);
INSERT INTO stepgate_creations VALUES ('biz', '21', '019a0000-0000-7000-8000-00000000003e', 21);
INSERT INTO stepgate_effects VALUES (3, 5, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (4, 2, 0, 0, 0, 3, false, '');
INSERT INTO stepgate_effects VALUES (4, 3, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (4, 4, 0, 0, 0, 3, false, '');
INSERT INTO stepgate_effects VALUES (4, 5, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (6, 2, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (6, 3, 0, 0, 0, 2, false, '');
INSERT INTO stepgate_effects VALUES (6, 4, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (7, 2, 1764036095000, 1, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (8, 2, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (9, 2, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (9, 3, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (9, 4, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (9, 5, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (9, 6, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (10, 2, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (10, 3, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (10, 4, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (10, 5, 0, 0, 0, 3, false, '');
INSERT INTO stepgate_effects VALUES (11, 2, 1764036118000, 1, 0, 3, false, '');
INSERT INTO stepgate_effects VALUES (12, 2, 0, 0, 0, 3, false, '');
INSERT INTO stepgate_effects VALUES (12, 3, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (13, 4, 1764036665000, 1, 2, 2, true, 'no route to the host');
INSERT INTO stepgate_effects VALUES (14, 2, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (14, 3, 0, 0, 0, 2, false, '');
INSERT INTO stepgate_effects VALUES (14, 4, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (14, 5, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (14, 6, 0, 0, 0, 2, false, '');
INSERT INTO stepgate_effects VALUES (14, 7, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (14, 8, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (15, 2, 0, 0, 0, 3, false, '');
INSERT INTO stepgate_effects VALUES (15, 3, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (16, 2, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (16, 3, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (16, 4, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (16, 5, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (17, 2, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (17, 3, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (19, 2, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (19, 3, 0, 0, 0, 2, false, '');
INSERT INTO stepgate_effects VALUES (19, 4, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (20, 2, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (20, 3, 0, 0, 0, 2, false, '');
INSERT INTO stepgate_effects VALUES (20, 4, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (20, 5, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (20, 6, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (21, 2, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (21, 3, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (21, 4, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_effects VALUES (21, 5, 0, 0, 0, 4, false, '');
INSERT INTO stepgate_effects VALUES (21, 6, 0, 0, 0, 1, false, '');
INSERT INTO stepgate_jobs VALUES (1, 1, 1, 1764000001000, 0, 0, 1, 2, 0, 0, 1, 'biz', '1', 'pending');
INSERT INTO stepgate_jobs VALUES (12, 3, 3, 1764036059000, 1764036060000, 1764036061000, 1, 1, 0, 0, 13, 'biz', '12', 'refused');
INSERT INTO stepgate_jobs VALUES (13, 4, 4, 1764036062000, 1764036063000, 0, 1, 2, 0, 0, 10, 'biz', '13', 'terminating');
INSERT INTO stepgate_jobs VALUES (2, 10, 10, 1764000002000, 1764000003000, 0, 5, 5, 0, 0, 7, 'biz', '2', 'unnamed steps of every type');
INSERT INTO stepgate_jobs VALUES (3, 5, 5, 1764000012000, 1764000013000, 0, 2, 2, 0, 1, 2, 'biz', '3', 'expired script');
INSERT INTO stepgate_jobs VALUES (4, 5, 5, 1764007218000, 1764007219000, 1764021624000, 1, 1, 0, 0, 13, 'biz', '4', 'expired question');
INSERT INTO stepgate_jobs VALUES (5, 3, 3, 1764021625000, 1764021626000, 0, 2, 2, 0, 0, 2, 'biz', '5', 'question confirmed by its deadline');
INSERT INTO stepgate_jobs VALUES (6, 4, 4, 1764028829000, 1764028830000, 1764036033000, 1, 1, 0, 0, 11, 'biz', '6', 'stop that expired');
INSERT INTO stepgate_jobs VALUES (7, 3, 2, 1764036034000, 1764036035000, 0, 1, 2, 0, 0, 2, 'biz', '7', 'running');
INSERT INTO stepgate_jobs VALUES (8, 3, 2, 1764036037000, 1764036038000, 0, 1, 1, 0, 0, 2, 'biz', '8', 'many targets');
INSERT INTO stepgate_jobs VALUES (9, 7, 6, 1764036040000, 1764036041000, 0, 1, 2, 0, 0, 2, 'biz', '9', 'retried');
INSERT INTO stepgate_jobs VALUES (10, 5, 5, 1764036047000, 1764036048000, 0, 2, 2, 0, 0, 7, 'biz', '10', 'all again');
INSERT INTO stepgate_jobs VALUES (11, 7, 7, 1764036052000, 1764036053000, 1764036058000, 3, 3, 0, 0, 3, 'biz', '11', 'confirmed');
INSERT INTO stepgate_jobs VALUES (14, 8, 8, 1764036066000, 1764036067000, 1764036073000, 3, 3, 2, 0, 11, 'biz', '14', 'terminated and left');
INSERT INTO stepgate_jobs VALUES (15, 3, 3, 1764036074000, 1764036075000, 1764036076000, 1, 1, 0, 0, 11, 'biz', '15', 'terminated question');
INSERT INTO stepgate_jobs VALUES (16, 5, 5, 1764036077000, 1764036078000, 1764036081000, 1, 1, 0, 0, 9, 'biz', '16', 'broke');
INSERT INTO stepgate_jobs VALUES (17, 3, 3, 1764036082000, 1764036083000, 1764036084000, 1, 1, 0, 0, 14, 'biz', '17', 'dropped');
INSERT INTO stepgate_jobs VALUES (18, 4, 4, 1764036085000, 1764036086000, 1764036088000, 2, 2, 0, 2, 3, 'biz', '18', 'errors ignored');
INSERT INTO stepgate_jobs VALUES (19, 4, 4, 1764036089000, 1764036090000, 1764036092000, 1, 1, 1, 0, 3, 'biz', '19', 'skipped last');
INSERT INTO stepgate_jobs VALUES (20, 6, 6, 1764036093000, 1764036094000, 1764036098000, 2, 2, 1, 0, 4, 'biz', '20', 'stopped after all had succeeded');
INSERT INTO stepgate_jobs VALUES (21, 6, 6, 1764036099000, 1764036100000, 0, 1, 2, 0, 0, 2, 'biz', '21', 'operations of an embedder');
INSERT INTO stepgate_records VALUES (1, 1, 1764000001000, '019a0000-0000-7000-8000-000000000001', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of pending');
INSERT INTO stepgate_records VALUES (2, 1, 1764000002000, '019a0000-0000-7000-8000-000000000002', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of unnamed steps of every type');
INSERT INTO stepgate_records VALUES (2, 2, 1764000003000, '019a0000-0000-7000-8000-000000000003', 1, 0, 1, 0, 1, 0, 1, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (2, 3, 1764000004000, '019ab697-f7a0-707c-a09a-21ace19286c6', 1, 0, 1, 0, 1, 1, 0, 4, 0, 0, 0, 2, 2, 2, 2, 0, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (2, 4, 1764000005000, '019ab697-fb88-7a0e-9880-d5734464d5f1', 1, 2, 1, 1, 0, 1, 1, 4, 0, 0, 2, 2, 3, 2, 2, 1, true, 'exec-1', '');
INSERT INTO stepgate_records VALUES (2, 5, 1764000006000, '019ab697-ff70-79f0-a008-6079b88c1c1f', 2, 0, 1, 0, 1, 1, 0, 4, 0, 0, 0, 2, 2, 2, 2, 0, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (2, 6, 1764000007000, '019ab698-0358-78a2-842f-d47b5d31e8f2', 2, 3, 1, 1, 0, 1, 1, 4, 0, 0, 2, 2, 3, 2, 2, 1, true, 'exec-1', '');
INSERT INTO stepgate_records VALUES (2, 7, 1764000008000, '019ab698-0740-72a4-8cb3-3ddd7f991508', 3, 0, 1, 0, 1, 1, 0, 4, 0, 0, 0, 2, 2, 2, 2, 0, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (2, 8, 1764000009000, '019ab698-0b28-7876-a249-da793f5cea03', 3, 4, 1, 1, 0, 1, 1, 4, 0, 0, 2, 2, 3, 2, 2, 1, true, 'exec-1', '');
INSERT INTO stepgate_records VALUES (2, 9, 1764000010000, '019ab698-0f10-7e98-944a-899011f48a81', 4, 0, 1, 0, 1, 1, 0, 4, 0, 0, 0, 2, 2, 2, 2, 0, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (2, 10, 1764000011000, '019ab698-12f8-7d8a-affe-b8065a949a24', 4, 5, 1, 1, 0, 1, 0, 4, 0, 0, 2, 2, 3, 2, 7, 3, true, 'exec-1', '');
INSERT INTO stepgate_records VALUES (3, 1, 1764000012000, '019a0000-0000-7000-8000-000000000004', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of expired script');
INSERT INTO stepgate_records VALUES (3, 2, 1764000013000, '019a0000-0000-7000-8000-000000000005', 1, 0, 1, 0, 2, 0, 2, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (3, 3, 1764000014000, '019ab698-1eb0-71cc-a49e-030ffd19258a', 1, 0, 1, 1, 1, 1, 0, 4, 0, 0, 0, 2, 2, 2, 2, 0, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (3, 4, 1764007216000, '019ab706-0380-7bde-8d01-b11abeb1ca55', 1, 0, 1, 1, 1, 0, 0, 5, 0, 0, 8, 2, 9, 2, 9, 4, false, '', 'deadline');
INSERT INTO stepgate_records VALUES (3, 5, 1764007217000, '019a0000-0000-7000-8000-000000000006', 1, 2, 1, 1, 1, 0, 1, 2, 3, 0, 0, 9, 6, 9, 2, 1, true, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (4, 1, 1764007218000, '019a0000-0000-7000-8000-000000000007', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of expired question');
INSERT INTO stepgate_records VALUES (4, 2, 1764007219000, '019a0000-0000-7000-8000-000000000008', 1, 0, 1, 0, 0, 0, 0, 3, 0, 2, 0, 1, 7, 1, 7, 3, true, 'starter', '');
INSERT INTO stepgate_records VALUES (4, 3, 1764014421000, '019ab773-f408-7040-beb2-1ec6f19a1f23', 1, 0, 1, 0, 0, 0, 0, 5, 0, 0, 8, 7, 13, 7, 13, 4, false, '', 'deadline');
INSERT INTO stepgate_records VALUES (4, 4, 1764014422000, '019a0000-0000-7000-8000-000000000009', 1, 0, 2, 0, 0, 0, 0, 2, 10, 0, 0, 13, 7, 13, 7, 3, true, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (4, 5, 1764021624000, '019ab7e1-dcc0-7772-a7c8-6db176385b96', 1, 0, 2, 0, 0, 0, 0, 5, 0, 0, 8, 7, 13, 7, 13, 4, false, '', 'deadline');
INSERT INTO stepgate_records VALUES (5, 1, 1764021625000, '019a0000-0000-7000-8000-00000000000a', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of question confirmed by its deadline');
INSERT INTO stepgate_records VALUES (5, 2, 1764021626000, '019a0000-0000-7000-8000-00000000000b', 1, 0, 1, 0, 0, 0, 0, 3, 0, 2, 0, 1, 7, 1, 7, 3, true, 'starter', '');
INSERT INTO stepgate_records VALUES (5, 3, 1764028828000, '019ab84f-c960-7df4-b273-2bd84f8c404c', 1, 2, 1, 0, 0, 0, 1, 5, 0, 0, 9, 7, 3, 7, 2, 1, true, '', 'deadline');
INSERT INTO stepgate_records VALUES (6, 1, 1764028829000, '019a0000-0000-7000-8000-00000000000c', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of stop that expired');
INSERT INTO stepgate_records VALUES (6, 2, 1764028830000, '019a0000-0000-7000-8000-00000000000d', 1, 0, 1, 0, 2, 0, 2, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (6, 3, 1764028831000, '019a0000-0000-7000-8000-00000000000e', 1, 0, 1, 0, 2, 0, 0, 3, 0, 1, 0, 2, 10, 2, 10, 2, false, 'ann', '');
INSERT INTO stepgate_records VALUES (6, 4, 1764036033000, '019ab8bd-b9e8-7446-8383-cf5046e83ee7', 1, 0, 1, 0, 2, 0, 0, 5, 0, 0, 8, 10, 11, 10, 11, 4, false, '', 'deadline');
INSERT INTO stepgate_records VALUES (7, 1, 1764036034000, '019a0000-0000-7000-8000-00000000000f', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of running');
INSERT INTO stepgate_records VALUES (7, 2, 1764036035000, '019a0000-0000-7000-8000-000000000010', 1, 0, 1, 0, 3, 0, 3, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (7, 3, 1764036036000, '019ab8bd-c5a0-7ee8-b8d3-8bd0677ee205', 1, 0, 1, 1, 2, 2, 0, 4, 0, 0, 0, 2, 2, 2, 2, 0, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (8, 1, 1764036037000, '019a0000-0000-7000-8000-000000000011', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of many targets');
INSERT INTO stepgate_records VALUES (8, 2, 1764036038000, '019a0000-0000-7000-8000-000000000012', 1, 0, 1, 0, 270, 0, 270, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (8, 3, 1764036039000, '019ab8bd-d158-765a-a8fa-5289195e7548', 1, 0, 1, 25, 240, 30, 0, 4, 0, 0, 0, 2, 2, 2, 2, 0, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (9, 1, 1764036040000, '019a0000-0000-7000-8000-000000000013', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of retried');
INSERT INTO stepgate_records VALUES (9, 2, 1764036041000, '019a0000-0000-7000-8000-000000000014', 1, 0, 1, 0, 4, 0, 4, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (9, 3, 1764036042000, '019ab8bd-dd10-771c-a305-68629904ed4e', 1, 0, 1, 2, 0, 4, 0, 4, 0, 0, 3, 2, 4, 2, 4, 4, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (9, 4, 1764036043000, '019a0000-0000-7000-8000-000000000015', 1, 0, 2, 2, 2, 0, 2, 2, 2, 0, 0, 4, 2, 4, 2, 1, false, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (9, 5, 1764036044000, '019ab8bd-e4e0-71ae-8fe3-8b2d58c60fb9', 1, 0, 2, 3, 0, 2, 0, 4, 0, 0, 3, 2, 4, 2, 4, 4, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (9, 6, 1764036045000, '019a0000-0000-7000-8000-000000000016', 1, 0, 3, 3, 1, 0, 1, 2, 2, 0, 0, 4, 2, 4, 2, 1, false, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (9, 7, 1764036046000, '019ab8bd-ecb0-7a90-8bc1-9ab507cddb27', 1, 0, 3, 3, 1, 1, 0, 4, 0, 0, 0, 2, 2, 2, 2, 0, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (10, 1, 1764036047000, '019a0000-0000-7000-8000-000000000017', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of all again');
INSERT INTO stepgate_records VALUES (10, 2, 1764036048000, '019a0000-0000-7000-8000-000000000018', 1, 0, 1, 0, 2, 0, 2, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (10, 3, 1764036049000, '019ab8bd-f868-7a42-9390-138eab992f3a', 1, 0, 1, 1, 0, 2, 0, 4, 0, 0, 3, 2, 4, 2, 4, 4, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (10, 4, 1764036050000, '019a0000-0000-7000-8000-000000000019', 1, 0, 2, 0, 2, 0, 2, 2, 8, 0, 0, 4, 2, 4, 2, 1, true, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (10, 5, 1764036051000, '019ab8be-0038-7d44-a8d1-1ef2304eb490', 1, 2, 2, 2, 0, 2, 0, 4, 0, 0, 2, 2, 3, 2, 7, 3, true, 'exec-1', '');
INSERT INTO stepgate_records VALUES (11, 1, 1764036052000, '019a0000-0000-7000-8000-00000000001a', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of confirmed');
INSERT INTO stepgate_records VALUES (11, 2, 1764036053000, '019a0000-0000-7000-8000-00000000001b', 1, 0, 1, 0, 0, 0, 0, 3, 0, 2, 0, 1, 7, 1, 7, 3, true, 'starter', '');
INSERT INTO stepgate_records VALUES (11, 3, 1764036054000, '019a0000-0000-7000-8000-00000000001c', 1, 2, 1, 0, 0, 0, 0, 2, 6, 0, 0, 7, 3, 7, 7, 3, true, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (11, 4, 1764036055000, '019a0000-0000-7000-8000-00000000001d', 2, 0, 1, 0, 0, 0, 0, 2, 9, 0, 0, 7, 13, 7, 13, 4, false, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (11, 5, 1764036056000, '019a0000-0000-7000-8000-00000000001e', 2, 0, 2, 0, 0, 0, 0, 2, 10, 0, 0, 13, 7, 13, 7, 3, true, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (11, 6, 1764036057000, '019a0000-0000-7000-8000-00000000001f', 2, 3, 2, 0, 0, 0, 1, 2, 6, 0, 0, 7, 3, 7, 2, 1, true, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (11, 7, 1764036058000, '019ab8be-1b90-7416-96f5-d0dc767204cb', 3, 0, 1, 1, 0, 1, 0, 4, 0, 0, 2, 2, 3, 2, 3, 4, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (12, 1, 1764036059000, '019a0000-0000-7000-8000-000000000020', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of refused');
INSERT INTO stepgate_records VALUES (12, 2, 1764036060000, '019a0000-0000-7000-8000-000000000021', 1, 0, 1, 0, 0, 0, 0, 3, 0, 2, 0, 1, 7, 1, 7, 3, true, 'starter', '');
INSERT INTO stepgate_records VALUES (12, 3, 1764036061000, '019a0000-0000-7000-8000-000000000022', 1, 0, 1, 0, 0, 0, 0, 2, 9, 0, 0, 7, 13, 7, 13, 4, false, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (13, 1, 1764036062000, '019a0000-0000-7000-8000-000000000023', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of terminating');
INSERT INTO stepgate_records VALUES (13, 2, 1764036063000, '019a0000-0000-7000-8000-000000000024', 1, 0, 1, 0, 2, 0, 2, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (13, 3, 1764036064000, '019ab8be-3300-7338-926b-628b34fb1289', 1, 0, 1, 0, 2, 1, 0, 4, 0, 0, 0, 2, 2, 2, 2, 0, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (13, 4, 1764036065000, '019a0000-0000-7000-8000-000000000025', 1, 0, 1, 0, 2, 0, 0, 3, 0, 1, 0, 2, 10, 2, 10, 2, false, 'ann', '');
INSERT INTO stepgate_records VALUES (14, 1, 1764036066000, '019a0000-0000-7000-8000-000000000026', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of terminated and left');
INSERT INTO stepgate_records VALUES (14, 2, 1764036067000, '019a0000-0000-7000-8000-000000000027', 1, 0, 1, 0, 2, 0, 2, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (14, 3, 1764036068000, '019a0000-0000-7000-8000-000000000028', 1, 0, 1, 0, 2, 0, 0, 3, 0, 1, 0, 2, 10, 2, 10, 2, false, 'ann', '');
INSERT INTO stepgate_records VALUES (14, 4, 1764036069000, '019ab8be-4688-732a-a3d0-5782a9ebd16c', 1, 0, 1, 1, 1, 1, 0, 4, 0, 0, 5, 10, 11, 10, 11, 4, false, 'exec-1', 'the executor says so');
INSERT INTO stepgate_records VALUES (14, 5, 1764036070000, '019a0000-0000-7000-8000-000000000029', 1, 2, 1, 1, 1, 0, 2, 2, 11, 0, 0, 11, 5, 11, 2, 1, true, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (14, 6, 1764036071000, '019a0000-0000-7000-8000-00000000002a', 2, 0, 1, 0, 2, 0, 0, 3, 0, 1, 0, 2, 10, 2, 10, 2, false, 'ann', '');
INSERT INTO stepgate_records VALUES (14, 7, 1764036072000, '019a0000-0000-7000-8000-00000000002b', 2, 3, 1, 0, 2, 0, 1, 2, 12, 0, 0, 10, 5, 10, 2, 1, true, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (14, 8, 1764036073000, '019ab8be-5628-706c-8baa-91514d0e1e12', 3, 0, 1, 0, 1, 0, 0, 4, 0, 0, 5, 2, 11, 2, 11, 4, false, 'exec-1', 'the executor says so');
INSERT INTO stepgate_records VALUES (15, 1, 1764036074000, '019a0000-0000-7000-8000-00000000002c', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of terminated question');
INSERT INTO stepgate_records VALUES (15, 2, 1764036075000, '019a0000-0000-7000-8000-00000000002d', 1, 0, 1, 0, 0, 0, 0, 3, 0, 2, 0, 1, 7, 1, 7, 3, true, 'starter', '');
INSERT INTO stepgate_records VALUES (15, 3, 1764036076000, '019a0000-0000-7000-8000-00000000002e', 1, 0, 1, 0, 0, 0, 0, 3, 0, 1, 0, 7, 11, 7, 11, 4, false, 'ann', '');
INSERT INTO stepgate_records VALUES (16, 1, 1764036077000, '019a0000-0000-7000-8000-00000000002f', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of broke');
INSERT INTO stepgate_records VALUES (16, 2, 1764036078000, '019a0000-0000-7000-8000-000000000030', 1, 0, 1, 0, 2, 0, 2, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (16, 3, 1764036079000, '019ab8be-6d98-7b7e-926a-f2746c93e61d', 1, 0, 1, 1, 1, 1, 0, 4, 0, 0, 6, 2, 9, 2, 9, 4, false, 'exec-1', 'the executor says so');
INSERT INTO stepgate_records VALUES (16, 4, 1764036080000, '019a0000-0000-7000-8000-000000000031', 1, 0, 2, 1, 1, 0, 1, 2, 2, 0, 0, 9, 2, 9, 2, 1, false, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (16, 5, 1764036081000, '019ab8be-7568-78e0-803a-8be14de3902b', 1, 0, 2, 1, 1, 0, 0, 4, 0, 0, 6, 2, 9, 2, 9, 4, false, 'exec-1', 'the executor says so');
INSERT INTO stepgate_records VALUES (17, 1, 1764036082000, '019a0000-0000-7000-8000-000000000032', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of dropped');
INSERT INTO stepgate_records VALUES (17, 2, 1764036083000, '019a0000-0000-7000-8000-000000000033', 1, 0, 1, 0, 2, 0, 2, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (17, 3, 1764036084000, '019ab8be-8120-7112-be52-a89441eaa3de', 1, 0, 1, 0, 2, 0, 0, 4, 0, 0, 7, 2, 14, 2, 14, 4, false, 'exec-1', 'the executor says so');
INSERT INTO stepgate_records VALUES (18, 1, 1764036085000, '019a0000-0000-7000-8000-000000000034', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of errors ignored');
INSERT INTO stepgate_records VALUES (18, 2, 1764036086000, '019a0000-0000-7000-8000-000000000035', 1, 0, 1, 0, 2, 0, 2, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (18, 3, 1764036087000, '019ab8be-8cd8-7094-bbfe-0059d7e0b1d4', 1, 2, 1, 1, 0, 2, 1, 4, 0, 0, 4, 2, 6, 2, 2, 1, true, 'exec-1', '');
INSERT INTO stepgate_records VALUES (18, 4, 1764036088000, '019ab8be-90c0-77e6-84ae-d6035f747baf', 2, 0, 1, 0, 0, 1, 0, 4, 0, 0, 4, 2, 6, 2, 3, 4, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (19, 1, 1764036089000, '019a0000-0000-7000-8000-000000000036', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of skipped last');
INSERT INTO stepgate_records VALUES (19, 2, 1764036090000, '019a0000-0000-7000-8000-000000000037', 1, 0, 1, 0, 1, 0, 1, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (19, 3, 1764036091000, '019a0000-0000-7000-8000-000000000038', 1, 0, 1, 0, 1, 0, 0, 3, 0, 1, 0, 2, 10, 2, 10, 2, false, 'ann', '');
INSERT INTO stepgate_records VALUES (19, 4, 1764036092000, '019a0000-0000-7000-8000-000000000039', 1, 0, 1, 0, 1, 0, 0, 2, 12, 0, 0, 10, 5, 10, 3, 4, false, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (20, 1, 1764036093000, '019a0000-0000-7000-8000-00000000003a', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of stopped after all had succeeded');
INSERT INTO stepgate_records VALUES (20, 2, 1764036094000, '019a0000-0000-7000-8000-00000000003b', 1, 0, 1, 0, 1, 0, 1, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (20, 3, 1764036095000, '019a0000-0000-7000-8000-00000000003c', 1, 0, 1, 0, 1, 0, 0, 3, 0, 1, 0, 2, 10, 2, 10, 2, false, 'ann', '');
INSERT INTO stepgate_records VALUES (20, 4, 1764036096000, '019ab8be-b000-7b88-a8b4-258b3fed5c0d', 1, 0, 1, 1, 0, 1, 0, 4, 0, 0, 2, 10, 11, 10, 11, 4, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (20, 5, 1764036097000, '019a0000-0000-7000-8000-00000000003d', 1, 2, 1, 1, 0, 0, 1, 2, 11, 0, 0, 11, 5, 11, 2, 1, true, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (20, 6, 1764036098000, '019ab8be-b7d0-73fa-b5d6-cf1af0daee90', 2, 0, 1, 0, 0, 1, 0, 4, 0, 0, 3, 2, 4, 2, 4, 4, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (21, 1, 1764036099000, '019a0000-0000-7000-8000-00000000003e', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, false, 'creator', 'because of operations of an embedder');
INSERT INTO stepgate_records VALUES (21, 2, 1764036100000, '019a0000-0000-7000-8000-00000000003f', 1, 0, 1, 0, 2, 0, 2, 3, 0, 2, 0, 1, 2, 1, 2, 1, true, 'starter', '');
INSERT INTO stepgate_records VALUES (21, 3, 1764036101000, '019ab8be-c388-7dbc-85af-b24fde7cf7d6', 1, 0, 1, 1, 0, 2, 0, 4, 0, 0, 3, 2, 4, 2, 4, 4, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (21, 4, 1764036102000, '019a0000-0000-7000-8000-000000000040', 1, 0, 2, 1, 1, 0, 1, 2, 40, 0, 0, 4, 2, 4, 2, 1, false, 'ann', 'so it is');
INSERT INTO stepgate_records VALUES (21, 5, 1764036103000, '019ab8be-cb58-794e-8e54-dc3c1c1d8d81', 1, 0, 2, 1, 0, 1, 0, 4, 0, 0, 3, 2, 4, 2, 4, 4, false, 'exec-1', '');
INSERT INTO stepgate_records VALUES (21, 6, 1764036104000, '019a0000-0000-7000-8000-000000000041', 1, 0, 3, 1, 1, 0, 1, 2, 2, 0, 0, 4, 2, 4, 2, 1, false, 'ann', 'so it is');
INSERT INTO stepgate_results VALUES (2, 1764000004000, 1764000004000, 1, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (2, 1764000006000, 1764000006000, 2, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (2, 1764000008000, 1764000008000, 3, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (2, 1764000010000, 1764000010000, 4, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (3, 1764000013000, 1764000013000, 1, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (7, 1764036035000, 1764036035000, 1, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (7, 1764036035000, 0, 1, 1, 1, 0, 0, 7, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 240, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 241, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 242, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 243, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 244, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 245, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 246, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 247, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 248, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 249, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 250, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 251, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 252, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 253, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 254, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 255, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 256, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 257, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 258, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 259, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 260, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 261, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 262, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 263, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 264, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 265, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 266, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 267, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 268, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (8, 1764036038000, 1764036038000, 1, 269, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (9, 1764036041000, 1764036041000, 1, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (9, 1764036041000, 1764036041000, 1, 1, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (9, 1764036041000, 1764036041000, 1, 2, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (9, 1764036041000, 1764036041000, 1, 3, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (9, 1764036043000, 1764036043000, 1, 1, 2, 2, 0, 9, '');
INSERT INTO stepgate_results VALUES (9, 1764036043000, 1764036043000, 1, 2, 2, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (9, 1764036045000, 0, 1, 2, 3, 0, 0, 7, '');
INSERT INTO stepgate_results VALUES (10, 1764036048000, 1764036048000, 1, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (10, 1764036048000, 1764036048000, 1, 1, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (10, 1764036050000, 1764036050000, 1, 0, 2, 2, 0, 9, '');
INSERT INTO stepgate_results VALUES (10, 1764036050000, 1764036050000, 1, 1, 2, 2, 0, 9, '');
INSERT INTO stepgate_results VALUES (11, 1764036057000, 1764036057000, 3, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (13, 1764036063000, 0, 1, 0, 1, 0, 0, 7, '');
INSERT INTO stepgate_results VALUES (14, 1764036068000, 1764036068000, 1, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (16, 1764036078000, 1764036078000, 1, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (18, 1764036086000, 1764036086000, 1, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (18, 1764036086000, 1764036086000, 1, 1, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (18, 1764036087000, 1764036087000, 2, 0, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (20, 1764036095000, 1764036095000, 1, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (20, 1764036097000, 1764036097000, 2, 0, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (21, 1764036100000, 1764036100000, 1, 0, 1, 1, 0, 9, '');
INSERT INTO stepgate_results VALUES (21, 1764036100000, 1764036100000, 1, 1, 1, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_results VALUES (21, 1764036102000, 1764036102000, 1, 1, 2, 0, 3, 104, 'it did not like it');
INSERT INTO stepgate_steps VALUES (1, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 1, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 3, 1, 0, false, 'b', '', '["bob"]');
INSERT INTO stepgate_steps VALUES (2, 1764000003000, 1764000005000, 0, 0, 1, 1, 1, 1, 1, 0, 1, 3, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (2, 1764000005000, 1764000007000, 0, 0, 2, 1, 1, 1, 1, 0, 2, 3, 0, false, 'b', 'echo b', NULL);
INSERT INTO stepgate_steps VALUES (2, 1764000007000, 1764000009000, 0, 0, 3, 1, 1, 1, 1, 0, 4, 3, 0, false, 'c', 'echo c', NULL);
INSERT INTO stepgate_steps VALUES (2, 1764000009000, 1764000011000, 0, 0, 4, 1, 1, 1, 1, 0, 33, 3, 0, false, 'd', 'echo d', NULL);
INSERT INTO stepgate_steps VALUES (2, 1764000011000, 0, 0, 0, 5, 0, 1, 1, 0, 0, 3, 7, 0, false, 'e', '', NULL);
INSERT INTO stepgate_steps VALUES (3, 1764000013000, 1764007216000, 0, 3600000000000, 1, 2, 1, 1, 1, 1, 1, 6, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (3, 1764007217000, 0, 0, 0, 2, 1, 1, 1, 0, 1, 1, 2, 0, false, 'b', 'echo b', NULL);
INSERT INTO stepgate_steps VALUES (4, 1764014422000, 1764021624000, 0, 3600000000000, 1, 0, 2, 2, 0, 0, 3, 13, 0, false, 'a', '', '["bob"]');
INSERT INTO stepgate_steps VALUES (5, 1764021626000, 1764028828000, 0, 3600000000000, 1, 0, 1, 1, 0, 0, 3, 3, 1, false, 'a', '', NULL);
INSERT INTO stepgate_steps VALUES (5, 1764028828000, 0, 0, 0, 2, 1, 1, 1, 0, 1, 1, 2, 0, false, 'b', 'echo b', NULL);
INSERT INTO stepgate_steps VALUES (6, 1764028830000, 1764036033000, 0, 3600000000000, 1, 2, 1, 1, 0, 2, 1, 11, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (7, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 3, 1, 0, false, 'b', '', NULL);
INSERT INTO stepgate_steps VALUES (7, 1764036035000, 0, 1764039635000, 3600000000000, 1, 3, 1, 1, 1, 2, 1, 2, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (8, 1764036038000, 0, 0, 0, 1, 270, 1, 1, 25, 240, 1, 2, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (9, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 3, 1, 0, false, 'b', '', '["bob","ann"]');
INSERT INTO stepgate_steps VALUES (9, 1764036045000, 0, 0, 0, 1, 4, 3, 1, 3, 1, 1, 2, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (19, 1764036090000, 1764036092000, 0, 0, 1, 1, 1, 1, 0, 1, 1, 5, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (10, 1764036050000, 1764036051000, 0, 0, 1, 2, 2, 2, 2, 0, 1, 3, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (10, 1764036051000, 0, 0, 0, 2, 0, 1, 1, 0, 0, 3, 7, 0, false, 'b', '', '["bob","ann"]');
INSERT INTO stepgate_steps VALUES (11, 1764036053000, 1764036054000, 0, 0, 1, 0, 1, 1, 0, 0, 3, 3, 0, false, 'a', '', '["bob","ann"]');
INSERT INTO stepgate_steps VALUES (11, 1764036056000, 1764036057000, 0, 0, 2, 0, 2, 2, 0, 0, 3, 3, 0, false, 'b', '', NULL);
INSERT INTO stepgate_steps VALUES (20, 1764036094000, 1764036096000, 0, 0, 1, 1, 1, 1, 1, 0, 1, 5, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (11, 1764036057000, 1764036058000, 0, 0, 3, 1, 1, 1, 1, 0, 1, 3, 0, false, 'c', 'echo c', NULL);
INSERT INTO stepgate_steps VALUES (12, 1764036060000, 1764036061000, 0, 0, 1, 0, 1, 1, 0, 0, 3, 13, 0, false, 'a', '', NULL);
INSERT INTO stepgate_steps VALUES (13, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 1, 1, 0, false, 'b', 'echo b', NULL);
INSERT INTO stepgate_steps VALUES (20, 1764036097000, 1764036098000, 0, 0, 2, 1, 1, 1, 0, 0, 1, 4, 0, false, 'b', 'echo b', NULL);
INSERT INTO stepgate_steps VALUES (13, 1764036063000, 0, 0, 0, 1, 2, 1, 1, 0, 2, 1, 10, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (21, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 1, 1, 0, false, 'b', 'echo b', NULL);
INSERT INTO stepgate_steps VALUES (14, 1764036067000, 1764036069000, 0, 0, 1, 2, 1, 1, 1, 1, 1, 5, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (14, 1764036070000, 1764036072000, 0, 0, 2, 2, 1, 1, 0, 2, 1, 5, 0, false, 'b', 'echo b', NULL);
INSERT INTO stepgate_steps VALUES (21, 1764036104000, 0, 0, 0, 1, 2, 3, 1, 1, 1, 1, 2, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (14, 1764036072000, 1764036073000, 0, 0, 3, 1, 1, 1, 0, 1, 1, 11, 0, false, 'c', 'echo c', NULL);
INSERT INTO stepgate_steps VALUES (15, 1764036075000, 1764036076000, 0, 0, 1, 0, 1, 1, 0, 0, 3, 11, 0, false, 'a', '', NULL);
INSERT INTO stepgate_steps VALUES (16, 1764036080000, 1764036081000, 0, 0, 1, 2, 2, 1, 1, 1, 1, 9, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (17, 1764036083000, 1764036084000, 0, 0, 1, 2, 1, 1, 0, 2, 1, 14, 0, false, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (18, 1764036086000, 1764036087000, 0, 0, 1, 2, 1, 1, 1, 0, 1, 6, 0, true, 'a', 'echo a', NULL);
INSERT INTO stepgate_steps VALUES (18, 1764036087000, 1764036088000, 0, 0, 2, 1, 1, 1, 0, 0, 1, 6, 0, true, 'b', 'echo b', NULL);
INSERT INTO stepgate_target_names VALUES (1, 1, 0, '["a-0","a-1"]');
INSERT INTO stepgate_target_names VALUES (2, 1, 0, '["a-0"]');
INSERT INTO stepgate_target_names VALUES (2, 2, 0, '["b-0"]');
INSERT INTO stepgate_target_names VALUES (2, 3, 0, '["c-0"]');
INSERT INTO stepgate_target_names VALUES (2, 4, 0, '["d-0"]');
INSERT INTO stepgate_target_names VALUES (3, 1, 0, '["a-0","a-1"]');
INSERT INTO stepgate_target_names VALUES (3, 2, 0, '["b-0"]');
INSERT INTO stepgate_target_names VALUES (5, 2, 0, '["b-0"]');
INSERT INTO stepgate_target_names VALUES (6, 1, 0, '["a-0","a-1"]');
INSERT INTO stepgate_target_names VALUES (7, 1, 0, '["a-0","a-1","a-2"]');
INSERT INTO stepgate_target_names VALUES (8, 1, 0, '["a-0","a-1","a-2","a-3","a-4","a-5","a-6","a-7","a-8","a-9","a-10","a-11","a-12","a-13","a-14","a-15","a-16","a-17","a-18","a-19","a-20","a-21","a-22","a-23","a-24","a-25","a-26","a-27","a-28","a-29","a-30","a-31","a-32","a-33","a-34","a-35","a-36","a-37","a-38","a-39","a-40","a-41","a-42","a-43","a-44","a-45","a-46","a-47","a-48","a-49","a-50","a-51","a-52","a-53","a-54","a-55","a-56","a-57","a-58","a-59","a-60","a-61","a-62","a-63","a-64","a-65","a-66","a-67","a-68","a-69","a-70","a-71","a-72","a-73","a-74","a-75","a-76","a-77","a-78","a-79","a-80","a-81","a-82","a-83","a-84","a-85","a-86","a-87","a-88","a-89","a-90","a-91","a-92","a-93","a-94","a-95","a-96","a-97","a-98","a-99","a-100","a-101","a-102","a-103","a-104","a-105","a-106","a-107","a-108","a-109","a-110","a-111","a-112","a-113","a-114","a-115","a-116","a-117","a-118","a-119","a-120","a-121","a-122","a-123","a-124","a-125","a-126","a-127","a-128","a-129","a-130","a-131","a-132","a-133","a-134","a-135","a-136","a-137","a-138","a-139","a-140","a-141","a-142","a-143","a-144","a-145","a-146","a-147","a-148","a-149","a-150","a-151","a-152","a-153","a-154","a-155","a-156","a-157","a-158","a-159","a-160","a-161","a-162","a-163","a-164","a-165","a-166","a-167","a-168","a-169","a-170","a-171","a-172","a-173","a-174","a-175","a-176","a-177","a-178","a-179","a-180","a-181","a-182","a-183","a-184","a-185","a-186","a-187","a-188","a-189","a-190","a-191","a-192","a-193","a-194","a-195","a-196","a-197","a-198","a-199","a-200","a-201","a-202","a-203","a-204","a-205","a-206","a-207","a-208","a-209","a-210","a-211","a-212","a-213","a-214","a-215","a-216","a-217","a-218","a-219","a-220","a-221","a-222","a-223","a-224","a-225","a-226","a-227","a-228","a-229","a-230","a-231","a-232","a-233","a-234","a-235","a-236","a-237","a-238","a-239","a-240","a-241","a-242","a-243","a-244","a-245","a-246","a-247","a-248","a-249","a-250","a-251","a-252","a-253","a-254","a-255"]');
INSERT INTO stepgate_target_names VALUES (8, 1, 1, '["a-256","a-257","a-258","a-259","a-260","a-261","a-262","a-263","a-264","a-265","a-266","a-267","a-268","a-269"]');
INSERT INTO stepgate_target_names VALUES (9, 1, 0, '["a-0","a-1","a-2","a-3"]');
INSERT INTO stepgate_target_names VALUES (10, 1, 0, '["a-0","a-1"]');
INSERT INTO stepgate_target_names VALUES (11, 3, 0, '["c-0"]');
INSERT INTO stepgate_target_names VALUES (13, 1, 0, '["a-0","a-1"]');
INSERT INTO stepgate_target_names VALUES (13, 2, 0, '["b-0"]');
INSERT INTO stepgate_target_names VALUES (14, 1, 0, '["a-0","a-1"]');
INSERT INTO stepgate_target_names VALUES (14, 2, 0, '["b-0","b-1"]');
INSERT INTO stepgate_target_names VALUES (14, 3, 0, '["c-0"]');
INSERT INTO stepgate_target_names VALUES (16, 1, 0, '["a-0","a-1"]');
INSERT INTO stepgate_target_names VALUES (17, 1, 0, '["a-0","a-1"]');
INSERT INTO stepgate_target_names VALUES (18, 1, 0, '["a-0","a-1"]');
INSERT INTO stepgate_target_names VALUES (18, 2, 0, '["b-0"]');
INSERT INTO stepgate_target_names VALUES (19, 1, 0, '["a-0"]');
INSERT INTO stepgate_target_names VALUES (20, 1, 0, '["a-0"]');
INSERT INTO stepgate_target_names VALUES (20, 2, 0, '["b-0"]');
INSERT INTO stepgate_target_names VALUES (21, 1, 0, '["a-0","a-1"]');
INSERT INTO stepgate_target_names VALUES (21, 2, 0, '["b-0"]');
INSERT INTO stepgate_target_sets VALUES (2, 1, 0, 1, 1, B'1', B'1');
INSERT INTO stepgate_target_sets VALUES (2, 2, 0, 1, 1, B'1', B'1');
INSERT INTO stepgate_target_sets VALUES (2, 3, 0, 1, 1, B'1', B'1');
INSERT INTO stepgate_target_sets VALUES (2, 4, 0, 1, 1, B'1', B'1');
INSERT INTO stepgate_target_sets VALUES (3, 1, 0, 1, 1, B'10', B'10');
INSERT INTO stepgate_target_sets VALUES (7, 1, 0, 1, 1, B'100', B'100');
INSERT INTO stepgate_target_sets VALUES (8, 1, 0, 1, 1, B'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000011111101111110111111011111101', B'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000111111111111111111111111111111');
INSERT INTO stepgate_target_sets VALUES (9, 1, 0, 1, 2, B'1101', B'0110');
INSERT INTO stepgate_target_sets VALUES (10, 1, 0, 2, 2, B'11', B'11');
INSERT INTO stepgate_target_sets VALUES (11, 3, 0, 1, 1, B'1', B'1');
INSERT INTO stepgate_target_sets VALUES (14, 1, 0, 1, 1, B'10', B'10');
INSERT INTO stepgate_target_sets VALUES (16, 1, 0, 1, 1, B'10', B'10');
INSERT INTO stepgate_target_sets VALUES (18, 1, 0, 1, 1, B'10', B'11');
INSERT INTO stepgate_target_sets VALUES (18, 2, 0, 1, 1, B'0', B'1');
INSERT INTO stepgate_target_sets VALUES (20, 1, 0, 1, 1, B'1', B'1');
INSERT INTO stepgate_target_sets VALUES (20, 2, 0, 1, 1, B'0', B'1');
INSERT INTO stepgate_target_sets VALUES (21, 1, 0, 1, 2, B'10', B'01');
