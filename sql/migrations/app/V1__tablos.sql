-- The example application: boards ("tablos") that carry files. The files' bytes are in an object
-- store; what keeps rows and objects together is told in src/app/jobs/orphan_file_cleanup.rs.

CREATE TABLE tablos (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tablo_name_length CHECK (octet_length(name) BETWEEN 1 AND 1024)
);
COMMENT ON TABLE tablos IS 'Boards that carry files.';

CREATE TABLE tablo_files (
    id            uuid        PRIMARY KEY,
    -- No foreign key: a file outlives its tablo until the cleanup has deleted its object.
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
    'Files. Served: state ready, not an orphan, tablo there. A row outlives its object: object first, then row.';
COMMENT ON COLUMN tablo_files.s3_key IS 'Where the object is; new for each upload, never used again.';
COMMENT ON COLUMN tablo_files.state IS
    'pending: the object may be there or may still come; ready: it is there; deleting: it may be gone, there is no way back.';
COMMENT ON COLUMN tablo_files.orphaned_at IS 'Since when nobody carries it; null while it is carried.';
COMMENT ON COLUMN tablo_files.orphan_cause IS
    'tablo_deleted: comes back when its tablo does; superseded: another file has its name, or its upload ended too late; abandoned: its upload never ended.';
COMMENT ON COLUMN tablo_files.delete_after IS 'Not deleted before this time.';
COMMENT ON COLUMN tablo_files.swept_at IS
    'When the object of an abandoned upload was deleted for the first time. A stalled PUT may land after that, so delete_after moves on by a day and the key is deleted once more.';
COMMENT ON COLUMN tablo_files.claimed_by IS 'The job whose cleanup is deleting the object.';
COMMENT ON COLUMN tablo_files.claimed_until IS 'Other cleanups leave it alone until then.';

-- Serving by name; a tablo carries one file a name, and also comes back with one.
CREATE UNIQUE INDEX tablo_files_by_name ON tablo_files (tablo_id, name)
    WHERE state = 'ready' AND orphan_cause IS DISTINCT FROM 'superseded';
-- What the cleanup reads: none of these indexes holds a file that is carried.
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
    'Raised when a cleanup begins, and part of the unique key of requested cleanups: who makes an orphan never takes a cleanup that has begun for one that will see it.';

CREATE TABLE idempotency_keys (
    key          text        PRIMARY KEY,
    request_hash bytea       NOT NULL,
    response     jsonb,
    job_id       bigint,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT key_length CHECK (octet_length(key) BETWEEN 1 AND 255)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
COMMENT ON TABLE idempotency_keys IS 'Answers to POST /jobs by their Idempotency-Key, kept for 24 h.';
COMMENT ON COLUMN idempotency_keys.request_hash IS 'The same key with another request is refused.';
