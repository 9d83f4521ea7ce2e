-- The example application: boards ("tablos") that carry files kept in an object store.

CREATE TABLE tablos (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 1024),
    created_at timestamptz NOT NULL DEFAULT now()
);
