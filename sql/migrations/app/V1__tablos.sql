-- The example application: boards ("tablos") with files. The contents of the files are in an object store.
-- src/app/jobs/orphan_file_cleanup/mod.rs explains how rows and objects stay consistent.

CREATE TABLE tablos (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tablo_name_length CHECK (octet_length(name) BETWEEN 1 AND 1024)
);
COMMENT ON TABLE tablos IS 'Boards with files.';

CREATE TABLE tablo_files (
    id            uuid        PRIMARY KEY,
    -- No foreign key: a file outlives its tablo until the cleanup has deleted the object.
    tablo_id      uuid        NOT NULL,
    name          text        NOT NULL,
    s3_key        text        NOT NULL,
    size          bigint      NOT NULL,
    state         text        NOT NULL DEFAULT 'pending',
    created_at    timestamptz NOT NULL DEFAULT now(),
    orphaned_at   timestamptz,
    orphan_cause  text,
    delete_after  timestamptz,
    swept_at      timestamptz,
    claimed_by    bigint,
    claimed_until timestamptz,
    CONSTRAINT file_name_length  CHECK (octet_length(name) BETWEEN 1 AND 255),
    CONSTRAINT size_in_range     CHECK (size BETWEEN 0 AND 5368709120),
    CONSTRAINT state_is_known    CHECK (state IN ('pending', 'ready', 'deleting')),
    CONSTRAINT cause_is_known    CHECK (orphan_cause IN ('tablo_deleted', 'superseded', 'abandoned')),
    CONSTRAINT orphans_are_whole CHECK (num_nulls(orphaned_at, orphan_cause, delete_after) IN (0, 3)),
    CONSTRAINT only_orphans_go   CHECK (state <> 'deleting' OR orphaned_at IS NOT NULL)
);

COMMENT ON TABLE tablo_files IS
    'Files. A file is served if its state is ready, it is not an orphan and its tablo exists. The object is deleted before its row.';
COMMENT ON COLUMN tablo_files.s3_key IS 'Key of the object. New for each upload, never reused.';
COMMENT ON COLUMN tablo_files.state IS
    'pending: the object may exist or still arrive; ready: it exists; deleting: it may be deleted, and this cannot be undone.';
COMMENT ON COLUMN tablo_files.orphaned_at IS 'When the file became an orphan. Null if it is not one.';
COMMENT ON COLUMN tablo_files.orphan_cause IS
    'tablo_deleted: restored with its tablo; superseded: another file has its name, or its upload completed too late; abandoned: its upload never completed.';
COMMENT ON COLUMN tablo_files.delete_after IS 'Not deleted before this time.';
COMMENT ON COLUMN tablo_files.swept_at IS
    'When the object of an abandoned upload was first deleted. A stalled PUT may complete after that, so delete_after moves by a day and the key is deleted again.';
COMMENT ON COLUMN tablo_files.claimed_by IS 'The cleanup job that is deleting the object.';
COMMENT ON COLUMN tablo_files.claimed_until IS 'Other cleanups skip the file until then.';

-- For serving by name. A tablo has one file per name, even after it is restored.
CREATE UNIQUE INDEX tablo_files_by_name ON tablo_files (tablo_id, name)
    WHERE state = 'ready' AND orphan_cause IS DISTINCT FROM 'superseded';
-- For the cleanup. These indexes contain no file that is served.
CREATE INDEX tablo_files_orphaned ON tablo_files (delete_after, id) WHERE state = 'ready' AND orphaned_at IS NOT NULL;
CREATE INDEX tablo_files_deleting ON tablo_files (id) WHERE state = 'deleting';
CREATE INDEX tablo_files_pending ON tablo_files (created_at, id) WHERE state = 'pending';
-- The orphans of one tablo.
CREATE INDEX tablo_files_of_orphans ON tablo_files (tablo_id) WHERE orphaned_at IS NOT NULL;

CREATE TABLE orphan_cleanup (
    only_row   boolean PRIMARY KEY DEFAULT true,
    generation bigint  NOT NULL DEFAULT 0,
    CONSTRAINT there_is_one_row CHECK (only_row)
);
INSERT INTO orphan_cleanup DEFAULT VALUES;
COMMENT ON TABLE orphan_cleanup IS 'One row.';
COMMENT ON COLUMN orphan_cleanup.generation IS
    'Incremented when a cleanup begins. Part of the unique key of a requested cleanup, so that the request for a new orphan never matches a cleanup that has already begun.';

CREATE TABLE idempotency_keys (
    key          text        PRIMARY KEY,
    request_hash bytea       NOT NULL,
    response     jsonb,
    job_id       bigint,
    outcome      text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT key_length CHECK (octet_length(key) BETWEEN 1 AND 255)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
COMMENT ON TABLE idempotency_keys IS 'Responses to POST /jobs by Idempotency-Key, kept for 24 h.';
COMMENT ON COLUMN idempotency_keys.outcome IS 'inserted or existing: whether the request has added the job. Decides the status of the response.';
COMMENT ON COLUMN idempotency_keys.request_hash IS 'Hash of the request. The same key with another request is rejected.';
