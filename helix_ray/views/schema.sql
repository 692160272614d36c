-- The history's file, layout 4. It can be deleted at any time: it is rebuilt from the journal.
-- No indexes: rows come in the order of time, so DuckDB's zone maps find them by key and seq.

CREATE TABLE IF NOT EXISTS submitted (
    key        UBIGINT NOT NULL, -- the first characters of the id as a number, for zone maps (views/keys.py)
    id         VARCHAR NOT NULL,
    seq        BIGINT  NOT NULL, -- seq of TaskSubmitted
    owner      VARCHAR NOT NULL,
    title      VARCHAR NOT NULL,
    type       VARCHAR NOT NULL,
    priority   VARCHAR NOT NULL,
    project_id VARCHAR,
    run_kind   VARCHAR,          -- command, function, inference; NULL for work of people and external workers
    created_at DOUBLE  NOT NULL, -- epoch seconds, as all times here
    spec       VARCHAR NOT NULL, -- JSON, as last edited; without pickled payloads, inference inputs and secrets
    cut        BOOLEAN NOT NULL  -- whether it had any: the journal has them
);

-- One row a finished task. A task that is queued again or deleted loses its row.
CREATE TABLE IF NOT EXISTS tasks (
    key          UBIGINT NOT NULL,
    id           VARCHAR NOT NULL,
    seq          BIGINT  NOT NULL, -- seq of TaskSubmitted: listings are newest first by it
    owner        VARCHAR NOT NULL,
    title        VARCHAR NOT NULL,
    type         VARCHAR NOT NULL,
    priority     VARCHAR NOT NULL,
    project_id   VARCHAR,
    run_kind     VARCHAR,
    created_at   DOUBLE  NOT NULL,
    finished_seq BIGINT  NOT NULL, -- seq of the fact that ended it
    status       VARCHAR NOT NULL, -- completed, failed or cancelled
    worker       VARCHAR,
    holder       VARCHAR,          -- user whose external worker ran it when it ended
    attempt      BIGINT  NOT NULL,
    failures     BIGINT  NOT NULL,
    losses       BIGINT  NOT NULL,
    preemptions  BIGINT  NOT NULL,
    progress     DOUBLE  NOT NULL, -- percent
    note         VARCHAR,
    started_at   DOUBLE,
    finished_at  DOUBLE  NOT NULL,
    duration_s   DOUBLE,           -- as measured where it ran
    not_before   DOUBLE  NOT NULL,
    result       VARCHAR NOT NULL, -- JSON
    error        VARCHAR NOT NULL, -- JSON
    leases       VARCHAR,          -- JSON: those of external workers (core/leases.py); NULL for none
    cause        VARCHAR           -- id of the task that it failed because of
);

-- One row: how far the history is.
CREATE TABLE IF NOT EXISTS position (
    layout   INTEGER NOT NULL, -- another than this release's: the file is built anew
    ingested BIGINT  NOT NULL, -- facts up to this seq are in the tables
    resumed  BIGINT  NOT NULL, -- facts after this seq are read again at the start, for what `attempts` lacks
    attempts VARCHAR NOT NULL  -- JSON: what is known of unfinished tasks as of `resumed` (views/attempts.py)
);
