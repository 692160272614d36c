-- The journal's file, format 3. Rows of facts are only ever added; erasing takes content away, sealing moves rows to segments.

CREATE TABLE IF NOT EXISTS facts (
    seq     INTEGER PRIMARY KEY, -- place in the journal: 1, 2, 3, ... with no gap
    kind    INTEGER NOT NULL,    -- row of `kinds`
    subject TEXT NOT NULL,       -- id of the thing it is about ('' for many)
    content BLOB,                -- 16 random bytes and the event's other fields (a JSON list in UTF-8); NULL: erased
    at      REAL,                -- when it was decided, epoch seconds   } NULL: as in the row before;
    author  INTEGER,             -- row of `authors`                     } the first row of a tile (256 facts)
    request TEXT,                -- the request that it came from        } and of a commit says all three
    digest  BLOB                 -- SHA-256 of `content`, only where that is erased
);

-- What rows would repeat.
CREATE TABLE IF NOT EXISTS kinds (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL,    -- what happened: a class of core/events/
    version INTEGER NOT NULL, -- the shape of the body
    outcome TEXT NOT NULL     -- how the order ended: ok, refused
);
CREATE TABLE IF NOT EXISTS authors (
    id         INTEGER PRIMARY KEY,
    epoch      INTEGER NOT NULL, -- which opening of the journal wrote it
    actor      TEXT NOT NULL,    -- id of the principal who asked for it
    address    TEXT NOT NULL,    -- where from (core/origin.py)
    credential TEXT NOT NULL,    -- id of the session or API token
    user_agent TEXT NOT NULL
);

-- The Merkle tree over the facts (journal/merkle.py): complete subtrees of 256 leaves and more. Smaller ones follow from the rows.
-- In the order in which they are completed, so that all nodes of a commit go to the end of the table.
CREATE TABLE IF NOT EXISTS tree (
    last  INTEGER NOT NULL, -- the last fact that it stands over
    level INTEGER NOT NULL, -- 8 and above: it stands over 2^level facts
    hash  BLOB NOT NULL,
    PRIMARY KEY (last, level)
) WITHOUT ROWID;

-- Files in the folder `segments` that hold old facts, as the rows did (journal/segment.py).
CREATE TABLE IF NOT EXISTS segments (
    last  INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    file  TEXT    NOT NULL,
    bytes INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS snapshots (
    seq          INTEGER PRIMARY KEY, -- the last fact folded into it
    fold_version INTEGER NOT NULL,    -- how it was folded (core/snapshot.py)
    saved_at     REAL    NOT NULL,    -- epoch seconds
    hash         BLOB    NOT NULL,    -- root of the tree of `seq` facts: a snapshot of another history is not used
    mac          BLOB    NOT NULL,    -- HMAC-SHA256 of seq, fold_version, hash and body
    body         BLOB    NOT NULL     -- the state as JSON, zlib level 1
);

CREATE TABLE IF NOT EXISTS meta (
    name  TEXT PRIMARY KEY, -- 'epoch': how often the journal was opened for writing; 'format1': see journal/upgrade.py
    value
);

INSERT OR IGNORE INTO meta VALUES ('epoch', 0);

-- For people with sqlite3: facts as they read. `body` names no fields: they are those of the kind, in order, without the id.
CREATE VIEW IF NOT EXISTS readable AS
SELECT f.seq, k.name AS kind, f.subject, CAST(substr(f.content, 17) AS TEXT) AS body, k.outcome,
       (SELECT p.at FROM facts p WHERE p.seq <= f.seq AND p.at IS NOT NULL ORDER BY p.seq DESC LIMIT 1) AS at,
       (SELECT a.actor FROM facts p JOIN authors a ON a.id = p.author
         WHERE p.seq <= f.seq AND p.author IS NOT NULL ORDER BY p.seq DESC LIMIT 1) AS actor,
       (SELECT p.request FROM facts p WHERE p.seq <= f.seq AND p.request IS NOT NULL ORDER BY p.seq DESC LIMIT 1) AS request
FROM facts f JOIN kinds k ON k.id = f.kind;
