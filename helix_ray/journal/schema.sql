-- The journal's file, format 1. Rows of facts are only ever added.

CREATE TABLE IF NOT EXISTS facts (
    seq        INTEGER PRIMARY KEY, -- place in the journal: 1, 2, 3, ... with no gap
    epoch      INTEGER NOT NULL,    -- which opening of the journal wrote it
    at         REAL    NOT NULL,    -- when it was decided, epoch seconds
    kind       TEXT    NOT NULL,    -- what happened: a class of core/events.py
    version    INTEGER NOT NULL,    -- the shape of `body`, per kind
    subject    TEXT    NOT NULL,    -- id of the thing it is about ('' for many)
    actor      TEXT    NOT NULL,    -- id of the principal who asked for it
    request_id TEXT    NOT NULL,    -- the request that it came from
    body       BLOB    NOT NULL,    -- the event's fields, JSON in UTF-8
    hash       BLOB    NOT NULL     -- SHA-256 over the row before, and this row (journal/chain.py)
);

CREATE TABLE IF NOT EXISTS snapshots (
    seq          INTEGER PRIMARY KEY, -- the last fact folded into it
    fold_version INTEGER NOT NULL,    -- how it was folded (core/snapshot.py)
    saved_at     REAL    NOT NULL,    -- epoch seconds
    hash         BLOB    NOT NULL,    -- hash of fact `seq`: a snapshot of another history is not used
    mac          BLOB    NOT NULL,    -- HMAC-SHA256 of seq, fold_version, hash and body
    body         BLOB    NOT NULL     -- the state as JSON, zlib level 1
);

CREATE TABLE IF NOT EXISTS meta (
    name  TEXT PRIMARY KEY, -- 'epoch': how often the journal was opened for writing
    value INTEGER NOT NULL
);

INSERT OR IGNORE INTO meta VALUES ('epoch', 0);
